/** The transformer encoder of either tower: equations 2 and 3 of Dosovitskiy et al. 2021, block by block. */
import type { Activation, Backend, Linear, Tensor as Matrix, Norm, Pairs } from "../backend.js";
import { nextTask } from "../waiting.js";
import { addExpert, type Experts } from "./experts.js";
import { type Further, runFurther } from "./further.js";
import { attendInWindows, type Continuous, decomposedOf, mapsOf, type Tables, type WindowOf } from "./windows.js";

/** Sizes of a transformer encoder. Names as in Dosovitskiy et al. 2021, table 1 and section 3.1. */
export interface EncoderConfig {
  /** D */
  readonly width: number;
  /** L */
  readonly depth: number;
  /** k */
  readonly heads: number;
  /** Hidden width of the MLP. */
  readonly mlpWidth: number;
  /** Added to the variance in every norm. */
  readonly eps: number;
  /** Activation of the MLP; a gated one has SiLU at the gate. */
  readonly activation: Activation;
}

/**
 * Norms behind attention and MLP instead of before them: of what a branch adds, z + LN(f(z)) (Liu et al. 2022), or of the sum,
 * LN(z + f(z)) (Vaswani et al. 2017). False: none.
 */
export type PostNorm = false | "branch" | "sum";

/** Multi-head self-attention of a block, eq. 2 and 5 to 8. */
export interface Attention {
  readonly kind: "attention";
  readonly norm: Norm;
  /** U_qkv of eq. 5, all heads: D → [q | k | v] */
  readonly qkv: Linear;
  /** Norms of queries and keys, head by head, or of all heads of a token in one (InternVL). */
  readonly qkNorm: { readonly query: Norm; readonly key: Norm; readonly heads: number } | undefined;
  /** BEiT's table, [(2h-1)(2w-1)+3, heads], or Swin's of a window, [(2h-1)(2w-1), heads]. */
  readonly relativePositions: Float32Array | undefined;
  /** Layers that make such a table of distances. */
  readonly continuous?: Continuous;
  readonly decomposed: Tables | undefined;
  readonly window: WindowOf | undefined;
  readonly subNorm: Norm | undefined;
  /** U_msa of eq. 8: D → D */
  readonly out: Linear;
}

/** MLP of a block, eq. 3. */
export interface Mlp {
  readonly kind: "mlp";
  readonly norm: Norm;
  /** D → mlpWidth, or gate and value side by side, D → 2·mlpWidth. */
  readonly fc1: Linear;
  readonly gated: boolean;
  readonly subNorm: Norm | undefined;
  /** mlpWidth → D, or to its first columns, whose others are an expert's. */
  readonly out: Linear;
  readonly experts: Experts | undefined;
}

/** Steps of a block; branches of a step read the same z and are added together: [[MSA], [MLP]] in a plain ViT. */
export type Block = readonly (readonly Branch[])[];

type Branch = Attention | Mlp | Further;

/** Places of tokens, as attention sees them: biases of the scores, or turns of queries and keys. */
export interface Places {
  /** [tokens, tokens] or [heads·tokens, tokens]; -∞ hides a key. */
  readonly bias?: Matrix;
  /** BEiT's, of a class token and a grid, from each block's own table. */
  readonly relative?: (attention: Attention, out: Matrix) => void;
  readonly rotary?: { readonly pairs: Pairs; readonly of: (block: number) => { cos: Matrix; sin: Matrix } };
  /** Rows and columns of the tokens, where all are patches. */
  readonly grid?: readonly [number, number];
  /** Positions that are added behind a block, [tokens, D] each: YOLOS's, behind all blocks but the last (Fang et al. 2021). */
  readonly between?: readonly Float32Array[];
}

/** Sizes of a call: sequences, and tokens of each. */
export interface Sequence {
  readonly images: number;
  readonly tokens: number;
  /** Data set whose experts are taken, where there are any. */
  readonly dataset?: number;
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
  /** Result of a branch that is normalized before it is added, [B·tokens, D]. */
  readonly added: Matrix | undefined;
  /** Scores' bias that a block computes, [heads·tokens, tokens]. */
  readonly bias: Matrix | undefined;
  /** Softmax of the scores, [B·heads·tokens, tokens], for each attention of a block; none where nobody reads them. */
  readonly probabilities: readonly Matrix[];
  /** Positions that are added behind a block, [tokens, D], and the sum, [B·tokens, D]. */
  readonly between: { readonly positions: Matrix; readonly sum: Matrix } | undefined;
}

/** Reads what blocks leave behind, before the next one overwrites it. Attentions that nobody reads are not kept. */
export type Tap = {
  /** Blocks that are read behind, from 0; all unless given. */
  readonly blocks?: readonly number[];
} /** Given z, [B·tokens, D]. */ & (
  | { readonly of: "tokens"; readonly read: (z: Matrix, sequence: Sequence) => void }
  /** Given the maps of a block's attentions, which are two in a parallel block. */
  | { readonly of: "attentions"; readonly read: (probabilities: readonly Matrix[], sequence: Sequence) => void }
  /** Given [q | k | v] of each of a block's attentions, after norms and rotation, [B·tokens, 3D]. */
  | { readonly of: "qkv"; readonly read: (qkv: readonly Promise<Float32Array>[], sequence: Sequence) => void }
);

/**
 * Runs z through blocks, in place; taps read it behind those that they ask for.
 * @param options first: the number of the first of the blocks, by which taps and places know them.
 */
export async function encode(
  backend: Backend,
  config: EncoderConfig & { readonly postNorm?: PostNorm },
  blocks: readonly Block[],
  z: Matrix,
  sequence: Sequence,
  places: Places,
  {
    taps = [],
    first = 0,
    signal,
  }: { readonly taps?: readonly Tap[]; readonly first?: number; readonly signal?: AbortSignal } = {},
): Promise<void> {
  const { heads, activation, width, mlpWidth, postNorm } = config;
  const { images, tokens, dataset = 0 } = sequence;
  const rows = images * tokens;
  const most = (kind: string) =>
    Math.max(0, ...blocks.flat().map((step) => step.filter((branch) => branch.kind === kind).length));
  const several = (count: number, cols: number) =>
    Array.from({ length: count }, () => backend.createTensor(rows, cols));
  const tapsOf = (index: number) => taps.filter((tap) => tap.blocks?.includes(first + index) ?? true);
  const maps = blocks.map((block, index) =>
    tapsOf(index).some((tap) => tap.of === "attentions") ? attentionsIn(block) : 0,
  );
  const windowed = blocks[0]?.flat().find((branch): branch is Attention => "window" in branch && !!branch.window);
  const [mapRows, keys] =
    windowed && places.grid ? mapsOf(windowed, { images, heads, grid: places.grid }) : [rows * heads, tokens];
  const gated = blocks.flat(2).some((branch) => branch.kind === "mlp" && branch.gated);
  const a: Activations = {
    z,
    qkv: backend.createTensor(rows, 3 * width),
    y: several(most("attention"), width),
    hidden: several(most("mlp"), mlpWidth),
    wide: gated ? backend.createTensor(rows, 2 * mlpWidth) : undefined,
    added: postNorm === "branch" ? backend.createTensor(rows, width) : undefined,
    bias: places.relative ? backend.createTensor(heads * tokens, tokens) : undefined,
    probabilities: Array.from({ length: Math.max(0, ...maps) }, () => backend.createTensor(mapRows, keys)),
    between: places.between && {
      positions: backend.createTensor(tokens, width),
      sum: backend.createTensor(rows, width),
    },
  };

  for (const [index, block] of blocks.entries()) {
    if (signal) await nextTask();
    signal?.throwIfAborted();
    const probabilities = a.probabilities.slice(0, maps[index]);
    const qkv = tapsOf(index).some((tap) => tap.of === "qkv") ? ([] as Promise<Float32Array>[]) : undefined;
    let attention = 0;
    // z′ = MSA(LN(z)) + z                                                                    (2)
    // z = MLP(LN(z′)) + z′                                                                   (3)
    // One step each; in parallel blocks one step of both.
    for (const step of block) {
      let [attentions, mlps] = [0, 0];
      const inner = step.map((branch) =>
        branch.kind === "attention"
          ? msa(branch, index, a.y[attentions++]!, probabilities[attention++], qkv)
          : branch.kind === "mlp"
            ? mlp(branch, a.hidden[mlps++]!)
            : z,
      );
      step.forEach((branch, i) => {
        add(branch, inner[i]!);
      });
    }
    for (const tap of tapsOf(index)) {
      if (tap.of === "tokens") tap.read(z, sequence);
      else if (tap.of === "attentions") tap.read(probabilities, sequence);
      else tap.read(qkv!, sequence);
    }
    const positions = places.between?.[first + index];
    if (positions) addPositions(positions);
  }

  /** z += E, the same for all sequences. */
  function addPositions(values: Float32Array): void {
    const { positions, sum } = a.between!;
    backend.write(positions, values);
    backend.assembleTokens(sum, undefined, z, positions);
    backend.assembleTokens(z, undefined, sum, undefined);
  }

  /** Before the projection. With post-norm z is read as it is. */
  function msa(
    attention: Attention,
    block: number,
    y: Matrix,
    probabilities: Matrix | undefined,
    qkv: Promise<Float32Array>[] | undefined,
  ): Matrix {
    backend.linear(a.qkv, z, attention.qkv, postNorm ? {} : { norm: attention.norm });
    if (attention.qkNorm) {
      const { query, key, heads } = attention.qkNorm;
      backend.qkNorm(a.qkv, heads, query, key);
    }
    if (places.rotary) {
      const { cos, sin } = places.rotary.of(first + block);
      backend.rope(a.qkv, cos, sin, { heads, pairs: places.rotary.pairs });
    }
    qkv?.push(backend.read(a.qkv));
    if (places.relative) places.relative(attention, a.bias!);
    if (attention.window) {
      attendInWindows(backend, y, a.qkv, attention, { images, heads, grid: places.grid!, probabilities });
    } else {
      const mark = backend.mark();
      const decomposed = attention.decomposed && decomposedOf(backend, attention.decomposed, places.grid!);
      const integers = attention.qkv.precision === "int8";
      backend.attention(y, a.qkv, { heads, tokens, bias: a.bias ?? places.bias, decomposed, probabilities, integers });
      backend.release(mark);
    }
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

  /** z += out(y), z += [out(y), expert(y)], z += LN(out(y)), or z = LN(z + out(y)). */
  function add(branch: Branch, y: Matrix): void {
    if (branch.kind !== "attention" && branch.kind !== "mlp") {
      return void runFurther(backend, z, branch, activation, places);
    }
    const { out, subNorm, norm } = branch;
    if (branch.kind === "mlp" && branch.experts) addExpert(backend, z, y, out, branch.experts, dataset);
    else if (postNorm === "branch") {
      backend.linear(a.added!, y, out, { norm: subNorm });
      backend.layerNorm(z, a.added!, norm, { accumulate: true });
    } else backend.linear(z, y, out, { norm: subNorm, accumulate: true });
    if (postNorm === "sum") backend.layerNorm(z, z, norm);
  }
}

const attentionsIn = (block: Block): number => block.flat().filter((branch) => branch.kind === "attention").length;
