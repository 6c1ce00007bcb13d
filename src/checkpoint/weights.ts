/** From named tensors of a checkpoint to the weights that the forward pass reads. Which parts there are, the tensors tell. */
import type { Norm, Pair } from "../backend.js";
import type { Weights } from "../forward/model.js";
import { planAttentionPool } from "../heads/attention-pool.js";
import { planClassifier } from "../heads/classifier-weights.js";
import { planProjection, planSimilarity, similarityOf } from "../heads/contrastive.js";
import type { Place } from "../heads/head.js";
import type { HeadName } from "../heads/index.js";
import { planPooler } from "../heads/pooler.js";
import type { Arrange, LinearPlan, Planned, Planner, TensorPlan } from "../planned.js";
import { convolutionRows, source, values } from "../plans.js";
import type { Attention, Block, EncoderConfig, Mlp } from "../vit/encoder.js";
import type { Experts } from "../vit/experts.js";
import type { Bottleneck } from "../vit/further.js";
import { inOrder, ownOrder } from "../vit/order.js";
import { gridOf, ownGrid } from "../vit/places.js";
import { type Positions, positionRows, positionsAt, resamplePatches, tablesAt } from "../vit/positions.js";
import type { Stage } from "../vit/stages.js";
import { firstPosition, type TextWeights } from "../vit/text.js";
import type { WindowOf } from "../vit/windows.js";
import type { Config, Shapes } from "./config.js";
import {
  type AttentionNames,
  type BlockNames,
  biasOf,
  type Layout,
  type MlpNames,
  type TextNames,
  weightOf,
} from "./layouts.js";
import { blockAt, choose, hasBlock, type Known, patchEmbedOf, stageAt } from "./observe.js";
import { fitPlan, type WeightPlan } from "./plan.js";
import { createPlanner } from "./planner.js";
import { planResNet } from "./resnet.js";
import { planContinuous, planCosines, planMerging, planQueryPool, windowsOf } from "./stages.js";

/** The checkpoint's own sizes, from which the resampling at load starts. */
export interface Stored {
  readonly imageSize: readonly [number, number];
  readonly patchSize: readonly [number, number];
}

/** Weights as a checkpoint stores them: the similarity is a logarithm and a bias. */
type Loaded = Omit<Weights, "similarity"> & {
  readonly similarity: { readonly scale: Float32Array; readonly bias: Float32Array | undefined } | undefined;
};

/** Epsilon of the norm that VideoMAE's classifier has of its own, PyTorch's default. */
const HEAD_EPS = 1e-5;

type HeadPlans = Pick<Planned<Loaded>, HeadName>;

/**
 * Compares the tensors of a checkpoint with those that `config` needs. A linear weight that is I8 is one of integers in
 * -64…63, each row to be multiplied by its scale in the tensor {@link scaleOf} names.
 * @param stored sizes of the checkpoint, where the config's are others: patch embedding and positions are resampled.
 * @param blocks of the image tower, where not all of them are wanted, and no text tower: then further tensors may be there.
 * @throws Error naming every missing, unexpected and misshapen tensor at once, each with the nearest name that exists.
 */
export function planWeights(
  name: string,
  {
    config,
    named,
    heads,
    stored = config,
    blocks: count,
  }: Known & { readonly stored?: Stored; readonly blocks?: number },
  tensors: Shapes,
): WeightPlan<Weights> {
  const { layout, prefix } = named;
  const planner = createPlanner(layout, tensors, named.block && firstNorm(named.blockPrefix, named.block));
  const { has } = planner;
  const { width, eps, norm } = config;
  const encodes = config.depth > 0;
  const at = (part: string) => prefix + part;
  const optionalNorm = (part: string | undefined, cols = width): Planned<Norm> | undefined =>
    part !== undefined && planner.hasNorm(at(part)) ? planner.norm(at(part), cols, eps) : undefined;
  const optionalValues = (part: string | undefined, shape: readonly number[]) =>
    part !== undefined && has(at(part)) ? values(at(part), shape) : undefined;

  const stem = named.resnet && planResNet(planner, layout, prefix, named.resnet, config.resnet!, config.inputChannels);
  const ofHead = layout.headNorm !== undefined && planner.hasNorm(layout.headNorm);
  const pooledNorm = () => (ofHead ? planner.norm(layout.headNorm!, width, HEAD_EPS) : optionalNorm(layout.pooledNorm));
  const texts = count === undefined ? named.text : undefined;
  const own = count === undefined ? [...heads] : [];
  /** Place of a head's tensors, whose names a layout may have. */
  function placeOf(part: HeadName): Place<unknown> {
    const { [part]: names }: Partial<Record<HeadName, unknown>> = layout;
    const { block } = Object(names) as { block?: BlockNames | readonly BlockNames[] };
    const blocks = [block ?? []].flat();
    const those = blocks.find((one) => hasBlock(layout, "", one, has)) ?? blocks[0];
    const linear: Planner["linear"] = (layers, outputs, inputs, options) =>
      planner.linear(layers, outputs, inputs, { ...options, biased: true });
    return {
      prefix,
      names,
      blocks: (own, count) => planBlocks({ ...planner, linear }, layout, own, "", those!, count),
    };
  }

  // The embedding is as wide as the first block.
  const embedding = { ...config, width: config.hierarchy?.stages[0]?.width ?? width };
  const grid = gridOf({ ...config, patchSize: stored.patchSize }, stored.imageSize);
  const tower = { ...config, relativeTable: tableShape(config, stored), grid };

  const plan: Planned<Loaded> = {
    resnet: stem?.resnet,
    conditioner: layout.conditioner && planConditioner(layout.conditioner, config.inputChannels),
    patchEmbed: encodes
      ? planPatchEmbed(planner, layout, patchEmbedOf(named)!, embedding, prefix, stored, stem?.channels)
      : undefined,
    patchNorm: optionalNorm(layout.patchNorm, embedding.width),
    preNorm: optionalNorm(
      layout.preNorm?.find((part) => planner.hasNorm(at(part))),
      embedding.width,
    ),
    prefixAngles: optionalValues(layout.prefixAngles, [config.prefixTokens, width / config.heads / 2]),
    prefix: encodes ? planPrefix(planner, layout, prefix, width) : undefined,
    ...planPositions(planner, layout, embedding, prefix, stored),
    frequencies: optionalValues(layout.frequencies, [2, config.depth, config.heads, width / config.heads / 2]),
    blocks:
      named.block && !config.hierarchy
        ? planBlocks(planner, layout, tower, named.blockPrefix, named.block, count ?? config.depth)
        : [],
    ...(config.hierarchy && { stages: planStages(planner, layout, config, named, count) }),
    relativePositions: optionalValues(
      layout.relativePositions?.find((table) => has(at(table))),
      tower.relativeTable,
    ),
    relativeGrid: gridOf({ ...config, patchSize: stored.patchSize }, stored.imageSize),
    norm:
      norm !== "none" && encodes
        ? ((norm === "pooled" ? pooledNorm() : undefined) ?? planner.norm(at(layout.norm), width, eps))
        : undefined,
    attentionPool:
      config.pooling === "attention" ? planAttentionPool(planner, layout.attentionPool!, prefix, config) : undefined,
    classifiers: config.probe ? [] : planClassifier(planner, layout, config),
    pooler: config.poolerWidth > 0 ? planPooler(planner, at(layout.pooler!), config) : undefined,
    ...(Object.fromEntries(own.map(([part, head]) => [part, head.plan(planner, config, placeOf(part))])) as HeadPlans),
    projection: planProjection(planner, layout.projection ?? [], width, config.features),
    similarity: named.text && config.text && planSimilarity(planner, named.text),
    text: texts && config.text && planText(layout, tensors, config, texts),
  };

  // What a head replaces: CLIPForImageClassification has a norm that nothing reads.
  const unread = norm === "none" ? at(layout.norm) : undefined;
  const pool =
    layout.attentionPool && config.pooling !== "attention" ? at(layout.attentionPool.latent.split(".")[0]!) : undefined;
  const classifiers =
    config.classes === 0 || config.probe
      ? [...layout.head, ...(layout.distillationHead ? [layout.distillationHead] : [])]
      : [];
  const ignored = (tensor: string) =>
    count !== undefined ||
    layout.ignored.test(tensor) ||
    own.some(([, head]) => head.unread?.test(tensor)) ||
    classifiers.some((head) => tensor === weightOf(layout, head) || tensor === biasOf(layout, head)) ||
    (unread !== undefined && tensor.startsWith(`${unread}.`)) ||
    (pool !== undefined && tensor.startsWith(`${pool}.`));

  return fitPlan<Loaded, Weights>(name, plan, tensors, {
    ignored,
    evidence: layout.evidence === undefined ? [] : [layout.evidence],
    finish: ({ similarity, ...weights }) => {
      for (const [part, head] of own) head.check?.(name, weights[part]!, placeOf(part));
      return {
        ...weights,
        similarity: similarity && similarityOf(name, similarity.scale[0]!, similarity.bias?.[0], config.mostSimilarity),
      };
    },
  });
}

const planConditioner = ({ mean, std }: NonNullable<Layout["conditioner"]>, channels: number) => ({
  mean: values(mean, [channels, 1, 1]),
  std: values(std, [channels, 1, 1]),
});

/** E of eq. 1, a convolution of stride P on pixels or on what the stem makes of them. */
function planPatchEmbed(
  planner: Planner,
  layout: Layout,
  patchEmbed: string,
  config: Config,
  prefix: string,
  stored: Stored,
  channels = config.inputChannels * (config.video?.tubelet ?? 1),
): LinearPlan {
  const { width, naflex, stride } = config;
  const { kernel: side = 0 } = config.overlapping ?? {};
  const sidesOf = (patchSize: readonly [number, number]) =>
    (side > 0 ? [side, side] : patchSize.map((pixels) => pixels / stride)) as [number, number];
  const [height, columns] = sidesOf(stored.patchSize);
  const [newHeight, newColumns] = sidesOf(config.patchSize);
  const inputs = channels * newHeight * newColumns;
  const name = prefix + patchEmbed;
  const flat = naflex || layout.flatPatches === true;
  const { inputChannels, video } = config;
  const planes = video && !video.byPlace ? [inputChannels, video.tubelet] : [channels];
  const kernel = flat ? [width, channels * height * columns] : [width, ...planes, height, columns];
  const rows = layout.kernels ? [height, columns, channels, width] : kernel;
  return { ...planner.linear([name], width, inputs), weight: [weightSource()] };

  function weightSource() {
    const of = (shape: readonly number[], arrange?: (values: Float32Array) => Float32Array) =>
      source(planner.weightOf(name), shape, width, { arrange });
    // Of a map's pixels, as any convolution.
    if (config.resnet || config.overlapping) {
      return of(rows, convolutionRows({ outputs: width, channels, kernel: height, flax: layout.kernels === true }));
    }
    if (height !== newHeight || columns !== newColumns) {
      return of(rows, (weight) => resamplePatches(weight, [height, columns], [newHeight, newColumns]));
    }
    if (layout.kernels) return of(rows, (weight) => pixelRows(weight, channels));
    return of(rows);
  }

  /** [height, width, channel, D] to the order of Conv2d's rows, (channel, y, x). */
  function pixelRows(weight: Float32Array, channels: number): Float32Array {
    const result = new Float32Array(weight.length);
    const spots = height * columns;
    for (let i = 0; i < spots; i++)
      for (let c = 0; c < channels; c++)
        for (let o = 0; o < width; o++) result[o * inputs + c * spots + i] = weight[(i * channels + c) * width + o]!;
    return result;
  }
}

/** Tokens before the patches, in turn, each with as many rows as it has. */
function planPrefix(planner: Planner, layout: Layout, prefix: string, width: number): TensorPlan | undefined {
  const all = layout.suffix === undefined ? layout.tokens : [...layout.tokens, layout.suffix];
  const names = all.map((token) => prefix + token).filter(planner.has);
  if (names.length === 0) return undefined;
  let rows = 0;
  const sources = names.map((name) => {
    const count = rowsOf(planner.shapeOf(name)!);
    const plan = source(name, [1, count, width], count, { to: rows });
    rows += count;
    return plan;
  });
  return { place: "tensor", rows, cols: width, sources };
}

/** Rows of a table of any number of dimensions. */
const rowsOf = (shape: readonly number[]): number =>
  shape.length === 1 ? 1 : shape.reduce((product, n) => product * n, 1) / shape.at(-1)!;

type PositionPlans = Pick<Planned<Loaded>, "positions" | "times" | "nativePositions" | "betweenPositions">;

/** The table of positions, resampled where the image is of another size than the checkpoint's, and a row for each token. */
function planPositions(
  planner: Planner,
  layout: Layout,
  config: Config,
  prefix: string,
  stored: Stored,
): PositionPlans {
  const name = prefix + layout.positions;
  if (!planner.has(name)) return { positions: undefined, nativePositions: undefined, betweenPositions: undefined };
  const shape = planner.shapeOf(name)!;
  if (config.patchPadding) return sharedPositions(name, config);
  if (config.video?.byPlace) return placesAndTimes(name, prefix + layout.times!, config, config.video);
  if (config.pretrainedSize) return pretrainedPositions(name, config, config.pretrainedSize, stored);
  const { cropped } = config.interpolation;
  const from = ownGrid({ ...config, patchSize: stored.patchSize, imageSize: cropped?.size ?? stored.imageSize });
  const before = shape.reduce((product, n) => product * n, 1) / shape.at(-1)! - from[0] * from[1];
  // A table that fits no such number of prefix rows has a wrong shape, and is named as one.
  const counted = before >= 0 && before <= config.prefixTokens ? before : config.prefixTokens;
  const rowsInAll = counted + from[0] * from[1];
  // SAM's has the grid's own shape.
  const expected = shape.length === 4 ? [1, ...from, config.width] : [1, rowsInAll, config.width];
  const grid = ownGrid(config);
  const order = ownOrder({ tokens: rowsInAll, prefix: counted, suffix: config.suffixTokens });
  const own = (table: Float32Array) => ({ table: inOrder(table, order, config.width), grid: from, prefix: counted });
  const resampled = (table: Float32Array) => positionsAt(own(table), grid, config);
  const rows = config.prefixTokens + grid[0] * grid[1];
  const arrange = (table: Float32Array) => positionRows(resampled(table), config);
  return {
    positions: cropped
      ? { table: values(name, expected), grid: from, prefix: counted }
      : { table: values(name, expected, (table) => resampled(table).table), grid, prefix: counted },
    nativePositions: {
      place: "tensor",
      ...{ rows, cols: config.width, sources: [source(name, expected, rows, { arrange })] },
    },
    betweenPositions: between(),
  };

  function between(): Planned<Positions> | undefined {
    const tables = prefix + (layout.betweenPositions ?? "");
    if (layout.betweenPositions === undefined || !planner.has(tables)) return undefined;
    const arrange = (values: Float32Array) => joined(tablesAt(own(values), grid, config).map(({ table }) => table));
    return { table: values(tables, [config.depth - 1, ...expected], arrange), grid, prefix: counted };
  }
}

/** ViTPose's table, whose first row is added to every patch beside its own. */
function sharedPositions(name: string, config: Config): PositionPlans {
  const { width, imageSize } = config;
  const grid = gridOf(config, imageSize);
  const rows = grid[0] * grid[1];
  const shape = [1, 1 + rows, width];
  const summed = (table: Float32Array) => table.slice(width).map((x, i) => x + table[i % width]!);
  return {
    positions: { table: values(name, shape, summed), grid, prefix: 0 },
    nativePositions: {
      place: "tensor",
      ...{ rows, cols: width, sources: [source(name, shape, rows, { arrange: summed })] },
    },
    betweenPositions: undefined,
  };
}

/** TimeSformer's tables, of places and of frames, which are added for each token. */
function placesAndTimes(
  places: string,
  times: string,
  config: Config,
  { frames, tubelet }: NonNullable<Config["video"]>,
): PositionPlans {
  const grid = gridOf(config, config.imageSize);
  const table = values(places, [1, config.prefixTokens + grid[0] * grid[1], config.width]);
  return {
    positions: { table, grid, prefix: config.prefixTokens },
    times: values(times, [1, frames / tubelet, config.width]),
    nativePositions: undefined,
    betweenPositions: undefined,
  };
}

/** ViTDet's table, which is resampled from the size that it is of for images of every size; its first row is of no token. */
function pretrainedPositions(name: string, config: Config, pretrainedSize: Pair, stored: Stored): PositionPlans {
  const { width, imageSize } = config;
  const grid = gridOf({ ...config, patchSize: stored.patchSize }, pretrainedSize);
  const shape = [1, 1 + grid[0] * grid[1], width];
  const own = (table: Float32Array) => ({ table: table.slice(width), grid, prefix: 0 });
  const [rows, columns] = gridOf(config, imageSize);
  const arrange = (table: Float32Array) => positionsAt(own(table), [rows, columns], config).table;
  return {
    positions: { table: values(name, shape, (table) => own(table).table), grid, prefix: 0 },
    nativePositions: {
      place: "tensor",
      ...{ rows: rows * columns, cols: width, sources: [source(name, shape, rows * columns, { arrange })] },
    },
    betweenPositions: undefined,
  };
}

/** Tables, one after the other. */
function joined(tables: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(tables.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const table of tables) {
    all.set(table, at);
    at += table.length;
  }
  return all;
}

/** Rows of BEiT's table and its columns. */
function tableShape(config: Config, stored: Stored): [number, number] {
  const [height, width] = gridOf({ ...config, patchSize: stored.patchSize }, stored.imageSize);
  return [(2 * height - 1) * (2 * width - 1) + 3, config.heads];
}

/** Config of a tower, as its blocks need it. `relativeTable`: shape of BEiT's table, in towers of images. */
type TowerConfig = EncoderConfig &
  Pick<Partial<Config>, "qkvBias" | "windows" | "bottlenecks" | "experts"> & {
    readonly relativeTable?: readonly [number, number];
    /** Makes the table of another. */
    readonly relativeArrange?: Arrange;
    /** Windows of a stage, shifted. */
    readonly stage?: WindowOf;
    readonly trainedWindow?: number;
    readonly closed?: readonly number[];
    readonly grid?: readonly [number, number];
  };

/** Blocks of a tower, `depth` of them or those `from` one on. Which parts they have, the first one tells. */
function planBlocks(
  planner: Planner,
  layout: Layout,
  config: TowerConfig,
  prefix: string,
  names: BlockNames,
  depth: number,
  from = 0,
): Planned<Block>[] {
  return Array.from({ length: depth - from }, (_, at) => from + at).map((i) => {
    const [at, first] = [prefix + blockAt(names, i), prefix + blockAt(names, 0)];
    const parallel = names.inProj === undefined ? undefined : planInProj(planner, config, at, first, names);
    const attentions = names.attentions.map((part) =>
      planAttention(planner, config, { at, first, block: i }, part, parallel?.qkv),
    );
    const mlps = names.mlps.map((part) => planMlp(planner, layout, config, { at, first }, part, parallel?.fc1));
    if (parallel) return [[...attentions, ...mlps]];
    const steps = names.inTurn ? [...attentions.map((attention) => [attention]), mlps] : [attentions, mlps];
    if (config.bottlenecks?.includes(i)) return [...steps, [planBottleneck(planner, config, at, names)]];
    if (!config.closed?.includes(i)) return steps;
    return [...steps, [{ kind: "norm", norm: planner.norm(at + names.closing!, config.width, config.eps) }]];
  });
}

/** ViTDet's convolutions behind a block, without biases, whose norms have an epsilon of their own. */
function planBottleneck(
  planner: Planner,
  { width }: EncoderConfig,
  at: string,
  { bottleneck }: BlockNames,
): Planned<Bottleneck> {
  const inner = width / 2;
  const convolution = (i: 1 | 2 | 3, outputs: number, channels: number, kernel: number): LinearPlan => {
    const weight = planner.weightOf(at + bottleneck!.convolution.replace("#", String(i)));
    const arrange = convolutionRows({ outputs, channels, kernel });
    return {
      place: "linear",
      ...{ outputs, inputs: kernel * kernel * channels, bias: [] },
      weight: [source(weight, [outputs, channels, kernel, kernel], outputs, { arrange })],
    };
  };
  const norm = (i: 1 | 2 | 3, cols: number) =>
    planner.norm(at + bottleneck!.norm.replace("#", String(i)), cols, 1e-6, false);
  return {
    kind: "bottleneck",
    convolutions: [convolution(1, inner, width, 1), convolution(2, inner, inner, 3), convolution(3, width, inner, 1)],
    norms: [norm(1, inner), norm(2, inner), norm(3, width)],
  };
}

/** Stages, or a part of the first. */
function planStages(
  planner: Planner,
  layout: Layout,
  config: Config,
  { block, blockPrefix }: Known["named"],
  count: number | undefined,
): Planned<Stage>[] {
  const { stages } = config.hierarchy!;
  const { merging, widen } = block!.stage!;
  const prefixOf = (stage: number) => blockPrefix + stageAt(block!, stage);
  // Merging stands in the stage whose map it makes coarser, or in the next one; the first then has none.
  const own = merging && planner.has(planner.weightOf(prefixOf(0) + merging.reduction));
  return stages.slice(0, count === undefined ? stages.length : 1).map((size, i) => {
    const tower = { ...config, ...size, ...windowsOf(config, i, planner, prefixOf(i), block!) };
    const last = i === stages.length - 1 || count !== undefined;
    const names = { ...block!, stage: undefined };
    const at = prefixOf(i) + blockAt(names, 0);
    const pools = size.queryPool !== undefined && widen !== undefined;
    const mlp = () => planMlp(planner, layout, tower, { at, first: at }, names.mlps[0], undefined);
    const before = { ...tower, inputs: stages[i - 1]?.width ?? 0 };
    const blocks = planBlocks(planner, layout, tower, prefixOf(i), names, count ?? size.depth, pools ? 1 : 0);
    return {
      ...(pools && { queryPool: { ...planQueryPool(planner, before, at, names.attentions[0], widen), mlp: mlp() } }),
      blocks,
      merging:
        last || !merging
          ? undefined
          : planMerging(planner, prefixOf(own ? i : i + 1), merging, size.width, config.postNorm),
    };
  });
}

/** Prefixes of a block's tensors, and of the first block's, which tell what there is in all. */
interface BlockPlace {
  readonly at: string;
  readonly first: string;
}

const firstNorm = (prefix: string, names: BlockNames) => prefix + blockAt(names, 0) + names.attentions[0].norm;

/** One tensor whose rows are fc1, then q, k and v. */
function planInProj(
  { has, weightOf, biasOf }: Planner,
  { width, mlpWidth }: EncoderConfig,
  at: string,
  first: string,
  { inProj, mlps }: BlockNames,
): { readonly fc1: LinearPlan; readonly qkv: LinearPlan } {
  const rows = mlpWidth + 3 * width;
  const [weight, bias] = [weightOf(at + inProj!), biasOf(at + inProj!)];
  const { bias: own } = mlps[0];
  const biased = has(biasOf(first + inProj!));
  const part = (outputs: number, from: number): LinearPlan => ({
    place: "linear",
    ...{ outputs, inputs: width },
    weight: [source(weight, [rows, width], outputs, { from })],
    bias: biased ? [source(bias, [rows], outputs, { from })] : [],
  });
  const fc1 = part(mlpWidth, 0);
  const beside = !biased && own !== undefined && has(first + own);
  return {
    fc1: beside ? { ...fc1, bias: [source(at + own, [mlpWidth], mlpWidth)] } : fc1,
    qkv: part(3 * width, mlpWidth),
  };
}

function planAttention(
  planner: Planner,
  config: TowerConfig,
  place: BlockPlace & { readonly block: number },
  names: AttentionNames,
  fused: LinearPlan | undefined,
): Planned<Attention> {
  const { width, heads, eps } = config;
  const { at, first } = place;
  const window = windowOf(config, place.block);
  const hasNorm = (norm: string | undefined) => norm !== undefined && planner.hasNorm(first + norm);
  // Head by head, or all heads of a token in one; an RMSNorm, if it has no shift, whatever the tower's are.
  const qkNorm = (norm: string | undefined) => {
    if (!hasNorm(norm)) return undefined;
    const whole = planner.shapeOf(planner.weightOf(first + norm))?.[0] === width;
    const rms = !planner.has(planner.biasOf(first + norm));
    return planner.norm(at + norm, whole ? width : width / heads, names.qkEps ?? eps, rms);
  };
  const query = qkNorm(names.queryNorm);
  const key = qkNorm(names.keyNorm);
  const table = names.relativePositions;
  return {
    kind: "attention",
    norm: planner.norm(at + names.norm, width, eps),
    qkv: fused ?? planQkv(planner, config, place, names),
    qkNorm:
      names.cosine !== undefined && planner.has(first + names.cosine)
        ? planCosines(at + names.cosine, width, heads)
        : query && key && { query, key, heads: width / query.scale.cols },
    relativePositions:
      table !== undefined && config.relativeTable && planner.has(first + table)
        ? values(at + table, config.relativeTable, config.relativeArrange)
        : undefined,
    continuous: planContinuous(planner, config, place, names),
    decomposed: planDecomposed(planner, config, place, names, window?.size),
    window,
    subNorm: hasNorm(names.subNorm) ? planner.norm(at + names.subNorm, width, eps) : undefined,
    out: scaled(
      planner,
      planner.linear([at + names.proj], width, width, { heads: { of: "inputs", count: heads } }),
      names.scales,
      place,
    ),
    ...(names.dense !== undefined && { dense: planner.linear([at + names.dense], width, width) }),
  };
}

/** Tables of the whole grid, or of a window. */
function planDecomposed(
  planner: Planner,
  { grid, width, heads }: TowerConfig,
  { at, first }: BlockPlace,
  { decomposed }: AttentionNames,
  size: Pair | undefined,
): Planned<Attention>["decomposed"] {
  if (!decomposed || !grid || !planner.has(first + decomposed[0])) return undefined;
  const [down, across] = decomposed.map((name, axis): TensorPlan => {
    const [rows, cols] = [2 * (size ?? grid)[axis]! - 1, width / heads];
    return { place: "tensor", ...{ rows, cols, sources: [source(at + name, [rows, cols], rows)] } };
  });
  return { down: down!, across: across! };
}

/** Windows of a block: of ViTDet all but some, of a Swin Transformer all, of which every second block's are shifted. */
function windowOf({ windows, stage }: TowerConfig, block: number): WindowOf | undefined {
  if (stage) return block % 2 === 0 ? { size: stage.size } : stage;
  return windows && !windows.whole.includes(block) ? { size: [windows.size, windows.size] } : undefined;
}

function planQkv(
  planner: Planner,
  { width, heads, qkvBias }: TowerConfig,
  { at, first }: BlockPlace,
  names: AttentionNames,
): LinearPlan {
  const { has, biasOf } = planner;
  const exists = (name: string) => has(planner.weightOf(first + name));
  const parts = names.qkv.find((list) => list.every(exists)) ?? names.qkv[0]!;
  // All of a file without any are missing, where the config says that there are biases.
  const required = qkvBias === true && !names.biases && !parts.some((part) => has(biasOf(first + part)));
  const qkv = planner.linear(
    parts.map((part) => at + part),
    3 * width,
    width,
    {
      heads: { of: "outputs", count: heads },
      // A key's may be missing: softmax does not see it.
      biases: parts.map((part) =>
        qkvBias !== false && (has(biasOf(first + part)) || required) ? biasOf(at + part) : undefined,
      ),
    },
  );
  const { biases } = names;
  if (!biases || !has(first + biases[0]) || has(biasOf(first + parts[0]))) return qkv;
  const beside = biases.map((bias, i) => source(at + bias, [width], width, { to: 2 * i * width }));
  return { ...qkv, bias: [...qkv.bias, ...beside] };
}

function planMlp(
  planner: Planner,
  layout: Layout,
  config: TowerConfig,
  place: BlockPlace,
  names: MlpNames,
  fused: LinearPlan | undefined,
): Planned<Mlp> {
  const { width, mlpWidth, eps } = config;
  const { at, first } = place;
  const exists = (name: string) => planner.has(planner.weightOf(first + name));
  const parts = names.fc1.find((list) => list.every(exists)) ?? names.fc1[0] ?? [];
  const rows = planner.shapeOf(planner.weightOf(first + (parts[0] ?? "")))?.[layout.kernels ? 1 : 0];
  const gated = parts.length === 2 || rows === 2 * mlpWidth;
  const layers = parts.map((part) => at + part);
  const fc2 = at + choose(names.fc2, exists)!;
  const experts = planExperts(planner, config, place, names);
  const outputs = width - (experts?.width ?? 0);
  return {
    kind: "mlp",
    norm: planner.norm(at + names.norm, width, eps),
    fc1: fused ?? planner.linear(layers, gated ? 2 * mlpWidth : mlpWidth, width),
    gated,
    subNorm:
      names.subNorm !== undefined && planner.hasNorm(first + names.subNorm)
        ? planner.norm(at + names.subNorm, mlpWidth, eps)
        : undefined,
    out: scaled(planner, planner.linear([fc2], outputs, mlpWidth), names.scales, place),
    experts: experts?.plan,
  };
}

/** Experts of an MLP, if there are any, and the columns that each of them makes. */
function planExperts(
  planner: Planner,
  { width, mlpWidth, experts: count = 0 }: TowerConfig,
  { at, first }: BlockPlace,
  { experts }: MlpNames,
): { readonly plan: Planned<Experts>; readonly width: number } | undefined {
  if (count === 0 || experts === undefined) return undefined;
  const nameOf = (i: number) => experts.replace("#", String(i));
  const own = planner.shapeOf(planner.weightOf(first + nameOf(0)))?.[0] ?? 0;
  // Rows of zeros come first, from the multiple of 8 on that is before their columns.
  const before = (width - own) % 8;
  const padded = (rows: Float32Array): Float32Array => {
    const result = new Float32Array(before * mlpWidth + rows.length);
    result.set(rows, before * mlpWidth);
    return result;
  };
  const layers = Array.from({ length: count }, (_, i): LinearPlan => {
    const name = at + nameOf(i);
    const plan = planner.linear([name], own, mlpWidth);
    if (before === 0) return plan;
    return {
      ...plan,
      outputs: before + own,
      weight: [source(planner.weightOf(name), [own, mlpWidth], before + own, { arrange: padded })],
      bias: plan.bias.map((bias) => ({ ...bias, to: before })),
    };
  });
  return { plan: { layers, column: width - own - before }, width: own };
}

/** LayerScale becomes part of the layer before it. */
function scaled(
  { has }: Planner,
  out: LinearPlan,
  scales: readonly string[] | undefined,
  { at, first }: BlockPlace,
): LinearPlan {
  const name = scales?.find((scale) => has(first + scale));
  return name === undefined ? out : { ...out, scale: values(at + name, [out.outputs]) };
}

function planText(layout: Layout, tensors: Shapes, { text, features }: Config, names: TextNames): Planned<TextWeights> {
  const { prefix, block, types, preNorm, norm, readout: layers = [] } = names;
  const { width, depth, vocabulary, length, padding, eps } = text!;
  const planner = createPlanner(layout, tensors, firstNorm(prefix, block));
  const readout: Planned<TextWeights>["readout"][number][] = [];
  let inputs = width;
  for (const { layer, activation } of layers) {
    const outputs = planner.shapeOf(weightOf(layout, layer))?.[0];
    if (outputs === undefined) continue;
    readout.push({ layer: planner.linear([layer], outputs, inputs), activation });
    inputs = outputs;
  }
  // BERT's table may be longer than the texts that the model was made for.
  const rows = Math.max(planner.shapeOf(prefix + (names.positions ?? ""))?.[0] ?? 0, firstPosition(padding) + length);
  const kinds = types === undefined ? undefined : planner.shapeOf(prefix + types)?.[0];
  return {
    embedding: values(prefix + names.embedding, [vocabulary, width]),
    positions: names.positions === undefined ? undefined : values(prefix + names.positions, [rows, width]),
    types: kinds === undefined ? undefined : values(prefix + types!, [kinds, width]),
    preNorm: preNorm === undefined ? undefined : planner.norm(prefix + preNorm, width, eps),
    blocks: planBlocks(planner, layout, text!, prefix, block, depth),
    norm: norm === undefined ? undefined : planner.norm(norm, width, eps),
    readout,
    projection: planProjection(planner, names.projection, inputs, features),
  };
}
