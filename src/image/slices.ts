/** Work on an image in slices, so that other tasks of the host run meanwhile and it can be ended at any of them. */
import { shareSignal } from "../platform/host.js";
import { abortable, nextTask } from "../waiting.js";

/** Work in slices: it yields every few milliseconds at the least, and may be dropped at any yield. */
export type Slices<T> = Generator<undefined, T, undefined>;

export interface SliceOptions {
  /** Ends the work with its reason. */
  readonly signal?: AbortSignal;
  /** Most milliseconds that the work itself may take, not counting the other tasks in between. Default: no limit. */
  readonly timeout?: number;
}

/** Milliseconds of work between two turns of the event loop: a frame of 60 Hz has room for it and for what it draws. */
const SLICE = 10;

/** The last work that was begun; the next waits for it, so that not more than one image is in memory at a time. */
let last: Promise<unknown> = Promise.resolve();

/**
 * Does the work to its end, after all that was begun before it.
 * @param late the error when it takes longer than the timeout.
 * @throws whatever the work throws; the signal's reason when it is aborted.
 */
export async function inSlices<T>(work: () => Slices<T>, options: SliceOptions, late: () => Error): Promise<T> {
  shareSignal(options.signal);
  const result = last.then(() => run(work(), options, late));
  last = result.catch(() => {});
  return abortable(result, options.signal);
}

async function run<T>(slices: Slices<T>, { signal, timeout = Infinity }: SliceOptions, late: () => Error): Promise<T> {
  try {
    for (let spent = 0; ; ) {
      signal?.throwIfAborted();
      const begin = performance.now();
      let now = begin;
      do {
        const { done, value } = slices.next();
        if (done) return value;
        now = performance.now();
      } while (now - begin < SLICE);
      spent += now - begin;
      if (spent > timeout) throw late();
      await nextTask();
    }
  } finally {
    // Whatever the work holds, it lets go in its own finally blocks.
    slices.return(undefined as never);
  }
}

/** Does the work at once, for callers that wait. */
export function atOnce<T>(slices: Slices<T>): T {
  for (;;) {
    const { done, value } = slices.next();
    if (done) return value;
  }
}
