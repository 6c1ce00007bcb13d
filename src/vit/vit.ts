/**
 * The forward pass of "An Image is Worth 16x16 Words" (Dosovitskiy et al. 2021), equations 1 to 4, from pixels to features
 * and class scores. Written once for every family and backend: what a checkpoint has, its weights and its config say.
 */
import type { Backend, Tensor as Matrix } from "../backend.js";
import { type AttentionPool, positionRows, positionsAt, type Weights } from "../checkpoint/weights.js";
import { type Config, gridOf } from "./config.js";
import { encode, type Places, type Sequence } from "./encoder.js";
import { type DrawnValues, type OutputName, type Pending, type Tensor, tensorOf } from "./outputs.js";
import { resample } from "./positions.js";
import { type FeatureMap, runResNet } from "./resnet.js";
import { pairsOf, rotaryTables } from "./rope.js";

/** Images of one size, or one sequence of patches. */
export type ImageBatch =
  /** [B, 3, H, W] */
  | { readonly pixels: Tensor | DrawnValues }
  /** [patches, P·P·3] and the grid that they are from. */
  | { readonly patches: Float32Array; readonly grid: readonly [number, number] };

/** Vectors that are pooled, [B, D] each; what a head reads. */
type Pooled = readonly Matrix[];

/**
 * Calls the ops of images; the values of what is wanted arrive later.
 * @param wants what to compute; nothing else is read back.
 */
export async function runImages(
  backend: Backend,
  weights: Weights,
  config: Config,
  batch: ImageBatch,
  wants: (name: OutputName) => boolean,
  signal?: AbortSignal,
): Promise<Pending> {
  const outputs: Pending = {};
  const { width, prefixTokens, heads } = config;
  const images = "pixels" in batch ? batch.pixels.dims[0]! : 1;
  const tensor = (x: Matrix, ...dims: number[]) => tensorOf(backend.read(x), dims);

  const mark = backend.mark();
  try {
    const map = weights.resnet && runStem(backend, weights, config, batch, wants, outputs);
    if (config.depth === 0) {
      finishResNet(backend, weights, config, map!, images, wants, outputs);
      return outputs;
    }
    const grid = "grid" in batch ? batch.grid : gridOf(config, batch.pixels.dims.slice(2) as [number, number]);
    const patches = grid[0] * grid[1];
    const tokens = prefixTokens + patches;
    const sequence: Sequence = { images, tokens };
    const z = backend.createTensor(images * tokens, width);

    const x = map
      ? patchEmbedMap(backend, weights, config, map, grid, images)
      : patchEmbed(backend, weights, config, batch, grid, images);
    if (weights.patchNorm) backend.layerNorm(x, x, weights.patchNorm);
    if (wants("patchEmbedding")) outputs.patchEmbedding = tensor(x, images, patches, width);

    // z₀ = [x_class; x¹E; …; xᴺE] + E_pos                                                     (1)
    const { positions, ...places } = placesOf(backend, weights, config, grid);
    backend.assembleTokens(z, weights.prefix, x, positions);
    if (weights.preNorm) backend.layerNorm(z, z, weights.preNorm);
    if (wants("hiddenStates")) outputs.hiddenStates = [tensor(z, images, tokens, width)];
    if (wants("attentions")) outputs.attentions = [];

    // z_l for l = 1 … L                                                                   (2, 3)
    await encode(backend, config, weights.blocks, z, sequence, places, {
      attentions: wants("attentions"),
      signal,
      each(probabilities) {
        outputs.hiddenStates?.push(tensor(z, images, tokens, width));
        outputs.attentions?.push(tensor(probabilities ?? z, images, heads, tokens, tokens));
      },
    });

    // y = LN(z_L⁰)                                                                           (4)
    if (config.norm === "tokens") backend.layerNorm(z, z, weights.norm!);
    if (wants("lastHiddenState")) outputs.lastHiddenState = tensor(z, images, tokens, width);
    finish(backend, weights, config, sequence, z, wants, outputs);
    return outputs;
  } finally {
    backend.release(mark);
  }
}

/** xⁿE: patches, flattened, times the patch embedding. Returns [B·N, D]. */
function patchEmbed(
  backend: Backend,
  weights: Weights,
  config: Config,
  batch: ImageBatch,
  [rows, columns]: readonly [number, number],
  images: number,
): Matrix {
  const x = backend.createTensor(images * rows * columns, config.width);
  const { inputs } = weights.patchEmbed!;
  if ("grid" in batch) {
    backend.linear(x, backend.createTensor(rows * columns, inputs, batch.patches), weights.patchEmbed!);
    return x;
  }
  const [patchHeight, patchWidth] = config.patchSize;
  const values = config.interpolation.pad ? padded(batch.pixels, config.patchSize) : batch.pixels;
  const [, , height, width] = values.dims as [number, number, number, number];
  const pixels = pixelsOf(backend, values);
  const flat = backend.createTensor(images * rows * columns, inputs);
  backend.patchify(flat, pixels, { height, width, patchHeight, patchWidth });
  backend.linear(x, flat, weights.patchEmbed!);
  return x;
}

/** x ∈ ℝ^{H×W×C}, [images · channels, H · W]. */
function pixelsOf(backend: Backend, values: Tensor | DrawnValues): Matrix {
  const [images, channels, height, width] = values.dims as [number, number, number, number];
  const x = backend.createTensor(images * channels, height * width);
  const drawn = "sampling" in values && backend.draw?.(x, values.image, values.sampling);
  if (!drawn) backend.write(x, values.data);
  return x;
}

/** The same of a hybrid (section 3.1): patches of the stem's feature map, often of one pixel. */
function patchEmbedMap(
  backend: Backend,
  weights: Weights,
  config: Config,
  { x: map, height, width }: FeatureMap,
  [rows, columns]: readonly [number, number],
  images: number,
): Matrix {
  const x = backend.createTensor(images * rows * columns, config.width);
  const kernel = config.patchSize[0] / config.stride;
  if (kernel === 1) backend.linear(x, map, weights.patchEmbed!);
  else {
    const window = { height, width, kernel, stride: kernel, top: 0, left: 0, outHeight: rows, outWidth: columns };
    backend.convolve(x, map, weights.patchEmbed!, window);
  }
  return x;
}

/** Zeros at the bottom and right, to whole patches. */
function padded(values: Tensor, patch: readonly [number, number]): Tensor {
  const [images, channels, height, width] = values.dims as [number, number, number, number];
  const [newHeight, newWidth] = [Math.ceil(height / patch[0]) * patch[0], Math.ceil(width / patch[1]) * patch[1]];
  if (newHeight === height && newWidth === width) return values;
  const { data } = values;
  const result = new Float32Array(images * channels * newHeight * newWidth);
  for (let plane = 0; plane < images * channels; plane++)
    for (let y = 0; y < height; y++) {
      const row = data.subarray((plane * height + y) * width, (plane * height + y + 1) * width);
      result.set(row, (plane * newHeight + y) * newWidth);
    }
  return { dims: [images, channels, newHeight, newWidth], data: result };
}

/** What depends on a grid and not on an image, kept for the last grid of each model. */
interface GridConstants {
  readonly grid: readonly [number, number];
  /** Of another grid than the config's. */
  readonly positions: Float32Array | undefined;
  readonly tables: ReadonlyMap<Float32Array, Float32Array>;
  readonly rotary: readonly { readonly cos: Float32Array; readonly sin: Float32Array }[];
}

const constants = new WeakMap<Weights, GridConstants>();

function constantsOf(weights: Weights, config: Config, grid: readonly [number, number]): GridConstants {
  const known = constants.get(weights);
  if (known && known.grid[0] === grid[0] && known.grid[1] === grid[1]) return known;
  const { prefixTokens, width, heads } = config;
  const own = gridOf(config, config.imageSize);
  const native = grid[0] === own[0] && grid[1] === own[1];
  const made: GridConstants = {
    grid,
    positions: native
      ? undefined
      : weights.positions && positionRows(positionsAt(weights.positions, grid, config), config),
    tables: new Map(
      [
        weights.relativePositions,
        ...weights.blocks.flat(2).map((b) => ("relativePositions" in b ? b.relativePositions : undefined)),
      ]
        .filter((table) => table !== undefined)
        .map((table) => [table, relativeAt(table, weights.relativeGrid, grid, config.heads)]),
    ),
    rotary: config.rotary
      ? rotaryTables(config.rotary, {
          grid,
          headWidth: width / heads,
          prefixTokens,
          frequencies: weights.frequencies,
          depth: config.depth,
          heads,
        })
      : [],
  };
  constants.set(weights, made);
  return made;
}

/** BEiT's table for another grid: its offsets resampled, its three entries of the class token kept, as in transformers. */
function relativeAt(
  table: Float32Array,
  from: readonly [number, number],
  to: readonly [number, number],
  heads: number,
): Float32Array {
  if (from[0] === to[0] && from[1] === to[1]) return table;
  const sides = ([height, width]: readonly [number, number]): [number, number] => [2 * height - 1, 2 * width - 1];
  const offsets = table.subarray(0, table.length - 3 * heads);
  const resampled = resample(offsets, sides(from), sides(to), { filter: "bilinear", antialias: false });
  const result = new Float32Array(resampled.length + 3 * heads);
  result.set(resampled);
  result.set(table.subarray(table.length - 3 * heads), resampled.length);
  return result;
}

/** The grid's constants in the backend's memory. */
function placesOf(
  backend: Backend,
  weights: Weights,
  config: Config,
  grid: readonly [number, number],
): Places & { positions: Matrix | undefined } {
  const { positions, tables, rotary } = constantsOf(weights, config, grid);
  const { width, heads } = config;
  const matrix = (data: Float32Array, cols: number) => backend.createTensor(data.length / cols, cols, data);
  const tensors = new Map([...tables].map(([table, data]) => [table, matrix(data, heads)]));
  const turns = rotary.map(({ cos, sin }) => {
    const cols = cos.length / (config.prefixTokens + grid[0] * grid[1]);
    return { cos: matrix(cos, cols), sin: matrix(sin, cols) };
  });
  return {
    positions: positions ? matrix(positions, width) : weights.nativePositions,
    relative:
      tensors.size > 0
        ? ({ relativePositions = weights.relativePositions }, out) =>
            backend.relativePositions(out, tensors.get(relativePositions!)!, { height: grid[0], width: grid[1] })
        : undefined,
    rotary: config.rotary && { pairs: pairsOf(config.rotary), of: (block) => turns[block] ?? turns[0]! },
  };
}

/** From the last tokens to what is asked for. */
function finish(
  backend: Backend,
  weights: Weights,
  config: Config,
  sequence: Sequence,
  z: Matrix,
  wants: (name: OutputName) => boolean,
  outputs: Pending,
): void {
  const { images } = sequence;
  const { pooled, features } = config;
  const rows = (x: Matrix) => tensorOf(backend.read(x), [images, x.cols]);
  const wantsPooled = wants("pooled") && pooled !== "none";
  if (wantsPooled && pooled === "pooler") {
    const y = backend.createTensor(images, config.poolerWidth);
    backend.linear(y, tokenOf(backend, sequence, z, 0), weights.pooler!, { activation: "tanh" });
    outputs.pooled = rows(y);
  }
  if (wantsPooled && pooled === "token") outputs.pooled = rows(tokenOf(backend, sequence, z, 0));

  const ofHead = ["logits", "clsLogits", "distillationLogits", "preLogits", "imageFeatures", "imageEmbeds"] as const;
  if (!ofHead.some((name) => wants(name)) && !(wantsPooled && pooled === "head")) return;
  const y = pool(backend, weights, config, sequence, z);
  if (features > 0) {
    const projected = weights.projection ? backend.createTensor(images, features) : y[0]!;
    if (weights.projection) backend.linear(projected, y[0]!, weights.projection);
    outputs.imageFeatures = rows(projected);
  }
  // In a model of both towers transformers calls the features pooler_output.
  if (wantsPooled && pooled === "head") {
    outputs.pooled = config.text && outputs.imageFeatures ? outputs.imageFeatures : rows(y[0]!);
  }
  if (wants("preLogits")) outputs.preLogits = preLogits(backend, config, images, y);
  if (wants("logits") || wants("clsLogits") || wants("distillationLogits")) {
    classify(backend, weights, config, images, y, outputs);
  }
}

/** What each head reads, [B, D]: one vector, or two. */
function pool(backend: Backend, weights: Weights, config: Config, sequence: Sequence, z: Matrix): Pooled {
  const { pooling, prefixTokens, norm } = config;
  const patches = sequence.tokens - prefixTokens;
  const token = (i: number) => tokenOf(backend, sequence, z, i);
  const mean = () => meanOf(backend, sequence, z, prefixTokens, patches);
  if (pooling === "distilled") return [token(0), token(1)];
  if (pooling === "token+mean") return [token(0), mean()];
  if (pooling === "attention") return [attentionPool(backend, config, sequence, z, weights.attentionPool!)];
  const y = pooling === "token" ? token(0) : mean();
  if (norm === "pooled") backend.layerNorm(y, y, weights.norm!);
  return [y];
}

const tokenOf = (backend: Backend, sequence: Sequence, z: Matrix, token: number) =>
  meanOf(backend, sequence, z, token, 1);

function meanOf(backend: Backend, { images, tokens }: Sequence, z: Matrix, first: number, count: number): Matrix {
  const out = backend.createTensor(images, z.cols);
  backend.pool(out, z, { tokens, first, count });
  return out;
}

/** h = MSA(query, z); h + MLP(LN(h)). Every token asks with the same query, so the first one's answer is taken. */
function attentionPool(
  backend: Backend,
  { poolHeads, activation, width }: Config,
  sequence: Sequence,
  z: Matrix,
  pool: AttentionPool,
): Matrix {
  const { images, tokens } = sequence;
  const qkv = backend.createTensor(z.rows, 3 * width);
  const y = backend.createTensor(z.rows, width);
  const h = backend.createTensor(images, width);
  const hidden = backend.createTensor(images, pool.fc1.outputs);
  backend.linear(qkv, z, pool.qkv);
  backend.attention(y, qkv, { heads: poolHeads, tokens });
  backend.linear(h, tokenOf(backend, sequence, y, 0), pool.proj);
  backend.linear(hidden, h, pool.fc1, { norm: pool.norm, activation });
  backend.linear(h, hidden, pool.fc2, { accumulate: true });
  return h;
}

/** The vector before the classifier; of two, their mean when distilled, else one after the other. */
function preLogits(backend: Backend, { pooling }: Config, images: number, [a, b]: Pooled): Promise<Tensor> {
  const width = a!.cols;
  const first = backend.read(a!);
  if (!b) return tensorOf(first, [images, width]);
  const both = Promise.all([first, backend.read(b)]);
  if (pooling === "distilled") return tensorOf(both.then(meanOfTwo), [images, width]);
  const rows = both.then((values) => sideBySide(values, width));
  return tensorOf(rows, [images, 2 * width]);
}

/** [B, D] and [B, D] as [B, 2D] */
function sideBySide([a, b]: readonly [Float32Array, Float32Array], width: number): Float32Array {
  const data = new Float32Array(2 * a.length);
  for (let at = 0; at < a.length; at += width) {
    data.set(a.subarray(at, at + width), 2 * at);
    data.set(b.subarray(at, at + width), 2 * at + width);
  }
  return data;
}

const meanOfTwo = ([a, b]: readonly [Float32Array, Float32Array]) => a.map((x, i) => (x + b[i]!) / 2);

/** Class scores. timm's models without a head give what the head would read. */
function classify(
  backend: Backend,
  weights: Weights,
  config: Config,
  images: number,
  y: Pooled,
  outputs: Pending,
): void {
  const [head, second] = weights.heads;
  if (!head) {
    outputs.logits = preLogits(backend, config, images, y);
    return;
  }
  const scores = backend.createTensor(images, head.outputs);
  const dims = [images, head.outputs];
  backend.linear(scores, y[0]!, head);
  if (config.pooling === "token+mean") backend.linear(scores, y[1]!, second!, { accumulate: true });
  if (config.pooling !== "distilled") {
    outputs.logits = tensorOf(backend.read(scores), dims);
    return;
  }
  const other = backend.createTensor(images, second!.outputs);
  backend.linear(other, y[1]!, second!);
  const both = [backend.read(scores), backend.read(other)] as const;
  outputs.clsLogits = tensorOf(both[0], dims);
  outputs.distillationLogits = tensorOf(both[1], dims);
  outputs.logits = tensorOf(Promise.all(both).then(meanOfTwo), dims);
}

/** The convolutional stem, or all of a BiT. */
function runStem(
  backend: Backend,
  weights: Weights,
  config: Config,
  batch: ImageBatch,
  wants: (name: OutputName) => boolean,
  outputs: Pending,
): FeatureMap {
  if (!("pixels" in batch)) throw new TypeError("forward: a convolutional stem takes pixels; got patches");
  const [images, , height, width] = batch.pixels.dims as [number, number, number, number];
  const pixels = pixelsOf(backend, batch.pixels);
  const states = config.depth === 0 && wants("hiddenStates");
  if (states) outputs.hiddenStates = [];
  return runResNet(backend, weights.resnet!, config.resnet!, pixels, { height, width }, (map) => {
    if (states) outputs.hiddenStates!.push(planes(backend, map, images));
  });
}

/** [B·H·W, C] to [B, C, H, W]. */
function planes(backend: Backend, { x, height, width }: FeatureMap, images: number): Promise<Tensor> {
  const [channels, area] = [x.cols, height * width];
  const values = backend.read(x).then((rows) => {
    const data = new Float32Array(rows.length);
    for (let image = 0; image < images; image++)
      for (let i = 0; i < area; i++)
        for (let c = 0; c < channels; c++)
          data[(image * channels + c) * area + i] = rows[(image * area + i) * channels + c]!;
    return data;
  });
  return tensorOf(values, [images, channels, height, width]);
}

/** Global mean and classifier of a BiT. */
function finishResNet(
  backend: Backend,
  weights: Weights,
  config: Config,
  map: FeatureMap,
  images: number,
  wants: (name: OutputName) => boolean,
  outputs: Pending,
): void {
  if (wants("lastHiddenState")) outputs.lastHiddenState = planes(backend, map, images);
  const area = map.height * map.width;
  const y = meanOf(backend, { images, tokens: area }, map.x, 0, area);
  if (wants("pooled") && config.pooled !== "none") {
    outputs.pooled = tensorOf(backend.read(y), [images, y.cols, 1, 1]);
  }
  if (wants("preLogits")) outputs.preLogits = preLogits(backend, config, images, [y]);
  if (wants("logits")) classify(backend, weights, config, images, [y], outputs);
}
