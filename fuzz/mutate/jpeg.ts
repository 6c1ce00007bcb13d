/** JPEG by segments; what lies between a scan's head and the next marker is a piece too. */
import { join, viewOf } from "./mutator.js";
import { changeTagged, mutatePieces, type Tagged } from "./pieces.js";

/** A tag is a marker's second byte, "" of coded data. */
const TAGS = ["c0", "c1", "c2", "c3", "c4", "c9", "d8", "d9", "da", "db", "dd", "e0", "e1", "ee", "fe", "d0", "d7"];
const ALONE = /^(d[0-9]|01)$/;

function split(bytes: Uint8Array): Tagged[] | undefined {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return undefined;
  const pieces: Tagged[] = [];
  const view = viewOf(bytes);
  let at = 0;
  while (at + 1 < bytes.length) {
    const tag = (bytes[at + 1] ?? 0).toString(16).padStart(2, "0");
    if (bytes[at] === 0xff && bytes[at + 1] !== 0 && bytes[at + 1] !== 0xff) {
      const length = ALONE.test(tag) || at + 4 > bytes.length ? 0 : Math.max(2, view.getUint16(at + 2));
      const end = Math.min(bytes.length, at + 2 + length);
      pieces.push({ tag, data: bytes.slice(Math.min(end, at + (length === 0 ? 2 : 4)), end) });
      at = end;
    } else {
      let end = at + 1;
      while (end < bytes.length && !(bytes[end] === 0xff && (bytes[end + 1] ?? 0) !== 0)) end++;
      pieces.push({ tag: "", data: bytes.slice(at, end) });
      at = end;
    }
  }
  return pieces;
}

export const mutateJpeg = mutatePieces<Tagged>({
  split,
  join: (pieces, { random }) =>
    join(
      ...pieces.map(({ tag, data }) => {
        if (tag === "") return data;
        const marker = [0xff, Number.parseInt(tag, 16)];
        if (ALONE.test(tag)) return join(marker, data);
        const length = data.length + 2 + (random.once(100) ? random.below(5) - 2 : 0);
        return join(marker, [(length >> 8) & 255, length & 255], data);
      }),
    ),
  change: (piece, pool) => changeTagged(piece, TAGS, pool),
});
