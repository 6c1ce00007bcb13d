/** Waiting: for the host's other tasks, and for a promise only as long as a signal allows. */

/** Lets timers, input and messages of the host run. */
export async function nextTask(): Promise<void> {
  // Where there is setImmediate, it comes after all messages that have arrived; a message of one's own may come before.
  if (typeof setImmediate === "function") return new Promise<void>((resolve) => void setImmediate(resolve));
  if (typeof MessageChannel === "undefined") return new Promise<void>((resolve) => void setTimeout(resolve));
  const { port1, port2 } = new MessageChannel();
  await new Promise<void>((resolve) => {
    port1.onmessage = () => resolve();
    port2.postMessage(null);
  });
  port1.close();
}

/** Waits for the promise's outcome or the signal's reason, whichever comes first. The work behind the promise goes on. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** Waits for a time, or the signal's reason. */
export async function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const passed = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  try {
    await abortable(passed, signal);
  } finally {
    clearTimeout(timer);
  }
}

/** Does something again and again until what it gives is called. It keeps no process alive by itself. */
export function every(milliseconds: number, task: () => void): () => void {
  const timer = setInterval(task, milliseconds);
  const { Deno } = globalThis as { Deno?: { unrefTimer(timer: unknown): void } };
  if (Deno) Deno.unrefTimer(timer);
  else (timer as { unref?(): void }).unref?.();
  return () => clearInterval(timer);
}
