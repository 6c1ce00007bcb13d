/** The text tower of CLIP (Radford et al. 2021, section 2.4), SigLIP (Zhai et al. 2023) and those that have BERT. */
import type { Activation, Backend, Linear, Tensor as Matrix, Norm } from "../backend.js";
import { type Call, tensorOf } from "./call.js";
import { type Block, type EncoderConfig, encode, type PostNorm } from "./encoder.js";
import { listsOf } from "./lists.js";

/** The text tower of an image-text model. */
export interface TextConfig extends EncoderConfig {
  /** Token ids are below it. */
  readonly vocabulary: number;
  /** Most tokens of a text. */
  readonly length: number;
  /** Id of padding, where positions are counted from behind it, and past it, as in RoBERTa; else from 0. */
  readonly padding: number | undefined;
  /** Id of tokens that are no text where no mask says which are (OpenCLIP's HFTextEncoder); none unless given. */
  readonly masked?: number;
  readonly postNorm: PostNorm;
  /** Factor of the embedding of tokens. */
  readonly embedScale: number;
  /** True if a token sees only those before it. */
  readonly causal: boolean;
  /** Token that stands for the text: the first, the last, the one of the largest id, or the first of a certain id; or all tokens' mean. */
  readonly pooling: "first" | "last" | "largest" | "mean" | number;
  /** Cleaning of a text before it is cut into tokens, if there is any (OpenCLIP's tokenizer_kwargs). */
  readonly clean?: "whitespace" | "lower" | "canonicalize";
}

export interface TextWeights {
  /** [vocabulary, D] */
  readonly embedding: Float32Array;
  /** [length, D], of RoBERTa padding + 1 rows more; sinusoids where there is no table. */
  readonly positions: Float32Array | undefined;
  /** BERT's kinds of tokens, [kinds, D]; all tokens are of the first. */
  readonly types: Float32Array | undefined;
  readonly preNorm: Norm | undefined;
  readonly blocks: readonly Block[];
  readonly norm: Norm | undefined;
  /** Layers between the vector that stands for the text and the projection. */
  readonly readout: readonly { readonly layer: Linear; readonly activation: Activation | undefined }[];
  readonly projection: Linear | undefined;
}

/** Token ids of a text, and which of them count, if not all. */
export interface Text {
  readonly ids: readonly number[];
  readonly mask: readonly boolean[] | undefined;
}

/**
 * Calls the ops of texts; the values of what is wanted arrive later.
 * @param texts one, or several without a mask that have as many tokens each and are pooled at the same one.
 */
export async function runTexts(
  backend: Backend,
  weights: TextWeights,
  config: TextConfig,
  texts: readonly Text[],
  call: Call,
): Promise<void> {
  const { wants, outputs, signal } = call;
  const { width, heads } = config;
  const count = texts.length;
  const [{ ids, mask }] = texts as readonly [Text];
  const tokens = ids.length;
  const sequence = { images: count, tokens };
  const tensor = (x: Matrix, ...dims: number[]) => tensorOf(backend.read(x), dims);
  const mark = backend.mark();
  try {
    const { preNorm, norm } = weights;
    const z = backend.createTensor(count * tokens, width, embedded(weights, config, texts));
    if (preNorm) backend.layerNorm(z, z, preNorm);

    const bias = maskOf(config, tokens, mask);
    const places = { bias: bias && backend.createTensor(tokens, tokens, bias) };
    const names = { states: "textHiddenStates", attentions: "textAttentions" } as const;
    const taps = listsOf(backend, z, sequence, heads, call, names);
    await encode(backend, config, weights.blocks, z, sequence, places, { taps, signal });
    if (norm) backend.layerNorm(z, z, norm);
    if (wants("textLastHiddenState")) outputs.textLastHiddenState = tensor(z, count, tokens, width);

    let y = backend.createTensor(count, width);
    if (config.pooling === "mean")
      backend.pool(y, z, { tokens, first: 0, count: mask?.filter(Boolean).length ?? tokens });
    else backend.pool(y, z, { tokens, first: pooledToken(config.pooling, ids), count: 1 });
    for (const { layer, activation } of weights.readout) {
      const read = backend.createTensor(count, layer.outputs);
      backend.linear(read, y, layer, { activation });
      y = read;
    }
    const { projection } = weights;
    const projected = projection ? backend.createTensor(count, projection.outputs) : y;
    if (projection) backend.linear(projected, y, projection);
    outputs.textFeatures = tensor(projected, count, projected.cols);
    // transformers calls the projected vector pooler_output.
    outputs.textPooled = outputs.textFeatures;
  } finally {
    backend.release(mark);
  }
}

/** Embeddings of the tokens of texts and of their positions, [texts·tokens, D]. */
function embedded(weights: TextWeights, config: TextConfig, texts: readonly Text[]): Float32Array {
  const { embedding, types } = weights;
  const { width, embedScale } = config;
  const tokens = texts[0]!.ids.length;
  const rows = new Float32Array(texts.length * tokens * width);
  let positions: Float32Array | undefined;
  for (const [text, { ids }] of texts.entries()) {
    // Where they are counted past padding, each text has its own.
    if (!positions || config.padding !== undefined) positions = positionsOf(weights, config, ids);
    for (const [i, id] of ids.entries()) {
      const row = rows.subarray((text * tokens + i) * width, (text * tokens + i + 1) * width);
      row.set(embedding.subarray(id * width, (id + 1) * width));
      if (embedScale !== 1) for (let x = 0; x < width; x++) row[x]! *= embedScale;
      if (types) for (let x = 0; x < width; x++) row[x]! += types[x]!;
      for (let x = 0; x < width; x++) row[x]! += positions[i * width + x]!;
    }
  }
  return rows;
}

/** Row of the position table for the first token. */
export const firstPosition = (padding: TextConfig["padding"]): number => (padding === undefined ? 0 : padding + 1);

/** Rows of the position table, [tokens, D]. */
function positionsOf({ positions }: TextWeights, { width, padding }: TextConfig, ids: readonly number[]): Float32Array {
  if (!positions) return sinusoids(ids.length, width);
  if (padding === undefined) return positions.subarray(0, ids.length * width);
  const rows = new Float32Array(ids.length * width);
  let next = firstPosition(padding);
  for (const [i, id] of ids.entries()) {
    const row = id === padding ? padding : next++;
    rows.set(positions.subarray(row * width, (row + 1) * width), i * width);
  }
  return rows;
}

/** Position embeddings of Vaswani et al. 2017, section 3.5, as tensor2tensor has them: sines, then cosines. */
function sinusoids(tokens: number, width: number): Float32Array {
  const half = Math.floor(width / 2);
  const rows = new Float32Array(tokens * width);
  for (let token = 0; token < tokens; token++)
    for (let i = 0; i < half; i++) {
      const angle = token * Math.exp((-i * Math.log(10000)) / (half - 1));
      rows[token * width + i] = Math.sin(angle);
      rows[token * width + half + i] = Math.cos(angle);
    }
  return rows;
}

/** So low that any score is lost in it, so that keys with it count the same; above what backends hide keys with. */
const ALIKE = -1e20;

/** -∞ where a token must not look: ahead in a causal tower, and at padding. */
function maskOf({ causal }: TextConfig, tokens: number, mask: readonly boolean[] | undefined) {
  if (!causal && (!mask || mask.every(Boolean))) return undefined;
  const keys = Array.from({ length: tokens }, (_, key) => key);
  const sees = (query: number, key: number) => (!causal || key <= query) && (mask?.[key] ?? true);
  // Padding before a text sees nothing; in transformers' eager arithmetic it looks at all tokens alike, and means nothing.
  const blind = keys.map((query) => !keys.some((key) => sees(query, key)));
  return Float32Array.from({ length: tokens * tokens }, (_, i) => {
    const [query, key] = [Math.floor(i / tokens), i % tokens];
    if (blind[query]) return ALIKE;
    return sees(query, key) ? 0 : Number.NEGATIVE_INFINITY;
  });
}

/** The place of the token that stands for a text. */
export function pooledToken(pooling: Exclude<TextConfig["pooling"], "mean">, ids: readonly number[]): number {
  if (pooling === "first") return 0;
  if (pooling === "last") return ids.length - 1;
  // transformers takes the first of several largest, and the first token where there is no end.
  if (pooling === "largest") return ids.indexOf(Math.max(...ids));
  return Math.max(0, ids.indexOf(pooling));
}
