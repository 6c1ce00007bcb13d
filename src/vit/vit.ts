/**
 * The forward pass of "An Image is Worth 16x16 Words" (Dosovitskiy et al. 2021), equations 1 to 4, from pixels to the
 * tokens that the heads read (heads/). Written once for every family and backend: what a checkpoint has, its weights and its config
 * say.
 */
import type { Backend, Linear, Tensor as Matrix, Norm } from "../backend.js";
import { encode, type Places, type PostNorm, type Sequence, type Tap } from "./encoder.js";
import { filtersOf } from "./filters.js";
import { listsOf } from "./lists.js";
import { inOrder, libraryOrder } from "./order.js";
import { type Call, type DrawnValues, type Tensor, tensorOf } from "./outputs.js";
import { gridOf, type PlacesConfig, type PlacesWeights, placesOf } from "./places.js";
import { type FeatureMap, planes, type ResNet, type ResNetConfig, runResNet } from "./resnet.js";

export interface VitConfig extends PlacesConfig {
  /** Channels of images: 3, or 1 of gray ones. */
  readonly inputChannels: number;
  /** Pixels for each of the map that patches are cut from: 1, or what the convolutional stem takes. */
  readonly stride: number;
  /** True if the first of the tokens before the patches is a class token. */
  readonly classToken: boolean;
  /** True if MLPs are gated (SwiGLU). */
  readonly gated: boolean;
  /** True if queries, keys and values have biases; a key's may be missing. */
  readonly qkvBias: boolean;
  /** True if queries and keys are normalized, head by head, before they meet (Henry et al. 2020). */
  readonly qkNorm: boolean;
  /** True if norms come after attention and MLP instead of before (ResPost). */
  readonly postNorm: PostNorm;
  /** Norm of all tokens after the last block, of the pooled vector, of both in turn, or none. */
  readonly norm: "tokens" | "pooled" | "twice" | "none";
  /** True if images have the config's size only, as with timm's relative positions, which it fits with a spline of scipy's. */
  readonly fixedSize: boolean;
  /** Images are sequences of patches of any number, with their grid (NaFlex, Tschannen et al. 2025). */
  readonly naflex: boolean;
  readonly resnet: ResNetConfig | undefined;
  /** Blocks attend within windows of so many tokens a side, but for those whose numbers, from 0, are in `whole`. */
  readonly windows: { readonly size: number; readonly whole: readonly number[] } | undefined;
  /** Zeros around the image, in pixels, before patches are cut (ViTPose): as many patches as without, that much further up. */
  readonly patchPadding?: number;
  /** Experts of each block's MLP, one for each data set that the model was trained on; none unless given. */
  readonly experts?: number;
  /** Blocks before the last one whose class tokens are kept for a head; none unless given. */
  readonly keptBlocks?: number;
}

/** Mean and deviation of each channel, by which the model normalizes pixel values itself (RADIO), [C]. */
interface Conditioner {
  readonly mean: Float32Array;
  readonly std: Float32Array;
}

export interface VitWeights extends PlacesWeights {
  readonly conditioner: Conditioner | undefined;
  readonly resnet: ResNet | undefined;
  /** E of eq. 1: C·Ph·Pw → D */
  readonly patchEmbed: Linear | undefined;
  readonly patchNorm: Norm | undefined;
  /** Class token, distillation token, registers, [prefixTokens, D]. */
  readonly prefix: Matrix | undefined;
  readonly preNorm: Norm | undefined;
  /** LN of eq. 4. */
  readonly norm: Norm | undefined;
}

/** Images of one size, one sequence of patches, or what the last block made of them. */
export type ImageBatch =
  | Images
  /** Tokens, [B, n, D], the prefix first; of a ResNet, pixels of its last map. */
  | { readonly hiddenState: Tensor };

type Images =
  /** [B, 3, H, W], and the data set whose experts are taken. */
  | { readonly pixels: Tensor | DrawnValues; readonly dataset?: number }
  /** [patches, P·P·3] and the grid that they are from. */
  | { readonly patches: Float32Array; readonly grid: readonly [number, number] };

/** Input of the heads: the last block's tokens, [B·tokens, D], or the pixels of a ResNet's last map. */
export interface Encoded extends Sequence {
  readonly z: Matrix;
  /** Tokens before all others that joined on the way; none unless given. */
  readonly joined?: number;
  /** Class tokens of the blocks that the config keeps, [B, D] each, after the last norm. */
  readonly kept?: readonly Matrix[];
  /** Rows and columns of the patches, or of the map. */
  readonly grid: readonly [number, number];
}

/** A reader of what the encoder leaves on its way, for heads that need more than its end. What it is given is overwritten later. */
export interface Reader {
  /** Blocks behind which it reads, from 0; -1: before the first. */
  readonly blocks: readonly number[];
  /** Is given the tokens behind such a block, which no norm has seen. */
  tokens(block: number, encoded: Encoded): void;
  /** Is given the maps of a convolutional stem, from 0: that before the first stage, then one behind each. */
  map(index: number, map: FeatureMap, images: number): void;
}

/** Tokens that join those of each image on their way through the encoder, and come before all others then: EoMT's queries. */
export interface Joining {
  /** The first block that has them, from 0. */
  readonly block: number;
  /** [n, D] */
  readonly tokens: Matrix;
  /** Gives the bias of a block's scores, [tokens, tokens], by what is before the block; undefined where there is none. */
  readonly bias?: (block: number, encoded: Encoded) => Promise<Float32Array | undefined>;
}

/** Calls the ops of images up to what the heads read, in tensors that the caller releases. */
export async function encodeImages(
  backend: Backend,
  weights: VitWeights,
  config: VitConfig,
  batch: ImageBatch,
  call: Call,
  { reader, joining }: { readonly reader?: Reader; readonly joining?: Joining } = {},
): Promise<Encoded> {
  const { wants, outputs, signal } = call;
  const { width, prefixTokens, heads } = config;
  if ("hiddenState" in batch) return finish(backend, weights, config, batch.hiddenState, call);
  const images = "pixels" in batch ? batch.pixels.dims[0]! : 1;
  const tensor = (x: Matrix, ...dims: number[]) => tensorOf(backend.read(x), dims);
  if (wants("patchFilters")) outputs.patchFilters = filtersOf(backend, weights, config);

  const map = weights.resnet && runStem(backend, weights.resnet, config, batch, call, reader);
  if (config.depth === 0) {
    const { x: z, height, width } = map!;
    if (wants("lastHiddenState")) outputs.lastHiddenState = planes(backend, map!, images);
    return { images, tokens: height * width, z, grid: [height, width] };
  }
  const grid = "grid" in batch ? batch.grid : gridOf(config, batch.pixels.dims.slice(2) as [number, number]);
  const patches = grid[0] * grid[1];
  const tokens = prefixTokens + patches;
  let z = backend.createTensor(images * tokens, width);

  const x = map
    ? patchEmbedMap(backend, weights, config, map, grid, images)
    : patchEmbed(backend, weights, config, batch, grid, images);
  if (weights.patchNorm) backend.layerNorm(x, x, weights.patchNorm);
  if (wants("patchEmbedding")) outputs.patchEmbedding = tensor(x, images, patches, width);

  // z₀ = [x_class; x¹E; …; xᴺE] + E_pos                                                     (1)
  const { positions, ...places } = placesOf(backend, weights, config, grid);
  if (wants("positionEmbeddings")) outputs.positionEmbeddings = positionsOf(positions);
  backend.assembleTokens(z, weights.prefix, x, positions);
  if (weights.preNorm) backend.layerNorm(z, z, weights.preNorm);

  // z_l for l = 1 … L                                                                   (2, 3)
  const order = libraryOrder({ tokens, prefix: prefixTokens, suffix: config.suffixTokens });
  const names = { states: "hiddenStates", attentions: "attentions", queries: "queries", keys: "keys" } as const;
  const taps = listsOf(backend, z, { images, tokens }, heads, call, names, {
    order,
    grid: config.windows && grid,
  });
  const read = (block: number) => reader!.tokens(block, { images, tokens, z, grid });
  for (const block of reader?.blocks ?? []) {
    if (block < 0) read(block);
    else taps.push({ of: "tokens", blocks: [block], read: () => read(block) });
  }
  const kept: Matrix[] = [];
  if (config.keptBlocks) taps.push(classTokenTap(backend, weights, config, z, { images, tokens }, kept));
  const own = weights.blocks.slice(0, joining?.block);
  const dataset = "pixels" in batch ? batch.dataset : undefined;
  await encode(backend, config, own, z, { images, tokens, dataset }, places, { taps, signal });
  let all = tokens;
  if (joining) {
    z = await encodeJoined(backend, weights, config, { images, tokens, z, grid }, joining, places, { taps, signal });
    all += joining.tokens.rows;
  }

  // y = LN(z_L⁰), of all tokens here                                                       (4)
  if (config.norm === "tokens" || config.norm === "twice") backend.layerNorm(z, z, weights.norm!);
  const last = () => {
    const rows = backend.read(z).then((values) => inOrder(values, order, width));
    return tensorOf(rows, [images, all, width]);
  };
  if (wants("lastHiddenState")) outputs.lastHiddenState = last();
  // transformers' list ends behind the norm, where tokens have joined.
  const { hiddenStates } = outputs;
  if (joining && hiddenStates && (call.blocks?.includes(config.depth - 1) ?? true)) {
    hiddenStates[hiddenStates.length - 1] = last();
  }
  return { images, tokens: all, z, grid, kept, ...(joining && { joined: all - tokens }) };

  /** E_pos of eq. 1, a row for each token. */
  function positionsOf(positions: Matrix | undefined): Promise<Tensor> {
    if (positions) {
      return tensorOf(
        backend.read(positions).then((rows) => inOrder(rows, order, width)),
        [tokens, width],
      );
    }
    const kind = config.rotary ? "rotary ones" : config.relativePositions ? "relative ones" : "none";
    throw new RangeError(
      `forward: positionEmbeddings needs a checkpoint that adds positions to its tokens; this one has ${kind}`,
    );
  }
}

/** The end of the encoder, of tokens that are given. */
function finish(backend: Backend, weights: VitWeights, config: VitConfig, { dims, data }: Tensor, call: Call): Encoded {
  const [images, tokens, width] = dims as [number, number, number];
  const z = backend.createTensor(images * tokens, width, data);
  if (config.norm === "tokens" || config.norm === "twice") backend.layerNorm(z, z, weights.norm!);
  if (call.wants("lastHiddenState")) call.outputs.lastHiddenState = tensorOf(backend.read(z), dims);
  return { images, tokens, z, grid: [1, tokens - config.prefixTokens] };
}

/** Runs tokens and those that join them, which have no positions, through the blocks from there on. Returns [B·(n + tokens), D]. */
async function encodeJoined(
  backend: Backend,
  { blocks }: VitWeights,
  config: VitConfig,
  { images, tokens, z, grid }: Encoded,
  joining: Joining,
  { rotary, ...places }: Places,
  { taps, signal }: { readonly taps: readonly Tap[]; readonly signal: AbortSignal | undefined },
): Promise<Matrix> {
  const joined = joining.tokens.rows;
  const sequence = { images, tokens: joined + tokens };
  const all = backend.createTensor(images * sequence.tokens, z.cols);
  backend.assembleTokens(all, joining.tokens, z, undefined);
  /** Turns of the tokens, and none of those before them. */
  const before = (table: Matrix, value: 0 | 1) => {
    const none = backend.createTensor(joined, table.cols, new Float32Array(joined * table.cols).fill(value));
    const out = backend.createTensor(joined + tokens, table.cols);
    backend.assembleTokens(out, none, table, undefined);
    return out;
  };
  const first = rotary && config.rotary?.kind !== "mixed" ? rotary.of(joining.block) : undefined;
  const turns = first && { cos: before(first.cos, 1), sin: before(first.sin, 0) };
  const further: Places = { ...places, ...(turns && { rotary: { pairs: rotary!.pairs, of: () => turns } }) };
  const { bias } = joining;
  if (!bias) {
    await encode(backend, config, blocks.slice(joining.block), all, sequence, further, {
      ...{ taps, first: joining.block, signal },
    });
    return all;
  }
  for (let block = joining.block; block < blocks.length; block++) {
    const mark = backend.mark();
    try {
      const values = await bias(block, { ...sequence, z: all, grid, joined });
      const hidden = values && { bias: backend.createTensor(sequence.tokens, sequence.tokens, values) };
      const one = blocks.slice(block, block + 1);
      await encode(backend, config, one, all, sequence, { ...further, ...hidden }, { taps, first: block, signal });
    } finally {
      backend.release(mark);
    }
  }
  return all;
}

/** A tap that keeps class tokens. */
function classTokenTap(
  backend: Backend,
  { norm }: VitWeights,
  { depth, keptBlocks }: VitConfig,
  z: Matrix,
  { images, tokens }: Sequence,
  kept: Matrix[],
): Tap {
  const read = () => {
    const token = backend.createTensor(images, z.cols);
    backend.pool(token, z, { tokens, first: 0, count: 1 });
    if (norm) backend.layerNorm(token, token, norm);
    kept.push(token);
  };
  return { of: "tokens", blocks: Array.from({ length: keptBlocks! }, (_, i) => depth - 1 - keptBlocks! + i), read };
}

/** xⁿE: patches, flattened, times the patch embedding. Returns [B·N, D]. */
function patchEmbed(
  backend: Backend,
  weights: VitWeights,
  config: VitConfig,
  batch: Images,
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
  const whole = config.interpolation.pad ? padded(batch.pixels, config.patchSize) : batch.pixels;
  const values = config.patchPadding ? moved(whole, config.patchPadding) : whole;
  const [, , height, width] = values.dims as [number, number, number, number];
  const pixels = pixelsOf(backend, weights.conditioner ? conditioned(values, weights.conditioner) : values);
  const flat = backend.createTensor(images * rows * columns, inputs);
  backend.patchify(flat, pixels, { height, width, patchHeight, patchWidth });
  backend.linear(x, flat, weights.patchEmbed!);
  return x;
}

/** (x - mean) / std, each step rounded to f32. */
function conditioned({ dims, data }: Tensor, { mean, std }: Conditioner): Tensor {
  const [, channels, height, width] = dims as [number, number, number, number];
  const area = height * width;
  const result = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const channel = Math.floor(i / area) % channels;
    result[i] = Math.fround(data[i]! - mean[channel]!) / std[channel]!;
  }
  return { dims, data: result };
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
  weights: VitWeights,
  config: VitConfig,
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

/**
 * The image further down and to the right, with zeros in the place of what it leaves: patches cut from it are those of an image with
 * such a border on all sides, whose other side no patch reaches.
 */
function moved(values: Tensor, by: number): Tensor {
  const [images, channels, height, width] = values.dims as [number, number, number, number];
  const { data } = values;
  const result = new Float32Array(data.length);
  for (let plane = 0; plane < images * channels; plane++)
    for (let y = by; y < height; y++) {
      const from = (plane * height + y - by) * width;
      result.set(data.subarray(from, from + width - by), (plane * height + y) * width + by);
    }
  return { dims: values.dims, data: result };
}

/** The convolutional stem, or all of a BiT. */
function runStem(
  backend: Backend,
  resnet: ResNet,
  config: VitConfig,
  batch: Images,
  { wants, outputs }: Call,
  reader: Reader | undefined,
): FeatureMap {
  if (!("pixels" in batch)) throw new TypeError("forward: a convolutional stem takes pixels; got patches");
  const [images, , height, width] = batch.pixels.dims as [number, number, number, number];
  const pixels = pixelsOf(backend, batch.pixels);
  const states = config.depth === 0 && wants("hiddenStates");
  if (states) outputs.hiddenStates = [];
  let index = 0;
  return runResNet(backend, resnet, config.resnet!, pixels, { height, width }, (map) => {
    reader?.map(index++, map, images);
    if (states) outputs.hiddenStates!.push(planes(backend, map, images));
  });
}
