/** Plans of rows, values and vectors; planned.ts says what they are. */
import type { Arrange, Source, TensorPlan, ValuesPlan } from "./planned.js";

/** All rows of a tensor of so many, or a part of them, at a place's first row or further down. */
export const source = (
  tensor: string,
  shape: readonly number[],
  rows: number,
  { from = 0, to = 0, arrange }: { from?: number; to?: number; arrange?: Arrange } = {},
): Source => ({ tensor, shape, rows, from, to, arrange });

export const values = (tensor: string, shape: readonly number[], arrange?: Arrange): ValuesPlan => ({
  place: "values",
  ...{ tensor, shape, arrange },
});

/** A matrix of one row. */
export const vector = (tensor: string, cols: number): TensorPlan => ({
  place: "tensor",
  ...{ rows: 1, cols, sources: [source(tensor, [cols], 1)] },
});

/** [inputs, outputs] to [outputs, inputs]. */
export const transpose =
  (inputs: number): Arrange =>
  (values) => {
    const outputs = values.length / inputs;
    const result = new Float32Array(values.length);
    for (let i = 0; i < inputs; i++)
      for (let o = 0; o < outputs; o++) result[o * inputs + i] = values[i * outputs + o]!;
    return result;
  };
