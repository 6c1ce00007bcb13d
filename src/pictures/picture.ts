/** A picture: its numbers, and what is drawn of them. */
import type { RgbImage } from "../image/decode/file.js";
import type { Geometry } from "../image/geometry.js";
import { type ImageInput, openImage } from "../image/source.js";
import { encodeNpy } from "../io/npy.js";
import type { ColorMap } from "./colors.js";
import { type Cells, colorsOf, drawCells, drawOver, type Scale } from "./draw.js";
import { FAINT, figure, heading, picture as imageIn, legend, svgFile, text, wrapped } from "./svg.js";

/** How a picture is drawn. */
export interface DrawOptions {
  /** The photo that it is drawn on, in the photo's own size and coordinates. */
  over?: ImageInput;
  /** Width in pixels: the photo's own, or 448 without one, unless given; of a map without a photo, to whole pixels a patch. */
  width?: number;
  /** Colors go over into each other between patches, in the place of squares. */
  smooth?: boolean;
  signal?: AbortSignal;
}

/** Numbers of a picture, and the files that show them. */
export interface Picture<Kind extends string = string> {
  readonly kind: Kind;
  /** Rows and columns of the grid first, where it is of patches. */
  readonly dims: readonly number[];
  readonly data: Float32Array;
  /** Values of the tokens before the patches, the class token's first, where they have any. */
  readonly prefix?: Float32Array;
  /** Names of the numbers along the last dimension, where they have any. */
  readonly names?: readonly string[];
  /** Words over the picture: what is shown. */
  readonly title: string;
  /** Units, ends of the scale, and what was left out, in a sentence. */
  readonly note: string;
  /**
   * Pixels, for screens.
   * @throws RangeError for charts, which are SVG.
   */
  pixels(options?: DrawOptions): Promise<RgbImage>;
  /** The same as a PNG file: the picture alone, without legend. */
  png(options?: DrawOptions): Promise<Uint8Array>;
  /** An SVG file with title, legend and units. */
  svg(options?: DrawOptions): Promise<string>;
  /** The numbers as NumPy's .npy. */
  npy(): Uint8Array;
  /** The same in lines of text: title and note, and of a chart its numbers. */
  lines(): string[];
}

export interface Legend {
  readonly colors: ColorMap;
  readonly low: string;
  readonly high: string;
  readonly label: string;
}

/** Patches on a photo. */
export interface MapView {
  readonly cells: Cells;
  readonly geometry: Geometry;
  readonly legend?: Legend;
}

/** A grid of tiles, whose drawing knows no photo. */
export interface TilesView {
  /** @param most pixels across. */
  readonly draw: (most: number) => RgbImage;
  readonly legend?: Legend;
  /** Names of the axes. */
  readonly axes?: { readonly x: string; readonly y: string };
}

/** A chart. */
export interface ChartView {
  readonly svg: () => string;
  readonly lines: () => string[];
}

export type View = MapView | TilesView | ChartView;

/** A picture before it is drawn. */
export type Plate = Pick<Picture, "dims" | "data" | "prefix" | "names" | "title" | "note"> & { readonly view: View };

/** Numbers of patches with their scale, as cells and a legend. */
export function mapView(
  values: Float32Array,
  scale: Scale,
  label: string,
  place: { readonly geometry: Geometry; readonly cells: Omit<Cells, "rgb"> },
): MapView {
  const [low, high] = scale.ends.map(figure) as [string, string];
  return {
    geometry: place.geometry,
    cells: { ...place.cells, rgb: colorsOf(values, scale) },
    legend: { colors: scale.colors, low, high, label },
  };
}

/** Pixels across of a picture without a photo. */
const WIDTH = 448;

export function pictureOf<Kind extends string>(kind: Kind, { view, ...plate }: Plate): Picture<Kind> {
  async function pixels({ over, width, smooth = false, signal }: DrawOptions = {}): Promise<RgbImage> {
    if ("svg" in view) throw new RangeError(`picture: ${kind} is a chart, which has no pixels; draw it by svg()`);
    if ("draw" in view) {
      if (over !== undefined)
        throw new RangeError(`picture: ${kind} is a picture of its own, so it cannot be drawn over a photo`);
      return view.draw(width ?? WIDTH);
    }
    const { cells, geometry } = view;
    if (over === undefined) return drawCells(cells, Math.max(1, Math.round((width ?? WIDTH) / cells.grid[1])));
    return drawOver(await photoOf(over, width, signal), geometry, cells, smooth);
  }

  async function svg(options: DrawOptions = {}): Promise<string> {
    if ("svg" in view) return view.svg();
    const image = await pixels(options);
    const width = Math.min(Math.max(image.width, 360), 960);
    const height = (image.height * width) / image.width;
    const axes = "axes" in view ? view.axes : undefined;
    const left = axes ? 44 : 24;
    const { parts, more } = heading(left, 30, plate.title, width);
    const top = 48 + more;
    const below = top + height + (axes ? 44 : 20);
    parts.push(await imageIn(image, { x: left, y: top, width, height }));
    if (axes) {
      parts.push(text(left + width / 2, top + height + 22, axes.x, { anchor: "middle" }));
      parts.push(text(26, top + height / 2, axes.y, { anchor: "middle", turned: true }));
    }
    let end = below;
    if (view.legend) {
      parts.push(legend(left, below, width, view.legend));
      end += 36;
    }
    for (const line of wrapped(plate.note, width / 6.2)) {
      parts.push(text(left, end + 12, line, { fill: FAINT, size: 12 }));
      end += 17;
    }
    return svgFile(left + width + 24, end + 16, plate.title, parts);
  }

  return {
    kind,
    ...plate,
    pixels,
    async png(options) {
      const { encodePng } = await import("../image/write-png.js");
      return encodePng({ ...(await pixels(options)), channels: 3 });
    },
    svg,
    npy: () => encodeNpy(plate),
    lines: () => [plate.title, ...("lines" in view ? view.lines() : []), plate.note],
  };
}

/** The photo upright, in its own width or another. */
async function photoOf(
  over: ImageInput,
  width: number | undefined,
  signal: AbortSignal | undefined,
): Promise<RgbImage> {
  const photo = await openImage(over, { signal });
  if (width === undefined || width === photo.width) return photo;
  const { resize } = await import("../image/resize.js");
  const height = Math.max(1, Math.round((photo.height * width) / photo.width));
  return resize({ ...photo, channels: 3 }, { width, height, filter: "bicubic" });
}
