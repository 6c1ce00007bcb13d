/** The end of the encoder, of tokens that are given in the place of images. */
import type { Backend, Norm } from "../backend.js";
import { type Call, tensorOf } from "./call.js";
import type { Tensor } from "./outputs.js";
import type { Encoded } from "./reader.js";

/** y = LN(z_L⁰), eq. 4, of all tokens; the grid is one line, as nothing tells it. */
export function finishTokens(
  backend: Backend,
  weights: { readonly norm: Norm | undefined },
  { norm, prefixTokens }: { readonly norm: string; readonly prefixTokens: number },
  { dims, data }: Tensor,
  { wants, outputs }: Call,
): Encoded {
  const [images, tokens, width] = dims as [number, number, number];
  const z = backend.createTensor(images * tokens, width, data);
  if (norm === "tokens" || norm === "twice") backend.layerNorm(z, z, weights.norm!);
  if (wants("lastHiddenState")) outputs.lastHiddenState = tensorOf(backend.read(z), dims);
  return { images, tokens, z, grid: [1, tokens - prefixTokens] };
}
