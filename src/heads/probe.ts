/**
 * A head in a file of its own, on vectors of a model that was trained without it: an aesthetic predictor, a linear probe. It is
 * one layer, or several in turn.
 */
import type { Activation, Backend, Linear, Tensor as Matrix, Norm } from "../backend.js";
import type { LinearPlan } from "../planned.js";
import { source } from "../plans.js";
import { type Call, tensorOf } from "../vit/outputs.js";
import type { Encoded, VitConfig } from "../vit/vit.js";
import { meanOf, type Pooled, tokenOf } from "./pooling.js";

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

/** Gives `logits`, [B, outputs]. */
export function runProbe(
  backend: Backend,
  { first, others }: NonNullable<ProbeWeights["probe"]>,
  config: VitConfig & { readonly probe: Probe },
  encoded: Encoded,
  { pooled, features }: { readonly pooled: () => Pooled; readonly features: () => Matrix },
  { outputs }: Call,
): void {
  const { reads, activation, unit } = config.probe;
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

  function tokens({ blocks, mean }: { blocks: number; mean: boolean }): Matrix[] {
    const { tokens, kept = [] } = encoded;
    const last = tokenOf(backend, encoded, 0);
    const before = config.prefixTokens;
    return [...(blocks > 1 ? kept : []), last, ...(mean ? [meanOf(backend, encoded, before, tokens - before)] : [])];
  }

  /** Makes of rows x / ‖x‖. */
  function unitNorm(cols: number): Norm {
    const scale = backend.createTensor(1, cols, new Float32Array(cols).fill(1 / Math.sqrt(cols)));
    return { scale, shift: undefined, eps: 0 };
  }
}
