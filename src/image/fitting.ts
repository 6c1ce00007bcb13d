/**
 * From a decoded image to the RGB that a model sees: resized and cropped as its processor does it, by Pillow's integers or what the
 * processor has in their place, which is imported for it.
 */
import type { cropping } from "./affine.js";
import type { Readable } from "./decode/file.js";
import type { Geometry } from "./geometry.js";
import type { resizeBlurred } from "./owlv2.js";
import { geometryOf, type Place, placeOf } from "./place.js";
import type { Preprocessing, SeenImage } from "./preprocess.js";
import { type Filter, type Part, type Raster, resizing, resizingFramed } from "./resize.js";
import type { resizeByScipy } from "./scipy.js";
import type { Slices } from "./slices.js";
import type { resizeBytes, resizeValues, TorchvisionFilter } from "./torchvision.js";
import { uprightSize } from "./upright.js";

/** Ways to resize of processors that are not Pillow's on bytes. */
export interface Resizers {
  readonly cropping?: typeof cropping;
  readonly resizeByScipy?: typeof resizeByScipy;
  readonly resizeBlurred?: typeof resizeBlurred;
  readonly resizeBytes?: typeof resizeBytes;
  readonly resizeValues?: typeof resizeValues;
}

/** Those that a preprocessing takes. */
export function importResizers({ processor, resize }: Preprocessing): Promise<Resizers> | Resizers {
  if (resize.mode === "affine") return import("./affine.js");
  if (resize.mode === "blurred") return processor === "pillow" ? import("./scipy.js") : import("./owlv2.js");
  return processor === "pillow" ? {} : import("./torchvision.js");
}

/** Bytes or values of the preprocessing's size, or of whole patches, in slices. */
export function* fitting(image: Readable, preprocessing: Preprocessing, resizers: Resizers): Slices<SeenImage> {
  const { filter, processor, resize, rescale, rescaleFirst } = preprocessing;
  const stored = { orientation: 1, channels: 3, ...image } as const;
  const [uprightWidth, uprightHeight] = uprightSize(stored);
  const photo = { width: uprightWidth, height: uprightHeight };
  if (resize.mode === "affine") {
    const { width, height, unit } = resize;
    const { data, crops } = yield* resizers.cropping!(stored, preprocessing.boxes, { width, height }, unit);
    return { data, width, height, geometry: crops[0]!.geometry, crops };
  }
  const place = placeOf(photo, preprocessing);
  const { resized, window } = place;
  const { width, height } = window;
  const source = preprocessing.gray ? inGray(stored) : stored;
  const { data } =
    resize.mode === "blurred"
      ? yield* (processor === "pillow" ? resizers.resizeByScipy! : resizers.resizeBlurred!)(source, rescale, resize)
      : yield* bordered(preprocessing, place, (inside) => {
          if (place.frame) return resizingFramed(image, place.frame, { ...resized, filter, window: inside });
          if (processor === "pillow") return resizing(source, { ...resized, filter, window: inside });
          const options = { ...resized, filter: TORCHVISION[filter]!, window: inside };
          return rescaleFirst
            ? resizers.resizeValues!(source, rescale, options)
            : resizers.resizeBytes!(source, options);
        });
  const geometry = wholeGeometry(geometryOf(photo, place), image);
  if (preprocessing.divisor === undefined && resize.mode !== "longest") return { data, width, height, geometry };
  const inside = { left: 0 - window.left, top: 0 - window.top, width: resized.width, height: resized.height };
  return { data, width, height, geometry, inside };
}

/** The geometry of the whole photo, of which only a part of the pixels was decoded. */
function wholeGeometry(geometry: Geometry, { whole, orientation = 1 }: Readable): Geometry {
  if (!whole) return geometry;
  const { side } = whole;
  const [width, height] = uprightSize({ ...whole, orientation });
  const { photo, resized } = geometry;
  // The last pixels may stand for less than a whole side.
  const across = (resized.width * width) / (side * photo.width);
  const down = (resized.height * height) / (side * photo.height);
  return { ...geometry, photo: { width, height }, resized: { width: across, height: down } };
}

/** The part of a window that is of the image, and around it the border. */
function* bordered(
  { fill = [0, 0, 0] }: Preprocessing,
  { resized, window }: Place,
  resizeTo: (inside: Part) => Slices<{ data: Uint8Array | Float32Array }>,
): Slices<{ data: Uint8Array | Float32Array }> {
  const left = Math.max(window.left, 0);
  const top = Math.max(window.top, 0);
  const inside: Part = {
    left,
    top,
    width: Math.min(window.left + window.width, resized.width) - left,
    height: Math.min(window.top + window.height, resized.height) - top,
  };
  const { data } = yield* resizeTo(inside);
  if (inside.width === window.width && inside.height === window.height) return { data };
  const size = 3 * window.width * window.height;
  const padded = data instanceof Float32Array ? new Float32Array(size) : new Uint8Array(size);
  if (fill.some((level) => level !== 0)) for (let i = 0; i < size; i++) padded[i] = fill[i % 3]!;
  for (let y = 0; y < inside.height; y++) {
    const row = data.subarray(3 * y * inside.width, 3 * (y + 1) * inside.width);
    padded.set(row, 3 * ((y + top - window.top) * window.width + left - window.left));
  }
  return { data: padded };
}

/** Gray in three equal channels, so that it is resized as one is: Pillow's convert("L"), ITU-R 601-2 in 16 bits. */
function inGray(image: Raster): Raster {
  const { data, channels, width, height } = image;
  const gray = new Uint8Array(3 * width * height);
  for (let i = 0, at = 0; i < gray.length; i += 3, at += channels) {
    const [r, g, b] = channels === 1 ? [data[at]!, data[at]!, data[at]!] : [data[at]!, data[at + 1]!, data[at + 2]!];
    gray.fill((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16, i, i + 3);
  }
  return { ...image, data: gray, channels: 3 };
}

/** Filters by Pillow's names. */
const TORCHVISION: Partial<Record<Filter, TorchvisionFilter>> = {
  nearest: "nearest-exact",
  bilinear: "bilinear",
  bicubic: "bicubic",
  lanczos: "lanczos",
};
