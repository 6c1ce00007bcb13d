/**
 * PNG files (W3C PNG, third edition) of pixels. The platform compresses: CompressionStream's "deflate" is the zlib stream that
 * IDAT holds, and every runtime has it, so what is left is a filter, chunks and their sums.
 */
import { crc32 } from "./decode/png.js";
import { atOnce } from "./slices.js";

/** Pixels, line by line: gray, RGB or RGBA of a byte or of 16 bits a channel. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3 | 4;
  readonly data: Uint8Array | Uint16Array;
}

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
/** Filter "Up" of section 9.2: the difference from the pixel above. Maps and photos change little from line to line. */
const UP = 2;
/** Section 11.2.2. */
const COLOR_TYPES = { 1: 0, 3: 2, 4: 6 } as const;

export async function encodePng({ width, height, channels, data }: Picture): Promise<Uint8Array> {
  if (data.length !== width * height * channels) {
    const expected = `${width * height * channels} values`;
    throw new RangeError(
      `encodePng: ${width}×${height} pixels of ${channels} channels have ${expected}; got ${data.length}`,
    );
  }
  const deep = data instanceof Uint16Array;
  const bytes = deep ? bigEndian(data) : data;
  const line = width * channels * (deep ? 2 : 1);
  const filtered = new Uint8Array(height * (line + 1));
  for (let y = 0; y < height; y++) {
    const to = y * (line + 1);
    filtered[to] = UP;
    const from = y * line;
    for (let i = 0; i < line; i++) filtered[to + 1 + i] = bytes[from + i]! - (y > 0 ? bytes[from + i - line]! : 0);
  }
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([deep ? 16 : 8, COLOR_TYPES[channels]], 8);
  const chunks = [chunk("IHDR", header), chunk("IDAT", await deflated(filtered)), chunk("IEND", new Uint8Array())];
  return joined([Uint8Array.from(SIGNATURE), ...chunks]);
}

function bigEndian(data: Uint16Array): Uint8Array {
  const bytes = new Uint8Array(2 * data.length);
  for (let i = 0; i < data.length; i++) {
    bytes[2 * i] = data[i]! >> 8;
    bytes[2 * i + 1] = data[i]! & 255;
  }
  return bytes;
}

async function deflated(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = type.charCodeAt(i);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, atOnce(crc32(bytes.subarray(4, 8 + data.length))));
  return bytes;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
