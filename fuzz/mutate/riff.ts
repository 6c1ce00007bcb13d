/** WebP by the chunks of its RIFF container; those of an animation's frame are bytes of the frame's chunk. */
import { join, viewOf } from "./mutator.js";
import { ascii, bytesOf, changeTagged, mutatePieces, type Tagged } from "./pieces.js";

const TAGS = ["VP8 ", "VP8L", "VP8X", "ALPH", "ANIM", "ANMF", "EXIF", "XMP ", "ICCP"];

function split(bytes: Uint8Array): Tagged[] | undefined {
  if (ascii(bytes, 0, 4) !== "RIFF") return undefined;
  const pieces: Tagged[] = [];
  const view = viewOf(bytes);
  for (let at = 12; at + 8 <= bytes.length; ) {
    const end = Math.min(bytes.length, at + 8 + view.getUint32(at + 4, true));
    pieces.push({ tag: ascii(bytes, at, at + 4), data: bytes.slice(at + 8, end) });
    at = end + (end & 1);
  }
  return pieces;
}

function little(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, true);
  return bytes;
}

export const mutateWebp = mutatePieces<Tagged>({
  split,
  join: (pieces, { random }) => {
    const chunks = pieces.map(({ tag, data }) => {
      const length = data.length + (random.once(100) ? random.below(5) - 2 : 0);
      return join(bytesOf(tag), little(length), data, data.length & 1 ? [0] : []);
    });
    const body = join(bytesOf("WEBP"), ...chunks);
    return join(bytesOf("RIFF"), little(random.once(50) ? random.below(2 * body.length) : body.length), body);
  },
  change: (piece, pool) => changeTagged(piece, TAGS, pool),
});
