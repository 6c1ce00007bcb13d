/**
 * A head in a file of its own, on vectors of a model that was trained without it: an aesthetic predictor, a linear probe. It is
 * one layer, or several in turn.
 */
import type { Activation, Backend, Linear, Tensor as Matrix, Norm } from "../backend.js";
import type { LinearPlan } from "../planned.js";
import { source } from "../plans.js";
import { type Call, tensorOf } from "../vit/call.js";
import type { Encoded, Reader } from "../vit/reader.js";
import type { Head, Vectors } from "./head.js";
import { meanOf, tokenOf } from "./pooling.js";

/** A layer's tensors and sizes. */
export interface ProbeLayer {
  readonly weight: string;
  readonly bias: string | undefined;
  readonly inputs: number;
  readonly outputs: number;
}

export interface Probe {
  readonly layers: readonly ProbeLayer[];
  /** Activation between layers; none unless given. */
  readonly activation?: Activation;
  /**
   * Vector that it reads: features that images share with texts; what the checkpoint's own head would read; or, one after the
   * other, the class tokens of the last blocks, each after the last norm, and the mean of the last one's patches.
   */
  readonly reads: "features" | "head" | { readonly blocks: number; readonly mean: boolean };
  /** True if columns of class token and mean take turns, as in DINO's eval_linear.py. */
  readonly interleaved: boolean;
  /** True if the vector is scaled to length 1. */
  readonly unit: boolean;
  /** Factor of the logits before their softmax, of a head that was made by fewShot; 1 unless given. */
  readonly sharpness?: number;
}

export interface ProbeConfig {
  /** The head in a file of its own, which then gives the logits. */
  readonly probe?: Probe;
}

export interface ProbeWeights {
  /** The first layer in as many parts as it reads vectors, of which the first has its bias, then the others. */
  readonly probe?: { readonly first: readonly Linear[]; readonly others: readonly Linear[] };
}

/** Vectors that a probe reads. */
const vectorsOf = ({ reads }: Probe): number => (typeof reads === "string" ? 1 : reads.blocks + Number(reads.mean));

export function planProbe(probe: Probe): { first: LinearPlan[]; others: LinearPlan[] } {
  const { layers, interleaved } = probe;
  const count = vectorsOf(probe);
  const linear = ({ weight, bias, inputs, outputs }: ProbeLayer): LinearPlan => ({
    place: "linear",
    ...{ outputs, inputs },
    weight: [source(weight, [outputs, inputs], outputs)],
    bias: bias === undefined ? [] : [source(bias, [outputs], outputs)],
  });
  const [one, ...others] = layers;
  const whole = linear(one!);
  if (count === 1) return { first: [whole], others: others.map(linear) };
  const inputs = one!.inputs / count;
  const parts = Array.from({ length: count }, (_, part): LinearPlan => {
    const [begin, step] = interleaved ? [part, count] : [part * inputs, 1];
    const arrange = (values: Float32Array) =>
      Float32Array.from({ length: one!.outputs * inputs }, (_, i) => {
        const [row, column] = [Math.floor(i / inputs), i % inputs];
        return values[row * one!.inputs + begin + column * step]!;
      });
    const weight = [source(one!.weight, [one!.outputs, one!.inputs], one!.outputs, { arrange })];
    return { ...whole, inputs, weight, bias: part === 0 ? whole.bias : [] };
  });
  return { first: parts, others: others.map(linear) };
}

/** Config of a model that may have such a head. */
interface Config extends ProbeConfig {
  readonly depth: number;
  readonly prefixTokens: number;
}

interface Weights extends ProbeWeights {
  /** Norm behind the encoder. */
  readonly norm: Norm | undefined;
}

/** Keeps the class tokens of the blocks before the last one that a head reads, [B, D] each, after the last norm. */
function classTokens(
  backend: Backend,
  norm: Norm | undefined,
  depth: number,
  { reads }: Probe,
): { readonly kept: readonly Matrix[]; readonly reader: Reader } {
  const count = typeof reads === "string" ? 0 : reads.blocks - 1;
  const kept: Matrix[] = [];
  const reader: Reader = {
    blocks: Array.from({ length: count }, (_, i) => depth - 1 - count + i),
    tokens(_, encoded) {
      const token = tokenOf(backend, encoded, 0);
      if (norm) backend.layerNorm(token, token, norm);
      kept.push(token);
    },
  };
  return { kept, reader };
}

/**
 * Gives `logits`, [B, outputs].
 * @param kept class tokens of the blocks before the last one that it reads.
 */
export function runProbe(
  backend: Backend,
  { first, others }: NonNullable<ProbeWeights["probe"]>,
  { probe, prefixTokens }: { readonly probe: Probe; readonly prefixTokens: number },
  encoded: Encoded,
  { pooled, features }: Vectors,
  kept: readonly Matrix[],
  { outputs }: Call,
): void {
  const { reads, activation, unit } = probe;
  const vectors = typeof reads === "string" ? [reads === "features" ? features() : pooled()[0]!] : tokens(reads);
  const norm = unit ? unitNorm(vectors[0]!.cols) : undefined;
  let y = backend.createTensor(encoded.images, first[0]!.outputs);
  for (const [i, layer] of first.entries()) {
    // f(x) where a layer follows, which reads one vector then.
    const then = others.length > 0 ? { activation } : { accumulate: i > 0 };
    backend.linear(y, vectors[i]!, layer, { norm, ...then });
  }
  for (const [i, layer] of others.entries()) {
    const next = backend.createTensor(y.rows, layer.outputs);
    backend.linear(next, y, layer, { activation: i < others.length - 1 ? activation : undefined });
    y = next;
  }
  outputs.logits = tensorOf(backend.read(y), [y.rows, y.cols]);

  function tokens({ mean }: { mean: boolean }): Matrix[] {
    const last = tokenOf(backend, encoded, 0);
    const patches = encoded.tokens - prefixTokens;
    return [...kept, last, ...(mean ? [meanOf(backend, encoded, prefixTokens, patches)] : [])];
  }

  /** Makes of rows x / ‖x‖. */
  function unitNorm(cols: number): Norm {
    const scale = backend.createTensor(1, cols, new Float32Array(cols).fill(1 / Math.sqrt(cols)));
    return { scale, shift: undefined, eps: 0 };
  }
}

/** Gives logits. */
export const probe: Head<Config, Weights, NonNullable<ProbeWeights["probe"]>> = {
  plan: (_, { probe }) => planProbe(probe!),
  readsVectors: ({ probe }) => typeof probe!.reads === "string" || probe!.reads.blocks === 1,
  begin({ weights, config: { probe: own, depth, prefixTokens } }) {
    const probe = own!;
    return {
      pass(backend, call) {
        if (!call.wants("logits")) return undefined;
        const { reader, kept } = classTokens(backend, weights.norm, depth, probe);
        return {
          reader,
          run: (encoded, vectors) =>
            runProbe(backend, weights.probe!, { probe, prefixTokens }, encoded, vectors, kept, call),
        };
      },
    };
  },
};
