/** Places of an image's patches among the tokens of a model's outputs, and of the class token, registers and the like around them. */
import type { Config } from "../checkpoint/config.js";
import type { Tensor } from "../vit/outputs.js";
import { gridOf } from "../vit/places.js";

/** Rows and columns of patches. */
export type Grid = readonly [rows: number, columns: number];

/** A patch by its place, from 0. */
export type Place = readonly [row: number, column: number];

/** Patch tokens of an image, [rows · columns, width], line by line, and those before them. */
export interface Patches {
  readonly grid: Grid;
  readonly width: number;
  readonly data: Float32Array;
  /** Tokens before the patches: class token, registers; [prefix, width]. */
  readonly prefix: Float32Array;
}

/** The part of a config that says where patches are. */
export type PatchConfig = Pick<
  Config,
  "patchSize" | "interpolation" | "depth" | "suffixTokens" | "windows" | "hierarchy" | "prefixTokens"
>;

/** The grid of images of pixel values [B, C, H, W]; of a ResNet, which has no patches, none: see {@link patchesOf}. */
export const patchGrid = (config: PatchConfig, { dims }: Pick<Tensor, "dims">): Grid =>
  gridOf(config, [dims[2]!, dims[3]!]);

/** Tokens before the patches among `tokens`, those that joined on the way (EoMT's queries) too. */
export const prefixOf = ({ suffixTokens }: PatchConfig, tokens: number, [rows, columns]: Grid): number =>
  tokens - rows * columns - suffixTokens;

/**
 * Patch tokens of an image, of an entry of `hiddenStates` or of `lastHiddenState`. Of a ResNet, pixels of its map, which is the grid
 * then; of SAM the map that its blocks have.
 * @param image its number in the batch.
 */
export function patchesOf(state: Tensor, config: PatchConfig, grid: Grid, image = 0): Patches {
  const { dims, data } = state;
  const size = data.length / dims[0]!;
  const own = data.subarray(image * size, (image + 1) * size);
  const none = new Float32Array();
  const planes = config.depth === 0 || config.hierarchy?.rules === "timm";
  if (dims.length === 4 && planes) {
    const [, channels, rows, columns] = dims as [number, number, number, number];
    return { grid: [rows, columns], width: channels, data: pixelsOf(own, channels), prefix: none };
  }
  const width = dims.at(-1)!;
  if (config.hierarchy) return { grid: coarser(grid, dims[1]!), width, data: own, prefix: none };
  if (dims.length === 4) return { grid: [dims[1]!, dims[2]!], width, data: own, prefix: none };
  const first = prefixOf(config, dims[1]!, grid) * width;
  const end = first + grid[0] * grid[1] * width;
  return { grid, width, data: own.subarray(first, end), prefix: own.subarray(0, first) };
}

/** The grid of a later stage, each half as fine, that has so many tokens. */
function coarser([rows, columns]: Grid, tokens: number): Grid {
  if (rows * columns <= tokens) return [rows, columns];
  return coarser([Math.ceil(rows / 2), Math.ceil(columns / 2)], tokens);
}

/** Planes [C, pixels] as [pixels, C]. */
function pixelsOf(planes: Float32Array, channels: number): Float32Array {
  const area = planes.length / channels;
  const rows = new Float32Array(planes.length);
  for (let c = 0; c < channels; c++) for (let i = 0; i < area; i++) rows[i * channels + c] = planes[c * area + i]!;
  return rows;
}

/**
 * The number of a patch, line by line.
 * @throws RangeError if it is not on the grid.
 */
export function numberOf(call: string, place: unknown, [rows, columns]: Grid): number {
  const [row, column] = (Array.isArray(place) ? place : []) as [unknown, unknown];
  const inside = (n: unknown, count: number) => Number.isSafeInteger(n) && (n as number) >= 0 && (n as number) < count;
  if (inside(row, rows) && inside(column, columns)) return (row as number) * columns + (column as number);
  throw new RangeError(
    `${call}: a patch is [row, column] of ${rows} rows and ${columns} columns, from 0; got ${JSON.stringify(place)}`,
  );
}
