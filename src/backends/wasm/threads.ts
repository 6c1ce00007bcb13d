/** The threads that share the kernels' memory with the main one; assembly/threads.ts says how they work together. */
import type { BackendName } from "../../backend.js";
import { hasFileSystem, processors } from "../../platform/host.js";
import { beside, startWorker, type WorkerThread } from "../../platform/workers.js";

/** More gain little on one image: a ViT-Ti has a few hundred tasks of 30 µs in a layer. */
const MOST = 8;

/** Message that sets a thread (thread.ts) to work. */
export interface ThreadStart {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Its number, from 1. */
  readonly thread: number;
  /** Number of threads. */
  readonly threads: number;
}

export interface Pool {
  /** How many, the main one included. */
  readonly threads: number;
  /** Resolves when all have joined, from when on ops run on them; rejects if one could not be started. */
  readonly started: Promise<void>;
  /** Why they could not: ops then run on the main thread alone. */
  readonly failure: Error | undefined;
  /** Gives them the kernels, once, and the address of the word that is 1 when a thread is lost. */
  join(module: WebAssembly.Module, memory: WebAssembly.Memory, lostWord: number): void;
  /** To be thrown by what waits for a thread in vain. */
  lost(): Error;
  dispose(): void;
}

/** Number of threads to run on, and why not more. */
export function threadsFor(wanted: "auto" | number): { count: number; reason?: string } {
  const count = wanted === "auto" ? Math.min(MOST, processors()) : wanted;
  if (count === 1) return { count };
  if (typeof SharedArrayBuffer === "undefined" || globalThis.crossOriginIsolated === false) {
    return { count: 1, reason: "one thread: memory can be shared only on a page that is cross-origin isolated" };
  }
  if ("document" in globalThis) return { count: 1, reason: "one thread: a page's own thread must not wait for others" };
  return { count };
}

/** Threads that may each run a pass of their own at once: one after the other of a list then takes as long, so more of them gain. */
export const lanesFor = (wanted: "auto" | number): number => (wanted === "auto" ? processors() : wanted);

/** The answer for kernels without shared memory. */
export const alone = (wanted: "auto" | number): { count: number; reason?: string } =>
  wanted === 1 ? { count: 1 } : { count: 1, reason: "one thread: these kernels share no memory" };

/** Pools that nobody has taken yet. */
const ahead = new Set<Pool>();

/**
 * Starts the threads that a model will want while its code is still to be loaded, by which its first image comes a 20th sooner. Returns what
 * ends them if nothing took them: another backend, or a model that was there already.
 */
export function startAhead({
  backend = "auto",
  threads = "auto",
  wasm,
}: {
  readonly backend?: BackendName | "auto";
  readonly threads?: "auto" | number;
  readonly wasm?: unknown;
}): () => void {
  const own = hasFileSystem() && (backend === "auto" || backend === "wasm") && wasm === undefined;
  const { count } = own ? threadsFor(threads) : { count: 1 };
  if (count === 1) return () => {};
  const pool = startPool(count);
  ahead.add(pool);
  return () => {
    if (ahead.delete(pool)) pool.dispose();
  };
}

/** `count` - 1 threads: those that were started ahead, or new ones. */
export function poolOf(count: number): Pool {
  const pool = [...ahead].find(({ threads }) => threads === count);
  if (pool) ahead.delete(pool);
  return pool ?? startPool(count);
}

/** Starts `count` - 1 threads. They take as long as the kernels take to compile, so both are begun at once. */
function startPool(count: number): Pool {
  const workers: WorkerThread[] = [];
  let given = (_: Pick<ThreadStart, "module" | "memory">) => {};
  const kernels = new Promise<Pick<ThreadStart, "module" | "memory">>((resolve) => {
    given = resolve;
  });
  /** The word that says that a thread is lost. */
  let lost: Int32Array | undefined;
  let failure: Error | undefined;
  let end: Error | undefined;
  let disposed = false;

  /** Lets every later op fail at once. */
  function lose(error: Error): Error {
    end ??= error;
    if (lost) Atomics.store(lost, 0, 1);
    return end;
  }

  function dispose(): void {
    disposed = true;
    for (const worker of workers) void worker.terminate();
  }

  async function start(thread: number): Promise<void> {
    let ready = () => {};
    let failed = (_: Error) => {};
    const answer = new Promise<void>((resolve, reject) => {
      ready = resolve;
      failed = reject;
    });
    const onEnd = (cause: Error) => {
      lose(new Error(`wasm: thread ${thread} of the model ended, so it cannot go on; load it again`, { cause }));
      failed(cause);
    };
    const create = () => new Worker(new URL("./thread.js", import.meta.url), { type: "module" });
    const url = beside(import.meta.url, "thread.js");
    const first = kernels.then((what) => ({ ...what, thread, threads: count }) satisfies ThreadStart);
    const worker = await startWorker(url, { first, onMessage: () => ready(), onEnd }, create);
    workers.push(worker);
    if (disposed) return void worker.terminate();
    await Promise.race([kernels, answer]);
    worker.ref();
    await answer;
    worker.unref();
  }

  const all = Promise.all(Array.from({ length: count - 1 }, (_, i) => start(i + 1)));
  const started = all.then(
    () => {},
    (cause: Error) => {
      dispose();
      failure = new Error(`wasm: ${count} threads could not be started: ${cause.message}`, { cause });
      throw failure;
    },
  );
  // Whoever needs all of them waits for it.
  started.catch(() => {});

  return {
    threads: count,
    started,
    get failure() {
      return failure;
    },
    join(module, memory, lostWord) {
      lost = new Int32Array(memory.buffer, lostWord, 1);
      given({ module, memory });
    },
    lost: () => lose(new Error("wasm: a thread of the model has not answered for 10 seconds; load the model again")),
    dispose,
  };
}
