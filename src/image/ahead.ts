/**
 * Pixels of many images, made ahead of who needs them: threads decode and resize while the caller computes, and the caller
 * itself takes what no thread has taken whenever it would have to wait. So nothing waits for a thread to start, and where
 * none can be started everything is done by the caller.
 *
 * Measured on 2 cores that others kept busy too, Node 24, ViT-Ti from JPEG files of 500×375 (5 ms), the forward pass on one
 * thread: a list took 0.78 to 0.97 of the time of its images one by one where a pass takes 18 ms (int8, 256 bits), 0.93 to
 * 1.04 where it takes 52 ms (f32); preprocessing alone 0.65 to 0.92. Passes of 2, 4 and 8 images took 0.94 to 1.00 of the
 * time an image of passes of one, which in lists did not show; they need as many times the memory. So images pass one by one.
 */
import { processors } from "../platform/host.js";
import { beside, startWorker, type WorkerThread } from "../platform/workers.js";
import { nextTask } from "../waiting.js";
import type { Box } from "./geometry.js";
import type { PixelAnswer, PixelJob, PixelRequest } from "./image-worker.js";
import { type PixelOptions, pixelsOf, withBoxes } from "./pixels.js";
import type { SeenImage } from "./preprocess.js";
import { type ImageInput, isAddress, readEncoded } from "./source.js";

/** Images that a thread has at once: one under way, and one for when the caller is busy and cannot give it more. */
const QUEUE = 2;
/** Images that are done or under way at once, resized ones but for one a thread. */
const AHEAD = 8;
/** A photo is decoded and resized in 5 ms. */
const MOST_THREADS = 4;
/** Images at addresses that are on their way or wait to be decoded: their bytes are in memory. */
const FETCHED = 4;

/** The threads that decode and resize. */
export interface ImageWorkers {
  /** Starts as many as there are processors and images to spare; does not wait for them. */
  start(images: number): void;
  /**
   * Gives an image to the least busy thread, if one has started and has time for it. The promise has an error if the image
   * is bad, and nothing if the thread could not do it for another reason.
   */
  take(input: ImageInput, options: PixelOptions): Promise<PixelAnswer["pixels"]> | undefined;
  /** Ends them; what they had is not done. */
  dispose(): void;
}

interface Helper {
  readonly thread: WorkerThread;
  /** Callbacks of the jobs that it has, by their id. */
  readonly jobs: Map<number, (pixels: PixelAnswer["pixels"]) => void>;
}

export function createImageWorkers(): ImageWorkers {
  const workers = new Set<Helper>();
  let started = 0;
  let ids = 0;
  let disposed = false;

  async function start(): Promise<void> {
    const jobs: Helper["jobs"] = new Map();
    const onMessage = (message: unknown) => {
      const { id, pixels } = message as PixelAnswer;
      jobs.get(id)?.(pixels);
      jobs.delete(id);
      if (jobs.size === 0) thread.unref();
    };
    const create = () => new Worker(new URL("./image-worker.js", import.meta.url), { type: "module" });
    const url = beside(import.meta.url, "image-worker.js");
    const thread = await startWorker(url, { onMessage, onEnd: () => drop(worker) }, create);
    const worker: Helper = { thread, jobs };
    if (disposed) void thread.terminate();
    else workers.add(worker);
  }

  function drop(worker: Helper): void {
    workers.delete(worker);
    for (const done of worker.jobs.values()) done(undefined);
    worker.jobs.clear();
  }

  return {
    start(images) {
      const most = Math.min(MOST_THREADS, images - 1, processors() - 1);
      // One that cannot be started, or has ended, is not replaced: the caller does its work.
      for (; started < most; started++) start().catch(() => {});
    },
    take(input, { signal, fetch: _, ...options }) {
      const [worker] = [...workers].sort((a, b) => a.jobs.size - b.jobs.size);
      if (!worker || worker.jobs.size >= QUEUE) return undefined;
      const id = ids++;
      const [message, transfer] = messageOf({ id, input, ...options });
      try {
        worker.thread.post(message, transfer);
      } catch {
        // What cannot be sent, such as an element of a page, stays here.
        return undefined;
      }
      worker.thread.ref();
      const cancel = () => worker.thread.post({ cancel: id } satisfies PixelRequest, []);
      signal?.addEventListener("abort", cancel);
      return new Promise((resolve) =>
        worker.jobs.set(id, (pixels) => {
          signal?.removeEventListener("abort", cancel);
          resolve(pixels);
        }),
      );
    },
    dispose() {
      disposed = true;
      for (const worker of workers) {
        void worker.thread.terminate();
        drop(worker);
      }
    },
  };
}

/** A URL as its text, and of bytes a copy of what is looked at, not of the whole buffer behind it. */
function messageOf(job: PixelJob): [PixelJob, ArrayBuffer[]] {
  const { input } = job;
  if (input instanceof URL) return [{ ...job, input: input.href }, []];
  if (!(input instanceof Uint8Array)) return [job, []];
  const copy = new Uint8Array(input);
  return [{ ...job, input: copy }, [copy.buffer]];
}

/** An image on its way. */
interface Slot<Own> {
  input: ImageInput;
  options: PixelOptions;
  result?: SeenImage | Own | Error;
  /** Settles when what it waits for is over: its bytes have come, or the thread that has it is through. */
  busy?: Promise<void>;
  /** Its bytes have been asked for at its address. */
  fetched?: boolean;
  /** A thread could not do it; here it succeeds, or fails with the error to report. */
  failed?: boolean;
}

/**
 * The pixels of all images in order, or their errors, each when the caller asks for it.
 * @param check throws when nobody wants them any more.
 * @param boxes those of the image at a place that the model is to see.
 * @param drawn what is given instead of the pixels of an image, if there is anything.
 */
export async function* pixelsAhead<Own = never>(
  images: readonly ImageInput[],
  workers: ImageWorkers,
  options: PixelOptions,
  check: () => void,
  boxes: (place: number) => readonly Box[] | undefined = () => undefined,
  drawn: (input: ImageInput) => Own | undefined = () => undefined,
): AsyncGenerator<SeenImage | Own | Error> {
  const slots: Slot<Own>[] = [];
  let next = 0;

  /** Has the bytes of an image come: to this thread, which alone has the signal and a fetch of the caller's. */
  function bring(slot: Slot<Own>): void {
    slot.fetched = true;
    slot.busy = readEncoded(slot.input, slot.options)
      .then(
        (read) => {
          slot.input = read!.bytes;
          slot.options = { ...slot.options, ...read!.options };
        },
        (error: Error) => {
          slot.result = error;
        },
      )
      .finally(() => {
        slot.busy = undefined;
      });
  }

  function offer(slot: Slot<Own>): void {
    slot.busy = workers.take(slot.input, slot.options)?.then((pixels) => {
      slot.result = pixels;
      slot.failed = !pixels;
      slot.busy = undefined;
    });
  }

  workers.start(images.length);
  for (;;) {
    while (slots.length < AHEAD && next < images.length) {
      const own = boxes(next);
      const input = images[next++]!;
      slots.push({ input, options: withBoxes(options, own), result: drawn(input) });
    }
    const [first] = slots;
    if (!first) return;
    const idle = () => slots.filter(({ result, busy }) => !result && !busy);
    for (const slot of idle()) {
      if (!isAddress(slot.input)) {
        if (!slot.failed) offer(slot);
      } else if (slots.filter(({ fetched, result }) => fetched && !result).length < FETCHED) bring(slot);
    }
    // Answers of the threads come in.
    await nextTask();
    check();

    const free = idle().find(({ input }) => !isAddress(input));
    if (first.result) {
      slots.shift();
      yield first.result;
    } else if (free) free.result = await pixelsOf(free.input, free.options).catch((error: Error) => error);
    else await Promise.race(slots.flatMap(({ busy }) => busy ?? []));
    check();
  }
}
