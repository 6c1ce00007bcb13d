/** The text tower of CLIP (Radford et al. 2021, section 2.4) and SigLIP (Zhai et al. 2023): one text at a time. */
import type { Backend, Linear, Tensor as Matrix, Norm } from "../backend.js";
import { type Block, type EncoderConfig, encode } from "./encoder.js";
import { listsOf } from "./lists.js";
import { type Call, tensorOf } from "./outputs.js";

/** The text tower of an image-text model. */
export interface TextConfig extends EncoderConfig {
  /** Token ids are below it. */
  readonly vocabulary: number;
  /** Most tokens of a text. */
  readonly length: number;
  /** True if a token sees only those before it. */
  readonly causal: boolean;
  /** Token that stands for the text: the last, the one of the largest id, or the first of a certain id. */
  readonly pooling: "last" | "largest" | number;
  /** Cleaning of a text before it is cut into tokens, if there is any (OpenCLIP's tokenizer_kwargs). */
  readonly clean?: "whitespace" | "lower" | "canonicalize";
}

export interface TextWeights {
  /** [vocabulary, D] */
  readonly embedding: Float32Array;
  /** [length, D] */
  readonly positions: Float32Array;
  readonly blocks: readonly Block[];
  readonly norm: Norm;
  readonly projection: Linear | undefined;
}

/** Token ids of a text, and which of them count, if not all. */
export interface Text {
  readonly ids: readonly number[];
  readonly mask: readonly boolean[] | undefined;
}

/** Calls the ops of a text; the values of what is wanted arrive later. */
export async function runText(
  backend: Backend,
  weights: TextWeights,
  config: TextConfig,
  { ids, mask }: Text,
  call: Call,
): Promise<void> {
  const { wants, outputs, signal } = call;
  const { width, heads } = config;
  const tokens = ids.length;
  const tensor = (x: Matrix, ...dims: number[]) => tensorOf(backend.read(x), dims);
  const mark = backend.mark();
  try {
    const z = backend.createTensor(tokens, width);
    const rows = new Float32Array(tokens * width);
    for (const [i, id] of ids.entries()) {
      rows.set(weights.embedding.subarray(id * width, (id + 1) * width), i * width);
    }
    const positions = backend.createTensor(tokens, width, weights.positions.subarray(0, tokens * width));
    backend.assembleTokens(z, undefined, backend.createTensor(tokens, width, rows), positions);

    const bias = maskOf(config, tokens, mask);
    const places = { bias: bias && backend.createTensor(tokens, tokens, bias) };
    const names = { states: "textHiddenStates", attentions: "textAttentions" } as const;
    const taps = listsOf(backend, z, { images: 1, tokens }, heads, call, names);
    await encode(backend, config, weights.blocks, z, { images: 1, tokens }, places, { taps, signal });
    backend.layerNorm(z, z, weights.norm);
    if (wants("textLastHiddenState")) outputs.textLastHiddenState = tensor(z, 1, tokens, width);

    const y = backend.createTensor(1, width);
    backend.pool(y, z, { tokens, first: pooledToken(config, ids), count: 1 });
    const { projection } = weights;
    const projected = projection ? backend.createTensor(1, projection.outputs) : y;
    if (projection) backend.linear(projected, y, projection);
    outputs.textFeatures = tensor(projected, 1, projected.cols);
    // transformers calls the projected vector pooler_output.
    outputs.textPooled = outputs.textFeatures;
  } finally {
    backend.release(mark);
  }
}

/** -∞ where a token must not look: ahead in a causal tower, and at padding. */
function maskOf({ causal }: TextConfig, tokens: number, mask: readonly boolean[] | undefined) {
  if (!causal && (!mask || mask.every(Boolean))) return undefined;
  const keys = Array.from({ length: tokens }, (_, key) => key);
  const sees = (query: number, key: number) => (!causal || key <= query) && (mask?.[key] ?? true);
  // Padding before a text sees nothing; it then looks at itself, and means nothing.
  const blind = keys.map((query) => !keys.some((key) => sees(query, key)));
  return Float32Array.from({ length: tokens * tokens }, (_, i) => {
    const [query, key] = [Math.floor(i / tokens), i % tokens];
    return sees(query, key) || (blind[query] && key === query) ? 0 : Number.NEGATIVE_INFINITY;
  });
}

function pooledToken({ pooling }: TextConfig, ids: readonly number[]): number {
  if (pooling === "last") return ids.length - 1;
  // transformers takes the first of several largest, and the first token where there is no end.
  if (pooling === "largest") return ids.indexOf(Math.max(...ids));
  return Math.max(0, ids.indexOf(pooling));
}
