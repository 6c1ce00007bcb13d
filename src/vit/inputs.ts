/** Inputs of a call of the model, and the checks of their shapes and numbers. */
import type { Sampling } from "../backend.js";
import type { Tensor } from "./outputs.js";

/** Pixel values of an image that a backend may draw by itself; where it does not, `data` gives them. */
export interface DrawnValues extends Tensor {
  readonly image: CanvasImageSource;
  readonly sampling: Sampling;
}

/** Row-major integers, such as token ids and masks. */
export interface Integers {
  readonly dims: readonly number[];
  readonly data: ArrayLike<number | bigint>;
}

/** Inputs of `forward`. */
export interface Inputs {
  /** [B, 3, H, W], normalized; of NaFlex models [B, patches, P·P·3], a patch in the order (y, x, channel). */
  readonly pixelValues?: Tensor;
  /** Mask of NaFlex models: [B, patches], 1 where there is a patch, all of them before the others. */
  readonly pixelAttentionMask?: Integers;
  /** Grids of NaFlex models: [B, 2], rows and columns of patches. */
  readonly spatialShapes?: Integers;
  /** [texts, tokens] */
  readonly inputIds?: Integers;
  /** [texts, tokens], 1 for tokens that are text. */
  readonly attentionMask?: Integers;
  /** Images of what is looked for, one for each image, of detectors that compare boxes with queries: as `pixelValues`. */
  readonly queryPixelValues?: Tensor;
  /** Data set whose experts each image goes through, [B], or [1] of all; the first unless given (ViTPose+: 0 is COCO). */
  readonly datasetIndex?: Integers;
  /** Keypoints that are each other's mirror images, [pairs, 2]: heatmaps of mirrored images are turned back. */
  readonly flipPairs?: Integers;
  /** Embeddings of what is looked for in all images, [queries, D]: texts' or those that `queryEmbeds` gave. */
  readonly queryEmbeds?: Tensor;
  /** Points of SAM, [B, objects, points, 2]: x and y in pixels of the model's image. */
  readonly inputPoints?: Tensor;
  /** Labels of points, [B, objects, points]: 1 on the object, as all are unless given, 0 beside it, -1 for no point, -10 for padding. */
  readonly inputLabels?: Integers;
  /** Boxes of SAM, [B, objects, 4]: left, top, right and bottom in pixels of the model's image. */
  readonly inputBoxes?: Tensor;
  /** Masks of SAM as prompts, [B or 1, 1, 4·rows, 4·columns], as predMasks has one. */
  readonly inputMasks?: Tensor;
  /** Embeddings of images, [B, C, rows, columns], as the output of this name, in the place of pixelValues. */
  readonly imageEmbeddings?: Tensor;
  /** False: one mask of each object, in the place of those of an ambiguous prompt. */
  readonly multimaskOutput?: boolean;
  /**
   * Tokens [B, n, D], as an entry of the output hiddenStates, in the place of pixelValues: the last norm and the heads read them as
   * if the last block had left them. Of a ResNet, which has no tokens, pixels of its lastHiddenState.
   */
  readonly hiddenState?: Tensor;
  /** Images of what masks are made of, one for each image, of models that are told so (CLIPSeg): as `pixelValues`. */
  readonly conditionalPixelValues?: Tensor;
  /** Noise of each patch, [B, patches]: those of the least are seen, by MAE, whose decoder tells the others. */
  readonly noise?: Tensor;
  /** Patches that are hidden, [B, patches], 1 where one is, of models that were trained to tell them. */
  readonly boolMaskedPos?: Integers;
  /** Features of what masks are made of in all images, as `textFeatures` and `imageFeatures` are, [prompts, D]. */
  readonly conditionalEmbeddings?: Tensor;
}

/** Refuses what is no matrix of rows of this width. */
export function checkRows(name: string, rows: string, values: Tensor, width: number): void {
  const { dims } = values;
  if (!Array.isArray(dims) || dims.length !== 2 || !(dims[0] > 0) || dims[1] !== width) {
    throw new RangeError(`forward: ${name} must be [${rows}, ${width}]; got [${dims?.join(", ")}]`);
  }
  checkData(name, values);
}

/** Refuses values of another shape. */
export function checkShape(name: string, tensor: Tensor, dims: readonly number[]): void {
  const got = Array.isArray(tensor.dims) ? tensor.dims : [];
  if (got.length !== dims.length || dims.some((n, i) => n !== got[i])) {
    throw new RangeError(`forward: ${name} must be [${dims.join(", ")}]; got [${got.join(", ")}]`);
  }
  checkData(name, tensor);
}

/** Refuses values of another shape, and numbers that are not finite. */
export function checkNumbers(name: string, tensor: Tensor, dims: readonly number[]): void {
  checkShape(name, tensor, dims);
  const bad = tensor.data.findIndex((x) => !Number.isFinite(x));
  if (bad >= 0) throw new RangeError(`forward: ${name} must be finite numbers; got ${tensor.data[bad]} at ${bad}`);
}

/** Refuses values that are not as many floats as their dimensions say. */
export function checkData(name: string, { dims, data }: Tensor): void {
  const count = dims.reduce((product, n) => product * n, 1);
  if (!(data instanceof Float32Array) || data.length !== count) {
    const got = data instanceof Float32Array ? data.length : typeof data;
    throw new RangeError(`forward: ${name} of [${dims.join(", ")}] must have ${count} floats; got ${got}`);
  }
}

/** Integers of this shape, as numbers. */
export function integersOf(name: string, given: Integers | undefined, dims: readonly number[]): number[] {
  const fits = given?.dims.length === dims.length && dims.every((n, i) => given.dims[i] === n);
  const count = dims.reduce((product, n) => product * n, 1);
  if (!fits || given.data.length !== count) {
    const got = given ? `[${given.dims.join(", ")}] with ${given.data.length} values` : "nothing";
    throw new RangeError(`forward: ${name} must be [${dims.join(", ")}]; got ${got}`);
  }
  return Array.from(given.data, Number);
}
