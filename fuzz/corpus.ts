/** Inputs worth changing: each passed a place, or passed it more often, than all before it. */
import type { Random } from "./random.js";

interface Entry {
  readonly input: Uint8Array;
}

export interface Corpus {
  readonly size: number;
  /** @param passed the places in the code that `input` passes. */
  add(input: Uint8Array, passed: readonly number[]): void;
  /** Three times of four one of those that are the shortest to pass some place. */
  choose(random: Random): Uint8Array;
}

export function createCorpus(): Corpus {
  const entries: Entry[] = [];
  const shortest: (Entry | undefined)[] = [];
  let favored: Entry[] | undefined;
  return {
    get size() {
      return entries.length;
    },
    add(input, passed) {
      const entry = { input };
      entries.push(entry);
      for (const place of passed) {
        const best = shortest[place];
        if (best === undefined || input.length < best.input.length) shortest[place] = entry;
      }
      favored = undefined;
    },
    choose(random) {
      favored ??= [...new Set(shortest.filter((entry) => entry !== undefined))];
      const from = favored.length === 0 || random.once(4) ? entries : favored;
      return from.length === 0 ? new Uint8Array() : random.pick(from).input;
    },
  };
}
