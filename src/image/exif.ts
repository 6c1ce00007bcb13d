/**
 * Which way up a photo is: the orientation tag of EXIF (JEITA CP-3451, tag 0x0112) or, where EXIF has none, of XMP,
 * found as Pillow's Image.getexif finds it; upright.ts turns by it.
 */
import { ascii, viewOf } from "./file.js";

/** Orientation 1 to 8 of an EXIF block (TIFF bytes, with or without "Exif\0\0" before) or an XMP packet; 1 if unknown. */
export function orientationOf(exif: Uint8Array | undefined, xmp: string | undefined): number {
  const value = (exif && tiffOrientation(exif)) ?? Number(xmp?.match(/tiff:Orientation(?:="|>)([0-9])/)?.[1] ?? 1);
  return [1, 2, 3, 4, 5, 6, 7, 8].includes(value) ? value : 1;
}

/** Bytes of a value of each type of TIFF 6.0, section 2, and of IFD (13) and LONG8 (16); 0 for those that are passed over. */
const TYPE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8];
const ORIENTATION = 0x0112;
/** Bytes that may come before, any number of times. */
const EXIF = [0x45, 0x78, 0x69, 0x66, 0, 0];

/** The value of the tag, the last one if there are several; undefined where there is none, or no TIFF. */
function tiffOrientation(exif: Uint8Array): number | undefined {
  let start = 0;
  for (let i = 0; exif[start + i] === EXIF[i]; ) if (++i === EXIF.length) [start, i] = [start + i, 0];
  const tiff = exif.subarray(start);
  if (tiff.length < 8 || !/^(?:MM\0\*|II\*\0|MM\*\0|II\0\*)/.test(ascii(tiff, 0, 4))) return undefined;
  const view = viewOf(tiff);
  const little = tiff[0] === 0x49;
  const directory = view.getUint32(4, little);
  if (directory + 2 > tiff.length) return undefined;
  const entries = Math.min(view.getUint16(directory, little), Math.floor((tiff.length - directory - 2) / 12));
  let found: number | undefined;
  for (let i = 0; i < entries; i++) {
    const entry = directory + 2 + 12 * i;
    const type = view.getUint16(entry + 2, little);
    const bytes = view.getUint32(entry + 4, little) * (TYPE_BYTES[type] ?? 0);
    if (bytes === 0) continue;
    const at = bytes > 4 ? view.getUint32(entry + 8, little) : entry + 8;
    // What lies outside ends the directory.
    if (bytes > 4 && at + bytes > tiff.length) return found;
    if (view.getUint16(entry, little) === ORIENTATION) found = numberAt(view, at, type, little);
  }
  return found;
}

/** The first number of a value; 0 for text and bytes. */
function numberAt(view: DataView, at: number, type: number, little: boolean): number {
  switch (type) {
    case 3:
      return view.getUint16(at, little);
    case 4:
    case 13:
      return view.getUint32(at, little);
    case 5:
      return view.getUint32(at, little) / view.getUint32(at + 4, little);
    case 6:
      return view.getInt8(at);
    case 8:
      return view.getInt16(at, little);
    case 9:
      return view.getInt32(at, little);
    case 10:
      return view.getInt32(at, little) / view.getInt32(at + 4, little);
    case 11:
      return view.getFloat32(at, little);
    case 12:
      return view.getFloat64(at, little);
    case 16:
      return Number(view.getBigUint64(at, little));
    default:
      return 0;
  }
}
