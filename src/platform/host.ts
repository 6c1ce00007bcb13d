/** Which runtime this is. What is Node's, only the files of this folder touch, and only when something is read or started. */

/**
 * Tells whether this is Cloudflare's Workers or Vercel's edge. They may have Node's globals, but have no files and no threads,
 * compile no WebAssembly, and their clock stands still while a call computes.
 */
export const isEdge = (): boolean => "WebSocketPair" in globalThis || "EdgeRuntime" in globalThis;

/** Tells whether paths name files here, as they do in Node, Deno and Bun. */
export const hasFileSystem = (): boolean =>
  !isEdge() && ("Deno" in globalThis || Boolean(globalThis.process?.versions?.node));

/**
 * A module of Node's, where there is a file system. Not by `import`: bundlers for browsers would look for it, and most fail.
 */
export const builtin: NodeJS.Process["getBuiltinModule"] = (name: string) => process.getBuiltinModule(name) as never;

/** Tells whether this is a page's own thread, which must not be kept busy, and workers can take its work. */
export const isPage = (): boolean => "document" in globalThis && typeof Worker !== "undefined";

/** Tells which process this is, and whether another one of the same machine still runs. */
export const processId = (): number => process.pid;
export function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // It runs, and is someone else's.
    return (error as { code?: string }).code === "EPERM";
  }
}

/** Resident bytes of this process; undefined where it cannot be told. */
export const memoryOfProcess = (): number | undefined =>
  hasFileSystem() ? globalThis.process?.memoryUsage?.rss?.() : undefined;

/** A variable of the environment; undefined where there is none, or it may not be read. */
export function environment(name: string): string | undefined {
  try {
    return globalThis.process?.env?.[name];
  } catch {
    return undefined;
  }
}

/** Tells Node that many calls may share a signal; it would warn of a leak at the eleventh listener. */
export function shareSignal(signal: AbortSignal | undefined): void {
  if (signal && hasFileSystem()) builtin("node:events")?.setMaxListeners?.(0, signal);
}

/** Threads that can run at the same time. */
export function processors(): number {
  if (globalThis.navigator?.hardwareConcurrency) return navigator.hardwareConcurrency;
  return hasFileSystem() ? builtin("node:os").availableParallelism() : 1;
}

/** Tells whether V8's flags can be set while it runs: flags are Node's. */
export const canSetEngineFlags = (): boolean => hasFileSystem() && !("Deno" in globalThis) && !("Bun" in globalThis);
