/** The shape rules of the contract's ops, one function each, called by every backend before it runs the op. */
import {
  type Attended,
  type AttentionShape,
  type ConvolveOptions,
  type Decomposed,
  type DType,
  ELEMENT_BYTES,
  type GroupNormOptions,
  type LayerNormOptions,
  type Linear,
  type LinearOptions,
  type MapResize,
  type Norm,
  type OffsetGrid,
  type Pair,
  type PatchGrid,
  type Readout,
  type Sampling,
  type Tensor,
  type Transposed,
  type WeightTarget,
  type Window,
  type Windows,
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
  positions: Tensor | undefined,
): number {
  const count = prefix?.rows ?? 0;
  const given = `patches are ${size(patches)}`;
  if (prefix) expect("assembleTokens", given, "prefix", prefix, prefix.rows, patches.cols);
  if (!positions) {
    // As many images as there is room for prefixes.
    const images = prefix ? (out.rows - patches.rows) / count : 1;
    if (!Number.isInteger(images) || images < 1 || patches.rows % images !== 0) {
      throw new RangeError(
        `assembleTokens: ${given} and prefix has ${count} rows, so out must have those of every image; got ${size(out)}`,
      );
    }
    expect("assembleTokens", given, "out", out, patches.rows + images * count, patches.cols);
    return images;
  }
  const images = patches.rows / (positions.rows - count);
  if (!Number.isInteger(images) || images < 1) {
    throw new RangeError(
      `assembleTokens: positions has ${positions.rows} rows and prefix ${count}, so patches must have a multiple of ${positions.rows - count} rows; got ${patches.rows}`,
    );
  }
  expect("assembleTokens", given, "positions", positions, positions.rows, patches.cols);
  expect("assembleTokens", given, "out", out, images * positions.rows, patches.cols);
  return images;
}

export function checkLayerNorm(
  out: Tensor,
  x: Tensor,
  norm: Norm,
  { activation, accumulate }: LayerNormOptions = {},
): void {
  const given = `x is ${size(x)}`;
  if (activation && accumulate) {
    throw new RangeError(`layerNorm: an activation excludes accumulate; got ${activation} and accumulate`);
  }
  expect("layerNorm", given, "out", out, x.rows, x.cols);
  checkNorm("layerNorm", given, "", norm, x.cols);
  if (accumulate && out === x)
    throw new RangeError("layerNorm: with accumulate out must be another tensor than x; got the same");
}

function checkNorm(op: string, given: string, of: string, { scale, shift }: Norm, cols: number): void {
  expect(op, given, `scale${of}`, scale, 1, cols);
  if (shift) expect(op, given, `shift${of}`, shift, 1, cols);
}

export function checkRescale(weights: Linear, factors: Float32Array): void {
  if (factors.length !== weights.outputs) {
    throw new RangeError(
      `rescale: the layer has ${weights.outputs} outputs, so factors must have as many elements; got ${factors.length}`,
    );
  }
}

export function checkSwiglu(out: Tensor, x: Tensor): void {
  if (x.cols % 2 !== 0) throw new RangeError(`swiglu: x must have a gate for each value; got ${size(x)}`);
  expect("swiglu", `x is ${size(x)}`, "out", out, x.rows, x.cols / 2);
  if (out === x) throw new RangeError("swiglu: out must be another tensor than x; got the same");
}

/** Returns the columns of a head, and whether each head has its own cos and sin. */
export function checkRope(qkv: Tensor, cos: Tensor, sin: Tensor, { heads, pairs }: { heads: number; pairs: string }) {
  const d = qkv.cols / (3 * heads);
  if (!Number.isInteger(d) || d < 2 || d % 2 !== 0) {
    throw new RangeError(
      `rope: with ${heads} heads qkv must have a multiple of ${6 * heads} columns; got ${size(qkv)}`,
    );
  }
  if (pairs !== "interleaved" && pairs !== "halves") {
    throw new RangeError(`rope: pairs must be interleaved or halves; got ${JSON.stringify(pairs)}`);
  }
  if (qkv.rows % cos.rows !== 0 || (cos.cols !== d && cos.cols !== heads * d)) {
    throw new RangeError(
      `rope: qkv is ${size(qkv)} of ${heads} heads, so cos must have ${d} or ${heads * d} columns and rows that divide ${qkv.rows}; got ${size(cos)}`,
    );
  }
  expect("rope", `cos is ${size(cos)}`, "sin", sin, cos.rows, cos.cols);
  return { d, own: cos.cols !== d };
}

/** Returns the number of heads, the first patch's token, and how many kinds of windows there are. */
export function checkRelativePositions(out: Tensor, table: Tensor, { height, width, shifted }: OffsetGrid) {
  const offsets = (2 * height - 1) * (2 * width - 1);
  const given = `the grid is ${height}×${width}${shifted ? ", shifted" : ""}`;
  // A class token has three rows, and no window has one.
  const first = shifted || table.rows === offsets ? 0 : 1;
  expect("relativePositions", given, "table", table, offsets + 3 * first, table.cols);
  const [kinds, tokens] = [shifted ? 4 : 1, first + height * width];
  expect("relativePositions", given, "out", out, kinds * table.cols * tokens, tokens);
  if (shifted && !(inside(shifted.by[0], height) && inside(shifted.by[1], width))) {
    throw new RangeError(
      `relativePositions: ${given}, so it must be by fewer lines and columns; got ${shifted.by.join(" and ")}`,
    );
  }
  return { heads: table.cols, first, kinds };
}

const inside = (at: number, count: number): boolean => Number.isSafeInteger(at) && at >= 0 && at < count;

/** Returns the number of images. */
function checkWindow(op: string, out: Tensor, x: Tensor, window: Window, cols: number): number {
  const { height, width, kernel, stride, top, left, outHeight, outWidth } = window;
  const images = x.rows / (height * width);
  const sizes = [height, width, kernel, stride, outHeight, outWidth];
  if (!Number.isInteger(images) || images < 1 || !sizes.every((n) => Number.isSafeInteger(n) && n > 0)) {
    throw new RangeError(
      `${op}: maps are ${height}×${width}, so x must have a multiple of ${height * width} rows; got ${size(x)}`,
    );
  }
  // Every window must have a pixel of the map in it.
  const covers = (n: number, before: number, count: number) =>
    before >= 0 && before < kernel && (count - 1) * stride - before < n;
  if (!covers(height, top, outHeight) || !covers(width, left, outWidth)) {
    throw new RangeError(
      `${op}: each window of ${kernel}×${kernel} must have a pixel of the ${height}×${width} map; got ${outHeight}×${outWidth} windows, stride ${stride}, from ${-top}, ${-left} on`,
    );
  }
  expect(op, `maps are ${height}×${width}`, "out", out, images * outHeight * outWidth, cols);
  if (out === x) throw new RangeError(`${op}: out must be another tensor than x; got the same`);
  return images;
}

/** Returns the number of images. */
export function checkConvolve(
  out: Tensor,
  x: Tensor,
  weights: Linear,
  window: Window,
  { activation, accumulate }: ConvolveOptions = {},
): number {
  if (activation && accumulate) {
    throw new RangeError(`convolve: an activation excludes accumulate; got ${activation} and accumulate`);
  }
  const inputs = window.kernel ** 2 * x.cols;
  if (weights.inputs !== inputs) {
    throw new RangeError(
      `convolve: the window is ${window.kernel}×${window.kernel} of ${x.cols} channels, so weights must have ${inputs} inputs; got ${weights.inputs}`,
    );
  }
  return checkWindow("convolve", out, x, window, weights.outputs);
}

/**
 * Returns the number of outputs, the windows of the convolution that makes stride · stride pixels at once, and the pixels by
 * which the first of them are before the first of out.
 */
export function checkConvolveTransposed(out: Tensor, x: Tensor, weights: Linear, map: Transposed) {
  const { height, width, kernel, stride } = map;
  const given = `the kernel is ${kernel}×${kernel} by ${stride}`;
  const taps = kernel / stride;
  const cut = (kernel - stride) / 2;
  if (![height, width, taps, stride].every((n) => Number.isSafeInteger(n) && n > 0) || !Number.isSafeInteger(cut)) {
    throw new RangeError(
      `convolveTransposed: the kernel must be a multiple of the stride, and larger by an even number; got ${kernel} and ${stride}`,
    );
  }
  const outputs = weights.outputs / stride ** 2;
  if (!Number.isInteger(outputs) || weights.inputs !== taps ** 2 * x.cols) {
    throw new RangeError(
      `convolveTransposed: ${given} and x has ${x.cols} channels, so weights must have ${taps ** 2 * x.cols} inputs and a multiple of ${stride ** 2} outputs; got ${weights.inputs} and ${weights.outputs}`,
    );
  }
  const images = x.rows / (height * width);
  if (!Number.isInteger(images) || images < 1) {
    throw new RangeError(
      `convolveTransposed: maps are ${height}×${width}, so x must have a multiple of ${height * width} rows; got ${size(x)}`,
    );
  }
  const rows = images * height * width * stride ** 2;
  expect("convolveTransposed", `maps are ${height}×${width} and ${given}`, "out", out, rows, outputs);
  if (out === x) throw new RangeError("convolveTransposed: out must be another tensor than x; got the same");
  // The last pixel of out is in window (n·stride - 1 + cut)/stride of those that begin taps - 1 pixels outside.
  const windows = (n: number) => Math.floor((n * stride - 1 + cut) / stride) + 1;
  const [outHeight, outWidth] = [windows(height), windows(width)];
  const before = { top: taps - 1, left: taps - 1 };
  return { images, outputs, cut, window: { height, width, kernel: taps, stride: 1, ...before, outHeight, outWidth } };
}

/** Most pixels of a side of a map: positions on it are whole numbers of 32 bits, divided. */
const MAX_SIDE = 2 ** 15;

/** Returns the number of images, and the rows of out. */
export function checkResizeMap(out: Tensor, x: Tensor, map: MapResize) {
  const { height, width, outHeight, outWidth } = map;
  const { first, count } = map.rows ?? { first: 0, count: outHeight };
  const sides = [height, width, outHeight, outWidth];
  if (!sides.every((n) => Number.isSafeInteger(n) && n > 0 && n <= MAX_SIDE)) {
    throw new RangeError(`resizeMap: sides must be whole numbers from 1 to ${MAX_SIDE}; got ${sides.join(", ")}`);
  }
  if (
    !Number.isSafeInteger(first) ||
    !Number.isSafeInteger(count) ||
    first < 0 ||
    count < 1 ||
    first + count > outHeight
  ) {
    throw new RangeError(`resizeMap: rows must be of ${outHeight}; got ${count} from ${first} on`);
  }
  const images = x.rows / (height * width);
  if (!Number.isInteger(images) || images < 1) {
    throw new RangeError(
      `resizeMap: maps are ${height}×${width}, so x must have a multiple of ${height * width} rows; got ${size(x)}`,
    );
  }
  const given = `${images} maps become ${count} rows of ${outWidth} pixels`;
  expect("resizeMap", given, "out", out, images * count * outWidth, x.cols);
  if (out === x) throw new RangeError("resizeMap: out must be another tensor than x; got the same");
  return { images, first, count };
}

/** Returns the number of images. */
export function checkReadout(
  out: Tensor,
  x: Tensor,
  { tokens, prefix, readout }: { tokens: number; prefix: number; readout: Readout },
): number {
  const images = x.rows / tokens;
  if (!Number.isInteger(images) || images < 1 || !(prefix >= 0) || prefix >= tokens) {
    throw new RangeError(
      `readout: images have ${tokens} tokens, ${prefix} of them before the patches, so x must have a multiple of ${tokens} rows; got ${size(x)}`,
    );
  }
  if (readout !== "ignore" && readout !== "add" && readout !== "concatenate") {
    throw new RangeError(`readout: it must be ignore, add or concatenate; got ${JSON.stringify(readout)}`);
  }
  if (readout !== "ignore" && prefix < 1) {
    throw new RangeError(`readout: to ${readout} the first token there must be one before the patches; got none`);
  }
  const cols = readout === "concatenate" ? 2 * x.cols : x.cols;
  expect("readout", `x is ${size(x)} of ${tokens} tokens`, "out", out, images * (tokens - prefix), cols);
  if (out === x) throw new RangeError("readout: out must be another tensor than x; got the same");
  return images;
}

/**
 * Returns the numbers of images, of windows down and across, and the shift. `x` is the map, `windows` its pixels in windows, behind
 * or beside each other.
 */
function checkWindows(op: string, x: Tensor, windows: Tensor, map: Windows, beside: boolean) {
  const { height, width, window, shift } = map;
  const images = x.rows / (height * width);
  const sizes = [height, width, ...window].every((n) => Number.isSafeInteger(n) && n > 0);
  if (!sizes || !Number.isInteger(images) || images < 1) {
    throw new RangeError(
      `${op}: maps are ${height}×${width} and windows ${window.join("×")}, so the map must have a multiple of ${height * width} rows; got ${size(x)}`,
    );
  }
  const [down, across] = [Math.ceil(height / window[0]), Math.ceil(width / window[1])];
  const [count, area] = [images * down * across, window[0] * window[1]];
  const given = `the map is ${size(x)} of ${down}×${across} windows of ${window.join("×")} pixels`;
  const [rows, cols] = beside && windows.cols !== x.cols ? [count, area * x.cols] : [count * area, x.cols];
  expect(op, given, "the windows", windows, rows, cols);
  if (x === windows) throw new RangeError(`${op}: out must be another tensor than x; got the same`);
  const padded: Pair = [down * window[0], across * window[1]];
  const { by, of } = shift ?? { by: [0, 0], of: padded };
  for (const axis of [0, 1] as const) {
    const whole = Number.isSafeInteger(of[axis]) && of[axis] >= [height, width][axis]! && of[axis] <= padded[axis];
    if (whole && inside(by[axis], of[axis])) continue;
    throw new RangeError(
      `${op}: ${given}, so shifts must be below a period from ${height}×${width} to ${padded.join("×")}; got ${by.join("×")} of ${of.join("×")}`,
    );
  }
  return { images, down, across, by, of };
}

export function checkToWindows(out: Tensor, x: Tensor, outside: Tensor, map: Windows) {
  expect("toWindows", `x is ${size(x)}`, "outside", outside, 1, x.cols);
  return checkWindows("toWindows", x, out, map, true);
}

export const checkFromWindows = (out: Tensor, x: Tensor, map: Windows) =>
  checkWindows("fromWindows", out, x, map, false);

/** Returns the number of images. */
export function checkConvolveDepthwise(out: Tensor, x: Tensor, filters: Tensor, window: Window): number {
  const given = `the window is ${window.kernel}×${window.kernel} of ${x.cols} channels`;
  expect("convolveDepthwise", given, "filters", filters, window.kernel ** 2, x.cols);
  return checkWindow("convolveDepthwise", out, x, window, x.cols);
}

/** Returns the number of images. */
export const checkMaxPool = (out: Tensor, x: Tensor, window: Window): number =>
  checkWindow("maxPool", out, x, window, x.cols);

/** Returns the number of images. */
export function checkGroupNorm(out: Tensor, x: Tensor, norm: Norm, options: GroupNormOptions): number {
  const { groups, pixels, accumulate } = options;
  const given = `x is ${size(x)}`;
  expect("groupNorm", given, "out", out, x.rows, x.cols);
  checkNorm("groupNorm", given, "", norm, x.cols);
  if (!norm.shift) throw new RangeError("groupNorm: its norm must have a shift; got none");
  const images = x.rows / pixels;
  if (!Number.isInteger(images) || images < 1 || !(groups > 0) || x.cols % groups !== 0) {
    throw new RangeError(
      `groupNorm: with ${pixels} pixels an image and ${groups} groups x must have multiples of them; got ${size(x)}`,
    );
  }
  if (accumulate && out === x)
    throw new RangeError("groupNorm: with accumulate out must be another tensor than x; got the same");
  return images;
}

/** Returns the number of images. */
export function checkMatmul(out: Tensor, x: Tensor, y: Tensor): number {
  if (x.cols !== y.cols) {
    throw new RangeError(`matmul: x is ${size(x)}, so y must have ${x.cols} columns; got ${size(y)}`);
  }
  const images = y.rows / out.cols;
  if (!Number.isInteger(images) || x.rows % images !== 0) {
    throw new RangeError(
      `matmul: out has ${out.cols} columns, so y must have as many rows for each image of x; got ${size(x)} and ${size(y)}`,
    );
  }
  expect("matmul", `x is ${size(x)} and y ${size(y)}`, "out", out, x.rows, out.cols);
  if (out === x || out === y) throw new RangeError("matmul: out must be another tensor than x and y; got one of them");
  return images;
}

export function checkLinear(out: Tensor, x: Tensor, weights: Linear, options: LinearOptions): void {
  if (x.cols !== weights.inputs) {
    throw new RangeError(
      `linear: the weight is ${weights.outputs}×${weights.inputs}, so x must have ${weights.inputs} columns; got ${size(x)}`,
    );
  }
  const { column } = options;
  if (column === undefined) expect("linear", `x is ${size(x)}`, "out", out, x.rows, weights.outputs);
  else checkColumn(out, x, weights, column, options.accumulate === true);
  if (out === x) throw new RangeError("linear: out must be another tensor than x; got the same");
  if (options.norm) {
    checkNorm("linear", `x is ${size(x)}`, " of norm", options.norm, x.cols);
  }
  if (options.activation && options.accumulate) {
    throw new RangeError(`linear: an activation excludes accumulate; got ${options.activation} and accumulate`);
  }
}

function checkColumn(out: Tensor, x: Tensor, { outputs }: Linear, column: number, accumulate: boolean): void {
  if (!accumulate) throw new RangeError("linear: column needs accumulate; got none");
  if (!Number.isSafeInteger(column) || column < 0 || column % 8 !== 0) {
    throw new RangeError(`linear: column must be a multiple of 8, from 0 on; got ${column}`);
  }
  if (out.rows !== x.rows || out.cols < column + outputs) {
    const least = `${x.rows} rows and at least ${column + outputs} columns`;
    throw new RangeError(
      `linear: x is ${size(x)}, so out must have ${least} for ${outputs} outputs from column ${column} on; got ${size(out)}`,
    );
  }
}

/** Returns the columns of a head. */
export function checkQkNorm(qkv: Tensor, heads: number, query: Norm, key: Norm): number {
  const d = qkv.cols / (3 * heads);
  if (!Number.isInteger(d) || d < 1) {
    throw new RangeError(
      `qkNorm: with ${heads} heads qkv must have a multiple of ${3 * heads} columns; got ${size(qkv)}`,
    );
  }
  for (const [name, norm] of Object.entries({ query, key })) {
    const cols = norm.scale.cols === heads * d ? heads * d : d;
    checkNorm("qkNorm", `heads have ${d} columns`, ` of ${name}`, norm, cols);
  }
  return d;
}

/** Returns the numbers of images and of an image's queries, the columns of a head, and whether all images have the same queries. */
export function checkAttention(out: Tensor, qkv: Attended, shape: AttentionShape) {
  const { heads, tokens, bias, windows, probabilities } = shape;
  const { images, queries, d, shared, given } = "q" in qkv ? checkApart(out, qkv, shape) : checkPacked(out, qkv, shape);
  if (bias) {
    const of = queries === tokens ? `${tokens} tokens` : `${queries} queries of ${tokens} tokens`;
    const rows = windows ? 4 * heads * queries : bias.rows === queries ? queries : heads * queries;
    expect("attention", `there are ${of} and ${heads} heads`, "bias", bias, rows, tokens);
  }
  if (windows && !(bias && windows.down > 0 && images % (windows.down * windows.across) === 0)) {
    throw new RangeError(
      `attention: images are ${windows.down}×${windows.across} windows of maps, so there must be a multiple of them, and a bias; got ${images}`,
    );
  }
  if (probabilities) expect("attention", given, "probabilities", probabilities, images * heads * queries, tokens);
  if (shape.decomposed) checkDecomposed(shape.decomposed, { queries, tokens, d });
  return { images, queries, d, shared };
}

function checkDecomposed(
  { height, width, down, across }: Decomposed,
  { queries, tokens, d }: { queries: number; tokens: number; d: number },
): void {
  const sides = [height, width].every((n) => Number.isSafeInteger(n) && n > 0);
  if (!sides || height * width !== tokens || queries !== tokens) {
    throw new RangeError(
      `attention: decomposed positions are of ${height}×${width} tokens, so there must be as many queries and keys; got ${queries} and ${tokens}`,
    );
  }
  const given = `the grid is ${height}×${width} and heads have ${d} columns`;
  expect("attention", given, "down", down, 2 * height - 1, d);
  expect("attention", given, "across", across, 2 * width - 1, d);
}

function checkPacked(out: Tensor, qkv: Tensor, { heads, tokens }: AttentionShape) {
  const images = qkv.rows / tokens;
  const d = qkv.cols / (3 * heads);
  if (!Number.isInteger(images) || !Number.isInteger(d) || d < 1) {
    throw new RangeError(
      `attention: with ${tokens} tokens and ${heads} heads qkv must have a multiple of ${tokens} rows and of ${3 * heads} columns; got ${size(qkv)}`,
    );
  }
  const given = `qkv is ${size(qkv)}`;
  expect("attention", given, "out", out, qkv.rows, heads * d);
  if (out === qkv) throw new RangeError("attention: out must be another tensor than qkv; got the same");
  return { images, queries: tokens, d, shared: false, given };
}

function checkApart(
  out: Tensor,
  { q, k, v }: { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor },
  { heads, tokens }: AttentionShape,
) {
  const images = k.rows / tokens;
  const d = k.cols / heads;
  if (!Number.isInteger(images) || images < 1 || !Number.isInteger(d) || d < 1) {
    throw new RangeError(
      `attention: with ${tokens} tokens and ${heads} heads k must have a multiple of ${tokens} rows and of ${heads} columns; got ${size(k)}`,
    );
  }
  const given = `k is ${size(k)}`;
  expect("attention", given, "v", v, k.rows, k.cols);
  const queries = out.rows / images;
  if (!Number.isInteger(queries)) {
    throw new RangeError(
      `attention: there are ${images} images, so out must have a multiple of ${images} rows; got ${size(out)}`,
    );
  }
  expect("attention", given, "out", out, out.rows, k.cols);
  const shared = q.rows !== out.rows;
  expect("attention", `out is ${size(out)}`, "q", q, shared ? queries : out.rows, k.cols);
  if (out === q || out === k || out === v) {
    throw new RangeError("attention: out must be another tensor than q, k and v; got one of them");
  }
  return { images, queries, d, shared, given: `${given} and out ${size(out)}` };
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

export function checkDraw(pixels: Tensor, { columns, rows }: Sampling): void {
  const [width, height] = [columns.first.length, rows.first.length];
  expect("draw", `the result is ${height}×${width}`, "pixels", pixels, 3, height * width);
}
