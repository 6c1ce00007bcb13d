/** Images that a GPU reads by itself: bitmaps, frames and canvases, whose pixels never come to the processor. */
import type { Sampling } from "../backend.js";
import { PIXEL_LIMIT } from "./decode/file.js";
import { fitting } from "./fitting.js";
import type { Geometry } from "./geometry.js";
import { geometryOf, placeOf } from "./place.js";
import { type Preprocessing, pixelValueTables, toPixelValues } from "./preprocess.js";
import { axisSampling } from "./resize.js";
import { atOnce } from "./slices.js";
import { type Drawable, draw, drawableSize, type ImageInput } from "./source.js";

/** Pixel values [1, 3, H, W] of an image: what a backend makes of it by `sampling`, or where it does not, `data`. */
export interface DrawnImage {
  readonly dims: readonly number[];
  readonly image: Drawable;
  readonly sampling: Sampling;
  readonly geometry: Geometry;
  /** Computed when it is asked for, by a canvas and on the processor. */
  readonly data: Float32Array;
}

/**
 * Images as a GPU is given them; nothing for those that are something else, such as files, or that go wrong, which the way by
 * the processor says. An element of a page is something else: it may have to be turned.
 */
export function createDrawing(
  preprocessing: Preprocessing,
  pixelLimit = PIXEL_LIMIT,
): (input: ImageInput) => DrawnImage | undefined {
  const { processor, filter, width, height, resize, gray, square, bgr, windows, alpha } = preprocessing;
  // A GPU resizes in Pillow's integers, to a size that is known.
  const sizes = ["shortest", "cover", "exact", "none"];
  const plain = processor === "pillow" && !gray && !square && !bgr && !windows && alpha === "drop";
  const known = sizes.includes(resize.mode) && !("whole" in resize && resize.whole);
  if (!plain || filter === "nearest" || !known) return () => undefined;
  const values = pixelValueTables(preprocessing);
  // Frames of a video have one size.
  let last: Sampling | undefined;

  function samplingOf(size: { readonly width: number; readonly height: number }): Sampling {
    if (last?.width !== size.width || last.height !== size.height) {
      const { resized, window } = placeOf(size, preprocessing);
      last = {
        ...size,
        columns: axisSampling(size.width, resized.width, filter as never, window.left, window.width),
        rows: axisSampling(size.height, resized.height, filter as never, window.top, window.height),
        values,
      };
    }
    return last;
  }

  return (input) => {
    if (!isDrawn(input)) return undefined;
    const [inputWidth, inputHeight] = drawableSize(input)!;
    const size = { width: inputWidth, height: inputHeight };
    const area = inputWidth * inputHeight;
    if (area === 0 || area > pixelLimit) return undefined;
    const { resized } = resize.mode === "none" ? { resized: size } : placeOf(size, preprocessing);
    // Borders are made on the processor, and so are refusals.
    if (resized.width < width || resized.height < height) return undefined;
    if (resize.mode === "none" && resize.exactly && (inputWidth > width || inputHeight > height)) return undefined;
    return {
      dims: [1, 3, height, width],
      image: input,
      sampling: samplingOf(size),
      geometry: geometryOf(size, placeOf(size, preprocessing)),
      get data() {
        const { data } = atOnce(fitting(draw(input, inputWidth, inputHeight), preprocessing, {}));
        return toPixelValues(data, preprocessing);
      },
    };
  };
}

const KINDS = ["ImageBitmap", "VideoFrame", "OffscreenCanvas", "HTMLCanvasElement"] as const;

function isDrawn(input: unknown): input is Exclude<Drawable, HTMLImageElement> {
  return KINDS.some((kind) => {
    const type = (globalThis as Record<string, unknown>)[kind];
    return typeof type === "function" && input instanceof type;
  });
}

/**
 * A picture of noise for which a GPU is tried out; nothing where none can be made. Its sides are no multiples of anything, and it
 * is neither only enlarged nor only shrunk.
 */
export function noisePicture({ width, height }: Preprocessing): ImageBitmap | undefined {
  if (typeof OffscreenCanvas === "undefined") return undefined;
  const canvas = new OffscreenCanvas(2 * width + 37, Math.ceil(height / 2) + 11);
  const context = canvas.getContext("2d");
  if (!context) return undefined;
  const pixels = context.createImageData(canvas.width, canvas.height);
  let seed = 1;
  for (let i = 0; i < pixels.data.length; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    pixels.data[i] = i % 4 === 3 ? 255 : seed >>> 24;
  }
  context.putImageData(pixels, 0, 0);
  return canvas.transferToImageBitmap();
}
