/**
 * Masks of queries (EoMT, Kerssies et al. 2025): learned tokens join the sequence before the last blocks, and each then says of
 * which class something is, and by the product with the patches, enlarged, where it is.
 */
import type { Activation, Backend, Linear, Tensor as Matrix, Norm } from "../backend.js";
import type { Planned, Planner } from "../planned.js";
import { source, transpose, transposedPlan, values } from "../plans.js";
import { type Call, tensorOf } from "../vit/call.js";
import type { Encoded, Joining } from "../vit/reader.js";
import { type FeatureMap, planes, windowOf } from "../vit/resnet.js";
import type { Head } from "./head.js";
import { inBands } from "./maps.js";
import { planMlp, runMlp } from "./mlp.js";

export interface QueryMasksConfig {
  readonly queries: number;
  /** Blocks, the last of all, that queries take part in. */
  readonly blocks: number;
  /** Times that the patches' map is enlarged twofold. */
  readonly upscales: number;
  /** Classes of queries, beside that of nothing. */
  readonly classes: number;
  /** Activation of the masks' layers and of each enlargement. */
  readonly activation: Activation;
}

/** One enlargement: a transposed convolution, a depthwise one of 3×3, and a norm of each pixel's channels. */
interface Upscale {
  readonly transposed: Linear;
  /** [9, D] */
  readonly filters: Matrix;
  readonly norm: Norm;
}

export interface QueryMasks {
  /** [queries, D] */
  readonly queries: Matrix;
  /** D → classes + 1 */
  readonly classifier: Linear;
  /** D → D, by which the map is multiplied. */
  readonly masks: readonly Linear[];
  readonly upscale: readonly Upscale[];
  /** For each block with queries, 1 if a query sees only the patches of its mask there: 0 in all that are published. */
  readonly hidden: Float32Array;
}

export interface QueryMasksNames {
  readonly queries: string;
  readonly classifier: string;
  readonly masks: readonly string[];
  /** Prefix of an enlargement's tensors, with "#". */
  readonly upscale: string;
  readonly hidden: string;
}

/** Epsilon of the enlargements' norms (EomtLayerNorm2d). */
const UPSCALE_EPS = 1e-6;

function planQueryMasks(
  planner: Planner,
  { queries, classifier, masks, upscale, hidden }: QueryMasksNames,
  width: number,
  config: QueryMasksConfig,
): Planned<QueryMasks> {
  return {
    queries: {
      place: "tensor",
      ...{ rows: config.queries, cols: width },
      sources: [source(queries, [config.queries, width], config.queries)],
    },
    classifier: planner.linear([classifier], config.classes + 1, width, { biased: true }),
    masks: planMlp(planner, masks, width, width),
    upscale: Array.from({ length: config.upscales }, (_, i) => {
      const at = upscale.replace("#", String(i));
      const filters = source(planner.weightOf(`${at}conv2`), [width, 1, 3, 3], 9, { arrange: transpose(width) });
      return {
        transposed: transposedPlan(planner, `${at}conv1`, { outputs: width, channels: width, stride: 2 }),
        filters: { place: "tensor", ...{ rows: 9, cols: width }, sources: [filters] },
        norm: planner.norm(`${at}layernorm2d`, width, UPSCALE_EPS),
      };
    }),
    hidden: values(hidden, [config.blocks]),
  };
}

/**
 * Compares the numbers that say in which blocks masks hide patches with what they may be.
 * @throws Error for one between 0 and 1, by which training draws queries at random, at inference too.
 */
function checkHidden(name: string, tensor: string, { hidden }: QueryMasks): void {
  const drawn = hidden.findIndex((x) => x > 0 && x < 1);
  if (drawn < 0) return;
  const found = `element ${drawn} is ${hidden[drawn]}`;
  throw new Error(
    `weights: "${tensor}" of "${name}" must be 0 or 1, as others are chances that are drawn anew for each image; ${found}`,
  );
}

/** Config of a model that may have the head. */
interface Config {
  readonly queryMasks: QueryMasksConfig | undefined;
  readonly prefixTokens: number;
  readonly width: number;
  readonly depth: number;
}

interface Weights {
  readonly queryMasks: QueryMasks | undefined;
  /** Norm behind the encoder. */
  readonly norm: Norm | undefined;
}

/** The queries, as they join the encoder. */
function joiningOf(backend: Backend, { queryMasks, norm }: Weights, config: Config): Joining {
  const weights = queryMasks!;
  const { queries, blocks, activation } = config.queryMasks!;
  const block = config.depth - blocks;
  if (!weights.hidden.some((x) => x > 0)) return { block, tokens: weights.queries };
  /** That of the block before, which stays where a block has none of its own, as in transformers. */
  let last: Float32Array | undefined;

  async function bias(at: number, { z, ...encoded }: Encoded): Promise<Float32Array | undefined> {
    if (!(weights.hidden[at - block]! > 0)) return last;
    const { tokens, grid } = encoded;
    const mark = backend.mark();
    const normed = backend.createTensor(z.rows, z.cols);
    backend.layerNorm(normed, z, norm!);
    const masks = masksOf(backend, weights, activation, config.prefixTokens, { ...encoded, z: normed });
    const coarse = backend.createTensor(grid[0] * grid[1], queries);
    const { height, width } = masks;
    backend.resizeMap(coarse, masks.x, { height, width, outHeight: grid[0], outWidth: grid[1], aligned: false });
    const read = backend.read(coarse);
    backend.release(mark);
    const logits = await read;
    const first = queries + config.prefixTokens;
    last = new Float32Array(tokens * tokens);
    for (let query = 0; query < queries; query++)
      for (let patch = 0; patch < tokens - first; patch++) {
        const seen = logits[patch * queries + query]! > 0;
        if (!seen) last[query * tokens + first + patch] = Number.NEGATIVE_INFINITY;
      }
    return last;
  }
  return { block, tokens: weights.queries, bias };
}

/** Gives masksQueriesLogits, [B, queries, H, W], and classQueriesLogits, [B, queries, classes + 1]. */
function runQueryMasks(
  backend: Backend,
  weights: QueryMasks,
  { queryMasks, prefixTokens }: Config,
  encoded: Encoded,
  { wants, outputs }: Call,
): void {
  const { images } = encoded;
  const { activation } = queryMasks!;
  const mark = backend.mark();
  if (wants("classQueriesLogits")) {
    const x = queriesOf(backend, weights, encoded);
    const scores = backend.createTensor(x.rows, weights.classifier.outputs);
    backend.linear(scores, x, weights.classifier);
    outputs.classQueriesLogits = tensorOf(backend.read(scores), [images, weights.queries.rows, scores.cols]);
  }
  if (wants("masksQueriesLogits")) {
    const masks = maskBands(backend, weights, activation, prefixTokens, encoded);
    outputs.masksQueriesLogits = tensorOf(masks, [images, weights.queries.rows, ...sizeOf(weights, encoded.grid)]);
  }
  backend.release(mark);
}

/** Queries of each image, the first of its tokens, [B·queries, D]. */
function queriesOf(backend: Backend, { queries }: QueryMasks, { images, tokens, z }: Encoded): Matrix {
  const x = backend.createTensor(images * queries.rows, z.cols);
  // Windows of one token: a copy.
  const column = { height: tokens, width: 1, kernel: 1, stride: 1, top: 0, left: 0 };
  backend.maxPool(x, z, { ...column, outHeight: queries.rows, outWidth: 1 }, Number.NEGATIVE_INFINITY);
  return x;
}

/** Rows and columns of the masks. */
const sizeOf = ({ upscale }: QueryMasks, [rows, columns]: readonly [number, number]): [number, number] => {
  const scale = 2 ** upscale.length;
  return [rows * scale, columns * scale];
};

/** A map of twice the size. */
function doubled(
  backend: Backend,
  { transposed, filters, norm }: QueryMasks["upscale"][number],
  activation: Activation,
  { x, height, width }: FeatureMap,
): FeatureMap {
  const out = { x: backend.createTensor(4 * x.rows, x.cols), height: 2 * height, width: 2 * width };
  const mark = backend.mark();
  const enlarged = backend.createTensor(4 * x.rows, x.cols);
  backend.convolveTransposed(enlarged, x, transposed, { height, width, kernel: 2, stride: 2 }, { activation });
  backend.convolveDepthwise(out.x, enlarged, filters, windowOf(out, 3, 1, "symmetric"));
  backend.layerNorm(out.x, out.x, norm);
  backend.release(mark);
  return out;
}

/** A copy of `count` lines of a map. */
function linesOf(backend: Backend, { x, height, width }: FeatureMap, first: number, count: number): FeatureMap {
  const lines = { x: backend.createTensor((x.rows / height) * count, x.cols), height: count, width };
  const sizes = { height, width, outHeight: height, outWidth: width };
  backend.resizeMap(lines.x, x, { ...sizes, aligned: false, rows: { first, count } });
  return lines;
}

/** Patch tokens, enlarged `times`, and of each query what a mask takes of their channels, [B·queries, D]. */
function partsOf(
  backend: Backend,
  weights: QueryMasks,
  activation: Activation,
  prefixTokens: number,
  encoded: Encoded,
  times: number,
): { readonly map: FeatureMap; readonly kernels: Matrix } {
  const { images, tokens, z, grid } = encoded;
  const kernels = runMlp(backend, weights.masks, queriesOf(backend, weights, encoded), activation);
  const patches = backend.createTensor(images * grid[0] * grid[1], z.cols);
  backend.readout(patches, z, { tokens, prefix: weights.queries.rows + prefixTokens, readout: "ignore" });
  let map: FeatureMap = { x: patches, height: grid[0], width: grid[1] };
  for (const layers of weights.upscale.slice(0, times)) {
    map = doubled(backend, layers, activation, map);
  }
  return { map, kernels };
}

/** Logits of each query at each pixel of the enlarged map, [B·H·W, queries]. */
function masksOf(
  backend: Backend,
  weights: QueryMasks,
  activation: Activation,
  prefixTokens: number,
  encoded: Encoded,
): FeatureMap {
  const [height, width] = sizeOf(weights, encoded.grid);
  const masks = { x: backend.createTensor(encoded.images * height * width, weights.queries.rows), height, width };
  const mark = backend.mark();
  const { map, kernels } = partsOf(backend, weights, activation, prefixTokens, encoded, weights.upscale.length);
  backend.matmul(masks.x, map.x, kernels);
  backend.release(mark);
  return masks;
}

/**
 * The same as planes, [B, queries, H, W]. The last enlargement is made a few lines at a time: of EoMT-L at 1280 its maps would take
 * 800 MB.
 */
function maskBands(
  backend: Backend,
  weights: QueryMasks,
  activation: Activation,
  prefixTokens: number,
  encoded: Encoded,
): Promise<Float32Array> {
  const { images, grid } = encoded;
  const last = weights.upscale.at(-1);
  if (!last) {
    const masks = masksOf(backend, weights, activation, prefixTokens, encoded);
    return planes(backend, masks, images).then(({ data }) => data);
  }
  const [height, width] = sizeOf(weights, grid);
  const { map, kernels } = partsOf(backend, weights, activation, prefixTokens, encoded, weights.upscale.length - 1);
  const sizes = { images, height, width, channels: weights.queries.rows, columns: map.x.cols };
  return inBands(backend, sizes, (top, count) => {
    // Lines that these are made of, and more, as those at the ends miss a neighbor.
    const first = Math.max(Math.floor((top - 1) / 2), 0);
    const end = Math.min(Math.ceil((top + count + 1) / 2), map.height);
    const band = doubled(backend, last, activation, linesOf(backend, map, first, end - first));
    const logits = { ...band, x: backend.createTensor(band.x.rows, weights.queries.rows) };
    backend.matmul(logits.x, band.x, kernels);
    return linesOf(backend, logits, top - 2 * first, count).x;
  });
}

/** Elements of the largest matrix that an image of this grid needs, its rows filled to eight columns. */
function largestOf(
  { upscales, queries }: QueryMasksConfig,
  width: number,
  [rows, columns]: readonly [number, number],
): number {
  const to8 = (n: number) => Math.ceil(n / 8) * 8;
  return rows * columns * 4 ** upscales * Math.max(to8(width), to8(queries));
}

/** Gives masksQueriesLogits and classQueriesLogits; queries join the tokens whatever is asked for, as they change them. */
export const queryMasks: Head<Config, Weights, QueryMasks, QueryMasksNames> = {
  plan: (planner, { queryMasks, width }, { names }) => planQueryMasks(planner, names, width, queryMasks!),
  check: (name, weights, { names }) => checkHidden(name, names.hidden, weights),
  largest: ({ queryMasks, width }, grid) => largestOf(queryMasks!, width, grid),
  begin: ({ weights, config }) => ({
    alone: true,
    pass: (backend, call) => ({
      joining: joiningOf(backend, weights, config),
      run: (encoded) => runQueryMasks(backend, weights.queryMasks!, config, encoded, call),
    }),
  }),
};
