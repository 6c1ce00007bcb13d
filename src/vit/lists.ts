/** Outputs that are lists, an entry a block: hidden states and attentions of either tower. */
import type { Backend, Tensor as Matrix } from "../backend.js";
import { type Call, sideBySide, tensorOf } from "./call.js";
import type { Sequence, Tap } from "./encoder.js";
import { inOrder } from "./order.js";
import type { Tensor } from "./outputs.js";

/**
 * Taps on an encoder that fill the lists that are asked for, which begin with tokens z.
 * @param how order: of the tokens in the lists, if it is another than in z; grid: of the tokens, where hidden states are maps of
 *   them, [B, rows, columns, D].
 */
export function listsOf(
  backend: Backend,
  z: Matrix,
  sequence: Sequence,
  heads: number,
  { wants, outputs, blocks }: Call,
  names: {
    readonly states: "hiddenStates" | "textHiddenStates";
    readonly attentions: "attentions" | "textAttentions";
  },
  { order, grid }: { readonly order?: readonly number[]; readonly grid?: readonly [number, number] } = {},
): Tap[] {
  const taps: Tap[] = [];
  const read = (z: Matrix) => backend.read(z).then((rows) => inOrder(rows, order, z.cols));
  const tokensOf = (z: Matrix, { images, tokens }: Sequence) =>
    tensorOf(read(z), [images, ...(grid ?? [tokens]), z.cols]);
  if (wants(names.states)) {
    const states = blocks ? [] : [tokensOf(z, sequence)];
    outputs[names.states] = states;
    taps.push({ of: "tokens", blocks, read: (z, sequence) => void states.push(tokensOf(z, sequence)) });
  }
  if (wants(names.attentions)) {
    const attentions: Promise<Tensor>[] = [];
    outputs[names.attentions] = attentions;
    const read = (maps: readonly Matrix[], { images }: Sequence) =>
      void attentions.push(attentionsOf(backend, maps, images, heads, order));
    taps.push({ of: "attentions", blocks, read });
  }
  return taps;
}

/** Maps of a block's attentions, [B, heads, tokens, tokens]: of two the heads of one behind the other's. */
function attentionsOf(
  backend: Backend,
  maps: readonly Matrix[],
  images: number,
  heads: number,
  order: readonly number[] | undefined,
): Promise<Tensor> {
  const tokens = maps[0]!.cols;
  const values = Promise.all(maps.map((map) => backend.read(map))).then((read) =>
    inOrder(inOrder(sideBySide(read, images), order, tokens), order, 1),
  );
  return tensorOf(values, [images, maps.length * heads, tokens, tokens]);
}
