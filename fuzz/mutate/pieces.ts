/** Changes of a file that is a row of pieces (chunks, segments, members), each put back with a right length and checksum. */
import { mutateBytes } from "./bytes.js";
import type { Mutator, Pool } from "./mutator.js";

/** A format whose files are pieces of type T. */
export interface Format<T> {
  /** The pieces of a file, as far as it has any; undefined for another format. */
  split(bytes: Uint8Array): T[] | undefined;
  join(pieces: readonly T[], pool: Pool): Uint8Array;
  /** Another piece made of one. */
  change(piece: T, pool: Pool): T;
}

/** Changes, drops, repeats, moves and borrows pieces. */
export function mutatePieces<T>({ split, join, change }: Format<T>): Mutator {
  return (input, pool) => {
    const { random } = pool;
    const pieces = split(input);
    if (!pieces || pieces.length === 0) return undefined;
    for (let left = 1 << random.below(3); left > 0 && pieces.length > 0; left--) {
      const at = random.below(pieces.length);
      switch (random.below(8)) {
        case 0:
          pieces.splice(at, 1);
          break;
        case 1:
          pieces.splice(at, 0, pieces[at]!);
          break;
        case 2: {
          const [moved] = pieces.splice(at, 1);
          pieces.splice(random.below(pieces.length + 1), 0, moved!);
          break;
        }
        case 3: {
          const others = split(pool.other());
          if (others && others.length > 0) pieces.splice(at, random.below(2), random.pick(others));
          break;
        }
        default:
          pieces[at] = change(pieces[at]!, pool);
      }
    }
    return join(pieces, pool);
  };
}

/** Pieces that are bytes with a tag: most change inside. */
export interface Tagged {
  readonly tag: string;
  readonly data: Uint8Array;
}

/** Changes the data, or once in a while the tag, into one of `tags`. */
export function changeTagged(piece: Tagged, tags: readonly string[], pool: Pool): Tagged {
  if (pool.random.once(12)) return { ...piece, tag: pool.random.pick(tags) };
  return { ...piece, data: mutateBytes(piece.data, pool) };
}

export const ascii = (bytes: Uint8Array, from: number, to: number): string =>
  String.fromCharCode(...bytes.subarray(from, to));

export const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));
