/**
 * The texts of a call in passes. A pass is of texts that need the same number of tokens, one behind the other without padding, so
 * that none is computed which nobody reads; each text gets the bits that it gets alone.
 */
import type { Outputs, Tensor } from "../vit/outputs.js";
import { pooledToken, type Text, type TextConfig } from "../vit/text.js";
import { eachOutput } from "./batches.js";

/**
 * Most tokens of a pass, but for a text that has more. CLIP's tower of ViT-B/32, 200 prompts of 8 to 14 tokens, one thread, prompts a
 * second: one by one 20, by 128 tokens 52, by 512 57, by 1024 59, by 2048 61 (12 more MB).
 */
const PASS_TOKENS = 1024;

/** Texts of one length that pass at once. */
export interface TextPass {
  /** Their places in the call. */
  readonly places: readonly number[];
  readonly texts: readonly Text[];
}

/** Places of texts in passes of those that have the same number of tokens. */
export const byLength = (texts: readonly (readonly number[])[]): number[][] =>
  grouped(texts, ({ length }) => `${length}`);

/** Places of texts in passes of those that have the same key and number of tokens; of those without a key, each by itself. */
function grouped(
  texts: readonly (readonly number[])[],
  keyOf: (ids: readonly number[], place: number) => string | undefined,
) {
  const groups = new Map<string, number[]>();
  for (const [place, ids] of texts.entries()) {
    const key = keyOf(ids, place) ?? `alone ${place}`;
    const group = groups.get(key);
    if (group) group.push(place);
    else groups.set(key, [place]);
  }
  return [...groups.values()].flatMap((places) => {
    const most = Math.max(1, Math.floor(PASS_TOKENS / texts[places[0]!]!.length));
    return Array.from({ length: Math.ceil(places.length / most) }, (_, i) => places.slice(i * most, (i + 1) * most));
  });
}

/**
 * Passes of texts.
 * @param whole all tokens are asked for, and not only what stands for the text.
 */
export function passesOf(config: TextConfig, all: readonly Text[], whole: boolean): TextPass[] {
  const texts = all.map((text) => seen(whole ? text : cut(text, readTokens(config, text))));
  // With a mask, a text has a bias of its own.
  const keyOf = (ids: readonly number[], place: number) =>
    texts[place]!.mask
      ? undefined
      : `${ids.length} ${config.pooling === "mean" ? "" : pooledToken(config.pooling, ids)}`;
  const groups = grouped(
    texts.map(({ ids }) => ids),
    keyOf,
  );
  return groups.map((places) => ({ places, texts: places.map((place) => texts[place]!) }));
}

/** A mask under which all tokens count is none. */
const seen = ({ ids, mask }: Text): Text => ({ ids, mask: mask?.every(Boolean) ? undefined : mask });

const cut = ({ ids, mask }: Text, count: number): Text => ({ ids: ids.slice(0, count), mask: mask?.slice(0, count) });

/**
 * The tokens from the first on that a text's features depend on: up to the pooled one in a causal tower, where none sees what is
 * behind it, and else up to the last one that counts.
 */
function readTokens({ causal, pooling }: TextConfig, { ids, mask }: Text): number {
  const pooled = pooling === "mean" ? 0 : pooledToken(pooling, ids);
  const end = causal && pooling !== "mean" ? pooled : ids.length - 1;
  const last = mask ? mask.lastIndexOf(true, end) : end;
  // Where all that it sees is hidden, the pooled token looks at all tokens alike (text.ts).
  return last < 0 ? ids.length : Math.max(pooled, last) + 1;
}

/** Results of passes, [texts of the pass, …], as those of the call, [texts, …]. */
export function inPlaces(passes: readonly TextPass[], results: readonly Partial<Outputs>[]): Partial<Outputs> {
  const count = passes.reduce((sum, { places }) => sum + places.length, 0);
  return eachOutput(results, (tensors): Tensor => {
    const dims = tensors[0]!.dims.slice(1);
    const size = dims.reduce((product, n) => product * n, 1);
    const data = new Float32Array(count * size);
    for (const [i, { places }] of passes.entries())
      for (const [j, place] of places.entries())
        data.set(tensors[i]!.data.subarray(j * size, (j + 1) * size), place * size);
    return { dims: [count, ...dims], data };
  });
}
