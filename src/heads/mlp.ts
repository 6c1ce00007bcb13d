/** A multilayer perceptron of a head: linear layers with an activation between them. */
import type { Activation, Backend, Linear, Tensor as Matrix } from "../backend.js";
import type { LinearPlan, Planner } from "../planned.js";

/** Plans layers, of which all but the last have `width` outputs, as many as the first has inputs. */
export const planMlp = (planner: Planner, names: readonly string[], width: number, outputs: number): LinearPlan[] =>
  names.map((name, i) => planExact(planner, name, i === names.length - 1 ? outputs : width, width));

/**
 * Plans a layer that is computed in f32 in every precision: a head, whose errors are those of the boxes. Of the tiny YOLOS of the
 * goldens the boxes of int8 are 0.0055 off, and 0.0015 with the heads in f32 (root of the mean square).
 */
export const planExact = (planner: Planner, name: string, outputs: number, inputs: number): LinearPlan => ({
  ...planner.linear([name], outputs, inputs, { biased: true }),
  exact: true,
});

/** f_n(… f_2(f_1(x))), [rows, outputs of the last layer]; there is no activation behind the last. */
export function runMlp(backend: Backend, layers: readonly Linear[], x: Matrix, activation: Activation): Matrix {
  return layers.reduce((y, layer, i) => {
    const out = backend.createTensor(y.rows, layer.outputs);
    backend.linear(out, y, layer, i === layers.length - 1 ? {} : { activation });
    return out;
  }, x);
}

/** Multiply-adds of a row: two layers of `width` columns, and one to `outputs`. */
export const mlpProducts = (width: number, outputs: number): number => 2 * width * width + width * outputs;

/** σ(x) */
export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
