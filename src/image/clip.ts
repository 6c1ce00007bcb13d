/** Clips of videos: which of their frames a model takes, as transformers chooses them, and the pixels of these. */

import type { SeenImage } from "./preprocess.js";
import type { ImageInput } from "./source.js";

/** Frames of a video, each an image, in their order. An animated GIF or WebP is a clip by itself. */
export interface Clip {
  readonly frames: readonly ImageInput[];
}

/** Frames that a model takes of a clip. */
export interface FrameSampling {
  /** How many. */
  readonly frames: number;
  /** Each so many frames, from the first on; spread over the whole clip unless given. */
  readonly frameSamplingRate?: number;
}

export const isClip = (input: unknown): input is Clip =>
  typeof input === "object" && input !== null && "frames" in input;

/**
 * Numbers of the frames that are taken of so many, from 0: spread over all, ⌊i·total/n⌋, as by transformers' video processors
 * (default_sample_indices_fn), or numpy.linspace(0, n·rate - 1, n) as by its pipeline for models with an image processor.
 * @throws RangeError if there are too few.
 */
export function sampledFrames(
  label: string,
  total: number,
  { frames, frameSamplingRate: rate }: FrameSampling,
): number[] {
  const least = rate === undefined ? frames : frames * rate;
  if (total < least) {
    const how = rate === undefined ? "" : `, ${frames} of every ${rate}`;
    throw new RangeError(
      `image: ${label} must have at least ${least} frames${how}, as an animated GIF or WebP or as { frames: [...] }; got ${total}`,
    );
  }
  const step = rate === undefined ? 0 : (frames * rate - 1) / Math.max(frames - 1, 1);
  return Array.from({ length: frames }, (_, i) => Math.floor(rate === undefined ? (i * total) / frames : i * step));
}

/** Frames as a clip: RGB of each, one behind the other. */
export function clipOf(seen: readonly SeenImage[]): SeenImage {
  const [first] = seen as readonly [SeenImage];
  const size = first.data.length;
  const floats = first.data instanceof Float32Array;
  const data = floats ? new Float32Array(seen.length * size) : new Uint8Array(seen.length * size);
  for (const [i, frame] of seen.entries()) {
    if (frame.width !== first.width || frame.height !== first.height) {
      const sizes = [first, frame].map(({ width, height }) => `${height}×${width}`);
      throw new RangeError(`image: frames of a clip must become pixels of one size; got ${sizes.join(" and ")}`);
    }
    data.set(frame.data, i * size);
  }
  return { ...first, data, frames: seen.length };
}

/** Each of a clip's frames as an image. */
export function framesIn(clip: SeenImage): SeenImage[] {
  const { frames = 1, data, ...frame } = clip;
  const size = data.length / frames;
  return Array.from({ length: frames }, (_, i) => ({ ...frame, data: data.subarray(i * size, (i + 1) * size) }));
}
