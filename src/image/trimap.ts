/** Trimaps: which pixels of a photo are of an object, which are not, and which a matting model is to tell. */
import type { RgbImage } from "./decode/file.js";
import type { Geometry, Size } from "./geometry.js";

/** Levels of a trimap. */
export const [BACKGROUND, UNKNOWN, OBJECT] = [0, 128, 255] as const;

/** A level of gray for each pixel, line by line: 0 of the background, 255 of the object, 128 where it is not known. */
export interface Trimap extends Size {
  readonly data: Uint8Array;
}

/** Pixel values, row-major. */
interface Values {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

/** Levels in memory, a byte a pixel. */
export const isTrimap = (input: unknown): input is Trimap => {
  const { data, width, height } = Object(input) as Partial<Trimap>;
  return data instanceof Uint8Array && data.length === width! * height!;
};

/** An image in gray: Pillow's convert("L"), ITU-R 601-2 in 16 bits, which leaves gray as it is. */
export function grayOf({ data, width, height }: RgbImage): Trimap {
  const levels = new Uint8Array(width * height);
  for (let i = 0; i < levels.length; i++) {
    levels[i] = (19595 * data[3 * i]! + 38470 * data[3 * i + 1]! + 7471 * data[3 * i + 2]! + 0x8000) >> 16;
  }
  return { data: levels, width, height };
}

/**
 * Pixel values with a trimap as a fourth channel, zeros beside the photo.
 * @param values [1, 3, H, W]
 * @param factor of levels (transformers' VitMatteImageProcessor: 1/255).
 * @returns [1, 4, H, W]
 * @throws RangeError for a trimap of another size than the photo's.
 */
export function withTrimap(
  call: string,
  { dims, data }: Values,
  trimap: Trimap,
  { photo }: Pick<Geometry, "photo">,
  factor: number,
): Values {
  const [, , height, width] = dims as [number, number, number, number];
  if (trimap.width !== photo.width || trimap.height !== photo.height) {
    const [size, found] = [photo, trimap].map((image) => `${image.width}×${image.height}`);
    throw new RangeError(`${call}: trimap must be as large as its photo, ${size}; got ${found}`);
  }
  const all = new Float32Array(4 * width * height);
  all.set(data);
  for (let y = 0; y < photo.height; y++)
    for (let x = 0; x < photo.width; x++) {
      all[(3 * height + y) * width + x] = trimap.data[y * photo.width + x]! * factor;
    }
  return { dims: [1, 4, height, width], data: all };
}
