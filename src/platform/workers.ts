/** Threads: those of `node:worker_threads` and those of the web, as one. */
import { builtin, hasFileSystem } from "./host.js";
import { nameOf } from "./web.js";

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
  /** Sent as soon as it is there, if the module calls `receive` by itself and not by a further import: no answer of the thread is waited for. */
  readonly first?: Promise<unknown>;
  onMessage(message: unknown): void;
  /** The thread ended and was not told to, by an error that nobody caught or by itself. Once, and nothing after it. */
  onEnd(reason: Error): void;
}

/** Parts of `startWorker` that differ between workers of `node:worker_threads` and of the web. */
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
  { first, onMessage, onEnd }: WorkerEvents,
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
      first?.then((message) => state !== "ended" && thread!.post(message)).catch(({ message }) => events.end(message));
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
  const web = globalThis as unknown as DedicatedWorker;
  const post: Post = (message, transfer = []) => (nodes ?? web).postMessage(message, transfer as never);
  const take = async (message: unknown) => {
    try {
      await handle(message, post);
    } catch (error) {
      // In a task of its own, where both kinds of workers count it as caught by nobody.
      setTimeout(() => {
        throw error;
      });
    }
  };
  // For an event, Node loads its fetch first, which has MessageEvent: 57 ms of a thread's first 150.
  if (nodes) nodes.on("message", take);
  else web.onmessage = ({ data }) => take(data);
  post("loaded");
}

/** The part that is used of DedicatedWorkerGlobalScope, whose types do not go with a page's. */
interface DedicatedWorker {
  postMessage(message: unknown, transfer: Transferable[]): void;
  onmessage: (event: { data: unknown }) => void;
}
