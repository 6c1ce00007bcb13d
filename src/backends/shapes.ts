/** The shape rules of the contract's ops, one function each, called by every backend before it runs the op. */
import {
  type DType,
  ELEMENT_BYTES,
  type Linear,
  type LinearOptions,
  type Norm,
  type PatchGrid,
  type Tensor,
  type WeightTarget,
} from "../backend.js";

const size = (x: { rows: number; cols: number }) => `${x.rows}×${x.cols}`;

function expect(op: string, given: string, name: string, x: Tensor, rows: number, cols: number): void {
  if (x.rows !== rows || x.cols !== cols) {
    throw new RangeError(`${op}: ${given}, so ${name} must be ${rows}×${cols}; got ${size(x)}`);
  }
}

export function checkSize(op: string, rows: number, cols: number): void {
  if (!(Number.isSafeInteger(rows) && Number.isSafeInteger(cols) && rows > 0 && cols > 0)) {
    throw new RangeError(`${op}: rows and columns must be positive integers; got ${rows}×${cols}`);
  }
}

export function checkData(op: string, x: Tensor, data: Float32Array): void {
  if (data.length !== x.rows * x.cols) {
    throw new RangeError(
      `${op}: the tensor is ${size(x)}, so data must have ${x.rows * x.cols} elements; got ${data.length}`,
    );
  }
}

/** Returns the number of rows in `bytes`. */
export function checkStore(target: WeightTarget, dtype: DType, bytes: Uint8Array): number {
  const [height, width] =
    "tensor" in target
      ? [target.tensor.rows, target.tensor.cols]
      : [target.linear.outputs, target.part === "weight" ? target.linear.inputs : 1];
  const rows = bytes.length / (width * ELEMENT_BYTES[dtype]);
  if (!Number.isInteger(rows) || target.row < 0 || target.row + rows > height) {
    throw new RangeError(
      `store: the target is ${height}×${width}, so bytes from row ${target.row} on must be at most ${height - target.row} whole rows of ${width} ${dtype}; got ${bytes.length} bytes`,
    );
  }
  const { scales } = target as { scales?: Float32Array };
  if (scales && (dtype !== "I8" || scales.length !== rows)) {
    throw new RangeError(
      `store: with scales the bytes must be I8 and have a scale for each row; got ${rows} rows of ${dtype} and ${scales.length} scales`,
    );
  }
  return rows;
}

/** Returns what follows from the shapes: how many images and channels, and the grid of patches. */
export function checkPatchify(out: Tensor, pixels: Tensor, grid: PatchGrid) {
  const gridHeight = Math.floor(grid.height / grid.patchHeight);
  const gridWidth = Math.floor(grid.width / grid.patchWidth);
  const channels = out.cols / (grid.patchHeight * grid.patchWidth);
  const images = pixels.rows / channels;
  const given = `images are ${grid.height}×${grid.width} and patches ${grid.patchHeight}×${grid.patchWidth}`;
  if (!Number.isInteger(channels) || channels < 1) {
    throw new RangeError(
      `patchify: ${given}, so out must have ${grid.patchHeight * grid.patchWidth} columns a channel; got ${out.cols}`,
    );
  }
  if (!Number.isInteger(images)) {
    throw new RangeError(
      `patchify: out has ${channels} channels, so pixels must have a multiple of ${channels} rows; got ${pixels.rows}`,
    );
  }
  expect("patchify", given, "pixels", pixels, pixels.rows, grid.height * grid.width);
  expect("patchify", given, "out", out, images * gridHeight * gridWidth, out.cols);
  return { images, channels, gridHeight, gridWidth };
}

/** Returns the number of images. */
export function checkAssembleTokens(
  out: Tensor,
  prefix: Tensor | undefined,
  patches: Tensor,
  positions: Tensor,
): number {
  const count = prefix?.rows ?? 0;
  const images = patches.rows / (positions.rows - count);
  if (!Number.isInteger(images) || images < 1) {
    throw new RangeError(
      `assembleTokens: positions has ${positions.rows} rows and prefix ${count}, so patches must have a multiple of ${positions.rows - count} rows; got ${patches.rows}`,
    );
  }
  const given = `patches are ${size(patches)}`;
  if (prefix) expect("assembleTokens", given, "prefix", prefix, prefix.rows, patches.cols);
  expect("assembleTokens", given, "positions", positions, positions.rows, patches.cols);
  expect("assembleTokens", given, "out", out, images * positions.rows, patches.cols);
  return images;
}

export function checkLayerNorm(out: Tensor, x: Tensor, norm: Norm): void {
  const given = `x is ${size(x)}`;
  expect("layerNorm", given, "out", out, x.rows, x.cols);
  expect("layerNorm", given, "scale", norm.scale, 1, x.cols);
  expect("layerNorm", given, "shift", norm.shift, 1, x.cols);
}

export function checkLinear(out: Tensor, x: Tensor, weights: Linear, options: LinearOptions): void {
  if (x.cols !== weights.inputs) {
    throw new RangeError(
      `linear: the weight is ${weights.outputs}×${weights.inputs}, so x must have ${weights.inputs} columns; got ${size(x)}`,
    );
  }
  expect("linear", `x is ${size(x)}`, "out", out, x.rows, weights.outputs);
  if (out === x) throw new RangeError("linear: out must be another tensor than x; got the same");
  if (options.norm) {
    expect("linear", `x is ${size(x)}`, "scale of norm", options.norm.scale, 1, x.cols);
    expect("linear", `x is ${size(x)}`, "shift of norm", options.norm.shift, 1, x.cols);
  }
  if (options.activation && options.accumulate) {
    throw new RangeError(`linear: an activation excludes accumulate; got ${options.activation} and accumulate`);
  }
}

/** Returns the columns of a head. */
export function checkHeadNorm(qkv: Tensor, heads: number, query: Norm, key: Norm): number {
  const d = qkv.cols / (3 * heads);
  if (!Number.isInteger(d) || d < 1) {
    throw new RangeError(
      `headNorm: with ${heads} heads qkv must have a multiple of ${3 * heads} columns; got ${size(qkv)}`,
    );
  }
  for (const [name, { scale, shift }] of Object.entries({ query, key })) {
    expect("headNorm", `heads have ${d} columns`, `scale of ${name}`, scale, 1, d);
    expect("headNorm", `heads have ${d} columns`, `shift of ${name}`, shift, 1, d);
  }
  return d;
}

/** Returns the number of images and the columns of a head. */
export function checkAttention(
  out: Tensor,
  qkv: Tensor,
  { heads, tokens, probabilities }: { heads: number; tokens: number; probabilities?: Tensor },
) {
  const images = qkv.rows / tokens;
  const d = qkv.cols / (3 * heads);
  if (!Number.isInteger(images) || !Number.isInteger(d) || d < 1) {
    throw new RangeError(
      `attention: with ${tokens} tokens and ${heads} heads qkv must have a multiple of ${tokens} rows and of ${3 * heads} columns; got ${size(qkv)}`,
    );
  }
  expect("attention", `qkv is ${size(qkv)}`, "out", out, qkv.rows, heads * d);
  if (out === qkv) throw new RangeError("attention: out must be another tensor than qkv; got the same");
  if (probabilities) {
    expect("attention", `qkv is ${size(qkv)}`, "probabilities", probabilities, images * heads * tokens, tokens);
  }
  return { images, d };
}

/** Returns the number of images. */
export function checkPool(
  out: Tensor,
  x: Tensor,
  { tokens, first, count }: { tokens: number; first: number; count: number },
): number {
  const images = x.rows / tokens;
  if (!Number.isInteger(images) || first < 0 || count < 1 || first + count > tokens) {
    throw new RangeError(
      `pool: x is ${size(x)}, which does not hold rows ${first} to ${first + count - 1} of images of ${tokens} tokens`,
    );
  }
  expect("pool", `x is ${size(x)}`, "out", out, images, x.cols);
  return images;
}
