/** Havoc, as AFL calls it: some random changes at once of bytes, integers and runs of bytes. */
import { type Pool, splice, viewOf } from "./mutator.js";

/** Integers at which programs go wrong. */
const EDGES = [
  "0 1 2 3 7 8 16 32 64 100 127 128 255 256 512 1000 1024 4096 32767 32768 65535 65536 16777216",
  "2147483647 2147483648 4294967295",
].flatMap((list) => list.split(" ").map(Number));

type Change = (bytes: Uint8Array, pool: Pool) => Uint8Array;

/** A place in `bytes` and a run of them that begins there, short ones more often. */
function run(length: number, { random }: Pool): [from: number, to: number] {
  const size = 1 + random.below(Math.min(length, 1 << random.below(8)));
  const from = random.below(length - size + 1);
  return [from, from + size];
}

function changeInteger(bytes: Uint8Array, { random }: Pool): Uint8Array {
  const size = random.pick([1, 2, 4].filter((n) => n <= bytes.length));
  const at = random.below(bytes.length - size + 1);
  const view = viewOf(bytes);
  const little = random.once(2);
  const old = size === 1 ? view.getUint8(at) : size === 2 ? view.getUint16(at, little) : view.getUint32(at, little);
  const value = random.once(2) ? random.pick(EDGES) : old + random.below(71) - 35;
  if (size === 1) view.setUint8(at, value);
  else if (size === 2) view.setUint16(at, value, little);
  else view.setUint32(at, value, little);
  return bytes;
}

const CHANGES: readonly Change[] = [
  (bytes, { random }) => {
    bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
    return bytes;
  },
  (bytes, { random }) => {
    bytes[random.below(bytes.length)] = random.below(256);
    return bytes;
  },
  changeInteger,
  changeInteger,
  // A run goes, is doubled, is copied to elsewhere, or becomes one value.
  (bytes, pool) => splice(bytes, ...run(bytes.length, pool), []),
  (bytes, pool) => {
    const [from, to] = run(bytes.length, pool);
    return splice(bytes, to, to, bytes.slice(from, to));
  },
  (bytes, pool) => {
    const [from, to] = run(bytes.length, pool);
    bytes.copyWithin(pool.random.below(bytes.length), from, to);
    return bytes;
  },
  (bytes, pool) => bytes.fill(pool.random.below(256), ...run(bytes.length, pool)),
  (bytes, { random }) => {
    const at = random.below(bytes.length + 1);
    return splice(
      bytes,
      at,
      at,
      Array.from({ length: 1 + random.below(8) }, () => random.below(256)),
    );
  },
  // A word that the code knows, over what is there or before it.
  (bytes, { random, dictionary }) => {
    if (dictionary.length === 0) return bytes;
    const word = random.pick(dictionary);
    const at = random.below(bytes.length + 1);
    return splice(bytes, at, random.once(2) ? at : Math.min(bytes.length, at + word.length), word);
  },
  // The beginning of one input with the end of another, and a run of another.
  (bytes, pool) => {
    const other = pool.other();
    return splice(
      bytes,
      pool.random.below(bytes.length + 1),
      bytes.length,
      other.subarray(pool.random.below(other.length + 1)),
    );
  },
  (bytes, pool) => {
    const other = pool.other();
    if (other.length === 0) return bytes;
    const at = pool.random.below(bytes.length + 1);
    return splice(bytes, at, pool.random.once(2) ? at : bytes.length, other.subarray(...run(other.length, pool)));
  },
];

export function mutateBytes(input: Uint8Array, pool: Pool): Uint8Array {
  let bytes: Uint8Array = input.slice();
  for (let left = 1 << pool.random.below(6); left > 0; left--) {
    if (bytes.length === 0) bytes = Uint8Array.of(pool.random.below(256));
    bytes = pool.random.pick(CHANGES)(bytes, pool);
  }
  return bytes;
}
