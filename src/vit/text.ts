/** The text tower of CLIP (Radford et al. 2021, section 2.4) and SigLIP (Zhai et al. 2023): one text at a time. */
import type { Backend, Tensor as Matrix } from "../backend.js";
import type { TextWeights } from "../checkpoint/weights.js";
import type { TextConfig } from "./config.js";
import { encode } from "./encoder.js";
import { type OutputName, type Pending, tensorOf } from "./outputs.js";

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
  wants: (name: OutputName) => boolean,
  signal?: AbortSignal,
): Promise<Pending> {
  const outputs: Pending = {};
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
    if (wants("textHiddenStates")) outputs.textHiddenStates = [tensor(z, 1, tokens, width)];
    if (wants("textAttentions")) outputs.textAttentions = [];

    const bias = maskOf(config, tokens, mask);
    const places = { bias: bias && backend.createTensor(tokens, tokens, bias) };
    await encode(backend, config, weights.blocks, z, { images: 1, tokens }, places, {
      attentions: wants("textAttentions"),
      signal,
      each(probabilities) {
        outputs.textHiddenStates?.push(tensor(z, 1, tokens, width));
        outputs.textAttentions?.push(tensor(probabilities ?? z, 1, heads, tokens, tokens));
      },
    });
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
    return outputs;
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
