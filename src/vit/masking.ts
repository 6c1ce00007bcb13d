/** Patches that an encoder does not see, for heads that tell what is there. */
import type { Backend, Tensor as Matrix } from "../backend.js";

export interface Masking {
  /** Changes embedded patches, [B·N, D], before they have positions. */
  readonly patches?: (rows: Float32Array) => void;
  /** Patches of an image that are kept, in their order for the encoder; all unless given. */
  readonly kept?: (image: number) => readonly number[];
}

/** Hides embedded patches. */
export async function maskPatches(backend: Backend, x: Matrix, hide: NonNullable<Masking["patches"]>): Promise<void> {
  const rows = await backend.read(x);
  hide(rows);
  backend.write(x, rows);
}

/** Tokens of each image before its patches, and those of its patches that are kept. z: [B·(prefix + N), D]. */
export async function keepPatches(
  backend: Backend,
  z: Matrix,
  { images, prefix }: { readonly images: number; readonly prefix: number },
  kept: NonNullable<Masking["kept"]>,
): Promise<Matrix> {
  const rows = await backend.read(z);
  const tokens = z.rows / images;
  const own = Array.from({ length: images }, (_, image) =>
    [...Array(prefix).keys(), ...kept(image).map((patch) => prefix + patch)].map((token) => image * tokens + token),
  ).flat();
  const data = new Float32Array(own.length * z.cols);
  for (const [i, row] of own.entries()) data.set(rows.subarray(row * z.cols, (row + 1) * z.cols), i * z.cols);
  return backend.createTensor(own.length, z.cols, data);
}
