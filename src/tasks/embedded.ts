/** Images that are embedded once for many prompts (SAM). */
import type { Geometry } from "../image/geometry.js";
import type { ImageInput } from "../image/source.js";
import type { Tensor } from "../vit/outputs.js";

/** An embedded image, plain data that may be kept: `prepare` takes it back. */
export interface EmbeddedImage {
  /** [1, C, rows, columns] */
  readonly embedding: Tensor;
  readonly geometry: Geometry;
}

/** Tells whether it is an image that `prepare` has embedded. */
export const isEmbedded = (image: ImageInput | EmbeddedImage): image is EmbeddedImage =>
  typeof image === "object" && image !== null && "embedding" in image && "geometry" in image;
