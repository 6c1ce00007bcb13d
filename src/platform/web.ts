/** Addresses, and requests of which every byte is counted and waited for only so long. */
import { abortable } from "../waiting.js";

export type Fetch = typeof globalThis.fetch;

/** Milliseconds without a byte after which a connection is given up. */
export const STALL = 30_000;
/** Bytes a second: a connection that gives fewer on average is given up as well, when those milliseconds are over. */
const SLOWEST = 1000;

export interface Asking {
  /** Used in place of the runtime's. */
  readonly fetch?: Fetch;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Milliseconds; STALL unless given. */
  readonly stall?: number;
}

export interface Connection {
  readonly response: Response;
  /** The next bytes, decompressed; undefined at the end. */
  next(): Promise<Uint8Array | undefined>;
  /** Ends the connection, whatever is still to come. */
  close(): void;
}

/** Asks a server, and gives its answer when the head of it is there. Redirections are followed by `fetch`, 20 at most. */
export async function connect(url: string | URL, asking: Asking = {}): Promise<Connection> {
  // Called without an object, as a browser's own wants it.
  const { fetch = globalThis.fetch, headers, signal, stall = STALL } = asking;
  signal?.throwIfAborted();
  const controller = new AbortController();
  const abort = () => controller.abort(signal!.reason);
  signal?.addEventListener("abort", abort);
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** Milliseconds that the server was waited for; not those in which the caller wanted nothing of it. */
  let waited = 0;
  let arrived = 0;

  function close(): void {
    signal?.removeEventListener("abort", abort);
    controller.abort();
    // A fetch of someone else's may not care for its signal.
    reader?.cancel().catch(() => {});
  }

  /** A step that takes as long as the server lets us wait for its next byte. */
  async function inTime<T>(step: Promise<T>): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const begin = performance.now();
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no byte came for ${stall / 1000} seconds`)), stall);
    });
    try {
      return await abortable(Promise.race([step, late]), signal);
    } finally {
      clearTimeout(timer);
      waited += performance.now() - begin;
    }
  }

  async function next(): Promise<Uint8Array | undefined> {
    const chunk = reader && (await inTime(reader.read())).value;
    arrived += chunk?.length ?? 0;
    if (chunk && waited > stall + (1000 * arrived) / SLOWEST) {
      throw new Error(`fewer than ${SLOWEST.toLocaleString("en-US")} bytes a second came`);
    }
    return chunk;
  }

  try {
    const response = await inTime(fetch(url, { headers, signal: controller.signal }));
    reader = response.body?.getReader();
    return { response, next, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** A status with its name, which is not taken from the server: what that says is its own. */
export function answerOf(status: number): string {
  const name = NAMES[status];
  return name ? `${status} ${name}` : String(status);
}

const NAMES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  410: "Gone",
  416: "Range Not Satisfiable",
  429: "Too Many Requests",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** Where an answer comes from, if not from where it was asked for: follows the name in messages. */
export const redirectionOf = ({ redirected, url }: Response): string =>
  redirected ? ` (redirected to "${nameOf(url)}")` : "";

/** Why a request failed. fetch says no more than that it did; the reason is in the cause. */
export function reasonOf(error: unknown): string {
  const { cause, message } = Object(error) as Error;
  return (cause instanceof Error && cause.message) || message || String(error);
}

/**
 * An address, of any scheme. A URL of Turbopack, which Next builds with, is a path only: it is of the page, or of the worker.
 * @throws Error: one sentence, for what is none, and for one with a user name or password: fetch refuses it, and quotes it.
 */
export function parseAddress(source: string | URL): URL {
  const name = nameOf(source);
  const base = String(source).startsWith("/") ? globalThis.location?.href : undefined;
  if (!URL.canParse(source, base)) throw new Error(`file: "${name}" is not a valid address`);
  const url = new URL(source, base);
  if (url.username === "" && url.password === "") return url;
  throw new Error(`file: "${name}" must be given without its user name and password, which the option fetch can send`);
}

/** The name in messages: what is not secret, cut when long. */
export function nameOf(source: string | URL): string {
  const name = withoutSecrets(source);
  return name.length > 200 ? `${name.slice(0, 60)}…` : name;
}

/**
 * Leaves of an address what may be shown: not user name and password, nor what comes after the path, which may be a key; of a data: URL
 * its beginning. A path stays as it is.
 */
export function withoutSecrets(source: string | URL): string {
  const name = String(source);
  if (/^data:/i.test(name)) return name.length > 30 ? `${name.slice(0, 30).replace(/,.*$/s, ",")}…` : name;
  if (!/^[a-z][a-z\d+.-]+:/i.test(name)) return name;
  const url = URL.canParse(name) ? new URL(name) : undefined;
  if (url?.host) return `${url.protocol}//${url.host}${url.pathname}`;
  // Not an address after all, or one in which no host can be found.
  return /^https?:/i.test(name) ? name.replace(/^(\w+:[/\\]*).*@/s, "$1").replace(/[?#].*$/s, "") : name;
}
