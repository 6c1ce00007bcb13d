/** Formats of image files, told by their first bytes; a file's name says nothing. */
import { ascii } from "./file.js";

/** Those that are decoded here, to the byte as Pillow does it. */
export type OwnFormat = "JPEG" | "PNG" | "WebP" | "GIF" | "BMP" | "TIFF" | "PPM";
/** Those that are only known by name: browsers decode some of them. */
export type OtherFormat = "AVIF" | "HEIC" | "JPEG XL" | "JPEG 2000" | "ICO" | "SVG" | "PSD" | "PDF";

/** Brands of ISO base media files (ISO/IEC 23008-12, and AV1 Image File Format) that are pictures of HEVC. */
const HEIC = ["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"];

export function ownFormatOf(bytes: Uint8Array): OwnFormat | undefined {
  const start = ascii(bytes, 0, 12);
  if (start.startsWith("\xff\xd8\xff")) return "JPEG";
  if (start.startsWith("\x89PNG\r\n\x1a\n")) return "PNG";
  if (start.startsWith("RIFF") && start.endsWith("WEBP")) return "WebP";
  if (/^GIF8[79]a/.test(start)) return "GIF";
  if (start.startsWith("BM")) return "BMP";
  if (/^(II\*\0|MM\0\*|MM\*\0|II\0\*|II\+\0|MM\0\+)/.test(start)) return "TIFF";
  return /^P[1-6][ \t-\r]/.test(start) ? "PPM" : undefined;
}

export function otherFormatOf(bytes: Uint8Array): OtherFormat | undefined {
  const start = ascii(bytes, 0, 12);
  const brand = start.slice(8);
  if (start.slice(4, 8) === "ftyp" && (brand === "avif" || brand === "avis")) return "AVIF";
  if (start.slice(4, 8) === "ftyp" && HEIC.includes(brand)) return "HEIC";
  if (start.startsWith("\xff\x0a") || start === "\0\0\0\x0cJXL \r\n\x87\n") return "JPEG XL";
  if (start === "\0\0\0\x0cjP  \r\n\x87\n" || start.startsWith("\xff\x4f\xff\x51")) return "JPEG 2000";
  if (start.startsWith("\0\0\x01\0") || start.startsWith("\0\0\x02\0")) return "ICO";
  if (start.startsWith("8BPS")) return "PSD";
  if (start.startsWith("%PDF-")) return "PDF";
  // Markup may begin with a byte-order mark, a declaration and comments.
  return /<svg[\s>]/.test(ascii(bytes, 0, Math.min(bytes.length, 1024))) ? "SVG" : undefined;
}

/**
 * The picture of a file that is not decoded here as this browser decodes it, turned upright: not to the byte as Pillow.
 * @returns undefined where there is no browser, or it does not know the format.
 */
export async function drawnByBrowser(bytes: Uint8Array): Promise<ImageBitmap | undefined> {
  if (typeof createImageBitmap === "undefined" || typeof OffscreenCanvas === "undefined") return undefined;
  return createImageBitmap(new Blob([bytes as Uint8Array<ArrayBuffer>])).catch(() => undefined);
}
