/**
 * The contract between the parts of a model and the checkpoint that their weights come from.
 *
 * A plan has the form of the weights; in the place of each layer, matrix and vector it says which tensors of the checkpoint
 * fill it. It is data: checkpoint/plan.ts compares it with the tensors that there are, and one function there makes room for
 * it on a backend.
 */
import type { Linear, Norm, Tensor } from "./backend.js";

/** Rearranges all values of a tensor, in row-major order. */
export type Arrange = (values: Float32Array) => Float32Array;

/** Rows of a place, and the tensor that they are in. */
export interface Source {
  readonly tensor: string;
  /** Shape of the whole tensor. Ones do not count: libraries differ in [1, 1, D] and [D]. */
  readonly shape: readonly number[];
  /** Number of rows, as wide as the place's. */
  readonly rows: number;
  /** First row of the tensor. */
  readonly from: number;
  /** First row of the place. */
  readonly to: number;
  /** Makes the rows from the whole tensor, where it does not hold them as they are. */
  readonly arrange?: Arrange;
}

/** A linear layer of `outputs` rows; those of its bias that have no source are zeros. */
export interface LinearPlan {
  readonly place: "linear";
  readonly outputs: number;
  readonly inputs: number;
  readonly weight: readonly Source[];
  readonly bias: readonly Source[];
  /** LayerScale (Touvron et al. 2021b): a factor for each output, multiplied in once all tensors have passed. */
  readonly scale?: ValuesPlan;
  /** Batch norm (Ioffe & Szegedy 2015) behind it, folded in then. */
  readonly batchNorm?: BatchNormPlan;
  /** True if it stays in f32 in every precision. */
  readonly exact?: true;
}

/** A batch norm of the moments that training left, and the bias of the layer before it, which has none of its own then. */
export interface BatchNormPlan {
  readonly eps: number;
  readonly values: Readonly<Record<"scale" | "shift" | "mean" | "variance", ValuesPlan>> & {
    readonly bias?: ValuesPlan;
  };
}

/** A matrix in the backend's memory. */
export interface TensorPlan {
  readonly place: "tensor";
  readonly rows: number;
  readonly cols: number;
  readonly sources: readonly Source[];
}

/** Values of a whole tensor, kept on the host. */
export interface ValuesPlan {
  readonly place: "values";
  readonly tensor: string;
  readonly shape: readonly number[];
  readonly arrange?: Arrange;
}

/** Weights, with plans in the place of what holds their numbers. */
export type Planned<T> = T extends Linear
  ? LinearPlan
  : T extends Tensor
    ? TensorPlan
    : T extends Float32Array
      ? ValuesPlan
      : T extends object
        ? { readonly [Key in keyof T]: Planned<T[Key]> }
        : T;

/** Questions of a part to a checkpoint while it plans its weights. Names of layers and norms are without ".weight" and the like. */
export interface Planner {
  has(tensor: string): boolean;
  shapeOf(tensor: string): readonly number[] | undefined;
  /** Names of the tensors of a layer. */
  weightOf(layer: string): string;
  biasOf(layer: string): string;
  /** Tells whether a norm exists. */
  hasNorm(norm: string): boolean;
  /** A norm; an RMSNorm in towers whose first norm has no shift, unless it is said. */
  norm(norm: string, cols: number, eps: number, rms?: boolean): Planned<Norm>;
  /** A layer of the rows of several in turn; whether they have biases the first one tells, unless they are given. */
  linear(
    layers: readonly string[],
    outputs: number,
    inputs: number,
    options?: {
      /** Flax keeps the heads apart: outputs of q, k and v are [heads, d], and inputs of the projection. */
      readonly heads?: { readonly of: "inputs" | "outputs"; readonly count: number };
      readonly biases?: readonly (string | undefined)[];
      /** They have, so that a checkpoint without is refused. */
      readonly biased?: true;
    },
  ): LinearPlan;
}
