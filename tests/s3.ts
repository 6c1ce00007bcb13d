/**
 * A stand-in for an S3 server, in memory, which is strict where the real ones are: it computes each request's signature (Signature
 * Version 4, https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html) and the digest of its body by node:crypto, not by the
 * library's signer, and knows If-None-Match, ranges and pages of listings.
 */
import { createHash, createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export const CREDENTIALS = {
  AWS_ACCESS_KEY_ID: "AKIDEXAMPLE",
  AWS_SECRET_ACCESS_KEY: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
};
const BUCKET = "photos";
/** Keys of a page; Amazon has 1,000. */
const PAGE = 5;

export interface Bucket {
  /** Variables of a process that uses it. */
  readonly environment: Readonly<Record<string, string>>;
  readonly objects: Map<string, Buffer>;
  /** Requests by method, and those that were refused by a condition. */
  readonly counts: Record<string, number>;
  /** Answers the next requests with this status. */
  fail(status: number, times: number): void;
  stop(): Promise<void>;
}

const sha256 = (data: Buffer | string) => createHash("sha256").update(data).digest("hex");
const hmac = (key: Buffer | string, text: string) => createHmac("sha256", key).update(text).digest();

/** The signature that a request must have. */
function signatureOf(request: IncomingMessage, url: URL, signed: readonly string[], scope: string): string {
  const [date, region, service] = scope.split("/") as [string, string, string];
  const encode = (text: string) =>
    encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  const query = [...url.searchParams]
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join("&");
  const headers = signed.map((name) => `${name}:${String(request.headers[name]).trim()}\n`).join("");
  const path = url.pathname
    .split("/")
    .map((part) => encode(decodeURIComponent(part)))
    .join("/");
  const digest = String(request.headers["x-amz-content-sha256"]);
  const canonical = [request.method, path, query, headers, signed.join(";"), digest].join("\n");
  const text = ["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, sha256(canonical)].join("\n");
  const key = [date, region, service, "aws4_request"].reduce<Buffer | string>(
    (key, part) => hmac(key, part),
    `AWS4${CREDENTIALS.AWS_SECRET_ACCESS_KEY}`,
  );
  return hmac(key, text).toString("hex");
}

export async function startBucket(): Promise<Bucket> {
  const objects = new Map<string, Buffer>();
  const counts: Record<string, number> = {};
  let failing = { status: 0, times: 0 };

  function refusal(request: IncomingMessage, url: URL, body: Buffer): [status: number, code: string] | undefined {
    if (failing.times-- > 0) return [failing.status, "SlowDown"];
    const [, id, scope, signed, signature] =
      /^AWS4-HMAC-SHA256 Credential=([^/]+)\/([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]+)$/.exec(
        request.headers.authorization ?? "",
      ) ?? [];
    if (id === undefined) return [403, "AccessDenied"];
    if (id !== CREDENTIALS.AWS_ACCESS_KEY_ID) return [403, "InvalidAccessKeyId"];
    const names = signed!.split(";");
    if (!names.includes("host") || !names.includes("x-amz-date")) return [403, "AccessDenied"];
    if (signatureOf(request, url, names, scope!) !== signature) return [403, "SignatureDoesNotMatch"];
    if (request.headers["x-amz-content-sha256"] !== sha256(body)) return [400, "XAmzContentSHA256Mismatch"];
    if (!url.pathname.startsWith(`/${BUCKET}/`)) return [404, "NoSuchBucket"];
    return undefined;
  }

  function listing(url: URL): string {
    const [prefix, after] = ["prefix", "continuation-token"].map((name) => url.searchParams.get(name) ?? "");
    const entries = [...objects.keys()]
      .filter((key) => key.startsWith(prefix!))
      .map((key) => {
        const end = key.indexOf("/", prefix!.length);
        return end < 0
          ? `<Contents><Key>${encodeURIComponent(key)}</Key></Contents>`
          : `<CommonPrefixes><Prefix>${encodeURIComponent(key.slice(0, end + 1))}</Prefix></CommonPrefixes>`;
      });
    const all = [...new Set(entries)].sort();
    const first = after === "" ? 0 : Number(after);
    const next = first + PAGE < all.length ? `<NextContinuationToken>${first + PAGE}</NextContinuationToken>` : "";
    return `<ListBucketResult><Prefix>${encodeURIComponent(prefix!)}</Prefix>${all.slice(first, first + PAGE).join("")}${next}</ListBucketResult>`;
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const url = new URL(request.url!, `http://${request.headers.host}`);
    const method = request.method!;
    counts[method] = (counts[method] ?? 0) + 1;
    const send = (status: number, content: Buffer | string = "", headers = {}) =>
      response
        .writeHead(status, { "content-length": Buffer.byteLength(content), ...headers })
        .end(method === "HEAD" ? "" : content);
    const refuse = (status: number, code: string) => send(status, `<Error><Code>${code}</Code></Error>`);
    const refused = refusal(request, url, body);
    if (refused) return void refuse(...refused);
    const key = decodeURIComponent(url.pathname.slice(BUCKET.length + 2));
    if (key === "") return void send(200, listing(url));
    const found = objects.get(key);
    if (method === "PUT") {
      if (request.headers["if-none-match"] === "*" && found) {
        counts.conflicts = (counts.conflicts ?? 0) + 1;
        return void refuse(412, "PreconditionFailed");
      }
      objects.set(key, body);
      return void send(200);
    }
    if (method === "DELETE") {
      objects.delete(key);
      return void send(204);
    }
    if (!found) return void refuse(404, "NoSuchKey");
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    if (from === undefined) return void send(200, found);
    if (Number(from) >= found.length) return void refuse(416, "InvalidRange");
    send(206, found.subarray(Number(from), Number(to) + 1));
  }

  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    environment: { ...CREDENTIALS, AWS_REGION: "eu-west-1", AWS_ENDPOINT_URL: `http://127.0.0.1:${port}` },
    ...{ objects, counts },
    fail(status, times) {
      failing = { status, times };
    },
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
