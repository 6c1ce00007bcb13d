/** A call of the model as its parts see it: what is asked for, and what has been given. */
import type { OutputName, Outputs, Tensor } from "./outputs.js";

/** Outputs whose ops have all been called, and whose values are on their way. */
export type Pending = {
  [Name in OutputName]?: Outputs[Name] extends Tensor[] ? Promise<Tensor>[] : Promise<Tensor>;
};

/** A call: outputs that are asked for, and those that it gives. */
export interface Call {
  /** Tells whether an output is asked for; nothing else is read back. */
  readonly wants: (name: OutputName) => boolean;
  /** Filled while ops are called. */
  readonly outputs: Pending;
  /** Blocks, from 0, that lists have entries of; all, and the first one's input, unless given. */
  readonly blocks?: readonly number[];
  readonly signal?: AbortSignal;
}

/** Values that are being read. Nobody waits for them if an op that follows fails, which is the error then. */
export function tensorOf(values: Promise<Float32Array>, dims: readonly number[]): Promise<Tensor> {
  const tensor = values.then((data) => ({ dims, data }));
  tensor.catch(() => {});
  return tensor;
}

/** Matrices of as many rows as one: row by row, one behind the other. */
export function sideBySide(matrices: readonly Float32Array[], rows: number): Float32Array {
  const [first] = matrices;
  if (matrices.length === 1) return first!;
  const data = new Float32Array(matrices.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (let row = 0; row < rows; row++)
    for (const values of matrices) {
      const width = values.length / rows;
      data.set(values.subarray(row * width, (row + 1) * width), at);
      at += width;
    }
  return data;
}
