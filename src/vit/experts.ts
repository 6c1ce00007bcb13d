/** Experts beside the second layer of an MLP, one for each data set that the model was trained on (ViTPose+, Xu et al. 2023). */
import type { Backend, Linear, Tensor as Matrix } from "../backend.js";

/** Layers to the last columns of z. */
export interface Experts {
  readonly layers: readonly Linear[];
  /** First column of z that they are added to; their outputs before their own are zeros, up to a multiple of 8 columns. */
  readonly column: number;
}

/** z += [out(y), expert(y)]. z: [rows, D]; y: [rows, mlpWidth]. */
export function addExpert(
  backend: Backend,
  z: Matrix,
  y: Matrix,
  out: Linear,
  { layers, column }: Experts,
  dataset: number,
): void {
  backend.linear(z, y, out, { accumulate: true, column: 0 });
  backend.linear(z, y, layers[dataset]!, { accumulate: true, column });
}
