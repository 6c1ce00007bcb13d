/** The thread's side of image/ahead.ts: images in, pixels out, one after the other. */
import { receive } from "../platform/workers.js";
import { type PixelOptions, pixelsOf } from "./pixels.js";
import type { SeenImage } from "./preprocess.js";
import { type Encoded, type ImageInput, readEncoded } from "./source.js";

export interface PixelJob extends Omit<PixelOptions, "signal" | "fetch"> {
  readonly id: number;
  readonly input: ImageInput;
}

/** A job, or the end of one that nobody waits for any more. */
export type PixelRequest = PixelJob | { readonly cancel: number };

export interface PixelAnswer {
  readonly id: number;
  /**
   * An error for a bad image. Nothing if it could not be read: whoever gave the job does it again, and has the error at first
   * hand.
   */
  readonly pixels: SeenImage | Error | undefined;
}

async function work({ id, input, ...options }: PixelJob, signal: AbortSignal): Promise<PixelAnswer["pixels"]> {
  let read: Encoded | undefined;
  try {
    read = await readEncoded(input, { ...options, signal });
  } catch {
    return undefined;
  }
  try {
    return await pixelsOf(read?.bytes ?? input, { ...options, ...read?.options, signal });
  } catch (error) {
    return error as Error;
  }
}

/** Controllers that end the jobs which are under way or wait, by their id. */
const jobs = new Map<number, AbortController>();
// Not more than one encoded image at a time.
let last: Promise<unknown> = Promise.resolve();

receive((message, post) => {
  const request = message as PixelRequest;
  if ("cancel" in request) {
    jobs.get(request.cancel)?.abort();
    return Promise.resolve();
  }
  const { id } = request;
  const end = new AbortController();
  jobs.set(id, end);
  last = last.then(async () => {
    const pixels = end.signal.aborted ? undefined : await work(request, end.signal);
    jobs.delete(id);
    const transfer = pixels && "data" in pixels ? [pixels.data.buffer as ArrayBuffer] : [];
    post({ id, pixels } satisfies PixelAnswer, transfer);
  });
  return last;
});
