/** Outputs that are lists, an entry a block: hidden states and attentions of either tower, queries and keys of images. */
import type { Backend, Tensor as Matrix } from "../backend.js";
import { type Call, sideBySide, tensorOf } from "./call.js";
import type { Sequence, Tap } from "./encoder.js";
import { inOrder } from "./order.js";
import type { Tensor } from "./outputs.js";
import { planes } from "./resnet.js";

/**
 * Taps on an encoder that fill the lists that are asked for, which begin with tokens z.
 * @param how order: of the tokens in the lists, if it is another than in z; grid: of the tokens, where hidden states are maps of
 *   them, [B, rows, columns, D], or with channelsFirst [B, D, rows, columns].
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
    readonly queries?: "queries";
    readonly keys?: "keys";
  },
  {
    order,
    grid,
    channelsFirst = false,
  }: {
    readonly order?: readonly number[];
    readonly grid?: readonly [number, number];
    readonly channelsFirst?: boolean;
  } = {},
): Tap[] {
  const taps: Tap[] = [];
  const read = (z: Matrix) => backend.read(z).then((rows) => inOrder(rows, order, z.cols));
  const tokensOf = (z: Matrix, { images, tokens }: Sequence) =>
    grid && channelsFirst
      ? planes(backend, { x: z, height: grid[0], width: grid[1] }, images)
      : tensorOf(read(z), [images, ...(grid ?? [tokens]), z.cols]);
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
  const scored = [names.queries, names.keys].map((name) => {
    if (!name || !wants(name)) return undefined;
    const list: Promise<Tensor>[] = [];
    outputs[name] = list;
    return list;
  });
  if (scored.some((list) => list)) {
    const read = (qkv: readonly Promise<Float32Array>[], sequence: Sequence) => {
      for (const [part, list] of scored.entries())
        list?.push(partOf(qkv, part, sequence, heads, z.cols / heads, order));
    };
    taps.push({ of: "qkv", blocks, read });
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

/**
 * Queries (part 0) or keys (part 1) of [q | k | v] of a block's attentions, [B, heads, tokens, d]: of two the heads of one behind
 * the other's. Queries have the factor 1/√d of eq. 6, so that scores are q·k.
 */
function partOf(
  qkv: readonly Promise<Float32Array>[],
  part: number,
  { images, tokens }: Sequence,
  heads: number,
  d: number,
  order: readonly number[] | undefined,
): Promise<Tensor> {
  const cols = 3 * heads * d;
  const factor = part === 0 ? 1 / Math.sqrt(d) : 1;
  const values = Promise.all(qkv).then((all) => {
    const data = new Float32Array((all.length * images * tokens * cols) / 3);
    let at = 0;
    for (let image = 0; image < images; image++)
      for (const packed of all) {
        const rows = inOrder(packed.subarray(image * tokens * cols, (image + 1) * tokens * cols), order, cols);
        for (let head = 0; head < heads; head++)
          for (let token = 0; token < tokens; token++) {
            const from = token * cols + (part * heads + head) * d;
            for (let i = 0; i < d; i++) data[at++] = rows[from + i]! * factor;
          }
      }
    return data;
  });
  return tensorOf(values, [images, qkv.length * heads, tokens, d]);
}
