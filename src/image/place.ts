/** The size that a photo is resized to and the part of it that is kept, by the rules of each library. */
import { PIXEL_LIMIT } from "./decode/file.js";
import type { Geometry, Point, Size } from "./geometry.js";
import type { Frame, Part } from "./resize.js";

export interface Placing {
  processor: "pillow" | "torchvision";
  /**
   * "shortest": the short side becomes `size`, the long one truncates; "cover": the smallest size of the same shape that
   * covers width × height, rounded; "contain": the largest of the same shape within it (timm's border); "exact": width × height; "multiples": multiples of `multiple` near width × height, or,
   * where the shape is kept, of the side that changes less (DPT); "bounded": the short side becomes `shortest`, unless the
   * long one were above `longest`, both are floored to multiples, where there is one (YOLOS); "longest": the long side becomes `longest`, the
   * other is rounded, and values of 0 fill width × height at the right and below, behind all arithmetic (SAM); "blurred": width × height after a blur, of a
   * square if padded (OWLv2); "affine": a box of the image, or the whole of it, becomes width × height (ViTPose, affine.ts); "patches": whole patches of the image's shape, as many as can be up to `most`; "none": the image
   * is not resized, and is taken `whole`, or must have the right size `exactly`, or be large enough.
   */
  resize:
    | { mode: "shortest"; size: number }
    | { mode: "cover" | "contain" | "exact"; width: number; height: number }
    | { mode: "multiples"; width: number; height: number; multiple: number; keepsShape: boolean }
    | { mode: "bounded"; shortest: number; longest: number; multiple?: number }
    | { mode: "longest"; longest: number }
    | { mode: "blurred"; width: number; height: number; pad: boolean }
    /** `unit`: pixels in which the library counts a box's sides. */
    | { mode: "affine"; width: number; height: number; unit: number }
    | { mode: "patches"; patch: number; most: number }
    | { mode: "none"; exactly?: boolean; whole?: boolean };
  /** The image is laid in the middle of a white square first, and that is resized (SmilingWolf's taggers). */
  square?: boolean;
  /**
   * Size of the result, which is cropped from the center of the resized image, or has a border where that is smaller. Of modes whose results differ in size, that of a typical one.
   */
  width: number;
  height: number;
  /** The image is in the upper left corner of the result, and the border is behind it (EoMT's do_pad). */
  corner?: true;
  /** The resized image is cut along its longer side into squares of the result's size, which overlap evenly (EoMT's do_split_image). */
  windows?: true;
  /**
   * The result has a border up to multiples of it, the larger half at the end, of values of 0 behind all arithmetic (DPT's
   * do_pad).
   */
  divisor?: number;
  /** Half a pixel goes to the even offset in torchvision and timm, down in transformers; it shows by one pixel. */
  cropRounding: "even" | "down";
}

/** An image as it is resized, and what is kept: with a border where that is more. */
export interface Place {
  resized: Size;
  window: Part;
  /** Corners of the windows that it is cut into, if it is. */
  windows?: readonly Point[];
  /** The white square around the image, whose size is resized then. */
  frame?: Frame;
}

/** The place of an upright image. */
export function placeOf(image: Size, placing: Placing): Place {
  if (!placing.square) return placeWithin(image, placing);
  const frame = squareOf(image);
  const place = placeWithin(frame, placing);
  // Of the square some rows beside the image are read, as many as the widest filter sees.
  const read = frame.width * (Math.min(image.width, image.height) + (12 * frame.width) / place.resized.width);
  if (read > 4 * image.width * image.height + 2 ** 24) {
    throw new RangeError(
      `preprocessing: an image of ${image.width}×${image.height} is too long to be laid on a square; it would be ${frame.width}×${frame.height}`,
    );
  }
  return { ...place, frame };
}

function squareOf({ width, height }: Size): Frame {
  const side = Math.max(width, height);
  return { width: side, height: side, left: Math.floor((side - width) / 2), top: Math.floor((side - height) / 2) };
}

function placeWithin(image: Size, placing: Placing): Place {
  const { processor, resize, cropRounding, divisor = 1, corner, windows, ...size } = placing;
  const resized = resizedSize(image, resize);
  const found = `${resized.width}×${resized.height}`;
  if (resize.mode === "blurred") {
    return { resized, window: { left: 0, top: 0, width: resize.width, height: resize.height } };
  }
  if (resized.width < 1 || resized.height < 1) {
    throw new RangeError(`preprocessing: an image of ${image.width}×${image.height} would be resized to ${found}`);
  }
  const hasOwnSize =
    windows ||
    resize.mode === "patches" ||
    resize.mode === "multiples" ||
    (resize.mode === "bounded" && !corner) ||
    (resize.mode === "none" && resize.whole);
  if (resize.mode === "longest") return { resized, window: { left: 0, top: 0, ...size } };
  const padded = (side: number) => Math.ceil(side / divisor) * divisor;
  const { width, height } = hasOwnSize ? { width: padded(resized.width), height: padded(resized.height) } : size;
  if (width * height > PIXEL_LIMIT) {
    const limit = PIXEL_LIMIT.toLocaleString("en-US");
    throw new RangeError(
      `preprocessing: an image of ${image.width}×${image.height} would be resized to ${found}, and the limit is ${limit} pixels`,
    );
  }
  if (resize.mode === "none" && resize.exactly && (resized.width !== width || resized.height !== height)) {
    throw new RangeError(
      `preprocessing: an image that is neither resized nor cropped must be ${width}×${height}; got ${found}`,
    );
  }
  if (windows) return { resized, window: { left: 0, top: 0, width, height }, windows: cornersOf(resized, size.height) };
  if (corner) return { resized, window: { left: 0, top: 0, width, height } };
  // Half a pixel of a border goes to its end, but before the image in transformers' NumPy.
  const down = processor === "pillow" ? Math.floor : Math.trunc;
  const offset = (space: number) => {
    if (hasOwnSize) return 0 - Math.floor(-space / 2);
    if (cropRounding === "down") return down(space / 2);
    return space < 0 ? Math.trunc(space / 2) : roundHalfEven(space / 2);
  };
  return {
    resized,
    window: { left: offset(resized.width - width), top: offset(resized.height - height), width, height },
  };
}

/** Most windows that an image is cut into: one of 64 to 1, or more than any photo has. */
const MAX_WINDOWS = 64;

/** Corners of squares along the longer side, by EomtImageProcessor._split_image. */
function cornersOf({ width, height }: Size, side: number): Point[] {
  const long = Math.max(width, height);
  const count = Math.ceil(long / side);
  if (count > MAX_WINDOWS) {
    throw new RangeError(
      `preprocessing: an image of ${width}×${height} would be cut into ${count} windows of ${side}×${side}, and the limit is ${MAX_WINDOWS}`,
    );
  }
  const overlap = count > 1 ? (count * side - long) / (count - 1) : 0;
  return Array.from({ length: count }, (_, i) => {
    const start = Math.trunc(i * (side - overlap));
    return height > width ? [0, start] : [start, 0];
  });
}

/**
 * The size that a JPEG must have at least to be resized, if it may be decoded at a part of its size: that of a square, since it
 * may have to be turned. Undefined where it is not resized.
 */
export function draftOf({ resize }: Placing): Size | undefined {
  switch (resize.mode) {
    case "none":
    // A box may be small.
    case "affine":
      return undefined;
    case "shortest":
      return square(resize.size);
    case "bounded":
    case "longest":
      return square(resize.longest);
    case "patches":
      return square(Math.ceil(Math.sqrt(resize.most)) * resize.patch);
    default:
      return square(Math.max(resize.width, resize.height));
  }
}

const square = (side: number): Size => ({ width: side, height: side });

/** The geometry of a photo in its place. */
export function geometryOf({ width, height }: Size, { resized, window, windows, frame }: Place): Geometry {
  const [across, down] = frame ? [resized.width / frame.width, resized.height / frame.height] : [1, 1];
  return {
    photo: { width, height },
    resized: frame
      ? { width: across * width, height: down * height }
      : { width: resized.width, height: resized.height },
    // Not -0, which is another value for some comparisons.
    offset: [across * (frame?.left ?? 0) - window.left, down * (frame?.top ?? 0) - window.top],
    model: windows ? square(Math.min(window.width, window.height)) : { width: window.width, height: window.height },
    ...(windows && { windows }),
  };
}

function resizedSize({ width, height }: Size, plan: Placing["resize"]): Size {
  switch (plan.mode) {
    case "none":
      return { width, height };
    case "exact":
    case "affine":
      return { width: plan.width, height: plan.height };
    case "patches":
      return patchesSize(width, height, plan);
    case "multiples":
      return multiplesSize(width, height, plan);
    case "bounded":
      return boundedSize(width, height, plan);
    case "longest": {
      const scale = plan.longest / Math.max(width, height);
      return { width: Math.trunc(width * scale + 0.5), height: Math.trunc(height * scale + 0.5) };
    }
    case "blurred": {
      const side = Math.max(width, height);
      const [across, down] = plan.pad ? [side, side] : [width, height];
      return { width: (plan.width * width) / across, height: (plan.height * height) / down };
    }
    case "contain":
    case "cover": {
      const extreme = plan.mode === "cover" ? Math.min : Math.max;
      const ratio = extreme(height / plan.height, width / plan.width);
      return { width: roundHalfEven(width / ratio), height: roundHalfEven(height / ratio) };
    }
    case "shortest": {
      const long = Math.trunc((plan.size * Math.max(width, height)) / Math.min(width, height));
      return width <= height ? { width: plan.size, height: long } : { width: long, height: plan.size };
    }
  }
}

type Plan<Mode> = Extract<Placing["resize"], { mode: Mode }>;

/** The largest size of whole patches and about the image's shape, by the bisection of transformers' Siglip2ImageProcessor. */
function patchesSize(width: number, height: number, { patch, most }: Plan<"patches">): Size {
  const scaled = (side: number, scale: number) => Math.max(patch, Math.ceil((side * scale) / patch) * patch);
  let [low, high] = [1e-6, 100];
  while (high - low >= 1e-5) {
    const scale = (low + high) / 2;
    if ((scaled(height, scale) / patch) * (scaled(width, scale) / patch) <= most) low = scale;
    else high = scale;
  }
  return { width: scaled(width, low), height: scaled(height, low) };
}

/** transformers' DPTImageProcessor. */
function multiplesSize(width: number, height: number, plan: Plan<"multiples">): Size {
  let [across, down] = [plan.width / width, plan.height / height];
  if (plan.keepsShape) {
    if (Math.abs(1 - across) < Math.abs(1 - down)) down = across;
    else across = down;
  }
  const rounded = (side: number) => roundHalfEven(side / plan.multiple) * plan.multiple;
  return { width: rounded(across * width), height: rounded(down * height) };
}

/** transformers' get_size_with_aspect_ratio, and YolosImageProcessor's, which has multiples. */
function boundedSize(width: number, height: number, { shortest, longest, multiple }: Plan<"bounded">): Size {
  const [short, long] = [Math.min(width, height), Math.max(width, height)];
  const isBound = (long / short) * shortest > longest;
  const exact = isBound ? (longest * short) / long : shortest;
  const size = isBound ? roundHalfEven(exact) : shortest;
  const floored = (side: number) => side - (multiple === undefined ? 0 : side % multiple);
  const fits = (width >= height && height === size) || (multiple === undefined && width <= height && width === size);
  if (fits) return { width: floored(width), height: floored(height) };
  const [w, h] =
    width < height ? [size, Math.trunc((exact * height) / width)] : [Math.trunc((exact * width) / height), size];
  return { width: floored(w), height: floored(h) };
}

/** Python's round. */
export function roundHalfEven(x: number): number {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}
