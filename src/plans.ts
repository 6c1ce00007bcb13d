/** Plans of rows, values and vectors; planned.ts says what they are. */
import type { Arrange, LinearPlan, Planner, Source, TensorPlan, ValuesPlan } from "./planned.js";

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

/**
 * Filters of a convolution, [O, I, k, k] or Flax's [k, k, I, O], as rows in the order (y, x, channel).
 * @param finish changes each row when it is whole.
 */
export const convolutionRows =
  (
    { outputs, channels, kernel, flax = false }: { outputs: number; channels: number; kernel: number; flax?: boolean },
    finish?: (row: Float32Array) => void,
  ): Arrange =>
  (values) => {
    const spots = kernel * kernel;
    const inputs = spots * channels;
    const rows = new Float32Array(values.length);
    for (let o = 0; o < outputs; o++) {
      for (let spot = 0; spot < spots; spot++)
        for (let c = 0; c < channels; c++) {
          const from = flax ? (spot * channels + c) * outputs + o : (o * channels + c) * spots + spot;
          rows[o * inputs + spot * channels + c] = values[from]!;
        }
      finish?.(rows.subarray(o * inputs, (o + 1) * inputs));
    }
    return rows;
  };

/** Filters of a transposed convolution, [I, O, k, k], as the rows that `convolveTransposed` takes. */
export const transposedRows =
  ({
    outputs,
    channels,
    kernel,
    stride,
  }: {
    outputs: number;
    channels: number;
    kernel: number;
    stride: number;
  }): Arrange =>
  (values) => {
    const taps = kernel / stride;
    const rows = new Float32Array(values.length);
    let at = 0;
    for (let u = 0; u < stride; u++)
      for (let v = 0; v < stride; v++)
        for (let o = 0; o < outputs; o++)
          for (let i = taps - 1; i >= 0; i--)
            for (let j = taps - 1; j >= 0; j--)
              for (let c = 0; c < channels; c++) {
                rows[at++] = values[((c * outputs + o) * kernel + u + stride * i) * kernel + v + stride * j]!;
              }
    return rows;
  };

/** A transposed convolution whose kernel is as large as its stride, so that what its pixels make does not overlap. */
export function transposedPlan(
  { weightOf, biasOf }: Planner,
  name: string,
  { outputs, channels, stride }: { outputs: number; channels: number; stride: number },
): LinearPlan {
  const arrange = transposedRows({ outputs, channels, kernel: stride, stride });
  const spots = Array.from({ length: stride * stride }, (_, i) => i * outputs);
  const rows = stride * stride * outputs;
  return {
    place: "linear",
    ...{ outputs: rows, inputs: channels },
    weight: [source(weightOf(name), [channels, outputs, stride, stride], rows, { arrange })],
    bias: spots.map((to) => source(biasOf(name), [outputs], outputs, { to })),
  };
}

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
