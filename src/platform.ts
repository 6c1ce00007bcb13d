/**
 * Files and threads, wherever the library runs: the only module of the library that touches what is Node's, and only when
 * something is read or started. Node, Deno and Bun have a file system; elsewhere (browsers, edge hosts) a path is an
 * address relative to the page.
 */

/** A file open for reading at any position. */
export interface OpenFile {
  /** Bytes in the file. */
  readonly size: number;
  /** Fills `target` from `position` on, in place; an error if the file ends before. */
  read(target: Uint8Array, position: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * Whether this is Cloudflare's Workers or Vercel's edge. They may have Node's globals, but have no files and no threads,
 * compile no WebAssembly, and their clock stands still while a call computes.
 */
export const isEdge = (): boolean => "WebSocketPair" in globalThis || "EdgeRuntime" in globalThis;

/** Whether paths name files here, as they do in Node, Deno and Bun. */
export const hasFileSystem = (): boolean =>
  !isEdge() && ("Deno" in globalThis || Boolean(globalThis.process?.versions?.node));

/**
 * A module of Node's, where there is a file system. Not by `import`: bundlers for browsers would look for it, and most fail.
 */
const builtin: NodeJS.Process["getBuiltinModule"] = (name: string) => process.getBuiltinModule(name) as never;

/** Whether this is a page's own thread, which must not be kept busy, and workers can take its work. */
export const isPage = (): boolean => "document" in globalThis && typeof Worker !== "undefined";

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
  if (inline !== undefined) return Uint8Array.from(atob(inline), (c) => c.charCodeAt(0));
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

/** Of this process, and whether another one, of the same machine, still runs. */
export const processId = (): number => process.pid;
export function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // It runs, and is someone else's.
    return (error as { code?: string }).code === "EPERM";
  }
}

/** A variable of the environment; undefined where there is none, or it may not be read. */
export function environment(name: string): string | undefined {
  try {
    return globalThis.process?.env?.[name];
  } catch {
    return undefined;
  }
}

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
function nameOf(source: string | URL): string {
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

/** Threads that can run at the same time. */
export async function processors(): Promise<number> {
  if (globalThis.navigator?.hardwareConcurrency) return navigator.hardwareConcurrency;
  return hasFileSystem() ? builtin("node:os").availableParallelism() : 1;
}

/** Whether V8's flags can be set while it runs: flags are Node's. */
export const canSetEngineFlags = (): boolean => hasFileSystem() && !("Deno" in globalThis) && !("Bun" in globalThis);

let dawn: GPU | undefined;

/**
 * WebGPU, where there is any: the runtime's own, or in Node that of the package `webgpu` (Dawn), if the user installed it.
 * It is no dependency: it has 137 MB.
 */
export async function gpuOf(): Promise<GPU | { reason: string }> {
  const own = globalThis.navigator?.gpu;
  if (own) return own;
  if (!canSetEngineFlags()) return { reason: "this runtime has no WebGPU" };
  // Not a literal: bundlers would look for it.
  const name = "webgpu";
  try {
    const { create } = (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as {
      create(options: string[]): GPU;
    };
    dawn ??= create([]);
    return dawn;
  } catch (error) {
    const missing = (error as { code?: string }).code === "ERR_MODULE_NOT_FOUND";
    const why = missing ? 'the package "webgpu" is not installed' : (error as Error).message.split("\n")[0];
    return { reason: `no WebGPU in Node: ${why}` };
  }
}

/** What V8 is told before kernels are compiled, and what undoes it. */
const EAGER: readonly [string, string][] = [
  ["--no-liftoff", "--liftoff"],
  ["--no-wasm-lazy-compilation", "--wasm-lazy-compilation"],
];

/** V8 14 inlines by what Liftoff has counted, and ends the process where Liftoff has not run; or where but one of these is set. */
const EAGER_14: typeof EAGER = [
  ...EAGER,
  ["--no-wasm-inlining-call-indirect", "--wasm-inlining-call-indirect"],
  ["--no-wasm-inlining", "--wasm-inlining"],
];

/**
 * Compiles WebAssembly for speed at once, with further V8 flags for this module alone. Undefined where flags
 * cannot be set.
 */
export async function compileEagerly(
  bytes: Uint8Array<ArrayBuffer>,
  flags: readonly string[],
): Promise<WebAssembly.Module | undefined> {
  if (!canSetEngineFlags()) return undefined;
  const { setFlagsFromString } = builtin("node:v8");
  // V8 reads flags when it compiles: nothing else runs between setting and undoing them.
  const eager = Number.parseInt(process.versions.v8, 10) < 14 ? EAGER : EAGER_14;
  for (const [flag] of eager) setFlagsFromString(flag);
  for (const flag of flags) setFlagsFromString(flag);
  try {
    return new WebAssembly.Module(bytes);
  } finally {
    for (const [, undo] of [...eager].reverse()) setFlagsFromString(undo);
    for (const flag of flags) setFlagsFromString(flag.replace("--", "--no-"));
  }
}

/** A module on a thread of its own. Idle, it does not keep the process alive; see `ref`. */
export interface WorkerThread {
  /** Sends a copy of a message; what `transfer` lists is handed over instead. */
  post(message: unknown, transfer?: Transferable[]): void;
  /** Keeps the process, and itself, alive until `unref`, as a worker that owes an answer must. */
  ref(): void;
  unref(): void;
  /** Ends the thread, whatever it is doing; resolves when it has ended. */
  terminate(): Promise<void>;
}

export interface WorkerEvents {
  onMessage(message: unknown): void;
  /** The thread ended and was not told to, by an error that nobody caught or by itself. Once, and nothing after it. */
  onEnd(reason: Error): void;
}

/** What the two kinds of workers, those of `node:worker_threads` and those of the web, need of `startWorker`. */
interface ThreadEvents {
  message(message: unknown): void;
  end(reason: string): void;
}

/** The address of a module beside another, in words in which bundlers do not find it; see `startWorker`. */
export const beside = (module: string, name: string): URL => new URL(name, module);

/**
 * Starts a worker on a module that calls `receive`.
 * @param url of the module, by `beside`.
 * @param create makes one of the web's: `new Worker(new URL("./x.js", import.meta.url), { type: "module" })`, since in these
 * words bundlers look for the modules of workers.
 * @throws Error: one sentence, where there are no workers or the module does not load.
 */
export async function startWorker(
  url: URL,
  { onMessage, onEnd }: WorkerEvents,
  create = () => new Worker(url, { type: "module" }),
): Promise<WorkerThread> {
  // Deno and Bun have both kinds; only Node's end with a status, and let the process end before them.
  const spawn = hasFileSystem() && url.protocol === "file:" ? nodeWorkers() : webWorkers(create);
  return new Promise((resolve, reject) => {
    let state: "starting" | "running" | "ended" = "starting";
    let thread: WorkerThread | undefined;
    const events: ThreadEvents = {
      message(message) {
        if (state === "running") onMessage(message);
        if (state !== "starting") return;
        // The first message is that of `receive`: the module has loaded.
        state = "running";
        thread!.unref();
        resolve(thread!);
      },
      end(reason) {
        const wasRunning = state === "running";
        if (state === "ended") return;
        state = "ended";
        const what = wasRunning ? "ended" : "could not be started";
        const error = new Error(`worker: "${nameOf(url)}" ${what}: ${reason.split("\n")[0]}`);
        if (wasRunning) onEnd(error);
        else reject(error);
      },
    };
    try {
      const { terminate, ...others } = spawn(url, events);
      thread = {
        ...others,
        terminate() {
          state = "ended";
          return terminate();
        },
      };
    } catch (error) {
      events.end((error as Error).message);
    }
  });
}

type Spawn = (url: URL, events: ThreadEvents) => WorkerThread;

function nodeWorkers(): Spawn {
  const { Worker } = builtin("node:worker_threads");
  return (url, events) => {
    // Options of the process hold for its workers too, but no file can be started with this one.
    const options = process.execArgv.some((option) => option.startsWith("--input-type")) ? { execArgv: [] } : {};
    const worker = new Worker(url, options);
    worker.on("message", events.message);
    worker.on("messageerror", ({ message }) => {
      events.end(message);
      worker.terminate();
    });
    worker.on("error", (error) => events.end(error.message));
    worker.on("exit", (code) => events.end(`it exited with status ${code}`));
    return {
      post: (message, transfer = []) => worker.postMessage(message, transfer as never),
      ref: () => worker.ref(),
      unref: () => worker.unref(),
      terminate: async () => void (await worker.terminate()),
    };
  };
}

/** Those that start or owe an answer. Firefox takes away a worker that nothing else refers to, and its answer with it. */
const kept = new Set<Worker>();

const webWorkers =
  (create: () => Worker): Spawn =>
  (_, events) => {
    if (typeof Worker === "undefined") throw new Error("there are no workers here");
    const worker = create();
    kept.add(worker);
    worker.onmessage = ({ data }) => events.message(data);
    const end = (event: Event) => {
      // After an error the thread would live on, in a state that nobody knows. It is reported here, not by the host.
      event.preventDefault();
      kept.delete(worker);
      worker.terminate();
      events.end((event as ErrorEvent).message || "its script or a message cannot be read");
    };
    worker.onerror = end;
    worker.onmessageerror = end;
    return {
      post: (message, transfer = []) => worker.postMessage(message, transfer),
      ref: () => void kept.add(worker),
      unref: () => void kept.delete(worker),
      async terminate() {
        kept.delete(worker);
        worker.terminate();
      },
    };
  };

/** Sends a message to whoever started this worker. */
export type Post = (message: unknown, transfer?: Transferable[]) => void;

/**
 * The worker's side of `startWorker`: says that the module has loaded, then hands each message to `handle`. What `handle`
 * throws, or its promise rejects with, ends the worker.
 */
export function receive(handle: (message: unknown, post: Post) => unknown): void {
  const nodes = hasFileSystem() ? builtin("node:worker_threads").parentPort : null;
  const parent = (nodes ?? globalThis) as unknown as DedicatedWorker;
  const post: Post = (message, transfer = []) => parent.postMessage(message, transfer);
  parent.onmessage = async ({ data }) => {
    try {
      await handle(data, post);
    } catch (error) {
      // In a task of its own, where both kinds of workers count it as caught by nobody.
      setTimeout(() => {
        throw error;
      });
    }
  };
  post("loaded");
}

/** What is used of DedicatedWorkerGlobalScope, whose types do not go with a page's, and of Node's parentPort. */
interface DedicatedWorker {
  postMessage(message: unknown, transfer: Transferable[]): void;
  onmessage: (event: { data: unknown }) => void;
}
