/** Maps of a dense head between its convolutions. */
import type { Backend, Tensor as Matrix } from "../backend.js";

/** max(x, 0), where no product comes before it that could do it. */
export function positive(backend: Backend, x: Matrix): Matrix {
  const out = backend.createTensor(x.rows, x.cols);
  // Each pixel as a map of its own, in a window that has zeros beside it.
  const window = { height: 1, width: 1, kernel: 2, stride: 1, top: 0, left: 0, outHeight: 1, outWidth: 1 };
  backend.maxPool(out, x, window, 0);
  return out;
}
