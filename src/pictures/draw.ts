/** Pixels of pictures: patches as squares of color, alone, on the photo where they are, or as a grid of grids. */
import type { RgbImage } from "../image/decode/file.js";
import { type Geometry, toModel } from "../image/geometry.js";
import { type ColorMap, colorTable } from "./colors.js";
import type { Grid } from "./tokens.js";

/** How numbers become colors: those from the first end to the last, by their square root if they are steep. */
export interface Scale {
  readonly colors: ColorMap;
  readonly ends: readonly [low: number, high: number];
  readonly root?: boolean;
}

/** RGB of numbers, [n, 3]. */
export function colorsOf(values: ArrayLike<number>, { colors, ends: [low, high], root = false }: Scale): Uint8Array {
  const table = colorTable(colors);
  const out = new Uint8Array(3 * values.length);
  const span = high > low ? high - low : 1;
  for (let i = 0; i < values.length; i++) {
    const part = Math.min(Math.max((values[i]! - low) / span, 0), 1);
    const at = 3 * Math.round(255 * (root ? Math.sqrt(part) : part));
    for (let c = 0; c < 3; c++) out[3 * i + c] = table[at + c]!;
  }
  return out;
}

/** Patches as colors, and where they are on the model's image. */
export interface Cells {
  readonly grid: Grid;
  /** [rows, columns, 3] */
  readonly rgb: Uint8Array;
  /** Patches that are drawn; the photo is seen where the others are. All unless given. */
  readonly kept?: Uint8Array;
  /** Height and width of a patch, pixels of the model's image. */
  readonly patchSize: readonly [number, number];
  /** Pixels by which the first patch begins before the image, up and to the left. */
  readonly before: number;
  /** The chosen patch. */
  readonly mark?: readonly [row: number, column: number];
}

/** Parts of color, where it lies on the photo; the rest is the photo in gray. */
const OPACITY = 0.72;
/** Part of its light that a place of the photo keeps which the model does not see. */
const UNSEEN = 0.35;

/** Cells by themselves, each of so many pixels a side. */
export function drawCells({ grid: [rows, columns], rgb, kept, mark }: Cells, side: number): RgbImage {
  const [width, height] = [columns * side, rows * side];
  const data = new Uint8Array(3 * width * height);
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++, at += 3) {
      const cell = Math.floor(y / side) * columns + Math.floor(x / side);
      if (kept && !kept[cell]) continue;
      for (let c = 0; c < 3; c++) data[at + c] = rgb[3 * cell + c]!;
    }
  const image = { data, width, height };
  if (mark) outline(image, [mark[1] * side, mark[0] * side, (mark[1] + 1) * side, (mark[0] + 1) * side]);
  return image;
}

/** For each pixel of one axis: the place on the grid, in cells, or NaN where there is none. */
function placesAlong(length: number, toCell: (pixel: number) => number, cells: number): Float64Array {
  return Float64Array.from({ length }, (_, pixel) => {
    const place = toCell(pixel + 0.5);
    return place >= 0 && place < cells ? place : Number.NaN;
  });
}

/**
 * Cells on the photo: where a patch is, its color over the photo in gray; darker where the model does not see the photo, as
 * it was cropped away.
 * @param smooth colors go over into each other between the centers of patches.
 */
export function drawOver(photo: RgbImage, geometry: Geometry, cells: Cells, smooth: boolean): RgbImage {
  const { grid, rgb, kept, patchSize, before, mark } = cells;
  const [rows, columns] = grid;
  const { width, height } = photo;
  // A photo that is drawn in another size lies on the model's image as it does in its own.
  const [sx, sy] = [geometry.photo.width / width, geometry.photo.height / height];
  const seen = (x: number, y: number) => toModel(geometry, [x * sx, y * sy]);
  const model = geometry.model;
  const across = placesAlong(width, (x) => (inside(seen(x, 0)[0], model.width) + before) / patchSize[1], columns);
  const down = placesAlong(height, (y) => (inside(seen(0, y)[1], model.height) + before) / patchSize[0], rows);
  const data = new Uint8Array(3 * width * height);
  const source = photo.data;
  for (let y = 0, at = 0; y < height; y++) {
    const v = down[y]!;
    const [top, low, dy] = smooth ? between(v, rows) : [Math.floor(v), Math.floor(v), 0];
    for (let x = 0; x < width; x++, at += 3) {
      const u = across[x]!;
      const cell = Math.floor(v) * columns + Math.floor(u);
      if (Number.isNaN(u) || Number.isNaN(v)) {
        for (let c = 0; c < 3; c++) data[at + c] = UNSEEN * source[at + c]!;
      } else if (kept && !kept[cell]) {
        for (let c = 0; c < 3; c++) data[at + c] = 0.5 * source[at + c]!;
      } else {
        const [left, right, dx] = smooth ? between(u, columns) : [Math.floor(u), Math.floor(u), 0];
        const gray = 0.299 * source[at]! + 0.587 * source[at + 1]! + 0.114 * source[at + 2]!;
        for (let c = 0; c < 3; c++) {
          const color = (row: number) =>
            rgb[3 * (row * columns + left) + c]! * (1 - dx) + rgb[3 * (row * columns + right) + c]! * dx;
          data[at + c] = (1 - OPACITY) * gray + OPACITY * (color(top) * (1 - dy) + color(low) * dy) + 0.5;
        }
      }
    }
  }
  const image = { data, width, height };
  if (mark) {
    const edges = (places: Float64Array, place: number) => {
      const own = Array.from(places.keys()).filter((i) => Math.floor(places[i]!) === place);
      return [own[0] ?? 0, (own.at(-1) ?? -1) + 1] as const;
    };
    const [[left, right], [top, bottom]] = [edges(across, mark[1]), edges(down, mark[0])];
    if (right > left && bottom > top) outline(image, [left, top, right, bottom]);
  }
  return image;
}

const inside = (x: number, end: number): number => (x >= 0 && x < end ? x : Number.NaN);

/** The two cells around a place, and the part of the second. */
function between(place: number, count: number): [number, number, number] {
  const at = Math.min(Math.max(place - 0.5, 0), count - 1);
  const first = Math.floor(at);
  return [first, Math.min(first + 1, count - 1), at - first];
}

/** A white line inside of a dark one, around a box. */
function outline({ data, width, height }: RgbImage, [left, top, right, bottom]: readonly number[]): void {
  const line = Math.max(1, Math.round(Math.min(width, height) / 240));
  for (let y = top!; y < bottom!; y++)
    for (let x = left!; x < right!; x++) {
      const edge = Math.min(x - left!, right! - 1 - x, y - top!, bottom! - 1 - y);
      if (edge >= 2 * line) continue;
      data.set(edge < line ? [255, 255, 255] : [12, 13, 19], 3 * (y * width + x));
    }
}

/**
 * Tiles in rows of `across`, with a gap of the background between them.
 * @param tiles RGB of one size, [tiles, height, width, 3].
 * @param side pixels that a pixel of a tile becomes.
 */
export function drawTiles(
  tiles: Uint8Array,
  { across, height, width, side, gap }: { across: number; height: number; width: number; side: number; gap: number },
): RgbImage {
  const count = tiles.length / (3 * height * width);
  const down = Math.ceil(count / across);
  const [tileWidth, tileHeight] = [width * side, height * side];
  const size = { width: across * (tileWidth + gap) - gap, height: down * (tileHeight + gap) - gap };
  const data = new Uint8Array(3 * size.width * size.height).fill(255);
  for (let tile = 0; tile < count; tile++) {
    const [left, top] = [(tile % across) * (tileWidth + gap), Math.floor(tile / across) * (tileHeight + gap)];
    for (let y = 0; y < tileHeight; y++)
      for (let x = 0; x < tileWidth; x++) {
        const from = 3 * ((tile * height + Math.floor(y / side)) * width + Math.floor(x / side));
        const to = 3 * ((top + y) * size.width + left + x);
        for (let c = 0; c < 3; c++) data[to + c] = tiles[from + c]!;
      }
  }
  return { data, ...size };
}
