/**
 * PNG (W3C, third edition): all colour types, depths and interlacing, with Pillow's choices where it has some:
 * which checksums count, what a damaged stream is, 16 bits to the upper 8 (for gray, where Pillow saturates, too).
 */
import { concatenate } from "../platform/bytes.js";
import { orientationOf } from "./exif.js";
import { ascii, broken, checkSize, type ImageFile, type StoredImage, viewOf } from "./file.js";
import { inflate } from "./inflate.js";
import type { Slices } from "./slices.js";

interface PngHeader {
  width: number;
  height: number;
  /** Bits a sample. */
  depth: number;
  colour: number;
  isInterlaced: boolean;
}

/** Colour type: samples a pixel, and the depths that are allowed. */
const COLOURS: Record<number, { samples: number; depths: number[] }> = {
  0: { samples: 1, depths: [1, 2, 4, 8, 16] },
  2: { samples: 3, depths: [8, 16] },
  3: { samples: 1, depths: [1, 2, 4, 8] },
  4: { samples: 2, depths: [8, 16] },
  6: { samples: 4, depths: [8, 16] },
};

/** First column and row, and their steps, of Adam7's seven passes. */
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];

/** Deflate makes at most 258 bytes of two bits. */
const MOST_PER_BYTE = 1032;

/** @throws Error: one sentence, for a file that is truncated, corrupt or too large. */
export function* readPng(file: ImageFile): Slices<StoredImage> {
  const { header, palette, data, orientation } = readChunks(file);
  const { width, height, depth, colour, isInterlaced } = header;
  const bits = depth * COLOURS[colour].samples;
  const passes = (isInterlaced ? ADAM7 : [[0, 0, 1, 1]])
    .map(([x, y, dx, dy]) => ({
      x,
      y,
      dx,
      dy,
      columns: Math.ceil((width - x) / dx),
      rows: Math.ceil((height - y) / dy),
    }))
    .filter(({ columns, rows }) => columns > 0 && rows > 0);
  const size = passes.reduce((sum, { columns, rows }) => sum + rows * (1 + Math.ceil((columns * bits) / 8)), 0);

  const truncated = broken(
    file,
    `ends before its last row: ${data.length.toLocaleString("en-US")} bytes of IDAT cannot hold ${width}×${height} pixels`,
  );
  if (data.length * MOST_PER_BYTE < size) throw truncated;
  const raw = new Uint8Array(size);
  try {
    if (inflate(data, raw) < size) throw truncated;
  } catch (error) {
    if (error === truncated) throw error;
    throw broken(file, `has PNG data that cannot be decompressed: ${(error as Error).message}`);
  }

  const rgb = new Uint8Array(3 * width * height);
  let at = 0;
  for (const { x, y, dx, dy, columns, rows } of passes) {
    const rowBytes = Math.ceil((columns * bits) / 8);
    let above = new Uint8Array(rowBytes);
    for (let row = 0; row < rows; row++) {
      const filter = raw[at];
      if (filter > 4) throw broken(file, `has PNG filter ${filter}; 0 to 4 exist`);
      const line = raw.subarray(at + 1, at + 1 + rowBytes);
      unfilter(filter, line, above, Math.max(1, bits >> 3));
      writeRow(header, palette, line, rgb, 3 * ((y + row * dy) * width + x), 3 * dx, columns);
      above = line;
      at += 1 + rowBytes;
    }
  }
  return { data: rgb, width, height, orientation };
}

function readChunks(file: ImageFile): {
  header: PngHeader;
  palette: Uint8Array;
  data: Uint8Array;
  orientation: number;
} {
  const { bytes } = file;
  const view = viewOf(bytes);
  const parts: Uint8Array[] = [];
  // What a palette lacks is black.
  const palette = new Uint8Array(768);
  const text: Record<string, string> = {};
  let header: PngHeader | undefined;
  let exif: Uint8Array | undefined;
  let previous = "";
  for (let at = 8; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at);
    const type = ascii(bytes, at + 4, at + 8);
    const end = at + 8 + length;
    const payload = bytes.subarray(at + 8, end);
    const isData = type === "IDAT";
    if (!/^\w{4}$/.test(type)) {
      if (parts.length) break;
      throw broken(file, `has a PNG chunk named ${JSON.stringify(type)}; names are four letters`);
    }
    // As in Pillow: checksums count up to the first IDAT, and what comes after the last one may be cut off.
    if (parts.length === 0 && !isData) {
      if (end + 4 > bytes.length) throw broken(file, `ends inside its PNG chunk ${type}`);
      if (view.getUint32(end) !== crc32(bytes.subarray(at + 4, end)))
        throw broken(file, `has a wrong checksum in its PNG chunk ${type}`);
    }
    if (type === "IHDR") header = readHeader(file, payload);
    else if (type === "PLTE") palette.set(payload.subarray(0, 768));
    else if (type === "eXIf") exif = payload;
    else if (isData && (parts.length === 0 || previous === "IDAT")) parts.push(payload);
    else if (type === "IEND") break;
    else readText(type, payload, text);
    previous = type;
    at = end + 4;
  }
  if (!header) throw broken(file, "has no PNG header (IHDR)");
  if (parts.length === 0) throw broken(file, "has no PNG pixels (IDAT)");
  exif ??= rawProfile(text["Raw profile type exif"]);
  return { header, palette, data: concatenate(parts), orientation: orientationOf(exif, text["XML:com.adobe.xmp"]) };
}

function readHeader(file: ImageFile, payload: Uint8Array): PngHeader {
  if (payload.length < 13) throw broken(file, `has a PNG header of ${payload.length} bytes; 13 are needed`);
  const view = viewOf(payload);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, colour, , filter, interlace] = payload.subarray(8);
  if (!COLOURS[colour]?.depths.includes(depth))
    throw broken(file, `has PNG colour type ${colour} with ${depth} bits, which does not exist`);
  if (filter !== 0) throw broken(file, `has PNG filter method ${filter}; only 0 exists`);
  checkSize(file, width, height);
  return { width, height, depth, colour, isInterlaced: interlace !== 0 };
}

/** Undoes a filter in place. `step`: bytes from a sample to the same one of the pixel before. */
function unfilter(filter: number, line: Uint8Array, above: Uint8Array, step: number): void {
  const { length } = line;
  if (filter === 1) for (let i = step; i < length; i++) line[i] += line[i - step];
  else if (filter === 2) for (let i = 0; i < length; i++) line[i] += above[i];
  else if (filter === 3) {
    for (let i = 0; i < step; i++) line[i] += above[i] >> 1;
    for (let i = step; i < length; i++) line[i] += (line[i - step] + above[i]) >> 1;
  } else if (filter === 4) {
    for (let i = 0; i < step; i++) line[i] += above[i];
    for (let i = step; i < length; i++) {
      const [a, b, c] = [line[i - step], above[i], above[i - step]];
      const pa = Math.abs(b - c);
      const pb = Math.abs(a - c);
      const pc = Math.abs(a + b - 2 * c);
      line[i] += pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
    }
  }
}

/** One row as RGB, each pixel `step` bytes from the last. */
function writeRow(
  { depth, colour }: PngHeader,
  palette: Uint8Array,
  line: Uint8Array,
  rgb: Uint8Array,
  to: number,
  step: number,
  columns: number,
): void {
  const { samples } = COLOURS[colour];
  const bytes = depth === 16 ? 2 : 1;
  const hasColours = colour === 2 || colour === 6;
  const levels = colour === 3 ? 1 : 255 / ((1 << Math.min(depth, 8)) - 1);
  for (let x = 0; x < columns; x++, to += step) {
    if (hasColours) {
      const from = x * samples * bytes;
      rgb[to] = line[from];
      rgb[to + 1] = line[from + bytes];
      rgb[to + 2] = line[from + 2 * bytes];
      continue;
    }
    let value: number;
    if (depth >= 8) value = line[x * samples * bytes];
    else {
      const bit = x * depth;
      value = ((line[bit >> 3] >> (8 - depth - (bit & 7))) & ((1 << depth) - 1)) * levels;
    }
    if (colour === 3) {
      rgb[to] = palette[3 * value];
      rgb[to + 1] = palette[3 * value + 1];
      rgb[to + 2] = palette[3 * value + 2];
    } else {
      rgb[to] = rgb[to + 1] = rgb[to + 2] = value;
    }
  }
}

/** Adds a tEXt, zTXt or iTXt chunk to `text`; only what can say an orientation is read. */
function readText(type: string, payload: Uint8Array, text: Record<string, string>): void {
  if (!["tEXt", "zTXt", "iTXt"].includes(type)) return;
  const keyEnd = payload.indexOf(0);
  const key = ascii(payload, 0, Math.min(Math.max(0, keyEnd), 80));
  if (key !== "Raw profile type exif" && key !== "XML:com.adobe.xmp") return;
  let from = keyEnd + 1;
  let isCompressed = type === "zTXt";
  if (type === "zTXt") from += 1;
  if (type === "iTXt") {
    isCompressed = payload[from] !== 0;
    from = payload.indexOf(0, payload.indexOf(0, from + 2) + 1) + 1;
  }
  let value = payload.subarray(from);
  if (isCompressed) {
    const unpacked = new Uint8Array(1 << 20);
    try {
      value = unpacked.subarray(0, inflate(value, unpacked));
    } catch {
      return;
    }
  }
  text[key] = new TextDecoder("latin1").decode(value);
}

/** ImageMagick's form of EXIF in text: a name, a length, and hexadecimal digits. */
function rawProfile(text: string | undefined): Uint8Array | undefined {
  const digits = text?.split("\n").slice(3).join("").match(/../g);
  return digits ? Uint8Array.from(digits, (pair) => Number.parseInt(pair, 16)) : undefined;
}

let crcTable: Uint32Array | undefined;

function crc32(data: Uint8Array): number {
  crcTable ??= Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n;
  });
  let crc = 0xffffffff;
  for (let i = 0; i < data.length; i++) crc = crcTable[(crc ^ data[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}
