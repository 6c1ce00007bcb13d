/**
 * Images at addresses that a request names, where the server allows it. The server must not reach for a stranger what the stranger
 * cannot reach: a name is resolved once, all its addresses must be public, and the connection is made to the address that was
 * checked, so that a name which changes its address meanwhile leads nowhere else. The same holds behind every redirection.
 */
import { concatenate } from "../platform/bytes.js";
import type { Network, NetworkAnswer } from "../platform/network.js";
import { nameOf } from "../platform/web.js";
import { isAddress, isPublic } from "./addresses.js";
import type { Allowance } from "./body.js";
import { malformed, Refusal } from "./refusal.js";

/** Redirections that are followed. */
const REDIRECTIONS = 5;
/** Milliseconds that an image has to arrive in. */
const PATIENCE = 10_000;

export type FetchImage = (
  address: string,
  options: { readonly most: number; readonly allowance: Allowance; readonly signal: AbortSignal },
) => Promise<Uint8Array>;

/** Fetches images by the sockets of this machine. */
export const createFetcher =
  (network: Network): FetchImage =>
  async (address, { most, allowance, signal }) => {
    const named = `the image at "${nameOf(address)}"`;
    const late = AbortSignal.timeout(PATIENCE);
    const either = AbortSignal.any([signal, late]);
    let answer: NetworkAnswer | undefined;
    try {
      let url = checkedUrl(address, named);
      for (let i = 0; ; i++) {
        answer = await network.get(url, await publicAddress(network, url, named, either), either);
        const to = answer.header("location");
        if (answer.status < 300 || answer.status > 399 || to === undefined) break;
        answer.close();
        if (i === REDIRECTIONS) throw malformed(`${named} is behind more than ${REDIRECTIONS} redirections`);
        if (!URL.canParse(to, url)) throw malformed(`${named} leads to what is no address`);
        url = checkedUrl(new URL(to, url), named);
      }
      if (answer.status !== 200) throw malformed(`${named} is not there: its server answered ${answer.status}`);
      return await bodyOf(answer, named, most, allowance);
    } catch (error) {
      signal.throwIfAborted();
      if (late.aborted) throw malformed(`${named} did not come within ${PATIENCE / 1000} seconds`);
      // Why a connection failed is nothing that a stranger is told.
      throw error instanceof Refusal ? error : malformed(`${named} cannot be fetched`);
    } finally {
      answer?.close();
    }
  };

/** Fetches images by a `fetch` that keeps to public addresses itself, as that of an edge host. */
export const createFetcherBy = (fetch: typeof globalThis.fetch): FetchImage =>
  createFetcher({
    // An address that is written out is compared all the same.
    resolve: async () => [WHEREVER],
    async get(url, _, signal) {
      const response = await fetch(url, { redirect: "manual", signal });
      const { body } = response;
      return {
        status: response.status,
        header: (name) => (name === "content-encoding" ? undefined : (response.headers.get(name) ?? undefined)),
        body: body ? chunksOf(body) : chunksOf(new Blob().stream()),
        close: () => void body?.cancel().catch(() => {}),
      };
    },
  });

/** A public address in the place of one that only the host's fetch knows. */
const WHEREVER = "1.1.1.1";

async function* chunksOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { value } = await reader.read();
      if (!value) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function checkedUrl(address: string | URL, named: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) throw malformed(`${named} must be at an http: or https: address`);
  if (url.username !== "" || url.password !== "")
    throw malformed(`${named} must be named without user name and password`);
  return url;
}

async function publicAddress(network: Network, url: URL, named: string, signal: AbortSignal): Promise<string> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const found = isAddress(url.hostname) ? [host] : await network.resolve(host, signal);
  if (found.length === 0 || !found.every(isPublic)) throw malformed(`${named} must be at a public address`);
  return found[0]!;
}

async function bodyOf(answer: NetworkAnswer, named: string, most: number, allowance: Allowance): Promise<Uint8Array> {
  const tooLong = () => malformed(`${named} must have at most ${most.toLocaleString("en-US")} bytes`);
  if (Number(answer.header("content-length") ?? 0) > most) throw tooLong();
  if ((answer.header("content-encoding") ?? "identity") !== "identity") throw malformed(`${named} comes compressed`);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of answer.body) {
    length += chunk.length;
    if (length > most) throw tooLong();
    allowance.take(chunk.length);
    chunks.push(chunk);
  }
  return concatenate(chunks);
}
