/**
 * PNG (W3C, third edition): all colour types, depths and interlacing, with Pillow's choices where it has some: which chunks
 * are read and which checksums count, what a damaged stream is, 16 bits to the upper 8 (for gray, where Pillow saturates, too).
 * Files are refused as Pillow 12.3 refuses them (its PngImagePlugin.py and ZipDecode.c), but for metadata that has no say in pixels
 * or orientation and would take more memory than it is worth.
 */

import { latin1 } from "../../platform/bytes.js";
import type { Slices } from "../slices.js";
import { orientationOf } from "./exif.js";
import { ascii, broken, checkSize, type ImageFile, type StoredImage, viewOf } from "./file.js";
import { borrowPng, ENDED, errorText, inflate, NEEDS_INPUT, NEEDS_TIME, PIECE, type PngKernel } from "./inflate.js";

/** Colour types and depths that exist: samples a pixel, and bytes from one of its colours to the next; -1 for an index. */
const KINDS: Readonly<Record<string, Kind>> = {
  ...Object.fromEntries([1, 2, 4, 8].map((bits) => [`0,${bits}`, { mode: "gray", bits, step: -1 }])),
  ...Object.fromEntries([1, 2, 4, 8].map((bits) => [`3,${bits}`, { mode: "palette", bits, step: -1 }])),
  "0,16": { mode: "gray16", bits: 16, step: 0 },
  "2,8": { mode: "rgb", bits: 24, step: 1 },
  "2,16": { mode: "rgb", bits: 48, step: 2 },
  "4,8": { mode: "gray-alpha", bits: 16, step: 0, alphaAt: 1 },
  "4,16": { mode: "rgba", bits: 32, step: 0, alphaAt: 2 },
  "6,8": { mode: "rgba", bits: 32, step: 1, alphaAt: 3 },
  "6,16": { mode: "rgba", bits: 64, step: 2, alphaAt: 6 },
};

interface Kind {
  /** Pillow's, by which it reads what depends on it. */
  readonly mode: "gray" | "gray16" | "gray-alpha" | "palette" | "rgb" | "rgba";
  /** Bits a pixel. */
  readonly bits: number;
  readonly step: number;
  /** The byte of a pixel that is its alpha. */
  readonly alphaAt?: number;
}

/** First column and row, and their steps, of Adam7's seven passes. */
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

/** Pillow's MAX_TEXT_CHUNK: bytes of a text or profile when decompressed; and MAX_TEXT_MEMORY, of all of them together. */
const MOST_TEXT = 1 << 20;
const MOST_TEXTS = 64 * MOST_TEXT;
/** Pillow's rows are of less than 2^31 bits. */
const MOST_ROW_BITS = 2 ** 31 - 1;
/** Deflate makes at most 258 bytes of two bits. */
const MOST_PER_BYTE = 1032;
/** Bytes at the end of a piece in which it matters how much of them zlib has read after each row: more than a symbol's. */
const NEAR_END = 64;
/** Bytes that a checksum counts between two yields, and of a file whose chunks are looked at. */
const STRETCH = 1 << 18;

/** A chunk: the place of its payload and the length that it claims. */
interface Chunk {
  readonly type: string;
  readonly from: number;
  readonly length: number;
}

/** Facts of the chunks. */
interface Png {
  readonly file: ImageFile;
  width: number;
  height: number;
  kind?: Kind;
  isInterlaced: boolean;
  palette?: Uint8Array;
  /** The transparent value, of the mode at the chunk: alpha of colours, a level, or RGB. */
  transparency?: { readonly mode: Kind["mode"]; readonly values: Uint8Array };
  /** Frames of an animation, and the number of the last chunk that belongs to one. */
  frames?: number;
  sequence?: number;
  /** Where the first frame lies: left, top, width, height. */
  box?: readonly [number, number, number, number];
  exif?: Uint8Array;
  /** EXIF and XMP in text, by their key. */
  readonly text: Map<string, Uint8Array>;
  /** Bytes of metadata. */
  metadata: number;
}

/** @throws Error: one sentence, for a file that is truncated, corrupt or too large. */
export function* readPng(file: ImageFile): Slices<StoredImage> {
  const png: Png = { file, width: 0, height: 0, isInterlaced: false, text: new Map(), metadata: 0 };
  const first = yield* readHeader(png);
  const { width, height } = png;
  if (!png.kind) throw broken(file, "has no PNG header (IHDR) of a colour type and depth that exist");
  checkSize(file, width, height);
  const isAnimated = png.frames !== undefined && (png.frames > 1 || !png.box);
  const data = createData(png, first);
  const kernel = yield* readPixels(png, png.kind, data);
  yield* readTrailer(png, data.end(), isAnimated);
  const { heap, bytes } = kernel;
  return {
    data: bytes.subarray(heap, heap + 3 * width * height),
    width,
    height,
    orientation: orientationOf(png.exif ?? rawProfile(png.text.get(RAW_PROFILE)), xmpOf(png)),
    free: kernel.free,
  };
}

/** The chunk at a place; undefined where the file ends, or no chunk begins. */
function chunkAt({ bytes }: ImageFile, at: number): Chunk | undefined {
  const type = ascii(bytes, at + 4, at + 8);
  if (!/^\w{4}$/.test(type)) return undefined;
  return { type, from: at + 8, length: viewOf(bytes).getUint32(at) };
}

function payloadOf(file: ImageFile, { type, from, length }: Chunk): Uint8Array {
  if (from + length > file.bytes.length) throw broken(file, `ends inside its ${shown(type)}`);
  return file.bytes.subarray(from, from + length);
}

const NAMES =
  /^(IHDR|PLTE|IDAT|IEND|tRNS|cHRM|gAMA|iCCP|sBIT|sRGB|cICP|mDCV|cLLI|bKGD|hIST|pHYs|sPLT|eXIf|tIME|tEXt|zTXt|iTXt|acTL|fcTL|fdAT)$/;

/** A chunk for messages, which name it if the format does: other letters may be of any file. */
const shown = (type: string): string => (NAMES.test(type) ? `PNG chunk ${type}` : "PNG chunk");

/** All up to the pixels, whose first chunk is returned. As in Pillow, checksums count up to here. */
function* readHeader(png: Png): Slices<Chunk> {
  const { file } = png;
  const { bytes } = file;
  let seen = 0;
  for (let at = 8; ; ) {
    const chunk = chunkAt(file, at);
    if (!chunk) {
      if (bytes.length >= at + 8) throw broken(file, "has a PNG chunk whose name is not four letters");
      throw broken(file, "has no PNG pixels (IDAT)");
    }
    const { type, from, length } = chunk;
    if (type === "IEND") throw broken(file, "has no PNG pixels (IDAT)");
    // Pixels of nothing that is known are passed over.
    if (type === "IDAT" && png.kind) return chunk;
    if (type === "fdAT") return frameData(png, chunk);
    yield* readChunk(png, type, payloadOf(file, chunk));
    at = from + length + 4;
    if (at > bytes.length) throw broken(file, `ends inside its ${shown(type)}`);
    if (viewOf(bytes).getUint32(at - 4) !== (yield* crc32(bytes.subarray(from - 4, at - 4))))
      throw broken(file, `has a wrong checksum in its ${shown(type)}`);
    if (at - seen > STRETCH) {
      seen = at;
      yield;
    }
  }
}

/** Reads the chunks after the pixels: the file may be cut off between chunks, and what a chunk says is checked. */
function* readTrailer(png: Png, start: number, isAnimated: boolean): Slices<void> {
  const { file } = png;
  for (let at = start, seen = start; ; ) {
    const chunk = chunkAt(file, at + 4);
    if (!chunk || chunk.type === "IEND") return;
    const { type, from, length } = chunk;
    // The next frame.
    if (type === "fcTL" && isAnimated) return;
    if (type === "fdAT") frameData(png, chunk);
    const payload = payloadOf(file, chunk);
    if (type !== "IDAT" && type !== "fdAT") yield* readChunk(png, type, payload);
    at = from + length;
    if (at - seen > STRETCH) {
      seen = at;
      yield;
    }
  }
}

/** The pixels of a chunk fdAT, which begin after its number. */
function frameData(png: Png, { type, from, length }: Chunk): Chunk {
  const { file } = png;
  if (length < 4 || from + 4 > file.bytes.length) throw broken(file, "has an animation chunk fdAT without its number");
  if (png.sequence === undefined) throw broken(file, "has an animation chunk fdAT before any fcTL");
  countFrames(png, viewOf(file.bytes).getUint32(from));
  return { type, from: from + 4, length: length - 4 };
}

function countFrames(png: Png, sequence: number): void {
  const expected = (png.sequence ?? -1) + 1;
  if (sequence !== expected)
    throw broken(png.file, `has animation chunks out of order: number ${sequence} instead of ${expected}`);
  png.sequence = sequence;
}

/** Reads a chunk that is not of pixels. */
function* readChunk(png: Png, type: string, payload: Uint8Array): Slices<void> {
  const { file } = png;
  const view = viewOf(payload);
  const shortest = (bytes: number) => {
    if (payload.length >= bytes) return;
    throw broken(file, `has a PNG chunk ${type} of ${payload.length} bytes; ${bytes} are needed`);
  };
  switch (type) {
    case "IHDR": {
      shortest(13);
      png.width = view.getUint32(0);
      png.height = view.getUint32(4);
      png.kind = KINDS[`${payload[9]},${payload[8]}`] ?? png.kind;
      if (payload[12] !== 0) png.isInterlaced = true;
      if (payload[11] !== 0) throw broken(file, `has PNG filter method ${payload[11]}; only 0 exists`);
      return;
    }
    case "PLTE":
      if (png.kind?.mode === "palette") png.palette = payload;
      return;
    case "tRNS":
      if (png.kind?.mode === "rgb") shortest(6);
      else if (png.kind?.mode === "gray" || png.kind?.mode === "gray16") shortest(2);
      if (png.kind) png.transparency = { mode: png.kind.mode, values: payload };
      return;
    case "gAMA":
      return shortest(4);
    case "sRGB":
      return shortest(1);
    case "pHYs":
      return shortest(9);
    case "cHRM":
      if (payload.length % 4 === 0) return;
      throw broken(file, `has a PNG chunk cHRM of ${payload.length} bytes, which are no numbers`);
    case "eXIf":
      png.exif = payload;
      return;
    case "acTL": {
      shortest(8);
      const frames = view.getUint32(0);
      if (png.frames !== undefined) png.frames = undefined;
      else if (frames !== 0 && frames <= 0x80000000) png.frames = frames;
      return;
    }
    case "fcTL": {
      shortest(26);
      countFrames(png, view.getUint32(0));
      const [width, height, left, top] = [4, 8, 12, 16].map((at) => view.getUint32(at)) as [
        number,
        number,
        number,
        number,
      ];
      if (left + width > png.width || top + height > png.height)
        throw broken(
          file,
          `has a frame of ${width}×${height} at (${left}, ${top}), outside its ${png.width}×${png.height}`,
        );
      png.box = [left, top, width, height];
      return;
    }
    case "iCCP":
    case "tEXt":
    case "zTXt":
    case "iTXt":
      yield* readText(png, type, payload);
  }
}

const RAW_PROFILE = "Raw profile type exif";
const XMP = "XML:com.adobe.xmp";

/** Reads a chunk of text, or a profile. Only what can say an orientation is kept. */
function* readText(png: Png, type: string, payload: Uint8Array): Slices<void> {
  const { file } = png;
  const count = (bytes: number) => {
    png.metadata += bytes;
    if (png.metadata > MOST_TEXTS) throw broken(file, `has more than ${MOST_TEXTS >> 20} MiB of text`);
  };
  function* unpack(from: number): Slices<Uint8Array | undefined> {
    try {
      return yield* inflate(payload.subarray(from), MOST_TEXT);
    } catch {
      throw broken(file, `has a PNG chunk ${type} that decompresses to more than ${MOST_TEXT >> 20} MiB`);
    }
  }
  const keyEnd = payload.indexOf(0);
  const key = keyEnd < 0 ? payload : payload.subarray(0, keyEnd);
  const rest = keyEnd < 0 ? payload.length : keyEnd + 1;
  const keep = (value: Uint8Array) => {
    if (key.length === 0) return;
    count(value.length);
    const name = key.length > 80 ? "" : ascii(key, 0, key.length);
    if (type === "tEXt" && name === "exif") png.exif = value;
    else if (name === RAW_PROFILE || name === XMP) png.text.set(name, value);
  };
  if (type === "tEXt") return keep(payload.subarray(rest));
  // A profile must have a method, a text may end before it.
  const method = type === "iTXt" ? 0 : payload[type === "iCCP" ? keyEnd + 1 : rest];
  if (method !== 0 && (method !== undefined || type === "iCCP"))
    throw broken(file, `has a PNG chunk ${type} of compression method ${method ?? "none"}; only 0 exists`);
  if (type === "iCCP") return count((yield* unpack(keyEnd + 2))?.length ?? 0);
  if (type === "zTXt") return keep((yield* unpack(rest + 1)) ?? new Uint8Array());

  // Key, whether it is compressed, the method, language, translated key, text.
  const language = payload.indexOf(0, rest + 2);
  const translated = language < 0 ? -1 : payload.indexOf(0, language + 1);
  if (keyEnd < 0 || translated < 0) return;
  let value: Uint8Array | undefined = payload.subarray(translated + 1);
  if (payload[rest] !== 0) value = payload[rest + 1] === 0 ? yield* unpack(translated + 1) : undefined;
  if (value) keep(value);
}

const xmpOf = ({ text }: Png) => {
  const xmp = text.get(XMP);
  return xmp && latin1(xmp);
};

/** ImageMagick's form of EXIF in text: a name, a length, and hexadecimal digits in lines. */
function rawProfile(text: Uint8Array | undefined): Uint8Array | undefined {
  if (!text) return undefined;
  const NEWLINE = 10;
  let from = 0;
  for (let line = 0; line < 3; line++) {
    from = text.indexOf(NEWLINE, from) + 1;
    if (from === 0) return undefined;
  }
  const result = new Uint8Array((text.length - from) >> 1);
  let digits = 0;
  for (; from < text.length; from++) {
    const byte = text[from]!;
    if (byte === NEWLINE) continue;
    // 0 to 9, a to f and A to F; others are nothing that anybody writes.
    const digit = byte < 0x40 ? byte & 15 : (byte & 7) + 9;
    result[digits >> 1]! |= digits % 2 === 0 ? digit << 4 : digit;
    digits++;
  }
  return result.subarray(0, digits >> 1);
}

/** The stream of pixels: pieces as Pillow reads them, which shows where it stops looking. */
interface Data {
  /** The next piece; undefined where there is none. */
  next(): Uint8Array | undefined;
  /** Where the chunk ends from which the last piece was. */
  end(): number;
}

function createData(png: Png, first: Chunk): Data {
  const { file } = png;
  let { from, length: left } = first;
  return {
    next() {
      while (left === 0) {
        const chunk = chunkAt(file, from + 4);
        if (!chunk) return undefined;
        if (chunk.type === "fdAT") ({ from, length: left } = frameData(png, chunk));
        else if (chunk.type === "IDAT" || chunk.type === "DDAT") ({ from, length: left } = chunk);
        else return undefined;
      }
      const count = Math.min(PIECE, left);
      const piece = file.bytes.subarray(from, from + count);
      from += count;
      left -= count;
      return piece.length > 0 ? piece : undefined;
    },
    end: () => from + left,
  };
}

/** The pixels as RGB, at the heap of the kernel that is returned. */
function* readPixels(png: Png, kind: Kind, data: Data): Slices<PngKernel> {
  const { file, width, height, isInterlaced } = png;
  const { bits, step } = kind;
  const [left, top, columns, rows] = png.box ?? [0, 0, width, height];
  if (columns < 1 || rows < 1 || left + columns > width || top + rows > height)
    throw broken(
      file,
      `has a frame of ${columns}×${rows} at (${left}, ${top}), which is not inside its ${width}×${height}`,
    );
  if (columns > Math.floor(MOST_ROW_BITS / bits) - 7)
    throw broken(file, `has rows of ${columns} pixels of ${bits} bits; a row must have less than 2^31 bits`);
  const isWhite = file.alpha === "white";
  const colours = isWhite ? onWhite(png, kind, coloursOf(png, kind)) : coloursOf(png, kind);
  const alphaAt = isWhite ? (kind.alphaAt ?? -1) : -1;
  const transparent = isWhite ? transparentOf(png, kind) : -1;
  // Where no pixel is written there is the first colour of the palette, or nothing but what is behind.
  const blank = alphaAt >= 0 || transparent === 0 ? 0xffffff : colours[0]!;
  const rowBytes = Math.ceil((columns * bits) / 8);

  let read = 0;
  const truncated = () =>
    broken(
      file,
      `ends before its last row: ${read.toLocaleString("en-US")} bytes of IDAT cannot hold ${width}×${height} pixels`,
    );
  // A stream may end after any row, which leaves the others black; it cannot be shorter than for one row.
  if (file.bytes.length * MOST_PER_BYTE < rowBytes / (isInterlaced ? 8 : 1)) throw truncated();
  const area = 3 * width * height;
  const lineBuffer = (area + 31) & -16;
  const kernel = borrowPng(area + 32 + rowBytes + 32);
  const { bytes, heap } = kernel;
  new Uint32Array(bytes.buffer, kernel.colours, 256).set(colours);

  // An interlaced frame goes to the corner, as in Pillow.
  const passes = (isInterlaced ? ADAM7 : ([[0, 0, 1, 1]] as const)).flatMap(([x, y, dx, dy]) => {
    const size = [Math.ceil((columns - x) / dx), Math.ceil((rows - y) / dy)] as const;
    const place = isInterlaced ? 3 * (y * width + x) : 3 * (top * width + left);
    return size[0] > 0 && size[1] > 0 ? [[...size, bits, step, heap + place, 3 * dx, 3 * dy * width]] : [];
  });
  const picture = bytes.subarray(heap, heap + area);
  const isInOrder = !isInterlaced && columns === width && rows === height;
  if (!isInOrder) yield* paint(picture, blank);
  kernel.begin();
  kernel.begin_rows(alphaAt, transparent);
  let pass = 0;
  kernel.begin_pass(heap + lineBuffer, ...passes[0]!);
  for (;;) {
    const piece = data.next();
    if (!piece) throw truncated();
    read += piece.length;
    // As Pillow reads a piece after the other, it sees an end or an error after a row only if they are in one with its last byte.
    let hasRow = false;
    for (const isLast of [false, true]) {
      const end = Math.max(0, piece.length - NEAR_END);
      const part = isLast ? piece.subarray(end) : piece.subarray(0, end);
      bytes.set(part, kernel.input);
      kernel.feed(part.length);
      for (let status = -1; status !== NEEDS_INPUT; ) {
        const before = kernel.rows_left();
        status = kernel.advance(isLast);
        if (status < 0) throw broken(file, `has PNG data that cannot be decompressed: ${errorText(status)}`);
        if (kernel.rows_left() < before) hasRow = true;
        const isWhole = kernel.rows_left() === 0;
        const isDone = isWhole && pass === passes.length - 1;
        if (status === ENDED && !isDone) {
          if (!hasRow || kernel.is_within_row()) throw truncated();
          if (isInOrder) yield* paint(picture.subarray(3 * width * (rows - kernel.rows_left())), blank);
          return kernel;
        }
        if (isDone && status !== NEEDS_TIME && (isLast || status !== NEEDS_INPUT)) return kernel;
        if (isWhole && !isDone) {
          kernel.begin_pass(heap + lineBuffer, ...passes[++pass]!);
          if (isLast && kernel.unread_bits() < 8) break;
        }
        yield;
      }
    }
  }
}

/** The samples that are transparent, as assembly/png.ts wants them: RGB, red lowest, or gray of 16 bits; -1 for none. */
function transparentOf({ transparency }: Png, { mode }: Kind): number {
  if (transparency?.mode !== mode) return -1;
  const { values } = transparency;
  if (mode === "gray16") return viewOf(values).getUint16(0);
  // Of samples of 16 bits, too, Pillow compares the lower bytes.
  return mode === "rgb" ? values[1]! | (values[3]! << 8) | (values[5]! << 16) : -1;
}

/** One colour without alpha among others that have all of it: only then Pillow, in whose regular expression it is, misses a 10. */
const ONE_TRANSPARENT = /^\xff*\0\xff*\n?$/;

/** Gray levels, or the colours of a palette, laid on white. */
function onWhite({ transparency }: Png, { mode, bits }: Kind, colours: Uint32Array): Uint32Array {
  if (transparency?.mode !== mode) return colours;
  const { values } = transparency;
  if (mode === "gray") {
    const level = bits > 1 ? values[1]! : viewOf(values).getUint16(0) ? 255 : 0;
    return colours.map((colour) => (colour === 0x10101 * level ? 0xffffff : colour));
  }
  if (mode !== "palette") return colours;
  const text = ascii(values, 0, Math.min(values.length, colours.length + 1));
  const only = ONE_TRANSPARENT.test(text) ? text.indexOf("\0") : -1;
  return colours.map((colour, i) => {
    const alpha = only < 0 ? (values[i] ?? 255) : i === only ? 0 : 255;
    const [red, green, blue] = [0, 8, 16].map((shift) => {
      const sum = ((colour >> shift) & 255) * alpha + 255 * (255 - alpha) + 128;
      return (sum + (sum >> 8)) >> 8;
    }) as [number, number, number];
    return red | (green << 8) | (blue << 16);
  });
}

/** Makes black pixels of a colour. */
function* paint(pixels: Uint8Array, colour: number): Slices<void> {
  if (colour === 0 || pixels.length === 0) return;
  pixels.set([colour & 255, (colour >> 8) & 255, colour >> 16]);
  for (let done = 3; done < pixels.length; ) {
    const count = Math.min(done, 3 * STRETCH, pixels.length - done);
    pixels.copyWithin(done, 0, count);
    done += count;
    yield;
  }
}

/** The colours of gray levels, or of a palette, in which those that are missing are black. */
function coloursOf({ file, palette }: Png, { mode, bits }: Kind): Uint32Array {
  const result = new Uint32Array(256);
  const levels = 255 / ((1 << Math.min(bits, 8)) - 1);
  if (mode === "gray" && !palette) return result.map((_, i) => 0x10101 * (i * levels));
  if (!palette) return result;
  const colours = Math.floor(palette.length / 3);
  if (colours > 256) throw broken(file, `has a PNG palette of ${colours} colours; at most 256 are allowed`);
  // A second header may have made gray of a picture that has a palette: Pillow then takes levels for its indices.
  if (mode !== "palette" && (mode !== "gray" || bits === 1))
    throw broken(file, "has a PNG palette and a second header without one");
  for (let i = 0; i < result.length; i++) {
    const at = 3 * (mode === "gray" ? (i * levels) & 255 : i);
    if (at + 2 < 3 * colours) result[i] = palette[at]! | (palette[at + 1]! << 8) | (palette[at + 2]! << 16);
  }
  return result;
}

let crcTable: Uint32Array | undefined;

/** CRC-32 of ISO 3309, as of chunks. */
export function* crc32(data: Uint8Array): Slices<number> {
  crcTable ??= Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n;
  });
  let crc = 0xffffffff;
  for (let i = 0; i < data.length; i++) {
    crc = crcTable[(crc ^ data[i]!) & 255]! ^ (crc >>> 8);
    if (i % STRETCH === STRETCH - 1) yield;
  }
  return ~crc >>> 0;
}
