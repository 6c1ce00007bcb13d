/** The transformer encoder of either tower: equations 2 and 3 of Dosovitskiy et al. 2021, block by block. */
import type { Backend, Tensor as Matrix, Pairs } from "../backend.js";
import type { Attention, Block, Mlp } from "../checkpoint/weights.js";
import { nextTask } from "../tasks.js";
import type { EncoderConfig } from "./config.js";

/** What the tokens' places add to attention: to the scores, or by turning queries and keys. */
export interface Places {
  /** [tokens, tokens] or [heads·tokens, tokens]; -∞ hides a key. */
  readonly bias?: Matrix;
  /** BEiT's, of a class token and a grid, from each block's own table. */
  readonly relative?: (attention: Attention, out: Matrix) => void;
  readonly rotary?: { readonly pairs: Pairs; readonly of: (block: number) => { cos: Matrix; sin: Matrix } };
}

/** Sizes of a call: sequences, and tokens of each. */
export interface Sequence {
  readonly images: number;
  readonly tokens: number;
}

/** Activations of a block, made once a call. */
interface Activations {
  /** z_l, [B·tokens, D] */
  readonly z: Matrix;
  /** [B·tokens, 3D] */
  readonly qkv: Matrix;
  /** The heads' outputs, [B·tokens, D], for each attention of a step. */
  readonly y: readonly Matrix[];
  /** [B·tokens, mlpWidth], for each MLP of a step. */
  readonly hidden: readonly Matrix[];
  /** Gate and value, [B·tokens, 2·mlpWidth]. */
  readonly wide: Matrix | undefined;
  /** What is normalised before it is added, [B·tokens, D]. */
  readonly added: Matrix | undefined;
  /** Scores' bias that a block computes, [heads·tokens, tokens]. */
  readonly bias: Matrix | undefined;
  /** Softmax of the scores, [B·heads·tokens, tokens], when attentions are wanted. */
  readonly probabilities: Matrix | undefined;
}

/**
 * Runs z through all blocks, in place.
 * @param each after every block, with the attentions of its (last) MSA if they are wanted.
 */
export async function encode(
  backend: Backend,
  config: EncoderConfig & { readonly postNorm?: boolean },
  blocks: readonly Block[],
  z: Matrix,
  { images, tokens }: Sequence,
  places: Places,
  options: {
    readonly attentions: boolean;
    readonly each: (probabilities: Matrix | undefined) => void;
    readonly signal?: AbortSignal;
  },
): Promise<void> {
  const { heads, activation, width, mlpWidth, postNorm } = config;
  const rows = images * tokens;
  const most = (kind: string) =>
    Math.max(0, ...blocks.flat().map((step) => step.filter((branch) => branch.kind === kind).length));
  const several = (count: number, cols: number) =>
    Array.from({ length: count }, () => backend.createTensor(rows, cols));
  const gated = blocks.flat(2).some((branch) => branch.kind === "mlp" && branch.gated);
  const a: Activations = {
    z,
    qkv: backend.createTensor(rows, 3 * width),
    y: several(most("attention"), width),
    hidden: several(most("mlp"), mlpWidth),
    wide: gated ? backend.createTensor(rows, 2 * mlpWidth) : undefined,
    added: postNorm ? backend.createTensor(rows, width) : undefined,
    bias: places.relative ? backend.createTensor(heads * tokens, tokens) : undefined,
    probabilities: options.attentions ? backend.createTensor(rows * heads, tokens) : undefined,
  };

  for (const [index, block] of blocks.entries()) {
    if (options.signal) await nextTask();
    options.signal?.throwIfAborted();
    // z′ = MSA(LN(z)) + z                                                                    (2)
    // z = MLP(LN(z′)) + z′                                                                   (3)
    // One step each; in parallel blocks one step of both.
    for (const step of block) {
      let [attentions, mlps] = [0, 0];
      const inner = step.map((branch) =>
        branch.kind === "attention" ? msa(branch, index, a.y[attentions++]!) : mlp(branch, a.hidden[mlps++]!),
      );
      step.forEach((branch, i) => {
        add(branch, inner[i]!);
      });
    }
    options.each(a.probabilities);
  }

  /** Before the projection. With post-norm z is read as it is. */
  function msa(attention: Attention, block: number, y: Matrix): Matrix {
    backend.linear(a.qkv, z, attention.qkv, postNorm ? {} : { norm: attention.norm });
    if (attention.headNorm) backend.headNorm(a.qkv, heads, attention.headNorm.query, attention.headNorm.key);
    if (places.rotary) {
      const { cos, sin } = places.rotary.of(block);
      backend.rotate(a.qkv, cos, sin, { heads, pairs: places.rotary.pairs });
    }
    if (places.relative) places.relative(attention, a.bias!);
    backend.attention(y, a.qkv, { heads, tokens, bias: a.bias ?? places.bias, probabilities: a.probabilities });
    return y;
  }

  /** Before the second layer. */
  function mlp({ norm, fc1, gated }: Mlp, hidden: Matrix): Matrix {
    const before = postNorm ? {} : { norm };
    if (gated) {
      backend.linear(a.wide!, z, fc1, before);
      backend.swiglu(hidden, a.wide!);
    } else backend.linear(hidden, z, fc1, { ...before, activation });
    return hidden;
  }

  /** z += out(y), or z += LN(out(y)). */
  function add({ out, innerNorm, norm }: Attention | Mlp, y: Matrix): void {
    if (postNorm) {
      backend.linear(a.added!, y, out, { norm: innerNorm });
      backend.layerNorm(z, a.added!, norm, { accumulate: true });
    } else backend.linear(z, y, out, { norm: innerNorm, accumulate: true });
  }
}
