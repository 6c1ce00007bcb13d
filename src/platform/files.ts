/**
 * Files, wherever the library runs. Node, Deno and Bun have a file system; elsewhere (browsers, edge hosts) a path is an address
 * relative to the page.
 */
import { fromBase64 } from "./bytes.js";
import { builtin, hasFileSystem } from "./host.js";

/** A file open for reading at any position. */
export interface OpenFile {
  /** Bytes in the file. */
  readonly size: number;
  /** Fills `target` from `position` on, in place; an error if the file ends before. */
  read(target: Uint8Array, position: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * All bytes of a file. A path or `file:` URL is read from disk; `http:`, `https:`, `data:` and `blob:` URLs are fetched.
 * @param options.maxBytes refuse a longer file before reading it (for web addresses: when its length is announced).
 * @throws Error: one sentence with the name, for a file that is missing, a directory, too long or unreadable.
 */
export async function readFile(
  source: string | URL,
  options: { signal?: AbortSignal; maxBytes?: number } = {},
): Promise<Uint8Array> {
  const { signal, maxBytes = Number.POSITIVE_INFINITY } = options;
  const place = locate(source);
  const checkLength = (length: number) => {
    if (length > maxBytes) {
      const [found, limit] = [length, maxBytes].map((n) => n.toLocaleString("en-US"));
      throw new Error(`file: "${nameOf(source)}" has ${found} bytes, and at most ${limit} are read`);
    }
  };
  // Pages whose policy lets nothing be fetched may still have it.
  const [, inline] = /^data:[^,]*;base64,(.*)$/s.exec(String(place.at)) ?? [];
  if (inline !== undefined) return fromBase64(inline);
  if (place.kind === "web") {
    const response = await describeFailure(source, () => fetch(place.at, { signal }), signal);
    if (!response.ok) {
      throw new Error(`file: "${nameOf(source)}" was answered with ${response.status} ${response.statusText}`.trim());
    }
    checkLength(Number(response.headers.get("content-length") ?? 0));
    return describeFailure(source, async () => new Uint8Array(await response.arrayBuffer()), signal);
  }
  const fs = builtin("node:fs/promises");
  const stats = await describeFailure(source, () => fs.stat(place.at));
  if (stats.isDirectory()) throw new Error(`file: "${nameOf(source)}" is a directory, not a file`);
  checkLength(stats.size);
  const bytes = await describeFailure(source, () => fs.readFile(place.at, { signal }), signal);
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Opens a file for reads at any position, without reading it.
 * @throws Error: one sentence, as `readFile`; also for pipes and devices, which have no positions.
 */
export async function openFile(path: string | URL): Promise<OpenFile> {
  const place = locate(path);
  if (place.kind === "web") throw new Error(`file: "${nameOf(path)}" is not on a file system that can be read here`);
  const fs = builtin("node:fs/promises");
  // Asked before it is opened: opening a pipe would wait for a writer.
  const stats = await describeFailure(path, () => fs.stat(place.at));
  if (stats.isDirectory()) throw new Error(`file: "${nameOf(path)}" is a directory, not a file`);
  if (!stats.isFile()) throw new Error(`file: "${nameOf(path)}" is not a regular file`);
  const handle = await describeFailure(path, () => fs.open(place.at, "r"));
  return {
    size: stats.size,
    async read(target, position) {
      for (let done = 0; done < target.byteLength; ) {
        const rest = target.byteLength - done;
        const { bytesRead } = await describeFailure(path, () => handle.read(target, done, rest, position + done));
        if (bytesRead === 0) {
          throw new Error(`file: "${nameOf(path)}" ended at byte ${position + done} while it was read`);
        }
        done += bytesRead;
      }
    },
    close: () => handle.close(),
  };
}

/** Whether a path or `file:` URL names a directory; false where nothing is there, or no file system is. */
export async function isDirectory(path: string | URL): Promise<boolean> {
  const place = locate(path);
  if (place.kind === "web") return false;
  const fs = builtin("node:fs/promises");
  return fs.stat(place.at).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** Whether a path names anything; false where no file system is. */
export async function pathExists(path: string | URL): Promise<boolean> {
  const place = locate(path);
  if (place.kind === "web") return false;
  const fs = builtin("node:fs/promises");
  return fs.stat(place.at).then(
    () => true,
    () => false,
  );
}

/** What a cache on disk is kept with: Node's modules, which Deno and Bun have too; only where there is a file system. */
export const diskTools = () => ({
  fs: builtin("node:fs/promises"),
  path: builtin("node:path"),
  os: builtin("node:os"),
  crypto: builtin("node:crypto"),
});
export type DiskTools = ReturnType<typeof diskTools>;

/** Names in a directory, sorted. */
export async function listDirectory(path: string | URL): Promise<string[]> {
  const place = locate(path);
  if (place.kind === "web") throw new Error(`file: "${nameOf(path)}" is not on a file system that can be read here`);
  const fs = builtin("node:fs/promises");
  return (await describeFailure(path, () => fs.readdir(place.at))).sort();
}

/**
 * What tells a file, the files beside it, or those of a folder, from later ones without reading them: paths, inodes, sizes
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
  const url = typeof source === "string" && /^(https?|file|data|blob):/i.test(source) ? new URL(source) : source;
  const onDisk = hasFileSystem() && (typeof url === "string" || url.protocol === "file:");
  return { kind: onDisk ? "disk" : "web", at: url };
}

/** The name in messages; data: URLs are cut, they hold the whole file. */
export function nameOf(source: string | URL): string {
  const name = String(source);
  return name.length > 200 ? `${name.slice(0, 60)}…` : name;
}

const REASONS: Record<string, string> = {
  ENOENT: "does not exist",
  ENOTDIR: "does not exist",
  EISDIR: "is a directory, not a file",
  EACCES: "may not be read: permission denied",
  EPERM: "may not be read: permission denied",
};

/** Runs an operation on a source; a failure becomes one sentence that names it. Aborting is not a failure. */
async function describeFailure<T>(source: string | URL, operation: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    const { code = "", message } = error as { code?: string; message: string };
    const reason = REASONS[code] ?? `cannot be read: ${message}`;
    throw new Error(`file: "${nameOf(source)}" ${reason}`, { cause: error });
  }
}
