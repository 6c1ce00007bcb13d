/** Calls of functions in a worker: a message each, with signals and progress, which cannot be sent. */

/** What every function of the worker may be given beside its arguments. */
export interface Context {
  readonly signal: AbortSignal;
  /** Tells how far it is, or what it has so far. */
  report(progress: unknown): void;
}

export type Functions = Readonly<Record<string, (context: Context, ...args: never[]) => unknown>>;

type Call = { readonly id: number; readonly name: string; readonly args: readonly unknown[] };
type Message = Call | { readonly abort: number };
type Answer = { readonly id: number } & (
  | { readonly progress: unknown }
  | { readonly value: unknown }
  | { readonly message: string }
);

/** Buffers of an answer, which are handed over: what the worker keeps must be a copy. */
function buffersOf(value: unknown): Transferable[] {
  if (ArrayBuffer.isView(value)) return [value.buffer as ArrayBuffer];
  if (Array.isArray(value) || Object.getPrototypeOf(value ?? 0) === Object.prototype) {
    return [...new Set(Object.values(value as object).flatMap(buffersOf))];
  }
  return [];
}

/** The worker's side: answers calls of functions. */
export function serve(functions: Promise<Functions>): void {
  const running = new Map<number, AbortController>();
  const post = (answer: Answer, transfer: Transferable[] = []) => self.postMessage(answer, { transfer });
  self.onmessage = async ({ data }: MessageEvent<Message>) => {
    if ("abort" in data) return running.get(data.abort)?.abort();
    const { id, name, args } = data;
    const controller = new AbortController();
    running.set(id, controller);
    try {
      const context = { signal: controller.signal, report: (progress: unknown) => post({ id, progress }) };
      const value = await (await functions)[name]!(context, ...(args as never[]));
      post({ id, value }, buffersOf(value));
    } catch (error) {
      post({ id, message: (error as Error).message });
    } finally {
      running.delete(id);
    }
  };
}

/** Options of a call. */
export interface Asking {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: never) => void;
}

type Rest<F> = F extends (context: Context, ...args: infer Args) => unknown ? Args : never;

/** The page's side: a function that calls those of the worker by their names. */
export function connect<F extends object>(worker: Worker) {
  const pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void } & Asking>();
  let count = 0;
  worker.onmessage = ({ data }: MessageEvent<Answer>) => {
    const call = pending.get(data.id);
    if (!call) return;
    if ("progress" in data) return call.onProgress?.(data.progress as never);
    pending.delete(data.id);
    if ("value" in data) call.resolve(data.value);
    else call.reject(new Error(data.message));
  };
  worker.onerror = ({ message }) => {
    for (const { reject } of pending.values()) reject(new Error(message || "The worker could not be started"));
    pending.clear();
  };
  return <Name extends keyof F & string>(name: Name, args: Rest<F[Name]>, asking: Asking = {}) =>
    new Promise((resolve, reject) => {
      const id = count++;
      const { signal } = asking;
      pending.set(id, { resolve, reject, ...asking });
      signal?.addEventListener("abort", () => {
        // The promise ends now; what the worker still says is not waited for.
        if (pending.delete(id)) reject(signal.reason);
        worker.postMessage({ abort: id });
      });
      worker.postMessage({ id, name, args });
    }) as Promise<F[Name] extends (...args: never[]) => infer R ? Awaited<R> : never>;
}
