/** Segments of a photo, as tasks give them. */
import type { Box } from "../image/geometry.js";

/** Pixels of a photo that belong together. */
export interface Segment {
  readonly label: string;
  readonly index: number;
  /**
   * Mean over its pixels of the probability of its class; of instance and panoptic segments the score of the query; of a mask by
   * prompts what the model says of its own quality.
   */
  readonly probability: number;
  /** 1 where it is, 0 elsewhere, line by line. */
  readonly mask: { readonly width: number; readonly height: number; readonly data: Uint8Array };
  readonly box: Box;
  /** Pixels. */
  readonly area: number;
}

/**
 * Segments of a photo: semantic ones cover every pixel once and are in the order of their areas, the others in that of the
 * library's ids. Masks by prompts are those of each object in turn,
 * the best first: `index` is the object's number, and a box of zeros is of a mask without pixels.
 */
export interface Segmentation {
  readonly width: number;
  readonly height: number;
  readonly segments: readonly Segment[];
}

/** Label of the masks of what a prompt is on, which has no class. */
export const OBJECT = "object";
