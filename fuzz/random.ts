/** Chance that can be repeated: the same seed gives the same numbers on every machine. */
export interface Random {
  /** A whole number from 0 to `n` - 1. */
  below(n: number): number;
  /** True once in `n` times. */
  once(n: number): boolean;
  /** One of a list that is not empty. */
  pick<T>(list: ArrayLike<T>): T;
}

/** sfc32 (Doty-Humphrey, PractRand), its state filled from `seed`. */
export function createRandom(seed: number): Random {
  let [a, b, c, counter] = [0x9e3779b9, 0x243f6a88, seed | 0, 1];
  const next = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return sum >>> 0;
  };
  for (let i = 0; i < 12; i++) next();
  const below = (n: number) => Math.floor((next() / 2 ** 32) * n);
  return { below, once: (n) => below(n) === 0, pick: (list) => list[below(list.length)]! };
}
