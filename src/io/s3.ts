/**
 * A bucket as objects, by the requests that all that speak S3 know: https://docs.aws.amazon.com/AmazonS3/latest/API. Credentials come
 * from the usual variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL), and are in no message.
 */
import type { AwsClient } from "aws4fetch";
import { excerpt } from "../json.js";
import { environment } from "../platform/host.js";
import { answerOf, reasonOf } from "../platform/web.js";
import { sleep } from "../waiting.js";
import type { Objects } from "./objects.js";

/** Times that a request is sent when the server is busy or the connection breaks, and milliseconds before the second. */
const [TRIES, DELAY] = [6, 200];
/** Milliseconds that one try may take. */
const LONGEST = 120_000;

/** @param address s3://bucket/prefix. */
export async function openBucket(address: string): Promise<Objects> {
  const [, bucket, prefix = ""] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*?))?\/*$/i.exec(address) ?? [];
  if (bucket === undefined) throw new Error(`s3: a place must be s3://bucket/prefix; got ${excerpt(address)}`);
  const name = `s3://${bucket}${prefix && `/${prefix}`}`;
  const keyOf = (path: string) => [prefix, path].filter(Boolean).join("/");
  const nameOf = (path: string) => `s3://${bucket}/${keyOf(path)}`;
  const [client, root] = [await clientOf(), rootOf(bucket)];

  /** @param accept statuses besides 2xx that the caller knows what to do with. */
  async function ask(
    { method = "GET", path, query = "", headers = {}, body }: Asked,
    accept: readonly number[] = [],
  ): Promise<Response> {
    const key = path === undefined ? "" : keyOf(path);
    const url = `${root}/${key.split("/").map(encodeURIComponent).join("/")}${query}`;
    const what = `s3: "${path === undefined ? name : nameOf(path)}" cannot be ${VERBS[method]}`;
    for (let left = TRIES - 1; ; left--) {
      let response: Response;
      try {
        const digest = { "x-amz-content-sha256": await digestOf(body) };
        const signed = await client.sign(url, { method, headers: { ...headers, ...digest }, body });
        response = await fetch(signed, { signal: AbortSignal.timeout(LONGEST), redirect: "error" });
        if (response.ok || accept.includes(response.status)) return response;
      } catch (error) {
        if (left === 0) throw new Error(`${what}: ${reasonOf(error)}`);
        await sleep(DELAY * 2 ** (TRIES - 1 - left), undefined);
        continue;
      }
      const text = (await response.text().catch(() => "")).slice(0, 4096);
      // 409: another conditional request for the same object was under way.
      if (left > 0 && (response.status >= 500 || [408, 409, 429].includes(response.status))) {
        await sleep(DELAY * 2 ** (TRIES - 1 - left), undefined);
        continue;
      }
      // A code is one word of a list; a message may quote the request.
      const [, code] = /<Code>(\w{1,64})<\/Code>/.exec(text) ?? [];
      throw new Error(`${what}: the server answered ${answerOf(response.status)}${code ? ` (${code})` : ""}`);
    }
  }

  async function put(path: string, bytes: Uint8Array | string, condition: Record<string, string>): Promise<number> {
    const body = (typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes) as Uint8Array<ArrayBuffer>;
    const response = await ask({ method: "PUT", path, headers: condition, body }, [412]);
    await response.body?.cancel();
    return response.status;
  }

  async function sizeOf(path: string): Promise<number | undefined> {
    const response = await ask({ method: "HEAD", path }, [404]);
    return response.status === 404 ? undefined : Number(response.headers.get("content-length"));
  }

  return {
    ...{ name, folder: undefined, nameOf },
    async list(folder) {
      const within = keyOf(folder) && `${keyOf(folder)}/`;
      const names: string[] = [];
      for (let token = ""; ; ) {
        const query = new URLSearchParams({ "list-type": "2", delimiter: "/", "encoding-type": "url", prefix: within });
        if (token) query.set("continuation-token", token);
        const page = await (await ask({ query: `?${query}` })).text();
        for (const [, key] of page.matchAll(/<(?:Key|Prefix)>([^<]*)<\/(?:Key|Prefix)>/g)) {
          const rest = decodeURIComponent(textOf(key!).replaceAll("+", " ")).slice(within.length).replace(/\/$/, "");
          if (rest !== "") names.push(rest);
        }
        token = textOf(/<NextContinuationToken>([^<]*)</.exec(page)?.[1] ?? "");
        if (token === "") return [...new Set(names)].sort();
      }
    },
    has: async (path) => (await sizeOf(path)) !== undefined,
    async read(path, maxBytes) {
      const response = await ask({ path }, [404]);
      if (response.status === 404) {
        await response.body?.cancel();
        return undefined;
      }
      const size = Number(response.headers.get("content-length") ?? 0);
      if (size > maxBytes) {
        await response.body?.cancel();
        throw new Error(`s3: "${nameOf(path)}" has ${size} bytes, and at most ${maxBytes} are read`);
      }
      return new Uint8Array(await response.arrayBuffer());
    },
    async open(path) {
      const size = await sizeOf(path);
      if (size === undefined) throw new Error(`s3: "${nameOf(path)}" does not exist`);
      const read = async (target: Uint8Array, position: number) => {
        if (target.length === 0) return;
        const range = `bytes=${position}-${position + target.length - 1}`;
        const bytes = new Uint8Array(await (await ask({ path, headers: { range } })).arrayBuffer());
        // A server that knows no ranges sends all.
        const part = bytes.length === size ? bytes.subarray(position, position + target.length) : bytes;
        if (part.length === target.length) return target.set(part);
        throw new Error(
          `s3: "${nameOf(path)}" must give ${target.length} bytes from ${position} on; it gave ${part.length}`,
        );
      };
      return { name: nameOf(path), size, read, finish: async () => {}, close: async () => {} };
    },
    async write(path, bytes) {
      await put(path, bytes, {});
    },
    create: async (path, bytes) => (await put(path, bytes, { "if-none-match": "*" })) !== 412,
    async remove(path) {
      await (await ask({ method: "DELETE", path }, [404])).body?.cancel();
    },
  };
}

interface Asked {
  readonly method?: "GET" | "HEAD" | "PUT" | "DELETE";
  /** An object; the bucket unless given. */
  readonly path?: string;
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer>;
}

const VERBS = { GET: "read", HEAD: "read", PUT: "written", DELETE: "removed" };

async function clientOf(): Promise<AwsClient> {
  const [accessKeyId, secretAccessKey] = [environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY")];
  if (!accessKeyId || !secretAccessKey) {
    throw new Error("s3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set in the environment; they are not");
  }
  const { AwsClient } = await import("aws4fetch");
  const sessionToken = environment("AWS_SESSION_TOKEN");
  return new AwsClient({
    accessKeyId,
    secretAccessKey,
    service: "s3",
    region: regionOf(),
    ...(sessionToken && { sessionToken }),
  });
}

const regionOf = (): string => environment("AWS_REGION") || environment("AWS_DEFAULT_REGION") || "us-east-1";

/** Address of a bucket: at Amazon by its host's name, at another endpoint (R2, MinIO, GCS) by the path, which all of them know. */
function rootOf(bucket: string): string {
  const endpoint = environment("AWS_ENDPOINT_URL_S3") || environment("AWS_ENDPOINT_URL");
  if (!endpoint) return `https://${bucket}.s3.${regionOf()}.amazonaws.com`;
  if (URL.canParse(endpoint) && /^https?:$/.test(new URL(endpoint).protocol)) {
    return `${endpoint.replace(/\/+$/, "")}/${bucket}`;
  }
  throw new Error(`s3: AWS_ENDPOINT_URL must be an http or https address; got ${excerpt(endpoint)}`);
}

async function digestOf(bytes: Uint8Array<ArrayBuffer> | undefined): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes ?? new Uint8Array(0)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The text of an XML element. */
const textOf = (xml: string): string =>
  xml.replace(/&(amp|lt|gt|quot|apos);/g, (_, name: keyof typeof ENTITIES) => ENTITIES[name]);
const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
