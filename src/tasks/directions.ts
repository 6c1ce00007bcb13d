/**
 * Directions of classes that are named by texts: of each class the mean of its texts' embeddings, of length 1, as in CLIP (Radford et
 * al. 2021, section 3.1.4). They are kept, as 80,000 prompts of 1,000 classes are minutes of work and 2 MB.
 */
import { toUnit } from "../numerics/vectors.js";

/** A place where vectors are kept by names from one process to the next. */
export interface Shelf {
  get(name: string): Promise<Float32Array | undefined>;
  put(name: string, vector: Float32Array): Promise<void>;
}

/** Classes are embedded together until they have so many texts, which run by their lengths. */
const TOGETHER = 2048;
/** Directions that are kept in memory: of 512 numbers, 8 MB. */
const KEPT = 4096;

/** Directions of classes, by the texts of each, with what embeds texts. */
export type Directions = (
  classes: readonly (readonly string[])[],
  embed: (texts: readonly string[]) => Promise<readonly Float32Array[]>,
) => Promise<Float32Array[]>;

export function createDirections(shelf?: Shelf): Directions {
  const known = new Map<string, Float32Array>();
  return async (classes, embed) => {
    const names = classes.map((texts) => JSON.stringify(texts));
    const found = new Map<string, Float32Array>();
    let waiting = new Map<string, readonly string[]>();
    let texts = 0;
    async function compute(): Promise<void> {
      const rows = await embed([...waiting.values()].flat());
      let first = 0;
      for (const [name, { length }] of waiting) {
        const direction = meanDirection(rows.slice(first, first + length).map(toUnit));
        first += length;
        found.set(name, direction);
        await shelf?.put(name, direction);
      }
      waiting = new Map();
      texts = 0;
    }
    for (const [i, name] of names.entries()) {
      if (found.has(name) || waiting.has(name)) continue;
      const direction = known.get(name) ?? (await shelf?.get(name));
      if (direction) found.set(name, direction);
      else {
        waiting.set(name, classes[i]!);
        texts += classes[i]!.length;
        if (texts >= TOGETHER) await compute();
      }
    }
    if (texts > 0) await compute();
    for (const [name, direction] of found) known.set(name, direction);
    // Those of the longest ago make room.
    for (const name of known.keys()) {
      if (known.size <= KEPT) break;
      known.delete(name);
    }
    return names.map((name) => found.get(name)!);
  };
}

/** The direction of the mean of unit vectors. */
function meanDirection(rows: readonly Float32Array[]): Float32Array {
  return toUnit(Float32Array.from(rows[0]!, (_, i) => rows.reduce((sum, row) => sum + row[i]!, 0) / rows.length));
}
