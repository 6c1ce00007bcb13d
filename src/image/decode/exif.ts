/**
 * Which way up a photo is: the orientation tag of EXIF (JEITA CP-3451, tag 0x0112) or, where EXIF has none, of XMP,
 * found as Pillow's Image.getexif finds it; upright.ts turns by it.
 */
import { ascii } from "./file.js";
import { entryOf, numberAt, readDirectory, type TiffDirectory } from "./tiff-directory.js";

export const ORIENTATION = 0x0112;
/** Bytes that may come before, any number of times. */
const EXIF = [0x45, 0x78, 0x69, 0x66, 0, 0];

/** Orientation 1 to 8 of an EXIF block (TIFF bytes, with or without "Exif\0\0" before) or an XMP packet; 1 if unknown. */
export const orientationOf = (exif: Uint8Array | undefined, xmp: string | undefined): number =>
  orientationIn(exif && directoryOf(exif), xmp);

/** The same of a directory that has been read. */
export function orientationIn(directory: TiffDirectory | undefined, xmp: string | undefined): number {
  const entry = directory && entryOf(directory, ORIENTATION);
  // Bytes are no number in Pillow.
  const value = entry
    ? entry.type === 1
      ? 0
      : numberAt(directory, entry)
    : Number(xmp?.match(/tiff:Orientation(?:="|>)([0-9])/)?.[1] ?? 1);
  return [1, 2, 3, 4, 5, 6, 7, 8].includes(value) ? value : 1;
}

function directoryOf(exif: Uint8Array): TiffDirectory | undefined {
  let start = 0;
  for (let i = 0; exif[start + i] === EXIF[i]; ) if (++i === EXIF.length) [start, i] = [start + i, 0];
  const tiff = exif.subarray(start);
  return /^(?:MM\0\*|II\*\0|MM\*\0|II\0\*)/.test(ascii(tiff, 0, 4)) ? readDirectory(tiff) : undefined;
}
