/**
 * Files from servers that cut, stall, refuse for a while or answer with something else: asked for again from the byte where
 * it stopped, until all is there or the patience is over. Whether the bytes are right is for the caller to check.
 */
import { formatOf, TELLING_BYTES } from "../io/formats.js";
import { type ByteSource, fromBytes } from "../io/source.js";
import { concatenate } from "../platform/bytes.js";
import { type Asking, answerOf, type Connection, connect, reasonOf, redirectionOf, STALL } from "../platform/web.js";
import { sleep } from "../waiting.js";

/** A request for a file. */
export interface Request extends Pick<Asking, "fetch" | "headers" | "signal"> {
  /** At the start of messages. */
  readonly name: string;
  /** True if the name is an address: messages then say where it was redirected to. */
  readonly isAddress?: boolean;
}

export interface Patience {
  /** How often a server is asked while no byte comes. One that never answered is asked twice at most. */
  readonly tries: number;
  /** Milliseconds before the second try, twice as many before each later one, unless the server says how many. */
  readonly pause: number;
  /** Milliseconds without a byte after which a connection is given up. */
  readonly stall: number;
}

export const PATIENCE: Patience = { tries: 5, pause: 1000, stall: STALL };

/** Fewer bytes of one try than these are no reason for further tries. */
const PROGRESS = 1000;

/** Longer than this, in milliseconds, no server is waited for. */
const LONGEST_PAUSE = 120_000;

/** A failure of one try. */
interface Failure extends Error {
  /** Asking again would not help. */
  final?: boolean;
  /** The answer's status. */
  status?: number;
  /** Milliseconds to wait before the next try. */
  pause?: number;
}

const failure = (message: string, facts: Partial<Failure>): Failure => Object.assign(new Error(message), facts);

/** The status that a failed request was answered with; undefined if the server could not be reached or made no sense. */
export const statusOf = (error: unknown): number | undefined => Object(error).status;

/** Throws unless an answer is what was asked for. */
function checkStatus({ status, ok, headers }: Response): void {
  if (ok) return;
  const message = `was answered with ${answerOf(status)}`;
  if (status !== 408 && status !== 429 && status < 500) throw failure(message, { final: true, status });
  const after = headers.get("retry-after") ?? "";
  const seconds = /^\d+$/.test(after) ? Number(after) : (Date.parse(after) - Date.now()) / 1000;
  const pause = Number.isNaN(seconds) ? undefined : Math.max(0, seconds * 1000);
  if (pause === undefined || pause <= LONGEST_PAUSE) throw failure(message, { status, pause });
  throw failure(`${message} and asks to wait for ${Math.round(seconds)} seconds`, { final: true, status });
}

/** Counts tries: `failed` waits for the next one, or throws what ended the last. */
function createTries({ name, isAddress, signal }: Request, { tries, pause }: Patience) {
  let made = 0;
  let answered = false;
  let redirection = "";
  let bytes = 0;
  return {
    answered(response: Response): void {
      answered = true;
      redirection = isAddress ? redirectionOf(response) : "";
      bytes = 0;
    },
    progressed(more: number): void {
      bytes += more;
      if (bytes >= PROGRESS) made = 0;
    },
    async failed(error: Failure): Promise<void> {
      if (signal?.aborted) throw signal.reason;
      made++;
      if (error.final || made >= (answered ? tries : Math.min(tries, 2))) throw described(name + redirection, error);
      redirection = "";
      await sleep(error.pause ?? pause * 2 ** (made - 1), signal);
    },
  };
}

/** One sentence. Without a cause: those of fetch may hold what the server has said. */
function described(name: string, error: Failure): Failure {
  const { status } = error;
  const own = status !== undefined || error.final;
  return failure(own ? `${name} ${error.message}` : `${name} cannot be read: ${reasonOf(error)}`, { status });
}

/**
 * The bytes of a file.
 * @param request from: the first byte that is wanted; size: bytes in the file, if they are known.
 * @throws Error: one sentence that begins with the request's name; `statusOf` tells the server's refusal. The signal's reason
 * as soon as it is aborted.
 */
export async function* download(
  url: string | URL,
  request: Request & { readonly from?: number; readonly size?: number },
  patience: Patience = PATIENCE,
): AsyncGenerator<Uint8Array, void> {
  const { from = 0, size, headers } = request;
  const tries = createTries(request, patience);
  let at = from;
  let tag: string | null = null;
  let ranges = true;
  while (size === undefined || at < size) {
    let connection: Connection | undefined;
    try {
      const range = at > 0 && ranges ? { Range: `bytes=${at}-` } : undefined;
      connection = await connect(url, { ...request, headers: { ...headers, ...range }, stall: patience.stall });
      const { response } = connection;
      tries.answered(response);
      const begin = response.status === 206 ? firstByte(response, size === undefined ? Infinity : at) : 0;
      // What a server cannot give from there on, or gives from elsewhere, is asked for as a whole.
      if (response.status === 416 || begin > at) {
        ranges = false;
        throw failure(`does not go on from byte ${at}`, { status: response.status, pause: 0 });
      }
      checkStatus(response);
      const found = response.headers.get("etag");
      if (size === undefined && tag !== null && found !== tag) {
        throw failure("changed while it was read", { final: true });
      }
      tag = found;
      let skipped = at - begin;
      for (let chunk = await connection.next(); chunk; chunk = await connection.next()) {
        const part = chunk.subarray(Math.min(skipped, chunk.length));
        skipped -= chunk.length - part.length;
        if (part.length === 0) continue;
        at += part.length;
        if (size !== undefined && at > size) {
          throw failure(`goes on after ${size} bytes, where it must end`, { final: true });
        }
        tries.progressed(part.length);
        yield part;
      }
      if (size === undefined || at === size) return;
      throw new Error(`it ended after ${at} bytes; ${size} were expected`);
    } catch (error) {
      await tries.failed(error as Failure);
    } finally {
      connection?.close();
    }
  }
}

/** Reads the place of a part from an answer. Pages may not be shown that header; `unsaid` is believed of files that are checked in the end. */
const firstByte = ({ headers }: Response, unsaid: number): number => {
  const range = headers.get("content-range");
  return range === null ? unsaid : Number(/^bytes (\d+)-/.exec(range)?.[1] ?? Infinity);
};

/** All bytes of a file that is at most `maxBytes` long. */
export async function downloadAll(
  url: string | URL,
  request: Request & { readonly maxBytes: number },
  patience?: Patience,
): Promise<Uint8Array> {
  const { name, maxBytes } = request;
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of download(url, request, patience)) {
    length += chunk.length;
    if (length > maxBytes) throw new Error(`${name} has more than ${maxBytes.toLocaleString("en-US")} bytes`);
    chunks.push(chunk);
  }
  return concatenate(chunks);
}

/** Asks whether a server has a file; the body of its answer is not read. */
export async function isThere(url: string | URL, request: Request, patience: Patience = PATIENCE): Promise<boolean> {
  const tries = createTries(request, patience);
  for (;;) {
    let connection: Connection | undefined;
    try {
      connection = await connect(url, { ...request, stall: patience.stall });
      const { status, headers } = connection.response;
      tries.answered(connection.response);
      if (status === 404 || status === 410) return false;
      checkStatus(connection.response);
      // Servers of applications answer with their page whatever is asked for.
      return !headers.get("content-type")?.startsWith("text/html");
    } catch (error) {
      await tries.failed(error as Failure);
    } finally {
      connection?.close();
    }
  }
}

/** Most bytes of an archive that is kept as a whole: the paper's largest has 2.5 GB. */
const MAX_ARCHIVE_BYTES = 2 ** 32;

/** Tells of a file, by its beginning, whether it is not read from its start on: a zip, or a pickle. */
export const isArchive = (first: Uint8Array): boolean => ["zip", "pickle"].includes(formatOf(first) ?? "");

/**
 * A file as it arrives; an archive is read from its end, so that all of it is there first.
 * @param most bytes of an archive; one that goes on is given up there.
 */
export async function arriving(
  chunks: AsyncGenerator<Uint8Array, void>,
  path: string,
  most = MAX_ARCHIVE_BYTES,
): Promise<ByteSource> {
  const first = await beginningOf(chunks);
  if (!isArchive(first)) return fromBytes(streamOf(chunks, first, Infinity, path), path);
  return fromBytes(await new Response(streamOf(chunks, first, most, path)).blob(), path);
}

/** As many bytes as tell the format, or all; what goes on from there is left to come. */
export async function beginningOf(chunks: AsyncGenerator<Uint8Array, void>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (let length = 0; length < TELLING_BYTES; ) {
    const { done, value } = await chunks.next();
    if (done) break;
    // A chunk lasts until the next.
    parts.push(value.slice());
    length += value.length;
  }
  return concatenate(parts);
}

/** A stream of what is downloaded, `first` and then `chunks`, which asks for more only when it is read. */
function streamOf(
  chunks: AsyncGenerator<Uint8Array, void>,
  first: Uint8Array,
  most: number,
  path: string,
): ReadableStream<Uint8Array> {
  let length = 0;
  let next = first;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (next.length === 0) {
          const { done, value } = await chunks.next();
          if (done) return controller.close();
          next = value;
        }
        length += next.length;
        if (length > most) {
          await chunks.return();
          throw new Error(
            `file: "${path}" has more than ${most.toLocaleString("en-US")} bytes, the most of an archive`,
          );
        }
        controller.enqueue(next as Uint8Array<ArrayBuffer>);
        next = new Uint8Array();
      },
      cancel: async () => void (await chunks.return()),
    },
    { highWaterMark: 0 },
  );
}
