/** The thread's side of image/ahead.ts: images in, pixels out, one after the other. */
import { receive } from "../platform/workers.js";
import type { RgbImage } from "./decode.js";
import { type Preprocessing, toRgb } from "./preprocess.js";
import { type ImageInput, openImageFor } from "./source.js";

export interface PixelJob {
  readonly id: number;
  readonly input: ImageInput;
  readonly preprocessing: Preprocessing;
  readonly pixelLimit: number | undefined;
}

export interface PixelAnswer {
  readonly id: number;
  /** Nothing if the image failed: whoever gave the job does it again, and has the error at first hand. */
  readonly pixels: RgbImage | undefined;
}

async function work({ input, preprocessing, pixelLimit }: PixelJob): Promise<RgbImage | undefined> {
  try {
    return await openImageFor(input, { pixelLimit }, (image) => toRgb(image, preprocessing));
  } catch {
    return undefined;
  }
}

// Not more than one decoded image at a time.
let last: Promise<unknown> = Promise.resolve();

receive((message, post) => {
  const job = message as PixelJob;
  last = last.then(async () => {
    const pixels = await work(job);
    post({ id: job.id, pixels } satisfies PixelAnswer, pixels ? [pixels.data.buffer as ArrayBuffer] : []);
  });
  return last;
});
