/**
 * Which way up a photo is: the orientation tag of EXIF (JEITA CP-3451, tag 0x0112) or, where EXIF has none, of XMP,
 * found as Pillow's Image.getexif finds it; upright.ts turns by it.
 */
import { ascii, viewOf } from "./file.js";

/** Orientation 1 to 8 of an EXIF block (TIFF bytes, with or without "Exif\0\0" before) or an XMP packet; 1 if unknown. */
export function orientationOf(exif: Uint8Array | undefined, xmp: string | undefined): number {
  const value = (exif && tiffOrientation(exif)) ?? Number(xmp?.match(/tiff:Orientation(?:="|>)([0-9])/)?.[1] ?? 1);
  return value >= 1 && value <= 8 ? value : 1;
}

function tiffOrientation(exif: Uint8Array): number | undefined {
  let tiff = exif;
  while (ascii(tiff, 0, 6) === "Exif\0\0") tiff = tiff.subarray(6);
  if (tiff.length < 8) return undefined;
  const view = viewOf(tiff);
  const little = tiff[0] === 0x49;
  const directory = view.getUint32(4, little);
  if (directory + 2 > tiff.length) return undefined;
  const entries = Math.min(view.getUint16(directory, little), Math.floor((tiff.length - directory - 2) / 12));
  for (let i = 0; i < entries; i++) {
    const entry = directory + 2 + 12 * i;
    if (view.getUint16(entry, little) !== 0x0112) continue;
    const type = view.getUint16(entry + 2, little);
    if (type === 3) return view.getUint16(entry + 8, little);
    if (type === 4) return view.getUint32(entry + 8, little);
    if (type === 1) return view.getUint8(entry + 8);
  }
  return undefined;
}
