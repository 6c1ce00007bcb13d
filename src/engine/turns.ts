/** Whose turn it is on a thread of lanes.ts: images that are to be decoded, and passes of the model, of which some join in a batch. */

export interface Turns<Pixels, Pass> {
  readonly pixels: Pixels[];
  readonly passes: Pass[];
  /** Takes what is next out of its list; undefined if nothing waits. */
  next(): { readonly image: Pixels } | { readonly batch: readonly Pass[] } | undefined;
}

/**
 * Turns of images and passes, in the order in which each kind came. An image is decoded between two passes, so that neither waits for all
 * that comes of the other; and before a batch that takes more passes than there are, as many images as it takes.
 * @param batchOf given a pass and all that wait, those that may join it, itself first, and the most that a batch takes.
 */
export function createTurns<Pixels, Pass>(
  batchOf: (first: Pass, passes: readonly Pass[]) => { readonly able: readonly Pass[]; readonly size: number },
): Turns<Pixels, Pass> {
  const pixels: Pixels[] = [];
  const passes: Pass[] = [];
  /** Images decoded since the last pass. */
  let decoded = 0;
  function nextBatch(): readonly Pass[] | undefined {
    const [first] = passes;
    if (first === undefined) return undefined;
    const { able, size } = batchOf(first, passes);
    if (pixels.length > 0 && decoded < (able.length < size ? size : 1)) return undefined;
    decoded = 0;
    const batch = able.slice(0, size);
    for (const pass of batch) passes.splice(passes.indexOf(pass), 1);
    return batch;
  }
  return {
    pixels,
    passes,
    next() {
      const batch = nextBatch();
      if (batch) return { batch };
      if (pixels.length === 0) return undefined;
      decoded++;
      return { image: pixels.shift()! };
    },
  };
}
