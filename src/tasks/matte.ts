/** Mattes: which part of each pixel is of an object, and the object cut out. */
import type { ImageInput } from "../image/source.js";
import type { Trimap } from "../image/trimap.js";
import type { Task } from "./task.js";

/** Options of `matte`. */
export interface MatteOptions {
  /**
   * Which pixels of the photo are of the object (255), which are not (0), and which the model is to tell (128): an image of the
   * photo's size, or what `trimapOf` gives. Of a list of images a list.
   */
  trimap?: TrimapInput | readonly TrimapInput[];
  signal?: AbortSignal;
}

/** An image, of which the gray counts, or levels. */
export type TrimapInput = ImageInput | Trimap;

export interface Matte {
  readonly width: number;
  readonly height: number;
  /** Part of each pixel that is of the object, from 0 to 1, line by line. */
  readonly data: Float32Array;
  /** PNG file of the photo with this as its transparency. */
  readonly cutout: Uint8Array;
}

export interface Matting {
  /**
   * The alpha map of an object whose outline is known about, by its trimap, and the object cut out. The model sees the photo in full
   * size, as transformers' VitMatteImageProcessor gives it; its numbers are those of that library also where the trimap is known.
   * @throws RangeError if the checkpoint makes no alpha map, and for a trimap that is not of the photo's size, has other levels than
   * 0, 128 and 255, or leaves nothing to be told.
   * @example
   * using model = await load("hustvl/vitmatte-small-composition-1k");
   * const { cutout } = await model.matte("cat.jpg", { trimap: "cat-trimap.png" }); // a PNG file
   */
  matte(image: ImageInput, options: MatteOptions): Promise<Matte>;
  matte(images: readonly ImageInput[], options: MatteOptions): Promise<Matte[]>;
}

export const matte: Task<MatteOptions, [], Matte> = {
  options: { trimap: true },
  images: ["trimap"],
  arguments: 0,
  pixels: true,
  lacks: ({ matting }) => (matting?.decoder ? undefined : "a decoder of alpha maps"),
  begin: async (model, options) => (await import("./dense/matte.js")).begin(model, options),
  command: {
    help: "an object cut out of a photo, by its trimap",
    options: {
      trimap: { option: "trimap", kind: "image", help: "white on the object, black beside it, gray (128) between" },
    },
    json: ({ width, height, data }) => ({ width, height, ...partsOf(data) }),
    lines: ({ width, height, data }) => {
      const { area } = partsOf(data);
      return [`  ${width}×${height}, ${((100 * area) / (width * height)).toFixed(1)} % of it the object`];
    },
    pictures: async (result) => (await import("./dense/matte.js")).pictures(result),
  },
};

/** Pixels of the object, parts of one counted as such. */
function partsOf(data: Float32Array): { area: number } {
  let area = 0;
  for (const x of data) area += x;
  return { area };
}
