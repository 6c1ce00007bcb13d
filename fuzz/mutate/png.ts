/** PNG by chunks; image data are changed as they are before they are deflated. */
import { deflateSync, inflateSync, constants as zlib } from "node:zlib";
import { mutateBytes } from "./bytes.js";
import { crc32 } from "./crc.js";
import { join, type Pool, viewOf } from "./mutator.js";
import { ascii, bytesOf, changeTagged, mutatePieces, type Tagged } from "./pieces.js";

const SIGNATURE = "\x89PNG\r\n\x1a\n";
const TAGS = [
  "IHDR",
  "PLTE",
  "IDAT",
  "IEND",
  "tRNS",
  "eXIf",
  "tEXt",
  "zTXt",
  "iTXt",
  "iCCP",
  "gAMA",
  "acTL",
  "fcTL",
  "fdAT",
  "cHRM",
  "sRGB",
];

function split(bytes: Uint8Array): Tagged[] | undefined {
  if (ascii(bytes, 0, 8) !== SIGNATURE) return undefined;
  const pieces: Tagged[] = [];
  const view = viewOf(bytes);
  for (let at = 8; at + 12 <= bytes.length; ) {
    const end = Math.min(bytes.length - 4, at + 8 + view.getUint32(at));
    pieces.push({ tag: ascii(bytes, at + 4, at + 8), data: bytes.slice(at + 8, end) });
    at = end + 4;
  }
  return pieces;
}

function encode({ tag, data }: Tagged, { random }: Pool): Uint8Array {
  const inside = join(bytesOf(tag), data);
  const around = new Uint8Array(8);
  viewOf(around).setUint32(0, random.once(100) ? data.length + random.below(5) - 2 : data.length);
  viewOf(around).setUint32(4, random.once(100) ? 0 : crc32(inside));
  return join(around.subarray(0, 4), inside, around.subarray(4));
}

function change(piece: Tagged, pool: Pool): Tagged {
  const { random } = pool;
  if (piece.tag === "IHDR" && piece.data.length === 13 && !random.once(4)) {
    const data = piece.data.slice();
    if (random.once(2)) data[8 + random.below(5)] = random.pick([0, 1, 2, 3, 4, 6, 8, 16, 5, 255]);
    else
      viewOf(data).setUint32(
        4 * random.below(2),
        random.pick([0, 1, 2, 7, 8, 9, 13, 64, 1000, 65535, 2 ** 24, 2 ** 31 - 1, 2 ** 32 - 1]),
      );
    return { ...piece, data };
  }
  if (piece.tag !== "IDAT" || random.once(4)) return changeTagged(piece, TAGS, pool);
  try {
    const raw = inflateSync(piece.data, { maxOutputLength: 1 << 16, finishFlush: zlib.Z_SYNC_FLUSH });
    const strategy = random.pick([zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE]);
    return {
      ...piece,
      data: new Uint8Array(deflateSync(mutateBytes(raw, pool), { level: random.pick([0, 1, 9]), strategy })),
    };
  } catch {
    return changeTagged(piece, TAGS, pool);
  }
}

export const mutatePng = mutatePieces<Tagged>({
  split,
  join: (pieces, pool) => join(bytesOf(SIGNATURE), ...pieces.map((piece) => encode(piece, pool))),
  change,
});
