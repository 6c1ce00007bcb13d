/**
 * Files, wherever the library runs. Node, Deno and Bun have a file system; elsewhere (browsers, edge hosts) a path is an address
 * relative to the page.
 */
import { concatenate, fromBase64 } from "./bytes.js";
import { builtin, hasFileSystem, processId } from "./host.js";
import { answerOf, connect, type Fetch, nameOf, parseAddress, reasonOf, redirectionOf } from "./web.js";

/** A file open for reading at any position. */
export interface OpenFile {
  /** Bytes in the file. */
  readonly size: number;
  /** Fills `target` from `position` on, in place; an error if the file ends before. */
  read(target: Uint8Array, position: number): Promise<void>;
  close(): Promise<void>;
}

export interface ReadOptions {
  /** More is refused: when the file says that it has more, else when more has arrived. 100 MB unless given. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal;
  /** Used in place of the runtime's for http: and https: addresses. */
  readonly fetch?: Fetch;
  /** Milliseconds without a byte after which a server is given up; 30 seconds unless given. */
  readonly stall?: number;
}

/**
 * All bytes of a file. A path or `file:` URL is read from disk; `http:`, `https:`, `data:` and `blob:` URLs are fetched.
 * @throws Error: one sentence with the name, and nothing of what the file holds, for a file that is missing, a directory, a
 * device, a pipe, too long, too slow or unreadable.
 */
export const readFile = async (source: string | URL, options: ReadOptions = {}): Promise<Uint8Array> =>
  (await readSource(source, options)).bytes;

/** The same, and what messages call it: its name in quotes, and where an address led. */
export async function readSource(
  source: string | URL,
  { maxBytes = MAX_BYTES, ...options }: ReadOptions = {},
): Promise<{ readonly bytes: Uint8Array; readonly label: string }> {
  const place = locate(source);
  const label = `"${nameOf(source)}"`;
  const limit: Limit = {
    maxBytes,
    tooLong: (found) => new Error(`file: ${label} has ${found} bytes, and at most ${grouped(maxBytes)} are read`),
  };
  if (place.kind === "disk") return { bytes: await readDisk(place.at, label, limit, options), label };
  // Pages whose policy lets nothing be fetched may still have it.
  const [, inline] = /^data:[^,]*;base64,(.*)$/s.exec(String(place.at)) ?? [];
  if (inline === undefined) return fetchFile(place.at, label, limit, options);
  const length = Math.floor((inline.length / 4) * 3);
  if (length > maxBytes) throw limit.tooLong(grouped(length));
  return { bytes: await describeFailure(label, async () => fromBase64(inline)), label };
}

const MAX_BYTES = 100_000_000;

/** A limit, and the error for what goes beyond it. */
interface Limit {
  readonly maxBytes: number;
  tooLong(found: string): Error;
}

const grouped = (count: number): string => count.toLocaleString("en-US");

/** Bytes for a file without a size, at first, and bytes that are asked for at once: of 100 MB, more take half as long again. */
const [FIRST, MOST] = [1 << 16, 1 << 20];

async function readDisk(
  at: string | URL,
  label: string,
  { maxBytes, tooLong }: Limit,
  { signal }: ReadOptions,
): Promise<Uint8Array> {
  const { handle, size } = await openRegular(at, label);
  try {
    if (size > maxBytes) throw tooLong(grouped(size));
    // Files of /proc say that they have no bytes, and others grow: read to the end, not to the size, with room to see it.
    let bytes = new Uint8Array(size + (size > 0 ? 1 : FIRST));
    let length = 0;
    for (;;) {
      signal?.throwIfAborted();
      const room = Math.min(bytes.length - length, MOST);
      const { bytesRead } = await describeFailure(label, () => handle.read(bytes, length, room, null));
      length += bytesRead;
      if (bytesRead === 0 || (bytesRead < room && length === size)) return bytes.subarray(0, length);
      if (length > maxBytes) throw tooLong(`more than ${grouped(maxBytes)}`);
      if (length < bytes.length) continue;
      const larger = new Uint8Array(Math.min(2 * bytes.length, maxBytes + 1));
      larger.set(bytes);
      bytes = larger;
    }
  } finally {
    await handle.close();
  }
}

async function fetchFile(
  at: string | URL,
  asked: string,
  { maxBytes, tooLong }: Limit,
  { signal, stall, fetch }: ReadOptions,
): Promise<{ bytes: Uint8Array; label: string }> {
  // What is in memory is nobody's to send elsewhere.
  const own = /^(data|blob):/i.test(String(at)) ? undefined : fetch;
  const connection = await describeFailure(asked, () => connect(at, { fetch: own, signal, stall }), signal);
  try {
    const { response } = connection;
    const label = asked + redirectionOf(response);
    if (!response.ok) throw new Error(`file: ${label} was answered with ${answerOf(response.status)}`);
    const announced = Number(response.headers.get("content-length") ?? 0);
    if (announced > maxBytes) throw tooLong(grouped(announced));
    const chunks: Uint8Array[] = [];
    for (let length = 0; ; ) {
      const chunk = await describeFailure(label, connection.next, signal);
      if (!chunk) return { bytes: concatenate(chunks), label };
      length += chunk.length;
      if (length > maxBytes) throw tooLong(`more than ${grouped(maxBytes)}`);
      chunks.push(chunk);
    }
  } finally {
    connection.close();
  }
}

/**
 * Opens what must be a regular file, or a link to one: nothing else has an end that is known, and pipes would be waited for.
 * Asked of what is open, since a path may lead elsewhere a moment later; and before, as opening alone does something to devices,
 * and hosts may open a pipe only when another process writes to it.
 */
async function openRegular(at: string | URL, label: string) {
  const fs = builtin("node:fs/promises");
  const { constants } = builtin("node:fs");
  const check = (stats: { isDirectory(): boolean; isFile(): boolean }) => {
    if (stats.isDirectory()) throw new Error(`file: ${label} is a directory, not a file`);
    if (!stats.isFile()) throw new Error(`file: ${label} is not a regular file`);
  };
  check(await describeFailure(label, () => fs.stat(at)));
  // Windows has no O_NONBLOCK.
  const handle = await describeFailure(label, () => fs.open(at, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)));
  try {
    const stats = await describeFailure(label, () => handle.stat());
    check(stats);
    return { handle, size: stats.size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * Opens a file for reads at any position, without reading it.
 * @throws Error: one sentence, as `readFile`.
 */
export async function openFile(path: string | URL): Promise<OpenFile> {
  const place = locate(path);
  const label = `"${nameOf(path)}"`;
  if (place.kind === "web") throw new Error(`file: ${label} is not on a file system that can be read here`);
  const { handle, size } = await openRegular(place.at, label);
  return {
    size,
    async read(target, position) {
      for (let done = 0; done < target.byteLength; ) {
        const rest = target.byteLength - done;
        const { bytesRead } = await describeFailure(label, () => handle.read(target, done, rest, position + done));
        if (bytesRead === 0) throw new Error(`file: ${label} ended at byte ${position + done} while it was read`);
        done += bytesRead;
      }
    },
    close: () => handle.close(),
  };
}

/** Most bytes of a file that holds a name or a number, such as a reference of the Hub's cache. */
const MAX_NOTE = 1 << 16;

/** The text of a small file; undefined where there is none, or it cannot be read. */
export const readNote = (path: string): Promise<string | undefined> =>
  readFile(path, { maxBytes: MAX_NOTE }).then(
    (bytes) => new TextDecoder().decode(bytes),
    () => undefined,
  );

/** Tells whether a path or `file:` URL names a directory; false where nothing is there, or no file system is. */
export async function isDirectory(path: string | URL): Promise<boolean> {
  const place = locate(path);
  if (place.kind === "web") return false;
  const fs = builtin("node:fs/promises");
  return fs.stat(place.at).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** Tells whether a path names anything; false where no file system is. */
export async function pathExists(path: string | URL): Promise<boolean> {
  const place = locate(path);
  if (place.kind === "web") return false;
  const fs = builtin("node:fs/promises");
  return fs.stat(place.at).then(
    () => true,
    () => false,
  );
}

/** Node's modules that a cache on disk is kept with, which Deno and Bun have too; only where there is a file system. */
export const diskTools = () => ({
  fs: builtin("node:fs/promises"),
  path: builtin("node:path"),
  os: builtin("node:os"),
  crypto: builtin("node:crypto"),
  url: builtin("node:url"),
  stream: builtin("node:fs").createReadStream,
});
export type DiskTools = ReturnType<typeof diskTools>;

/**
 * Writes a file that is there whole or not at all, whatever ends the program or the machine: under another name first, which it has
 * when all bytes are on disk.
 * @throws Error: one sentence with the path and the system's reason.
 */
export async function writeWhole(path: string, bytes: Uint8Array | string): Promise<void> {
  await throughPartial(path, `${path}.${processId()}.partial`, bytes, (partial) =>
    diskTools().fs.rename(partial, path),
  );
}

/**
 * The same of a file that is not there yet: of several writers, on one machine or on many with the same disk, one is told true.
 * @param partial its other name, of this writer alone, on the same disk.
 */
export function linkWhole(path: string, partial: string, bytes: Uint8Array | string): Promise<boolean> {
  const { fs } = diskTools();
  return throughPartial(path, partial, bytes, async () => {
    try {
      // A second name is refused where there is one; what is renamed would take its place.
      await fs.link(partial, path);
      return true;
    } catch (error) {
      // Of a file that is there, what is unfinished may have been swept away.
      const { code } = error as { code?: string };
      if (code === "EEXIST" || (code === "ENOENT" && (await pathExists(path)))) return false;
      throw error;
    } finally {
      await fs.rm(partial, { force: true });
    }
  });
}

async function throughPartial<T>(
  path: string,
  partial: string,
  bytes: Uint8Array | string,
  finish: (partial: string) => Promise<T>,
): Promise<T> {
  const { fs, path: paths } = diskTools();
  try {
    const handle = await fs.open(partial, "w");
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    const result = await finish(partial);
    await syncFolder(paths.dirname(path));
    return result;
  } catch (error) {
    await fs.rm(partial, { force: true }).catch(() => {});
    throw notWritten(path, error);
  }
}

/**
 * Makes a folder, and those that it is in, where they are not there.
 * @throws Error: one sentence, as writeWhole.
 */
export async function makeFolder(path: string): Promise<void> {
  const { mkdir } = builtin("node:fs/promises");
  await mkdir(path, { recursive: true })
    // On a disk that is read-only, making several at once is told that one is absent, and making one why.
    .catch((error) => (error.code === "ENOENT" ? mkdir(path) : Promise.reject(error)))
    .catch((error) => {
      throw notWritten(path, error);
    });
}

/** The error of a file that cannot be written. */
export function notWritten(path: string, error: unknown): Error {
  const { code = "" } = Object(error) as { code?: string };
  const reason = NOT_WRITTEN[code] ?? `cannot be written: ${reasonOf(error)}`;
  return new Error(`file: "${nameOf(path)}" ${reason}`, { cause: error });
}

const NOT_WRITTEN: Record<string, string> = {
  ENOSPC: "cannot be written: the disk is full",
  EDQUOT: "cannot be written: the disk is full",
  EACCES: "may not be written: permission denied",
  EPERM: "may not be written: permission denied",
  EROFS: "may not be written: its disk is read-only",
  ENOENT: "cannot be written: its folder does not exist",
  ENOTDIR: "cannot be written: its folder does not exist",
  EEXIST: "cannot be written: a file is in its place",
};

/** Has a folder's names on disk; where folders cannot be opened (Windows), the system does that by itself. */
async function syncFolder(path: string): Promise<void> {
  const handle = await builtin("node:fs/promises")
    .open(path)
    .catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

/** Names in a directory, sorted. */
export async function listDirectory(path: string | URL): Promise<string[]> {
  const place = locate(path);
  const label = `"${nameOf(path)}"`;
  if (place.kind === "web") throw new Error(`file: ${label} is not on a file system that can be read here`);
  const fs = builtin("node:fs/promises");
  return (await describeFailure(label, () => fs.readdir(place.at))).sort();
}

/**
 * Fingerprint that tells a file, the files beside it, or those of a folder, from later ones without reading them: paths, inodes, sizes
 * and times of change. Undefined where nothing is there, or no file system is.
 * @param names of the files that count, besides `source` itself.
 */
export async function fingerprint(source: string | URL, names: RegExp): Promise<string | undefined> {
  const place = locate(source);
  if (place.kind === "web") return undefined;
  const fs = builtin("node:fs/promises");
  const { basename, dirname, join } = builtin("node:path");
  const { fileURLToPath } = builtin("node:url");
  const path = place.at instanceof URL ? fileURLToPath(place.at) : place.at;
  try {
    const isFolder = (await fs.stat(path)).isDirectory();
    const folder = await fs.realpath(isFolder ? path : dirname(path));
    const own = isFolder ? "" : basename(path);
    const counted = (await fs.readdir(folder)).filter((name) => name === own || names.test(name)).sort();
    const files = counted.map(async (name) => {
      const { ino, size, mtimeMs, ctimeMs } = await fs.stat(join(folder, name));
      return [name, ino, size, mtimeMs, ctimeMs];
    });
    return JSON.stringify([folder, own, await Promise.all(files)]);
  } catch {
    return undefined;
  }
}

/** Where a source is: on disk, or to be fetched. One letter before the colon is a Windows drive, not a scheme. */
function locate(source: string | URL): { kind: "disk" | "web"; at: string | URL } {
  const disk = hasFileSystem();
  const isUrl = typeof source !== "string" || SCHEMES.test(source) || (!disk && URL.canParse(source));
  const at = isUrl ? parseAddress(source) : source;
  return { kind: disk && (typeof at === "string" || at.protocol === "file:") ? "disk" : "web", at };
}

const SCHEMES = /^(https?|file|data|blob):/i;

/** Tells whether a source is a file, rather than an address that is fetched. Without a file system a path is an address as well. */
export function isFile(source: string | URL): boolean {
  return /^file:/i.test(String(source)) || (typeof source === "string" && hasFileSystem() && !SCHEMES.test(source));
}

const REASONS: Record<string, string> = {
  ENOENT: "does not exist",
  ENOTDIR: "does not exist",
  EISDIR: "is a directory, not a file",
  EACCES: "may not be read: permission denied",
  EPERM: "may not be read: permission denied",
};

/** Runs an operation on a file; a failure becomes one sentence that names it. Aborting is not a failure. */
async function describeFailure<T>(label: string, operation: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    const { code = "" } = Object(error) as { code?: string };
    // Without a cause: those of fetch may hold what a server has said.
    throw new Error(`file: ${label} ${REASONS[code] ?? `cannot be read: ${reasonOf(error)}`}`);
  }
}
