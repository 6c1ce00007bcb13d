/**
 * The forward pass of "An Image is Worth 16x16 Words" (Dosovitskiy et al. 2021), equations 1 to 4, from pixels to the
 * tokens that the heads read (heads/). Written once for every family and backend: what a checkpoint has, its weights and its config
 * say.
 */
import type { Backend, Linear, Tensor as Matrix, Norm } from "../backend.js";
import { type Call, tensorOf } from "./call.js";
import { encode, type PostNorm } from "./encoder.js";
import { filtersOf } from "./filters.js";
import { finishTokens } from "./given.js";
import type { StagesConfig } from "./hierarchy.js";
import type { DrawnValues } from "./inputs.js";
import { listsOf, mapsOf } from "./lists.js";
import { keepPatches, type Masking, maskPatches } from "./masking.js";
import { inOrder, libraryOrder } from "./order.js";
import type { Tensor } from "./outputs.js";
import { type Conditioner, pixelsOf, pixelsToCut } from "./pixels.js";
import { gridOf, type PlacesConfig, type PlacesWeights, placesOf, readPositions } from "./places.js";
import { type Encoded, encodeJoined, type Joining, type Reader, tapsOf } from "./reader.js";
import { planes, type ResNet, type ResNetConfig } from "./resnet.js";
import type { Stage } from "./stages.js";
import { patchEmbedMap, patchEmbedOverlapping, runStem } from "./stem.js";

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
  /** Patches are of `kernel` pixels a side, patchSize apart, the first `padding` pixels outside, where there are zeros (Hiera). */
  readonly overlapping?: { readonly kernel: number; readonly padding: number };
  /** Stages between which the map becomes coarser (Swin), in the place of one encoder; width and heads are the last one's. */
  readonly hierarchy?: StagesConfig;
  /** Experts of each block's MLP, one for each data set that the model was trained on; none unless given. */
  readonly experts?: number;
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
  /** In the place of blocks. */
  readonly stages?: readonly Stage[];
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

/** Calls the ops of images up to what the heads read, in tensors that the caller releases. */
export async function encodeImages(
  backend: Backend,
  weights: VitWeights,
  config: VitConfig,
  batch: ImageBatch,
  call: Call,
  {
    readers = [],
    joining,
    masking,
  }: { readonly readers?: readonly Reader[]; readonly joining?: Joining; readonly masking?: Masking } = {},
): Promise<Encoded> {
  const { wants, outputs, signal } = call;
  const { prefixTokens, heads } = config;
  if ("hiddenState" in batch) return finishTokens(backend, weights, config, batch.hiddenState, call);
  if (wants("patchFilters")) outputs.patchFilters = filtersOf(backend, weights, config);
  const images = "pixels" in batch ? batch.pixels.dims[0]! : 1;

  const map =
    "pixels" in batch && weights.resnet && runStem(backend, weights.resnet, config, batch.pixels, call, readers);
  if (map && config.depth === 0) {
    if (wants("lastHiddenState")) outputs.lastHiddenState = planes(backend, map, images);
    return { images, tokens: map.height * map.width, z: map.x, grid: [map.height, map.width] };
  }
  const grid = "grid" in batch ? batch.grid : gridOf(config, batch.pixels.dims.slice(2) as [number, number]);
  const patches = grid[0] * grid[1];
  let tokens = prefixTokens + patches;
  const width = weights.patchEmbed!.outputs;
  let z = backend.createTensor(images * tokens, width);

  const x = map
    ? patchEmbedMap(backend, weights.patchEmbed!, config, map, grid, images)
    : patchEmbed(backend, weights, config, batch, images * patches);
  if (weights.patchNorm) backend.layerNorm(x, x, weights.patchNorm);
  if (masking?.patches) await maskPatches(backend, x, masking.patches);
  if (wants("patchEmbedding")) outputs.patchEmbedding = tensorOf(backend.read(x), [images, patches, width]);

  // z₀ = [x_class; x¹E; …; xᴺE] + E_pos                                                     (1)
  const { positions, ...places } = placesOf(backend, weights, config, grid);
  const order = libraryOrder({ tokens, prefix: prefixTokens, suffix: config.suffixTokens });
  if (wants("positionEmbeddings")) outputs.positionEmbeddings = readPositions(backend, config, positions, order);
  backend.assembleTokens(z, weights.prefix, x, positions);
  if (weights.preNorm) backend.layerNorm(z, z, weights.preNorm);
  if (masking?.kept) {
    z = await keepPatches(backend, z, { images, prefix: prefixTokens }, masking.kept);
    tokens = z.rows / images;
  }

  if (weights.stages) {
    const { encodeStages } = await import("./stages.js");
    return encodeStages(backend, weights, config, { images, tokens, z, grid }, call);
  }

  // z_l for l = 1 … L                                                                   (2, 3)
  const names = { states: "hiddenStates", attentions: "attentions", queries: "queries", keys: "keys" } as const;
  const lists = listsOf(backend, z, { images, tokens }, heads, call, names, { order, ...mapsOf(config, grid) });
  const taps = [...lists, ...tapsOf(readers, { images, tokens, z, grid })];
  const own = weights.blocks.slice(0, joining?.block);
  const dataset = "pixels" in batch ? batch.dataset : undefined;
  const run = config.video?.divided ? (await import("./divided.js")).encodeDivided : encode;
  await run(backend, config, own, z, { images, tokens, dataset }, places, { taps, signal });
  let all = tokens;
  if (joining) {
    const encoded = { images, tokens, z, grid };
    z = await encodeJoined(backend, weights.blocks, config, encoded, joining, places, { taps, signal });
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
  return { images, tokens: all, z, grid, ...(joining && { joined: all - tokens }) };
}

/** xⁿE: patches, flattened, times the patch embedding. Returns [B·N, D]. */
function patchEmbed(backend: Backend, weights: VitWeights, config: VitConfig, batch: Images, rows: number): Matrix {
  if (config.overlapping && "pixels" in batch) {
    return patchEmbedOverlapping(backend, weights.patchEmbed!, config, pixelsOf(backend, batch.pixels), rows);
  }
  const { inputs, outputs } = weights.patchEmbed!;
  const x = backend.createTensor(rows, outputs);
  const given = "patches" in batch ? batch.patches : undefined;
  const flat = backend.createTensor(rows, inputs, given);
  if ("pixels" in batch) {
    const [patchHeight, patchWidth] = config.patchSize;
    const { x: pixels, height, width } = pixelsToCut(backend, weights, config, batch.pixels);
    backend.patchify(flat, pixels, { height, width, patchHeight, patchWidth });
  }
  backend.linear(x, flat, weights.patchEmbed!);
  return x;
}
