/**
 * Videos: a clip becomes an image, each of whose patches is a token of the clip. So the encoder, its positions and what is bounded by a
 * grid are those of images.
 */
import type { Pair } from "../backend.js";
import type { Tensor } from "./outputs.js";

export interface VideoConfig {
  /** Frames of a clip, T. */
  readonly frames: number;
  /** Frames that a patch has pixels of, t (Arnab et al. 2021, section 3.2). */
  readonly tubelet: number;
  /** Tokens are in the order (row, column, frame), and a position is a row of a place and one of a frame (TimeSformer); else (frame, row, column). */
  readonly byPlace: boolean;
  /** Positions are sinusoids (VideoMAE, Tong et al. 2022), not a table. */
  readonly sinusoids: boolean;
  /** Attention is over the frames of a place, then over the places of a frame (divided.ts), not over all tokens. */
  readonly divided: boolean;
}

/** The grid of a clip's patches by that of a frame's: frames below each other, or a line for each place and a column for each frame. */
export const clipGrid = ({ frames, tubelet, byPlace }: VideoConfig, [rows, columns]: Pair): [number, number] =>
  byPlace ? [rows * columns, frames / tubelet] : [(frames / tubelet) * rows, columns];

/**
 * Clips [B, T, C, H, W] as images [B, C·t, height, width] of such grids; planes are in the order (channel, frame), as a filter's are.
 * Pixels right of or below a frame's last whole patch are dropped.
 */
export function clipImages({ dims, data }: Tensor, video: VideoConfig, patchSize: Pair): Tensor {
  const [clips, frames, channels, height, width] = dims as [number, number, number, number, number];
  const { tubelet, byPlace } = video;
  const [patchHeight, patchWidth] = patchSize;
  const [rows, columns] = [Math.floor(height / patchHeight), Math.floor(width / patchWidth)];
  const [down, across] = clipGrid(video, [rows, columns]);
  const [lines, line] = [down * patchHeight, across * patchWidth];
  const result = new Float32Array(clips * channels * tubelet * lines * line);
  for (let i = 0; i < clips * frames * channels; i++) {
    const [clip, frame, channel] = [
      Math.floor(i / (frames * channels)),
      Math.floor(i / channels) % frames,
      i % channels,
    ];
    const plane = (clip * channels + channel) * tubelet + (frame % tubelet);
    const group = Math.floor(frame / tubelet);
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        const [top, left] = byPlace ? [row * columns + column, group] : [group * rows + row, column];
        for (let y = 0; y < patchHeight; y++) {
          const from = (i * height + row * patchHeight + y) * width + column * patchWidth;
          const to = (plane * lines + top * patchHeight + y) * line + left * patchWidth;
          for (let x = 0; x < patchWidth; x++) result[to + x] = data[from + x]!;
        }
      }
  }
  return { dims: [clips, channels * tubelet, lines, line], data: result };
}

/** Positions of Vaswani et al. 2017, [tokens, D]: sines and cosines beside each other, in f64 as VideoMAE has them. */
export function sinusoids(tokens: number, width: number): Float32Array {
  return Float32Array.from({ length: tokens * width }, (_, i) => {
    const [token, column] = [Math.floor(i / width), i % width];
    const angle = token / 10000 ** ((2 * Math.floor(column / 2)) / width);
    return column % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
  });
}

/** Positions of a class token and of each place at each frame, [1 + N·T, D], of those of places, [1 + N, D], and of frames, [T, D]. */
export function placesAndTimes(places: Float32Array, times: Float32Array, width: number): Float32Array {
  const frames = times.length / width;
  const result = new Float32Array(width + (places.length - width) * frames);
  result.set(places.subarray(0, width));
  for (let i = 0; i < result.length - width; i++) {
    const token = Math.floor(i / width);
    const [place, frame, column] = [Math.floor(token / frames), token % frames, i % width];
    result[width + i] = places[(1 + place) * width + column]! + times[frame * width + column]!;
  }
  return result;
}
