/** A multilayer perceptron of a head: linear layers with an activation between them. */
import type { Activation, Backend, Linear, Tensor as Matrix } from "../backend.js";
import type { LinearPlan, Planner } from "../planned.js";

/** Plans layers, of which all but the last have `width` outputs, as many as the first has inputs. */
export const planMlp = (planner: Planner, names: readonly string[], width: number, outputs: number): LinearPlan[] =>
  names.map((name, i) => planner.linear([name], i === names.length - 1 ? outputs : width, width));

/** f_n(… f_2(f_1(x))), [rows, outputs of the last layer]; there is no activation behind the last. */
export function runMlp(backend: Backend, layers: readonly Linear[], x: Matrix, activation: Activation): Matrix {
  return layers.reduce((y, layer, i) => {
    const out = backend.createTensor(y.rows, layer.outputs);
    backend.linear(out, y, layer, i === layers.length - 1 ? {} : { activation });
    return out;
  }, x);
}

/** σ(x) */
export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
