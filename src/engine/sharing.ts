/**
 * One value for all who want the same: made for the first, kept until the last has let go of it. Whoever stops waiting for
 * it, or has a listener that throws, leaves the others undisturbed.
 */
import { abortable } from "../waiting.js";

interface Shared<T, Progress> {
  readonly value: Promise<T>;
  readonly listeners: Set<(progress: Progress) => void>;
  /** Aborted when nobody wants the value any more. */
  readonly stop: AbortController;
  users: number;
}

/** A share in a value. */
export interface Lease<T> {
  readonly value: T;
  /** Lets go of it; the last user's disposes of it. */
  release(): void;
  /** Those who come later have a new one. */
  retire(): void;
}

export interface Waiting<Progress> {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** Asks for the value of `key`, or, without one, for a value of one's own. */
export type Share<T, Progress> = (
  key: string | undefined,
  create: (options: Required<Waiting<Progress>>) => Promise<T>,
  waiting: Waiting<Progress>,
) => Promise<Lease<T>>;

export function createSharing<T extends { dispose(): void }, Progress>(): Share<T, Progress> {
  const shared = new Map<string, Shared<T, Progress>>();

  return async (key, create, { signal, onProgress }) => {
    let entry = key === undefined ? undefined : shared.get(key);
    if (!entry) {
      const stop = new AbortController();
      const listeners: Shared<T, Progress>["listeners"] = new Set();
      const tellAll = (progress: Progress) => {
        for (const listener of listeners) listener(progress);
      };
      entry = { value: create({ signal: stop.signal, onProgress: tellAll }), listeners, stop, users: 0 };
      if (key !== undefined) shared.set(key, entry);
    }
    const { value, listeners, stop } = entry;
    const own = entry;
    own.users++;
    let released = false;

    function retire(): void {
      if (key !== undefined && shared.get(key) === own) shared.delete(key);
    }

    function release(): void {
      if (released) return;
      released = true;
      if (--own.users > 0) return;
      retire();
      stop.abort();
      value.then(
        (value) => value.dispose(),
        () => {},
      );
    }

    let fail = (_: unknown) => {};
    const failed = new Promise<never>((_, reject) => {
      fail = reject;
    });
    const listener = (progress: Progress) => {
      try {
        onProgress?.(progress);
      } catch (error) {
        fail(error);
      }
    };
    listeners.add(listener);
    try {
      return { value: await abortable(Promise.race([value, failed]), signal), release, retire };
    } catch (error) {
      release();
      throw error;
    } finally {
      listeners.delete(listener);
    }
  };
}
