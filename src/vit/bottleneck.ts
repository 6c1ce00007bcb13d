/** Convolutions behind a block, by which windows learn of each other (ViTDet, Li et al. 2022b, section 3). */
import type { Activation, Backend, Linear, Tensor as Matrix, Norm, Pair } from "../backend.js";
import { windowOf } from "./resnet.js";

/** A bottleneck: 1×1, 3×3, 1×1, half as wide inside, a norm of channels behind each. */
export interface Bottleneck {
  readonly kind: "bottleneck";
  readonly convolutions: readonly [Linear, Linear, Linear];
  readonly norms: readonly [Norm, Norm, Norm];
}

/** z += LN(conv(f(LN(conv(f(LN(conv(z)))))))) of the map that the tokens are. z: [B·N, D], N = height · width. */
export function addBottleneck(
  backend: Backend,
  z: Matrix,
  { convolutions: [conv1, conv2, conv3], norms: [norm1, norm2, norm3] }: Bottleneck,
  activation: Activation,
  [height, width]: Pair,
): void {
  const mark = backend.mark();
  const x = backend.createTensor(z.rows, conv1.outputs);
  backend.linear(x, z, conv1);
  backend.layerNorm(x, x, norm1, { activation });
  const y = backend.createTensor(z.rows, conv2.outputs);
  backend.convolve(y, x, conv2, windowOf({ height, width }, 3, 1, "symmetric"));
  backend.layerNorm(y, y, norm2, { activation });
  const added = backend.createTensor(z.rows, z.cols);
  backend.linear(added, y, conv3);
  backend.layerNorm(z, added, norm3, { accumulate: true });
  backend.release(mark);
}
