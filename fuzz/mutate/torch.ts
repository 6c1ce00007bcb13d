/** Files of torch.save: archives by their members, and pickles by their opcodes. */
import { mutateBytes } from "./bytes.js";
import { join, type Mutator, type Pool, viewOf } from "./mutator.js";
import { mutatePieces, type Tagged } from "./pieces.js";
import { joinZip, splitZip } from "./zip.js";

/** Opcodes with an argument (CPython's Lib/pickletools.py): bytes of it, of its length, or lines. */
const FIXED: Readonly<Record<string, number>> = {
  J: 4,
  K: 1,
  M: 2,
  G: 8,
  h: 1,
  q: 1,
  j: 4,
  r: 4,
  "\x80": 1,
  "\x95": 8,
};
const LENGTH: Readonly<Record<string, number>> = {
  T: 4,
  U: 1,
  X: 4,
  B: 4,
  C: 1,
  "\x8a": 1,
  "\x8b": 4,
  "\x8c": 1,
  "\x8d": 8,
};
const LINES: Readonly<Record<string, number>> = { F: 1, I: 1, L: 1, S: 1, V: 1, g: 1, p: 1, P: 1, c: 2, i: 2 };

/** Every opcode that there is. */
const ALL = [..."(.0122FIJKLMNPQRSTUVX]abcdeghijloprqstu})GBC", ...Array.from({ length: 25 }, (_, i) => 0x80 + i)].map(
  (opcode) => (typeof opcode === "number" ? opcode : opcode.charCodeAt(0)),
);

/** An opcode and its argument each; what lies behind the last STOP is one piece. */
function splitPickle(bytes: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  const view = viewOf(bytes);
  for (let at = 0; at < bytes.length; ) {
    const opcode = String.fromCharCode(bytes[at]!);
    let end = at + 1 + (FIXED[opcode] ?? 0);
    const length = LENGTH[opcode];
    if (length !== undefined && end + length <= bytes.length) {
      end += length + (length === 1 ? view.getUint8(end) : view.getUint32(end, true));
    }
    for (let lines = LINES[opcode] ?? 0; lines > 0; lines--) end = bytes.indexOf(0x0a, end) + 1 || bytes.length;
    pieces.push(bytes.slice(at, Math.min(end, bytes.length)));
    at = end;
  }
  return pieces;
}

function changeOpcode(piece: Uint8Array, pool: Pool): Uint8Array {
  const { random } = pool;
  if (random.once(4)) return join([random.pick(ALL)], piece.subarray(1));
  // A name or a text that the reader knows.
  if (random.once(4) && pool.words.length > 0) {
    const word = new TextEncoder().encode(random.pick(pool.words)).subarray(0, 255);
    return join([0x8c, word.length], word);
  }
  return mutateBytes(piece, pool);
}

const mutatePickle = mutatePieces<Uint8Array>({
  split: splitPickle,
  join: (pieces) => join(...pieces),
  change: changeOpcode,
});

const isArchive = (bytes: Uint8Array): boolean => bytes[0] === 0x50 && bytes[1] === 0x4b;

const mutateArchive = mutatePieces<Tagged>({
  split: splitZip,
  join: (pieces, { random }) => joinZip(pieces, random),
  change(piece, pool) {
    const { random } = pool;
    if (random.once(10)) {
      const names = [
        "data.pkl",
        "data/0",
        "data/1",
        "byteorder",
        "constants.pkl",
        "a.npy",
        "../data.pkl",
        "archive/data/0/",
      ];
      return { ...piece, tag: random.pick([random.pick(names), `archive/${random.pick(names)}`]) };
    }
    if (!piece.tag.endsWith("data.pkl") || random.once(8)) return { ...piece, data: mutateBytes(piece.data, pool) };
    return { ...piece, data: mutatePickle(piece.data, pool) ?? piece.data };
  },
});

/** Most changes are in the pickle: it is most of the code. */
export const mutateTorch: Mutator = (input, pool) => {
  if (!isArchive(input)) return mutatePickle(input, pool);
  const pieces = splitZip(input);
  const at = pieces?.findIndex(({ tag }) => tag.endsWith("data.pkl")) ?? -1;
  if (!pieces || at < 0 || pool.random.once(3)) return mutateArchive(input, pool);
  const { tag, data } = pieces[at]!;
  pieces[at] = { tag, data: mutatePickle(data, pool) ?? data };
  return joinZip(pieces);
};
