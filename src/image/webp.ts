/**
 * WebP (Google's container specification): libwebp decodes the pixels of a still image; of an animation, the first
 * frame is made into a still image first and then put in its place on a black canvas.
 */
import { concatenate } from "../platform/bytes.js";
import { decodeWith } from "./codec.js";
import { orientationOf } from "./exif.js";
import { ascii, broken, checkSize, dropAlpha, type ImageFile, type Reader, type StoredImage, viewOf } from "./file.js";

/** A chunk of RIFF: four letters, and the bytes with their header and padding, or without. */
interface Chunk {
  type: string;
  whole: Uint8Array;
  payload: Uint8Array;
}

const ANIMATION = 2;
const XMP = 4;
const EXIF = 8;
const ALPHA = 16;

export async function decodeWebp(file: ImageFile): Promise<Reader> {
  const stored = (image: StoredImage): Reader =>
    function* () {
      return image;
    };
  const { bytes } = file;
  const claimed = viewOf(bytes).getUint32(4, true) + 8;
  if (bytes.length < claimed) {
    const [says, has] = [claimed, bytes.length].map((n) => n.toLocaleString("en-US"));
    throw broken(file, `is cut off: its header says ${says} bytes and it has ${has}`);
  }
  const chunks = readChunks(bytes.subarray(12, claimed));
  const [extended] = chunks;
  if (extended?.type !== "VP8X" || extended.payload.length < 10) {
    return stored({ ...(await decodeFrame(file, chunks)), orientation: 1 });
  }
  const { payload } = extended;
  const flags = payload[0];
  const [width, height] = [1 + uint24(payload, 4), 1 + uint24(payload, 7)];
  checkSize(file, width, height);
  const find = (type: string) => chunks.find((chunk) => chunk.type === type)?.payload;
  const xmp = flags & XMP ? find("XMP ") : undefined;
  const orientation = orientationOf(
    flags & EXIF ? find("EXIF") : undefined,
    xmp && new TextDecoder("latin1").decode(xmp),
  );
  if (!(flags & ANIMATION)) return stored({ ...(await decodeFrame(file, chunks)), orientation });

  const frame = find("ANMF");
  if (!frame || frame.length < 16) throw broken(file, "is an animated WebP without a frame");
  const [left, top] = [2 * uint24(frame, 0), 2 * uint24(frame, 3)];
  const picture = await decodeFrame(file, readChunks(frame.subarray(16)));
  if (left + picture.width > width || top + picture.height > height) {
    const found = `${picture.width}×${picture.height} at (${left}, ${top})`;
    throw broken(file, `has a frame of ${found}, which is not inside its ${width}×${height} pixels`);
  }
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < picture.height; y++) {
    const row = picture.data.subarray(3 * y * picture.width, 3 * (y + 1) * picture.width);
    data.set(row, 3 * ((top + y) * width + left));
  }
  return stored({ data, width, height, orientation });
}

/** A still image from its chunks: VP8 (lossy, with ALPH for its alpha) or VP8L (lossless). */
async function decodeFrame(file: ImageFile, chunks: Chunk[]): Promise<Omit<StoredImage, "orientation">> {
  const picture = chunks.find(({ type }) => type === "VP8 " || type === "VP8L");
  if (!picture || picture.payload.length < 10) throw broken(file, "has no WebP pixels (VP8 or VP8L)");
  const { payload } = picture;
  const view = viewOf(payload);
  const [width, height] =
    picture.type === "VP8 "
      ? [view.getUint16(6, true) & 0x3fff, view.getUint16(8, true) & 0x3fff]
      : [1 + (view.getUint32(1, true) & 0x3fff), 1 + ((view.getUint32(1, true) >> 14) & 0x3fff)];
  checkSize(file, width, height);
  const alpha = picture.type === "VP8 " && chunks.find(({ type }) => type === "ALPH");
  const parts = [picture.whole];
  if (alpha) {
    const header = new Uint8Array(18);
    header.set([0x56, 0x50, 0x38, 0x58, 10, 0, 0, 0, ALPHA]);
    for (let i = 0; i < 3; i++) {
      header[12 + i] = (width - 1) >> (8 * i);
      header[15 + i] = (height - 1) >> (8 * i);
    }
    parts.unshift(header, alpha.whole);
  }
  const riff = new Uint8Array(12);
  riff.set([0x52, 0x49, 0x46, 0x46, 0, 0, 0, 0, 0x57, 0x45, 0x42, 0x50]);
  viewOf(riff).setUint32(4, 4 + parts.reduce((sum, part) => sum + part.length, 0), true);
  const still = concatenate([riff, ...parts]);
  const data = await decodeWith("webp", file, still, (rgba) => dropAlpha(rgba, rgba).slice());
  return { data, width, height };
}

function readChunks(bytes: Uint8Array): Chunk[] {
  const chunks: Chunk[] = [];
  const view = viewOf(bytes);
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    const end = at + 8 + length + (length & 1);
    const whole = bytes.subarray(at, end);
    chunks.push({ type: ascii(bytes, at, at + 4), whole, payload: whole.subarray(8, 8 + length) });
    at = end;
  }
  return chunks;
}

const uint24 = (bytes: Uint8Array, at: number) => bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16);
