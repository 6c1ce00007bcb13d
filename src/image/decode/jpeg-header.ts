/**
 * The markers of a JPEG up to its first scan as Pillow's JpegImageFile reads them when it opens a file: it refuses
 * some that libjpeg would decode. jpeg-markers.ts reads them once more, as libjpeg does.
 */
import { concatenate, latin1 } from "../../platform/bytes.js";
import { orientationOf } from "./exif.js";
import { ascii, broken, checkSize, type ImageFile } from "./file.js";

export interface JpegHeader {
  width: number;
  height: number;
  /** Components: 1, 3 or 4. */
  layers: number;
  orientation: number;
}

/** The longest ICC profile chunk that has no profile: its tag and number. */
const EMPTY_PROFILE = 13;

/** @throws Error: one sentence, where Pillow does not open the file. */
export function readHeader(file: ImageFile): JpegHeader {
  const { bytes } = file;
  const size = { width: 0, height: 0, layers: 0 };
  const exif: Uint8Array[] = [];
  let profiles: Uint8Array[] = [];
  let xmp: string | undefined;
  for (let at = 2; ; ) {
    // Anything between segments is skipped, and any number of 0xff begin a marker.
    at = bytes.indexOf(0xff, at);
    while (at >= 0 && bytes[at] === 0xff) at++;
    const marker = bytes[at];
    if (at < 0 || marker === undefined) throw endsInHeader(file);
    at++;
    if (hasNoPayload(marker)) continue;
    if (marker < 0xc0) throw broken(file, `has a JPEG marker 0x${hex(marker)}, which does not belong into a header`);
    if (at + 2 > bytes.length) throw endsInHeader(file);
    const from = at + 2;
    at += Math.max(2, (bytes[at]! << 8) | bytes[at + 1]!);
    if (at > bytes.length) throw endsInHeader(file);
    if (marker === 0xda) break;
    const payload = bytes.subarray(from, at);
    const has = (tag: string) => ascii(payload, 0, tag.length) === tag;
    if (isFrame(marker)) {
      Object.assign(size, readSize(file, payload));
      checkProfiles(file, profiles);
      profiles = [];
    } else if (marker === 0xdb) checkQuantizers(file, payload);
    else if (marker === 0xe0 && has("JFIF") && payload.length < 7)
      throw broken(file, "has a JFIF segment that is cut off");
    else if (marker === 0xee && has("Adobe") && payload.length < 7)
      throw broken(file, "has an Adobe segment that is cut off");
    else if (marker === 0xe1 && has("Exif\0\0")) exif.push(payload.subarray(exif.length ? 6 : 0));
    else if (marker === 0xe1 && has("http://ns.adobe.com/xap/1.0/\0")) xmp = latin1(payload.subarray(29));
    else if (marker === 0xe2 && has("ICC_PROFILE\0")) profiles.push(payload);
    else if (marker === 0xed && has("Photoshop 3.0\0")) checkPhotoshop(file, payload);
  }
  if (!size.layers) throw broken(file, "has JPEG pixels before the header that says their size");
  checkSize(file, size.width, size.height);
  return { ...size, orientation: orientationOf(exif.length ? concatenate(exif) : undefined, xmp) };
}

const hex = (byte: number) => byte.toString(16).padStart(2, "0");

/** A zero after fill bytes, RST0 to RST7, SOI, EOI, JPG and JPG0 to JPG13 but for the comment's neighbors. */
const hasNoPayload = (marker: number) =>
  marker === 0 || (marker >= 0xd0 && marker <= 0xd9) || marker === 0xc8 || (marker >= 0xf0 && marker <= 0xfd);

/** SOF0 to SOF15, and DHP, which has the same payload. */
const isFrame = (marker: number) =>
  marker === 0xde || (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xcc);

function endsInHeader(file: ImageFile): Error {
  return broken(file, `ends inside its JPEG header; ${file.bytes.length.toLocaleString("en-US")} bytes were read`);
}

function readSize(file: ImageFile, payload: Uint8Array): Omit<JpegHeader, "orientation"> {
  const [bits = 0, heightHigh = 0, heightLow = 0, widthHigh = 0, widthLow = 0, layers = 0] = payload;
  if (payload.length < 6 || (payload.length - 6) % 3) {
    throw broken(file, `has a JPEG frame header of ${payload.length} bytes for ${layers} components`);
  }
  if (bits !== 8) throw broken(file, `has ${bits} bits a sample; JPEG is decoded with 8`);
  if (layers !== 1 && layers !== 3 && layers !== 4) {
    throw broken(file, `is a JPEG with ${layers} components; 1, 3 and 4 are decoded`);
  }
  return { width: (widthHigh << 8) | widthLow, height: (heightHigh << 8) | heightLow, layers };
}

/** The smallest, in the order of their bytes, may not be shorter than what comes before a profile. */
function checkProfiles(file: ImageFile, profiles: Uint8Array[]): void {
  const [least] = profiles.map((profile) => ascii(profile, 0, EMPTY_PROFILE + 1)).sort(inByteOrder);
  if (least !== undefined && least.length <= EMPTY_PROFILE) throw broken(file, "has an ICC profile without any bytes");
}

const inByteOrder = (a: string, b: string) => (a < b ? -1 : Number(a > b));

function checkQuantizers(file: ImageFile, payload: Uint8Array): void {
  for (let at = 0; at < payload.length; ) {
    at += payload[at]! < 16 ? 65 : 129;
    if (at > payload.length) throw broken(file, "has a JPEG quantization table that is cut off");
  }
}

/** Resource blocks: "8BIM", two bytes of code, a name and data, both with their lengths and padded to even ones. */
function checkPhotoshop(file: ImageFile, payload: Uint8Array): void {
  for (let at = 14; ascii(payload, at, at + 4) === "8BIM"; ) {
    at += 6;
    if (at === payload.length) throw broken(file, "has a Photoshop segment that is cut off");
    if (at > payload.length) return;
    at += 1 + payload[at]!;
    at += at & 1;
    if (at + 4 > payload.length) return;
    const length = payload.subarray(at, at + 4).reduce((value, byte) => value * 256 + byte, 0);
    at += 4 + length;
    at += at & 1;
  }
}
