/**
 * The forward pass of "An Image is Worth 16x16 Words" (Dosovitskiy et al. 2021), equations 1 to 4, and of DeiT (Touvron et
 * al. 2021), which adds a distillation token and its head. Written once for every backend.
 */
import type { Backend, Tensor as Matrix } from "../backend.js";
import { nextTask } from "../tasks.js";
import { type Config, gridOf } from "./config.js";
import type { AttentionPool, Block, Weights } from "./weights.js";

/** Row-major values. */
export interface Tensor {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

/** What `forward` can give. hiddenStates: what block 0 reads, then each block's output; attentions: after softmax. */
export interface Outputs {
  logits: Tensor;
  lastHiddenState: Tensor;
  pooled: Tensor;
  preLogits: Tensor;
  patchEmbedding: Tensor;
  hiddenStates: Tensor[];
  attentions: Tensor[];
}

export type OutputName = keyof Outputs;

export const OUTPUT_NAMES: readonly OutputName[] = [
  "logits",
  "lastHiddenState",
  "pooled",
  "preLogits",
  "patchEmbedding",
  "hiddenStates",
  "attentions",
];

/** Sizes of a call: images, patches and tokens an image. */
interface Sequence {
  readonly images: number;
  readonly patches: number;
  readonly tokens: number;
}

/** Activations of a block, made once a call. */
interface Activations {
  /** z_l, [B·tokens, D] */
  readonly z: Matrix;
  /** The heads' outputs, [B·tokens, D] */
  readonly y: Matrix;
  /** [B·tokens, 3D] */
  readonly qkv: Matrix;
  /** [B·tokens, mlpWidth] */
  readonly hidden: Matrix;
  /** Softmax of the scores, [B·heads·tokens, tokens], when attentions are wanted. */
  readonly probabilities: Matrix | undefined;
}

/**
 * Runs images through the model.
 * @param pixelValues [B, 3, H, W], normalised.
 * @param wanted what to compute; nothing else is read back.
 * @throws RangeError if the pixels do not have the config's image size, or the checkpoint lacks what is wanted.
 */
export async function forward(
  backend: Backend,
  weights: Weights,
  config: Config,
  pixelValues: Tensor,
  wanted: readonly OutputName[],
  signal?: AbortSignal,
): Promise<Partial<Outputs>> {
  checkCall(config, pixelValues, wanted);
  const wants = (name: OutputName) => wanted.includes(name);
  const outputs: Partial<Outputs> = {};
  const [images] = pixelValues.dims as [number];
  const [gridHeight, gridWidth] = gridOf(config);
  const patches = gridHeight * gridWidth;
  const sequence: Sequence = { images, patches, tokens: config.prefixTokens + patches };
  const { width, heads } = config;
  const { tokens } = sequence;
  const tensor = async (x: Matrix, ...dims: number[]): Promise<Tensor> => ({ dims, data: await backend.read(x) });

  const mark = backend.mark();
  try {
    const a = createActivations(backend, config, sequence, wants("attentions"));

    const x = patchEmbed(backend, weights, config, sequence, pixelValues);
    if (wants("patchEmbedding")) outputs.patchEmbedding = await tensor(x, images, patches, width);

    // z₀ = [x_class; x¹E; …; xᴺE] + E_pos                                                     (1)
    backend.assembleTokens(a.z, weights.prefix, x, weights.positions);
    if (wants("hiddenStates")) outputs.hiddenStates = [await tensor(a.z, images, tokens, width)];
    if (wants("attentions")) outputs.attentions = [];

    for (const block of weights.blocks) {
      if (signal) await nextTask();
      signal?.throwIfAborted();
      encode(backend, config, sequence, a, block);
      outputs.hiddenStates?.push(await tensor(a.z, images, tokens, width));
      outputs.attentions?.push(await tensor(a.probabilities ?? a.z, images, heads, tokens, tokens));
    }

    // y = LN(z_L⁰)                                                                           (4)
    if (config.norm === "tokens") backend.layerNorm(a.z, a.z, weights.norm);
    if (wants("lastHiddenState")) outputs.lastHiddenState = await tensor(a.z, images, tokens, width);

    if (weights.pooler && wants("pooled")) {
      const { outputs: poolerWidth } = weights.pooler;
      const pooled = backend.createTensor(images, poolerWidth);
      backend.linear(pooled, tokenOf(backend, sequence, a.z, 0), weights.pooler, { activation: "tanh" });
      outputs.pooled = await tensor(pooled, images, poolerWidth);
    }
    if (wants("preLogits") || wants("logits")) {
      const y = pool(backend, weights, config, sequence, a);
      if (wants("preLogits")) outputs.preLogits = { dims: [images, width], data: mean(await readAll(backend, y)) };
      if (wants("logits")) outputs.logits = await head(backend, weights, images, y);
    }
    return outputs;
  } finally {
    backend.release(mark);
  }
}

function createActivations(
  backend: Backend,
  config: Config,
  { images, tokens }: Sequence,
  attentions: boolean,
): Activations {
  const { width, mlpWidth, heads } = config;
  return {
    z: backend.createTensor(images * tokens, width),
    y: backend.createTensor(images * tokens, width),
    qkv: backend.createTensor(images * tokens, 3 * width),
    hidden: backend.createTensor(images * tokens, mlpWidth),
    probabilities: attentions ? backend.createTensor(images * heads * tokens, tokens) : undefined,
  };
}

/** xⁿE: patches, flattened, times the patch embedding. Returns [B·N, D]. */
function patchEmbed(
  backend: Backend,
  weights: Weights,
  config: Config,
  { images, patches }: Sequence,
  { dims, data }: Tensor,
): Matrix {
  const [, channels, height, width] = dims as [number, number, number, number];
  const [patchHeight, patchWidth] = config.patchSize;
  const pixels = backend.createTensor(images * channels, height * width, data);
  const flat = backend.createTensor(images * patches, channels * patchHeight * patchWidth);
  const x = backend.createTensor(images * patches, config.width);
  backend.patchify(flat, pixels, { height, width, patchHeight, patchWidth });
  backend.linear(x, flat, weights.patchEmbed);
  return x;
}

/** One encoder block, in place. */
function encode(
  backend: Backend,
  { heads, activation }: Config,
  { tokens }: Sequence,
  a: Activations,
  block: Block,
): void {
  // z′ = MSA(LN(z)) + z                                                                      (2)
  backend.linear(a.qkv, a.z, block.qkv, { norm: block.norm1 });
  if (block.headNorm) backend.headNorm(a.qkv, heads, block.headNorm.query, block.headNorm.key);
  backend.attention(a.y, a.qkv, { heads, tokens, probabilities: a.probabilities });
  backend.linear(a.z, a.y, block.proj, { accumulate: true });

  // z = MLP(LN(z′)) + z′                                                                     (3)
  backend.linear(a.hidden, a.z, block.fc1, { norm: block.norm2, activation });
  backend.linear(a.z, a.hidden, block.fc2, { accumulate: true });
}

/** What each head reads, [B, D]: one vector, or two when distilled. */
function pool(backend: Backend, weights: Weights, config: Config, sequence: Sequence, a: Activations): Matrix[] {
  if (config.pooling === "distilled") return [0, 1].map((token) => tokenOf(backend, sequence, a.z, token));
  if (config.pooling === "attention") return [attentionPool(backend, config, sequence, a, weights.attentionPool!)];
  const y =
    config.pooling === "token"
      ? tokenOf(backend, sequence, a.z, 0)
      : meanOf(backend, sequence, a.z, config.prefixTokens, sequence.patches);
  if (config.norm === "pooled") backend.layerNorm(y, y, weights.norm);
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
  config: Config,
  sequence: Sequence,
  a: Activations,
  pool: AttentionPool,
): Matrix {
  const { images, tokens } = sequence;
  const { heads, activation, width, mlpWidth } = config;
  const h = backend.createTensor(images, width);
  const hidden = backend.createTensor(images, mlpWidth);
  backend.linear(a.qkv, a.z, pool.qkv);
  backend.attention(a.y, a.qkv, { heads, tokens });
  backend.linear(h, tokenOf(backend, sequence, a.y, 0), pool.proj);
  backend.linear(hidden, h, pool.fc1, { norm: pool.norm, activation });
  backend.linear(h, hidden, pool.fc2, { accumulate: true });
  return h;
}

/** Class scores. timm's models without a head give what the head would read. */
async function head(backend: Backend, weights: Weights, images: number, y: readonly Matrix[]): Promise<Tensor> {
  const heads = [weights.head, weights.distillationHead];
  const logits = y.map((x, i) => {
    const linear = heads[i];
    if (!linear) return x;
    const out = backend.createTensor(images, linear.outputs);
    backend.linear(out, x, linear);
    return out;
  });
  return { dims: [images, logits[0]!.cols], data: mean(await readAll(backend, logits)) };
}

const readAll = (backend: Backend, tensors: readonly Matrix[]) => Promise.all(tensors.map((x) => backend.read(x)));

function mean(rows: readonly Float32Array[]): Float32Array {
  const [first, second] = rows as [Float32Array, Float32Array?];
  return second ? first.map((x, i) => (x + second[i]!) / 2) : first;
}

function checkCall(config: Config, pixelValues: Tensor, wanted: readonly OutputName[]): void {
  for (const name of wanted) {
    if (!OUTPUT_NAMES.includes(name)) {
      throw new RangeError(`forward: outputs must be among ${OUTPUT_NAMES.join(", ")}; got ${JSON.stringify(name)}`);
    }
  }
  if (wanted.includes("pooled") && config.poolerWidth === 0) {
    throw new RangeError("forward: pooled needs a checkpoint with a pooler; this one has none");
  }
  if (wanted.includes("logits") && config.classes === 0 && config.layout === "huggingface") {
    throw new RangeError("forward: logits need a checkpoint with a classifier; this one has none");
  }
  if (!Array.isArray(pixelValues?.dims)) {
    throw new TypeError("forward: inputs must be { pixelValues: { dims, data } }; got no dims");
  }
  const [height, width] = config.imageSize;
  const { dims, data } = pixelValues;
  const fits = dims.length === 4 && Number.isSafeInteger(dims[0]) && dims[0]! > 0;
  if (!fits || dims[1] !== 3 || dims[2] !== height || dims[3] !== width) {
    throw new RangeError(`forward: pixelValues must be [images, 3, ${height}, ${width}]; got [${dims.join(", ")}]`);
  }
  const count = dims.reduce((product, n) => product * n, 1);
  if (!(data instanceof Float32Array) || data.length !== count) {
    const got = data instanceof Float32Array ? data.length : typeof data;
    throw new RangeError(`forward: pixelValues of [${dims.join(", ")}] must have ${count} floats; got ${got}`);
  }
}
