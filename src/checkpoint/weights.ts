/** From named tensors of a checkpoint to the weights that the forward pass reads. Which parts there are, the tensors tell. */
import type { Backend, Linear, Tensor } from "../backend.js";
import type { Weights } from "../forward/model.js";
import type { AttentionPool } from "../heads/attention-pool.js";
import type { Attention, Block, EncoderConfig, Mlp } from "../vit/encoder.js";
import { gridOf } from "../vit/places.js";
import { type Positions, positionRows, positionsAt, resamplePatches } from "../vit/positions.js";
import type { TextWeights } from "../vit/text.js";
import type { Config, Shapes } from "./config.js";
import { type AttentionNames, type BlockNames, biasOf, type MlpNames, weightOf } from "./layouts.js";
import { blockAt, choose, type Named } from "./observe.js";
import { createPlanner, type Planner, type WeightPlan } from "./plan.js";
import { convolutionRows, planResNet } from "./resnet.js";

/** What a checkpoint has been found to be. */
export interface Known {
  readonly config: Config;
  readonly named: Named;
  readonly stored?: Stored;
}

/** What the resampling at load starts from: the checkpoint's own sizes. */
export interface Stored {
  readonly imageSize: readonly [number, number];
  readonly patchSize: readonly [number, number];
}

/**
 * Compares the tensors of a checkpoint with those that `config` needs. A linear weight that is I8 is one of integers in
 * -64…63, each row to be multiplied by its scale in the tensor {@link scaleOf} names.
 * @param stored sizes of the checkpoint, where the config's are others: patch embedding and positions are resampled.
 * @param blocks of the image tower, where not all of them are wanted, and no text tower: then further tensors may be there.
 * @throws Error naming every missing, unexpected and misshapen tensor at once, each with the nearest name that exists.
 */
export function planWeights(
  name: string,
  { config, named, stored = config, blocks: count }: Known & { readonly blocks?: number },
  tensors: Shapes,
): WeightPlan<Weights> {
  const { layout, prefix } = named;
  const planner = createPlanner(name, layout, tensors);
  const { has } = planner;
  const { width } = config;
  /** Tells whether the tower has layer norms or RMSNorms. */
  const like = named.block && firstNorm(named.blockPrefix, named.block);
  const optional = <T>(exists: boolean, make: () => T): T | undefined => (exists ? make() : undefined);

  const resnet = named.resnet && planResNet(planner, prefix, named.resnet, config.resnet!);
  const patchEmbed = optional(config.depth > 0, () =>
    planPatchEmbed(planner, config, prefix, stored, resnet?.channels),
  );
  const patchNorm = optional(layout.patchNorm !== undefined && has(`${prefix}${layout.patchNorm}.weight`), () =>
    planner.norm(prefix + layout.patchNorm!, width, config.eps, like),
  );
  const preNorm = optional(layout.preNorm !== undefined && has(`${prefix}${layout.preNorm}.weight`), () =>
    planner.norm(prefix + layout.preNorm!, width, config.eps, like),
  );

  const tokens = layout.tokens.filter((token) => has(prefix + token));
  const rowsOf = (token: string) => {
    const { shape } = tensors.get(prefix + token)!;
    return shape.length === 1 ? 1 : shape.reduce((product, n) => product * n, 1) / shape.at(-1)!;
  };
  const prefixRows = optional(config.depth > 0 && tokens.length > 0, () =>
    planner.rows(
      tokens.map((token) => ({ tensor: prefix + token, shape: [1, rowsOf(token), width], rows: rowsOf(token) })),
      width,
    ),
  );

  const positions = planPositions(planner, config, prefix, stored, tensors);
  const [rows, columns] = gridOf(config, config.imageSize);
  const nativePositions = positions && planner.tensor(config.prefixTokens + rows * columns, width);
  planner.finally((backend) => {
    if (positions) backend.write(nativePositions!(), positionRows(positions(), config));
  });
  const half = width / config.heads / 2;
  const frequencies = optional(layout.frequencies !== undefined && has(prefix + layout.frequencies), () =>
    planner.values(prefix + layout.frequencies!, [2, config.depth, config.heads, half]),
  );
  const blocks = named.block ? planBlocks(planner, config, named.blockPrefix, named.block, count ?? config.depth) : [];
  const shared = `${prefix}encoder.relative_position_bias.relative_position_bias_table`;
  const relativePositions = optional(has(shared), () => planner.values(shared, tableShape(config, stored)));

  const normName =
    config.norm === "pooled" && has(`${prefix}${layout.pooledNorm}.weight`) ? layout.pooledNorm! : layout.norm;
  const norm = optional(config.norm !== "none" && config.depth > 0, () =>
    planner.norm(prefix + normName, width, config.eps, like),
  );
  const attentionPool = optional(config.pooling === "attention", () =>
    planAttentionPool(planner, config, prefix, like),
  );
  const heads = planHeads(planner, config, tensors);
  const pooler = optional(config.poolerWidth > 0, () =>
    planner.linear({ names: [prefix + layout.pooler!], outputs: config.poolerWidth, inputs: width }),
  );
  const projection = planProjection(planner, layout.projection ?? [], width, config.features);
  const scale = optional(config.text !== undefined, () => planner.values("logit_scale", []));
  const bias = optional(has("logit_bias"), () => planner.values("logit_bias", []));
  const text = count === undefined ? planText(planner, config, named) : undefined;

  // What a head replaces: CLIPForImageClassification has a norm that nothing reads.
  const unread = config.norm === "none" ? prefix + layout.norm : undefined;
  const pool =
    layout.attentionPool && config.pooling !== "attention"
      ? prefix + layout.attentionPool.latent.split(".")[0]
      : undefined;
  const classifiers =
    config.classes === 0 ? [...layout.head, ...(layout.distillationHead ? [layout.distillationHead] : [])] : [];
  const ignored = (tensor: string) =>
    count !== undefined ||
    layout.ignored.test(tensor) ||
    classifiers.some((head) => tensor === weightOf(layout, head) || tensor === biasOf(layout, head)) ||
    (unread !== undefined && tensor.startsWith(`${unread}.`)) ||
    (pool !== undefined && tensor.startsWith(`${pool}.`));

  return planner.finish(ignored, () => ({
    resnet: resnet?.weights(),
    patchEmbed: patchEmbed?.(),
    patchNorm: patchNorm?.(),
    prefix: prefixRows?.(),
    positions: positions?.(),
    nativePositions: nativePositions?.(),
    frequencies: frequencies?.(),
    preNorm: preNorm?.(),
    blocks: blocks.map((block) => block()),
    relativePositions: relativePositions?.(),
    relativeGrid: gridOf({ ...config, patchSize: stored.patchSize }, stored.imageSize),
    norm: norm?.(),
    attentionPool: attentionPool?.(),
    classifiers: heads.map((head) => head()),
    pooler: pooler?.(),
    projection: projection?.(),
    similarity: scale && { scale: Math.exp(scale()[0]!), bias: bias?.()[0] ?? 0, independent: bias !== undefined },
    text: text?.(),
  }));
}

/** E of eq. 1, a convolution of stride P on pixels or on what the stem makes of them. */
function planPatchEmbed(planner: Planner, config: Config, prefix: string, stored: Stored, channels = 3): () => Linear {
  const { layout } = planner;
  const { width, flexible, stride } = config;
  const [height, columns] = stored.patchSize.map((side) => side / stride) as [number, number];
  const [newHeight, newColumns] = config.patchSize.map((side) => side / stride) as [number, number];
  const inputs = channels * newHeight * newColumns;
  const names = [prefix + layout.patchEmbed!];
  const shape = [channels, height, columns];
  // Of a map's pixels, as any convolution.
  if (config.resnet) {
    const arrange = convolutionRows({ outputs: width, channels, kernel: height, flax: layout.kernels === true });
    const dims = layout.kernels ? [height, columns, channels, width] : [width, ...shape];
    return planner.linear({ names, outputs: width, inputs, shape: dims, arrange });
  }
  if (height !== newHeight || columns !== newColumns) {
    return planner.linear({
      names,
      outputs: width,
      inputs,
      shape: [width, ...shape],
      arrange: (values) => resamplePatches(values, [height, columns], [newHeight, newColumns]),
    });
  }
  // [height, width, channel, D] to the order of Conv2d's rows, (channel, y, x).
  if (layout.kernels) {
    return planner.linear({
      names,
      outputs: width,
      inputs,
      shape: [height, columns, channels, width],
      arrange: (values) => {
        const rows = new Float32Array(values.length);
        const spots = height * columns;
        for (let i = 0; i < spots; i++)
          for (let c = 0; c < channels; c++)
            for (let o = 0; o < width; o++) rows[o * inputs + c * spots + i] = values[(i * channels + c) * width + o]!;
        return rows;
      },
    });
  }
  return planner.linear({ names, outputs: width, inputs, shape: flexible ? [inputs] : shape });
}

/** The table of positions, resampled where the image is of another size than the checkpoint's. */
function planPositions(
  planner: Planner,
  config: Config,
  prefix: string,
  stored: Stored,
  tensors: Shapes,
): (() => Positions) | undefined {
  const { layout, has } = planner;
  const name = prefix + layout.positions;
  if (!has(name)) return undefined;
  const { shape } = tensors.get(name)!;
  const rows = shape.reduce((product, n) => product * n, 1) / shape.at(-1)!;
  const from = gridOf({ ...config, patchSize: stored.patchSize }, stored.imageSize);
  const before = rows - from[0] * from[1];
  // A table that fits no such number of prefix rows has a wrong shape, and is named as one.
  const counted = before >= 0 && before <= config.prefixTokens ? before : config.prefixTokens;
  const table = planner.values(name, [1, counted + from[0] * from[1], config.width]);
  let resampled: Positions | undefined;
  return () => {
    resampled ??= positionsAt(
      { table: table(), grid: from, prefix: counted },
      gridOf(config, config.imageSize),
      config,
    );
    return resampled;
  };
}

/** Rows of BEiT's table and its columns. */
function tableShape(config: Config, stored: Stored): [number, number] {
  const [height, width] = gridOf({ ...config, patchSize: stored.patchSize }, stored.imageSize);
  return [(2 * height - 1) * (2 * width - 1) + 3, config.heads];
}

/** Blocks of a tower. Which parts they have, the first one tells. */
export function planBlocks(
  planner: Planner,
  config: EncoderConfig & Pick<Partial<Config>, "qkvBias">,
  prefix: string,
  names: BlockNames,
  depth: number,
): (() => Block)[] {
  return Array.from({ length: depth }, (_, i) => {
    const [at, first] = [prefix + blockAt(names, i), prefix + blockAt(names, 0)];
    const parallel = names.inProj !== undefined && planInProj(planner, config, at, first, names);
    const places = { at, first, like: firstNorm(prefix, names) };
    const attentions = names.attentions.map((part) =>
      planAttention(planner, config, places, part, parallel ? parallel.qkv : undefined),
    );
    const mlps = names.mlps.map((part) => planMlp(planner, config, places, part, parallel ? parallel.fc1 : undefined));
    return () => {
      const [msa, mlp] = [attentions.map((make) => make()), mlps.map((make) => make())];
      return parallel ? [[...msa, ...mlp]] : [msa, mlp];
    };
  });
}

/** Where a block's tensors are, and those of the first block, which tell what there is in all; and the tower's first norm. */
interface Places {
  readonly at: string;
  readonly first: string;
  readonly like: string;
}

const firstNorm = (prefix: string, names: BlockNames) => prefix + blockAt(names, 0) + names.attentions[0]!.norm;

/** One tensor whose rows are fc1, then q, k and v. */
function planInProj(
  planner: Planner,
  { width, mlpWidth }: EncoderConfig,
  at: string,
  first: string,
  { inProj, mlps }: BlockNames,
) {
  const { layout, has } = planner;
  const fc1 = planner.empty(mlpWidth, width);
  const qkv = planner.empty(3 * width, width);
  const rows = mlpWidth + 3 * width;
  const weight = weightOf(layout, at + inProj!);
  planner.rowsOf(weight, { rows, inputs: width }, fc1, mlpWidth, 0);
  planner.rowsOf(weight, { rows, inputs: width }, qkv, 3 * width, 0);
  if (has(biasOf(layout, first + inProj!))) {
    planner.bias(fc1, biasOf(layout, at + inProj!), mlpWidth, 0, rows);
    planner.bias(qkv, biasOf(layout, at + inProj!), 3 * width, 0, rows);
  } else if (mlps[0]!.bias !== undefined && has(first + mlps[0]!.bias)) {
    planner.bias(fc1, at + mlps[0]!.bias, mlpWidth, 0);
  }
  return { fc1, qkv };
}

function planAttention(
  planner: Planner,
  config: EncoderConfig & Pick<Partial<Config>, "qkvBias">,
  { at, first, like }: Places,
  names: AttentionNames,
  fused: (() => Linear) | undefined,
): () => Attention {
  const { layout, has } = planner;
  const { width, heads, eps } = config;
  const optionalNorm = (norm: string | undefined, cols: number) =>
    norm !== undefined && has(`${first}${norm}.weight`) ? planner.norm(at + norm, cols, eps, like) : undefined;
  const exists = (name: string) => has(first + weightOf(layout, name));

  const norm = planner.norm(at + names.norm, width, eps, like);
  const qkv = fused ?? planQkv();
  function planQkv() {
    const parts = names.qkv.find((list) => list.every(exists)) ?? names.qkv[0]!;
    const named = parts.map((part) => biasOf(layout, part));
    const made = planner.linear({
      names: parts.map((part) => at + part),
      outputs: 3 * width,
      inputs: width,
      heads: { of: "outputs", count: heads },
      // A key's may be missing: softmax does not see it.
      biases: named.map((bias) =>
        config.qkvBias !== false && (has(first + bias) || requires(named)) ? at + bias : undefined,
      ),
    });
    const { biases } = names;
    if (biases && has(first + biases[0]) && !has(first + named[0]!)) {
      planner.bias(made, at + biases[0], width, 0);
      planner.bias(made, at + biases[1], width, 2 * width);
    }
    return made;
  }
  /** All of a file without any are missing, where the config says that there are biases. */
  function requires(named: readonly string[]): boolean {
    return config.qkvBias === true && !names.biases && !named.some((bias) => has(first + bias));
  }

  const query = optionalNorm(names.queryNorm, width / heads);
  const key = optionalNorm(names.keyNorm, width / heads);
  const table = names.relativePositions;
  const relative =
    table !== undefined && has(first + table)
      ? planner.values(at + table, planner.shapeOf(at + table) ?? planner.shapeOf(first + table)!)
      : undefined;
  const innerNorm = optionalNorm(names.innerNorm, width);
  const out = planner.linear({
    names: [at + names.proj],
    outputs: width,
    inputs: width,
    heads: { of: "inputs", count: heads },
  });
  planScale(planner, names.scales, at, first, out, width);
  return () => ({
    kind: "attention",
    norm: norm(),
    qkv: qkv(),
    headNorm: query && key && { query: query(), key: key() },
    relativePositions: relative?.(),
    innerNorm: innerNorm?.(),
    out: out(),
  });
}

function planMlp(
  planner: Planner,
  { width, mlpWidth, eps }: EncoderConfig,
  { at, first, like }: Places,
  names: MlpNames,
  fused: (() => Linear) | undefined,
): () => Mlp {
  const { layout, has } = planner;
  const exists = (name: string) => has(first + weightOf(layout, name));
  const norm = planner.norm(at + names.norm, width, eps, like);
  const parts = names.fc1.find((list) => list.every(exists)) ?? names.fc1[0] ?? [];
  const rows = planner.shapeOf(first + weightOf(layout, parts[0] ?? ""))?.[layout.kernels ? 1 : 0];
  const gated = parts.length === 2 || rows === 2 * mlpWidth;
  const fc1 =
    fused ??
    planner.linear({ names: parts.map((part) => at + part), outputs: gated ? 2 * mlpWidth : mlpWidth, inputs: width });
  const innerNorm =
    names.innerNorm !== undefined && has(`${first}${names.innerNorm}.weight`)
      ? planner.norm(at + names.innerNorm, mlpWidth, eps, like)
      : undefined;
  const out = planner.linear({ names: [at + choose(names.fc2, exists)!], outputs: width, inputs: mlpWidth });
  planScale(planner, names.scales, at, first, out, width);
  return () => ({ kind: "mlp", norm: norm(), fc1: fc1(), gated, innerNorm: innerNorm?.(), out: out() });
}

/** LayerScale becomes part of the layer before it. */
function planScale(
  planner: Planner,
  scales: readonly string[] | undefined,
  at: string,
  first: string,
  out: () => Linear,
  width: number,
): void {
  const name = scales?.find((scale) => planner.has(first + scale));
  if (name !== undefined) planner.rescale(out, at + name, width);
}

function planAttentionPool(
  planner: Planner,
  config: Config,
  prefix: string,
  like: string | undefined,
): () => AttentionPool {
  const names = planner.layout.attentionPool!;
  const { width, eps } = config;
  const at = (name: string) => prefix + name;
  const poolWidth = planner.shapeOf(`${at(names.fc1)}.weight`)?.[0] ?? config.mlpWidth;
  const latent = planner.rows([{ tensor: at(names.latent), shape: [1, 1, width], rows: 1 }], width);
  const q = planner.empty(width, width);
  const qkv = planner.empty(3 * width, width);
  const [first, second] = names.qkv.map((name) => ({
    weight: weightOf(planner.layout, at(name)),
    bias: biasOf(planner.layout, at(name)),
  })) as [{ weight: string; bias: string }, { weight: string; bias: string }?];
  const fused = { rows: 3 * width, inputs: width };
  const ownQuery = second ? { rows: width, inputs: width } : fused;
  planner.rowsOf(first.weight, ownQuery, q, width, 0);
  planner.bias(q, first.bias, width, 0, ownQuery.rows);
  const rest = second ?? first;
  planner.rowsOf(rest.weight, second ? { rows: 2 * width, inputs: width } : fused, qkv, 2 * width, width);
  planner.bias(qkv, rest.bias, 2 * width, width, second ? 2 * width : 3 * width);
  const proj = planner.linear({ names: [at(names.proj)], outputs: width, inputs: width });
  const norm = planner.norm(at(names.norm), width, eps, like);
  const fc1 = planner.linear({ names: [at(names.fc1)], outputs: poolWidth, inputs: width });
  const fc2 = planner.linear({ names: [at(names.fc2)], outputs: width, inputs: poolWidth });
  planner.finally((backend) => foldQuery(backend, latent(), q(), qkv()));
  return () => ({ qkv: qkv(), proj: proj(), norm: norm(), fc1: fc1(), fc2: fc2() });
}

/** Projects the learned query once, and makes it the bias of qkv's q rows, whose weights become zero. */
async function foldQuery(backend: Backend, latent: Tensor, q: Linear, qkv: Linear): Promise<void> {
  const mark = backend.mark();
  const query = backend.createTensor(1, q.outputs);
  backend.linear(query, latent, q);
  const bias = await backend.read(query);
  backend.release(mark);
  const zeros = new Uint8Array(qkv.inputs * 4);
  for (let row = 0; row < q.outputs; row++) backend.store({ linear: qkv, part: "weight", row }, "F32", zeros);
  backend.store({ linear: qkv, part: "bias", row: 0 }, "F32", new Uint8Array(bias.buffer));
}

/** Classifiers: one, two when distilled, or one in two halves for class token and mean. */
function planHeads(planner: Planner, config: Config, tensors: Shapes): (() => Linear)[] {
  const { layout, has } = planner;
  const { classes, width, pooling } = config;
  if (classes === 0) return [];
  const name = choose(layout.head, (head) => has(weightOf(layout, head)))!;
  if (pooling === "distilled") {
    return [name, layout.distillationHead!].map((head) =>
      planner.linear({ names: [head], outputs: classes, inputs: width }),
    );
  }
  if (pooling !== "token+mean") return [planner.linear({ names: [name], outputs: classes, inputs: width })];
  const halves = [0, 1].map(() => planner.empty(classes, width));
  planner.halves(weightOf(layout, name), halves as [() => Linear, () => Linear], classes, width);
  if (has(biasOf(layout, name)) || !tensors.has(weightOf(layout, name))) {
    planner.bias(halves[0]!, biasOf(layout, name), classes, 0);
  }
  return halves;
}

/** Without bias and [inputs, outputs] where it is a tensor of that name. */
function planProjection(
  planner: Planner,
  names: readonly string[],
  inputs: number,
  outputs: number,
): (() => Linear) | undefined {
  const { layout, has, shapeOf } = planner;
  const raw = names.find(has);
  if (raw !== undefined) {
    const shape = [inputs, outputs];
    return planner.linear({ names: [raw], outputs, inputs, shape, raw: true, arrange: planner.transpose(inputs) });
  }
  const name = names.find((x) => has(weightOf(layout, x)));
  if (name === undefined) return undefined;
  return planner.linear({ names: [name], outputs: shapeOf(weightOf(layout, name))![0]!, inputs });
}

function planText(planner: Planner, { text, features }: Config, named: Named): (() => TextWeights) | undefined {
  const names = named.layout.text;
  if (!text || !names) return undefined;
  const { width, depth, vocabulary, length, eps } = text;
  const embedding = planner.values(names.prefix + names.embedding, [vocabulary, width]);
  const positions = planner.values(names.prefix + names.positions, [length, width]);
  const blocks = planBlocks(planner, text, names.prefix, names.block, depth);
  const norm = planner.norm(names.prefix + names.norm, width, eps, firstNorm(names.prefix, names.block));
  const projection = planProjection(planner, names.projection, width, features);
  return () => ({
    embedding: embedding(),
    positions: positions(),
    blocks: blocks.map((block) => block()),
    norm: norm(),
    projection: projection?.(),
  });
}
