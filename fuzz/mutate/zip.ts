/** Archives by their members, stored or deflated, and those of NumPy's arrays. */
import { deflateRawSync, inflateRawSync } from "node:zlib";
import type { Random } from "../random.js";
import { mutateBytes } from "./bytes.js";
import { crc32 } from "./crc.js";
import { join, type Mutator, type Pool, viewOf } from "./mutator.js";
import { ascii, bytesOf, mutatePieces, type Tagged } from "./pieces.js";

/** A tag is a member's name, data are its bytes before they are deflated. */
export function splitZip(bytes: Uint8Array): Tagged[] | undefined {
  if (ascii(bytes, 0, 4) !== "PK\x03\x04") return undefined;
  const pieces: Tagged[] = [];
  const view = viewOf(bytes);
  for (let at = 0; at + 30 <= bytes.length && view.getUint32(at, true) === 0x04034b50; ) {
    const [size, name, extra] = [
      view.getUint32(at + 18, true),
      view.getUint16(at + 26, true),
      view.getUint16(at + 28, true),
    ];
    const begin = Math.min(bytes.length, at + 30 + name + extra);
    const end = Math.min(bytes.length, begin + size);
    const stored = bytes.slice(begin, end);
    pieces.push({
      tag: ascii(bytes, at + 30, at + 30 + name),
      data: view.getUint16(at + 8, true) === 8 ? inflated(stored) : stored,
    });
    at = end;
  }
  return pieces;
}

function inflated(bytes: Uint8Array): Uint8Array {
  try {
    return new Uint8Array(inflateRawSync(bytes, { maxOutputLength: 1 << 16 }));
  } catch {
    return bytes;
  }
}

/** One header of a member, local or central (PKWARE APPNOTE 4.3.7 and 4.3.12). */
interface Member {
  readonly name: Uint8Array;
  readonly method: number;
  readonly crc: number;
  readonly packed: number;
  readonly size: number;
  readonly offset: number;
}

function header({ name, method, crc, packed, size, offset }: Member, isCentral: boolean): Uint8Array {
  const bytes = new Uint8Array(isCentral ? 46 : 30);
  const view = viewOf(bytes);
  view.setUint32(0, isCentral ? 0x02014b50 : 0x04034b50, true);
  const fields = isCentral ? 6 : 4;
  view.setUint16(fields, 20, true);
  view.setUint16(fields + 4, method, true);
  view.setUint32(fields + 10, crc, true);
  view.setUint32(fields + 14, packed, true);
  view.setUint32(fields + 18, size, true);
  view.setUint16(fields + 22, name.length, true);
  if (isCentral) view.setUint32(42, offset, true);
  return join(bytes, name);
}

/** The archive of members. With chance given, every other one is deflated, and a header lies now and then. */
export function joinZip(pieces: readonly Tagged[], random?: Random): Uint8Array {
  const lies = (value: number) => (random?.once(60) ? random.pick([0, 1, value + 1, 2 ** 31, 2 ** 32 - 1]) : value);
  const parts: Uint8Array[] = [];
  const central: Uint8Array[] = [];
  let offset = 0;
  for (const { tag, data } of pieces) {
    const method = random?.once(2) ? 8 : 0;
    const packed = method === 8 ? new Uint8Array(deflateRawSync(data)) : data;
    const member = {
      ...{ name: bytesOf(tag), method, crc: lies(crc32(data)) },
      ...{ packed: lies(packed.length), size: lies(data.length), offset: lies(offset) },
    };
    const part = join(header(member, false), packed);
    parts.push(part);
    central.push(header(member, true));
    offset += part.length;
  }
  const directory = join(...central);
  const end = new Uint8Array(22);
  const view = viewOf(end);
  view.setUint32(0, 0x06054b50, true);
  for (const at of [8, 10]) view.setUint16(at, lies(pieces.length), true);
  view.setUint32(12, lies(directory.length), true);
  view.setUint32(16, lies(offset), true);
  return join(...parts, directory, end);
}

/** A .npy: magic, version, the length of a head in Python's syntax, the head, and the elements. */
export function npy(head: string, data: Uint8Array): Uint8Array {
  const text = bytesOf(`${head.padEnd(64 * Math.ceil((head.length + 11) / 64) - 11)}\n`);
  return join(bytesOf("\x93NUMPY\x01\x00"), [text.length & 255, text.length >> 8], text, data);
}

const HEADS = [
  ...[
    "(2, 3)",
    "()",
    "(0,)",
    "(1,)",
    "(3, 2, 1)",
    "(4294967296, 4294967296)",
    "(-1,)",
    "(1e9,)",
    "(2,3",
    "(99999999999999999999,)",
  ].map((shape) => ["shape", shape]),
  ...["'<f4'", "'<f2'", "'>f4'", "'<f8'", "'|i1'", "'|O'", "'bfloat16'", "'|V2'", "[('a', '<f4')]"].map((descr) => [
    "descr",
    descr,
  ]),
  ...["True", "False", "0", "None"].map((order) => ["fortran_order", order]),
] as [key: string, value: string][];

function change(piece: Tagged, pool: Pool): Tagged {
  const { random } = pool;
  if (random.once(8))
    return {
      ...piece,
      tag: random.pick(["a.npy", "b.npy", "a.txt", "../a.npy", "a/b.npy", "\n.npy", "__proto__.npy"]),
    };
  if (random.once(2)) return { ...piece, data: mutateBytes(piece.data, pool) };
  // One entry of the head becomes another.
  const { data } = piece;
  const length = data.length < 10 ? 0 : viewOf(data).getUint16(8, true);
  const text = ascii(data, 10, 10 + length).trim();
  const [key, value] = random.pick(HEADS);
  const head = text.replace(new RegExp(`'${key}': (\\([^)]*\\)|[^,}]*)`), `'${key}': ${value}`);
  return { ...piece, data: npy(head, data.subarray(10 + length)) };
}

export const mutateNpz: Mutator = mutatePieces<Tagged>({
  split: splitZip,
  join: (pieces, { random }) => joinZip(pieces, random),
  change,
});
