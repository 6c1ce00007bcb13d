/**
 * Pixels of many images, made ahead of who needs them: threads decode and resize while the caller computes, and the caller
 * itself takes what no thread has taken whenever it would have to wait, unless there is a thread for every processor. So nothing
 * waits for a thread to start, and where none can be started everything is done by the caller.
 *
 * Measured on 2 cores that others kept busy too, Node 24, ViT-Ti from JPEG files of 500×375 (5 ms), the forward pass on one
 * thread: a list took 0.78 to 0.97 of the time of its images one by one where a pass takes 18 ms (int8, 256 bits), 0.93 to
 * 1.04 where it takes 52 ms (f32); preprocessing alone 0.65 to 0.92. Passes of 2, 4 and 8 images took 0.94 to 1.00 of the
 * time an image of passes of one, which in lists did not show; they need as many times the memory. So images pass one by one.
 */
import { nextTask } from "../waiting.js";
import { type Clip, isClip } from "./clip.js";
import type { Box } from "./geometry.js";
import { type PixelOptions, pixelsOf, withBoxes } from "./pixels.js";
import type { SeenImage } from "./preprocess.js";
import { type ImageInput, isAddress, readEncoded } from "./source.js";

/** Images that are done or under way at once, resized ones but for one a thread; or three for each thread. */
const AHEAD = 8;
/** Images at addresses that are on their way or wait to be decoded: their bytes are in memory. */
const FETCHED = 4;

/** Threads that decode and resize. */
export interface PixelThreads {
  /** Starts as many as a list of so many images gains by; does not wait for them. */
  start(images: number): void;
  /**
   * Gives an image to the least busy thread, if one has started and has time for it. The promise has an error if the image
   * is bad, and nothing if the thread could not do it for another reason.
   */
  take(input: ImageInput | Clip, options: PixelOptions): Promise<SeenImage | Error | undefined> | undefined;
  /** How many there are. */
  readonly count: number;
  /** True if they keep all processors busy that the caller may have: it would only take their time. */
  readonly suffice: boolean;
}

/** An image on its way. */
interface Slot<Own> {
  input: ImageInput | Clip;
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
  images: readonly (ImageInput | Clip)[],
  threads: PixelThreads,
  options: PixelOptions,
  check: () => void,
  boxes: (place: number) => readonly Box[] | undefined = () => undefined,
  drawn: (input: ImageInput | Clip) => Own | undefined = () => undefined,
): AsyncGenerator<SeenImage | Own | Error> {
  const slots: Slot<Own>[] = [];
  let next = 0;

  /** Has the bytes of an image come: to this thread, which alone has the signal and a fetch of the caller's. */
  function bring(slot: Slot<Own>): void {
    slot.fetched = true;
    slot.busy = readEncoded(slot.input as ImageInput, slot.options)
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
    slot.busy = threads.take(slot.input, slot.options)?.then((pixels) => {
      slot.result = pixels;
      slot.failed = !pixels;
      slot.busy = undefined;
    });
  }

  threads.start(images.length);
  for (;;) {
    while (slots.length < Math.max(AHEAD, 3 * threads.count) && next < images.length) {
      const own = boxes(next);
      const input = images[next++]!;
      slots.push({ input, options: withBoxes(options, own), result: drawn(input) });
    }
    const [first] = slots;
    if (!first) return;
    const idle = () => slots.filter(({ result, busy }) => !result && !busy);
    for (const slot of idle()) {
      if (!isAddress(slot.input)) {
        // Frames may be at addresses, too.
        if (!slot.failed && !isClip(slot.input)) offer(slot);
      } else if (slots.filter(({ fetched, result }) => fetched && !result).length < FETCHED) bring(slot);
    }
    // Answers of the threads come in.
    await nextTask();
    check();

    const free = idle().find(({ input }) => !isAddress(input));
    const busy = slots.flatMap(({ busy }) => busy ?? []);
    if (first.result) {
      slots.shift();
      yield first.result;
    } else if (free && (free.failed || !threads.suffice || busy.length === 0)) {
      free.result = await pixelsOf(free.input, free.options).catch((error: Error) => error);
    } else await Promise.race(busy);
    check();
  }
}
