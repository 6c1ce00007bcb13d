/** Boxes on a photo. */

/** Sides of a box in pixels of the photo: x to the right, y down, (0, 0) the outer corner of the first pixel. */
export interface Box {
  readonly xmin: number;
  readonly ymin: number;
  readonly xmax: number;
  readonly ymax: number;
}
