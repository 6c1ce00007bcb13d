/** Strips and tiles of TIFF that are JPEG (Adobe's technical note 2): each a file of its own, whose tables may be elsewhere. */

import type { Slices } from "../slices.js";
import { broken, type ImageFile, type StoredImage } from "./file.js";
import { readJpeg } from "./jpeg.js";

const [SOI, EOI, SOS, APP0, APP14] = [0xd8, 0xd9, 0xda, 0xe0, 0xee] as const;

/**
 * Decodes a strip or tile.
 * @param tables the tag JPEGTables, if there is one. @param isYcbcr whether colors are YCbCr, else as they are: what markers say
 *   of it does not count, as in libtiff.
 * @throws Error as the reader of JPEG.
 */
export function* readPiece(
  file: ImageFile,
  tables: Uint8Array,
  piece: Uint8Array,
  isYcbcr: boolean,
): Slices<StoredImage> {
  const adobe = [0xff, APP14, 0, 14, ...new TextEncoder().encode("Adobe"), 0, 100, 0, 0, 0, 0, isYcbcr ? 1 : 0];
  const parts = [Uint8Array.of(0xff, SOI, ...adobe), withoutColors(file, tables), withoutColors(file, piece)];
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  const { label, pixelLimit } = file;
  return yield* readJpeg({ bytes, label, pixelLimit });
}

/** A JPEG without the markers of its start, its end if it has no scan, and of colors. */
function withoutColors(file: ImageFile, jpeg: Uint8Array): Uint8Array {
  if (jpeg.length === 0) return jpeg;
  if (jpeg[0] !== 0xff || jpeg[1] !== SOI) throw broken(file, "has TIFF pixels that are not the JPEG that it says");
  const kept = new Uint8Array(jpeg.length);
  let to = 0;
  for (let at = 2; at < jpeg.length; ) {
    const marker = jpeg[at + 1];
    if (jpeg[at] === 0xff && marker === EOI) break;
    const isSegment = jpeg[at] === 0xff && marker !== undefined && marker !== SOS && at + 3 < jpeg.length;
    const end = isSegment ? Math.min(jpeg.length, at + 2 + ((jpeg[at + 2]! << 8) | jpeg[at + 3]!)) : jpeg.length;
    if (marker !== APP0 && marker !== APP14) {
      kept.set(jpeg.subarray(at, end), to);
      to += end - at;
    }
    at = end;
  }
  return kept.subarray(0, to);
}
