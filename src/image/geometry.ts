/**
 * How a photo lies in the pixels that a model sees. Coordinates are real numbers in pixels, x to the right and y down; (0, 0) is
 * the outer corner of the first pixel, so that a resize only multiplies, and a crop or a border only adds.
 */

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Sides of a box in pixels of the photo: x to the right, y down, (0, 0) the outer corner of the first pixel. */
export interface Box {
  readonly xmin: number;
  readonly ymin: number;
  readonly xmax: number;
  readonly ymax: number;
}

export type Point = readonly [x: number, y: number];

/** Plain data, which survives structured cloning and JSON. */
export interface Geometry {
  /** The photo as a person sees it: turned upright by its EXIF orientation, in full size. */
  readonly photo: Size;
  /** The whole photo in pixels of the model's image, before anything is cropped. */
  readonly resized: Size;
  /** Where the photo's corner (0, 0) lies on the model's image: below 0 where it is cropped, above 0 where there is a border. */
  readonly offset: Point;
  /** The image that the model sees. */
  readonly model: Size;
  /** Corners of the windows of that size which the resized photo is cut into, where it is, each an image of its own to the model. */
  readonly windows?: readonly Point[];
}

/** The place on the model's image of a point of the photo; it may lie outside. */
export const toModel = ({ photo, resized, offset }: Geometry, [x, y]: Point): Point => [
  (x * resized.width) / photo.width + offset[0],
  (y * resized.height) / photo.height + offset[1],
];

/** The place on the photo of a point of the model's image; in a border it lies outside. */
export const toPhoto = ({ photo, resized, offset }: Geometry, [x, y]: Point): Point => [
  ((x - offset[0]) * photo.width) / resized.width,
  ((y - offset[1]) * photo.height) / resized.height,
];
