/**
 * TIFF 6.0 and BigTIFF, the first page, as Pillow 12.3 reads it (TiffImagePlugin.py): what it refuses is refused. What is not
 * compressed it reads by itself, a piece after the other in the order of the file; the rest is libtiff's, which wants every strip
 * or tile and is strict about the directory. Gray of more than 8 bits becomes its upper 8, where Pillow saturates.
 */

import { latin1 } from "../../platform/bytes.js";
import type { Slices } from "../slices.js";
import { ORIENTATION, orientationIn } from "./exif.js";
import { broken, checkSize, type ImageFile, rgbOfRgba, type StoredImage } from "./file.js";
import { addUp, CODECS, swapBytes } from "./tiff-codecs.js";
import {
  bytesOutside,
  entryOf,
  hasInteger,
  isBytes,
  isInteger,
  isKnown,
  numberAt,
  readDirectory,
  type TiffDirectory,
  type TiffEntry,
} from "./tiff-directory.js";
import { readPiece } from "./tiff-jpeg.js";
import {
  type Canvas,
  flipBits,
  type Layout,
  layoutOf,
  type Mode,
  plane,
  type Unpacker,
  unmultiplied,
  unpackerOf,
} from "./tiff-samples.js";

/** Pixels between two yields. */
const STRETCH = 1 << 17;
/** Strips or tiles between two yields, which take a microsecond at least. */
const MOST_PIECES = 1 << 8;

const TAG = {
  width: 256,
  height: 257,
  bits: 258,
  compression: 259,
  photometric: 262,
  fillOrder: 266,
  stripOffsets: 273,
  samples: 277,
  rowsPerStrip: 278,
  stripBytes: 279,
  planes: 284,
  predictor: 317,
  colors: 320,
  tileWidth: 322,
  tileHeight: 323,
  tileOffsets: 324,
  tileBytes: 325,
  extra: 338,
  format: 339,
  jpegTables: 347,
  xmp: 700,
  windowsMediaPhoto: 0xbc01,
} as const;

const NO_COMPRESSION = 1;
const JPEG = 7;
/** Those that are known and not decoded, of which Pillow decodes some. */
const OTHERS: Readonly<Record<number, string>> = {
  2: "CCITT RLE",
  3: "CCITT Group 3",
  4: "CCITT Group 4",
  6: "JPEG of before 1995",
  32771: "words of 16 bits",
  32809: "ThunderScan",
  34676: "SGI LogLuv",
  34677: "SGI LogLuv of 24 bits",
  34925: "LZMA",
  50000: "Zstandard",
  50001: "WebP",
};

/** Pillow's most samples of a pixel. */
const MOST_SAMPLES = 6;
/** libtiff's largest strips and tiles, and its most tags. */
const MOST_BYTES = 2 ** 31 - 2;
const MOST_TAGS = 4096;
/** Bytes of tiles, and of all of them together, beyond those of the picture: what is cut off at its sides, and identical pieces. */
const SLACK = 1 << 26;

interface Tiff {
  readonly file: ImageFile;
  readonly directory: TiffDirectory;
  readonly width: number;
  readonly height: number;
  readonly compression: number;
  readonly hasPlanes: boolean;
  /** Bits of the samples of a pixel together, and how many of them are known to be something. */
  readonly pixelBits: number;
  readonly known: number;
  readonly layout: Layout;
  readonly colors: Uint8Array | undefined;
}

/** @throws Error: one sentence, for a file that is truncated, corrupt, too large or of a kind that is not read. */
export function* readTiff(file: ImageFile): Slices<StoredImage> {
  const tiff = readHeader(file);
  const { directory, width, height, layout } = tiff;
  const { mode } = layout;
  const isWhite = file.alpha === "white" && /A$/.test(mode);
  const grid = tiff.compression === NO_COMPRESSION ? undefined : gridOf(tiff);
  const channels = mode === "CMYK" || isWhite || grid?.isAssociated ? 4 : 3;
  const canvas: Canvas = { data: new Uint8Array(channels * width * height), channels };
  yield* !grid
    ? readPlain(tiff, canvas)
    : tiff.compression === JPEG
      ? readJpegs(tiff, grid, canvas)
      : readCoded(tiff, grid, canvas);
  if (channels === 4)
    yield* toRgb(canvas.data, mode === "CMYK" ? rgbOfCmyk : (from, to) => rgbOfRgba(from, file.alpha, to));
  const xmp = entryOf(directory, TAG.xmp);
  // Pillow looks into it where no tag says the orientation.
  if (xmp && !isBytes(xmp) && !entryOf(directory, ORIENTATION))
    throw broken(file, "has XMP in its TIFF tags that is not of bytes");
  const text = xmp && latin1(bytesOf(file, xmp));
  return {
    data: canvas.data.subarray(0, 3 * width * height),
    width,
    height,
    orientation: orientationIn(directory, text),
  };
}

function readHeader(file: ImageFile): Tiff {
  const directory = readDirectory(file.bytes);
  if (!directory) throw broken(file, `ends before its TIFF directory; ${file.bytes.length} bytes were read`);
  const numbers = (tag: number): number[] | undefined => {
    const entry = entryOf(directory, tag);
    if (!entry) return undefined;
    if (!isInteger(entry)) throw broken(file, `has a TIFF tag ${tag} that is not of integers`);
    // No more than these are looked at, and colors.
    return Array.from({ length: Math.min(entry.count, 1024) }, (_, i) => numberAt(directory, entry, i));
  };
  const number = (tag: number, otherwise: number) => numbers(tag)?.[0] ?? otherwise;

  if (entryOf(directory, TAG.windowsMediaPhoto)) throw broken(file, "is a Windows Media Photo, which is not read");
  const compression = number(TAG.compression, NO_COMPRESSION);
  const photometric = number(TAG.photometric, 0);
  const fillOrder = number(TAG.fillOrder, 1);
  const planes = entryOf(directory, TAG.planes);
  const hasPlanes = planes !== undefined && isInteger(planes) && numberAt(directory, planes) === 2;
  const [width, height] = [number(TAG.width, 0), number(TAG.height, 0)];
  checkSize(file, width, height);

  const formats = numbers(TAG.format) ?? [1];
  const format = formats.every((value) => value === formats[0]) ? formats[0]! : 0;
  let bits = numbers(TAG.bits) ?? [1];
  let extra = numbers(TAG.extra) ?? [];
  let samples = number(TAG.samples, 1);
  const colors = photometric === 2 || photometric === 6 || photometric === 8 ? 3 : photometric === 5 ? 4 : 1;
  if (hasPlanes && extra.length > 0 && Math.max(...extra) === 0) {
    // Planes of nothing that is known are left out.
    bits = bits.slice(0, -extra.length);
    samples -= extra.length;
    extra = [];
  }
  if (samples > MOST_SAMPLES)
    throw broken(file, `is a TIFF of ${samples} samples a pixel; at most ${MOST_SAMPLES} are read`);
  if (samples < bits.length) bits = bits.slice(0, samples);
  else if (bits.length === 1 && samples > 1) bits = Array(samples).fill(bits[0]);
  if (bits.length !== samples)
    throw broken(file, `says that it has ${samples} samples a pixel and the bits of ${bits.length}`);

  const { isLittle } = directory;
  const layout = layoutOf({ isLittle, photometric, format, fillOrder, bits, extra });
  if (!layout) {
    const kind = `photometric ${photometric}, sample format ${format}, fill order ${fillOrder}`;
    throw broken(file, `is a TIFF of ${bits.join(", ")} bits a sample (${kind}), which is not read`);
  }
  if (![NO_COMPRESSION, JPEG].includes(compression) && !CODECS[compression]) {
    const name = OTHERS[compression];
    if (!name) throw broken(file, `is a TIFF of compression ${compression}, which is unknown`);
    throw broken(file, `is a TIFF compressed by ${name}, which is not decoded; save it with LZW or Deflate`);
  }
  return {
    ...{ file, directory, width, height, compression, hasPlanes, layout },
    pixelBits: bits.reduce((sum, count) => sum + count, 0),
    known: colors + extra.length,
    colors: /^P/.test(layout.mode) ? readColors(file, numbers(TAG.colors)) : undefined,
  };
}

/** RGB of 256 colors; those that are missing are black. All reds come first, of 16 bits each. */
function readColors(file: ImageFile, values: readonly number[] | undefined): Uint8Array {
  if (!values) throw broken(file, "is a TIFF of palette colors without a palette");
  const count = Math.floor(values.length / 3);
  if (count > 256) throw broken(file, `is a TIFF with a palette of more than 256 colors`);
  const colors = new Uint8Array(768);
  for (let i = 0; i < count; i++) for (let c = 0; c < 3; c++) colors[3 * i + c] = values[c * count + i]! >> 8;
  return colors;
}

// ---- not compressed ----

/** A strip or tile, of which the rows have `stride` bytes. */
interface Piece {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly stride: number;
}

/** Unpacks rows that begin at `from`. */
function* unpackRows(
  { bits, unpack }: Unpacker,
  bytes: Uint8Array,
  from: number,
  { left, top, width, height, stride }: Piece,
  canvas: Canvas,
  columns: number,
): Slices<void> {
  // Rows that follow each other without a gap, here and there, are one.
  const isOne = width === columns && stride * 8 === width * bits;
  const [pixels, rows] = isOne ? [width * height, 1] : [width, height];
  let done = 0;
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < pixels; x += STRETCH) {
      const count = Math.min(STRETCH, pixels - x);
      unpack(bytes, from + y * stride + (x * bits) / 8, count, canvas, (top + y) * columns + left + x);
      done += count;
      if (done < STRETCH) continue;
      done = 0;
      yield;
    }
  }
}

function* readPlain(tiff: Tiff, canvas: Canvas): Slices<void> {
  const { file, directory, width, height, layout, colors, hasPlanes, pixelBits, known } = tiff;
  const strips = entryOf(directory, TAG.stripOffsets);
  const offsets = strips ?? entryOf(directory, TAG.tileOffsets);
  if (!offsets) throw broken(file, "is a TIFF without the offsets of its strips or tiles");
  if (!isInteger(offsets)) throw broken(file, "is a TIFF with offsets that are not integers");
  const size = (tag: number, otherwise: number) => {
    const entry = entryOf(directory, tag);
    const value = !entry ? otherwise : isInteger(entry) ? numberAt(directory, entry) : 0;
    if (value > 0) return value;
    throw broken(file, `is a TIFF in ${strips ? "strips" : "tiles"} of no size`);
  };
  const rows = strips ? size(TAG.rowsPerStrip, height) : size(TAG.tileHeight, 0);
  const columns = strips ? width : size(TAG.tileWidth, 0);
  const across = Math.ceil(width / columns);
  const cells = across * Math.ceil(height / rows);
  // Of planes Pillow takes the letters of the layout for theirs, so that 16 bits are read as 8.
  const layers = hasPlanes ? Math.ceil(offsets.count / cells) : 1;
  const unpackers = Array.from({ length: Math.min(layers, 5) }, (_, layer) =>
    unpackerOf(hasPlanes ? { ...layout, raw: layout.raw[layer] ?? "" } : layout, colors),
  );
  if (colors && offsets.count < cells) yield* fill(canvas, colors);
  // A strip or tile that is the whole picture counts if it comes last in the directory.
  const isWhole = columns === width && rows === height;
  const chosen = hasPlanes ? undefined : isWhole ? [offsets.count - 1] : yield* lastPieces(directory, offsets, cells);
  let done = 0;
  for (let i = 0; i < (chosen ? Math.min(cells, offsets.count) : offsets.count); i++) {
    const unpacker = unpackers[Math.floor(i / cells)];
    if (!unpacker) throw broken(file, `is a TIFF of ${layout.mode} in planes, or bits, that are not read`);
    const cell = i % cells;
    const left = columns * (cell % across);
    const top = rows * Math.floor(cell / across);
    const piece = { left, top, width: Math.min(columns, width - left), height: Math.min(rows, height - top) };
    const rowBytes = Math.ceil((piece.width * unpacker.bits) / 8);
    const isCut = left + columns > width;
    const stride = isCut ? Math.floor((columns * pixelBits) / (8 * (hasPlanes ? known : 1))) || rowBytes : rowBytes;
    if (stride < rowBytes || stride > MOST_BYTES)
      throw broken(file, `has TIFF tiles of rows of ${stride} bytes; ${rowBytes} are needed`);
    const needed = stride * (piece.height - 1) + rowBytes;
    const from = numberAt(directory, offsets, chosen ? chosen[cell] : i);
    if (from < 0 || from + needed > file.bytes.length) {
      const found = `${needed.toLocaleString("en-US")} bytes of TIFF pixels begin at ${from.toLocaleString("en-US")}`;
      throw broken(file, `ends before its last row: ${found}`);
    }
    yield* unpackRows(unpacker, file.bytes, from, { ...piece, stride }, canvas, width);
    done += piece.width * piece.height;
    if (done < STRETCH) continue;
    done = 0;
    yield;
  }
}

/** Finds the piece that counts for each cell: Pillow reads them in the order of the file, so that the last overwrites the others. */
function* lastPieces(directory: TiffDirectory, offsets: TiffEntry, cells: number): Slices<Uint32Array> {
  const chosen = new Uint32Array(Math.min(cells, offsets.count));
  for (let i = 0; i < offsets.count; i++) {
    const cell = i % cells;
    if (i < cells || numberAt(directory, offsets, i) >= numberAt(directory, offsets, chosen[cell])) chosen[cell] = i;
    if (i % STRETCH === STRETCH - 1) yield;
  }
  return chosen;
}

/** Makes all pixels the first color of a palette. */
function* fill({ data, channels }: Canvas, colors: Uint8Array): Slices<void> {
  for (let at = 0; at < data.length; at += channels) {
    data.set(colors.subarray(0, 3), at);
    if ((at / channels) % STRETCH === 0) yield;
  }
}

// ---- compressed ----

/** The strips or tiles as libtiff sees them. */
interface Grid {
  readonly isYcbcr: boolean;
  /** Tables of JPEG. */
  readonly tables: TiffEntry | undefined;
  readonly hasPlanes: boolean;
  readonly isTiled: boolean;
  readonly columns: number;
  readonly rows: number;
  readonly samples: number;
  readonly sampleBits: number;
  readonly predictor: number;
  readonly fillOrder: number;
  /** True if RGB is multiplied by the alpha of a fourth plane, which it is if nothing says more. */
  readonly isAssociated: boolean;
  readonly offsets: TiffEntry;
  /** Bytes of each; a single strip without goes on to the end. */
  readonly lengths: TiffEntry | undefined;
}

function* readCoded(tiff: Tiff, grid: Grid, canvas: Canvas): Slices<void> {
  const { file, directory, width, height } = tiff;
  const { hasPlanes, isTiled, columns, rows, samples, sampleBits, predictor, fillOrder } = grid;
  const layout = nativeOf(tiff.layout);
  const { mode } = layout;
  const whole = unpackerOf(layout, tiff.colors);
  if (!whole) throw broken(file, `is a TIFF of ${mode} in bits that are not read`);
  const planes = hasPlanes ? (BANDS[mode] ?? 1) : 1;
  if (planes > 1 && sampleBits !== 8 && sampleBits !== 16)
    throw broken(file, `is a TIFF in planes of ${sampleBits} bits; 8 and 16 are read`);
  const unpackers = planes === 1 ? [whole] : planesOf(tiff, planes, sampleBits as 8 | 16);

  const rowBytes = Math.ceil((columns * sampleBits * (hasPlanes ? 1 : samples)) / 8);
  const most = isTiled ? rows : Math.min(rows, height);
  // What Pillow takes them for must be no more, and no less, than what they are.
  const needed = Math.ceil(Math.floor((width * whole.bits) / planes) / 8);
  const room = isTiled ? Math.ceil(Math.floor((rows * whole.bits) / planes) / 8) * columns : needed * rows;
  if (most * rowBytes > room || (!isTiled && needed > rowBytes))
    throw broken(file, `is a TIFF whose ${samples} samples of ${sampleBits} bits are not its ${mode}`);
  const across = isTiled ? Math.ceil(width / columns) : 1;
  const down = Math.ceil(height / rows);
  checkWork(tiff, across * down * planes * rowBytes * most, rowBytes * most);

  const codec = CODECS[tiff.compression]!();
  const isDirect = !isTiled && layout.raw === "RGB" && planes === 1 && canvas.channels === 3;
  const buffer = isDirect ? canvas.data : new Uint8Array(rowBytes * most);
  let read = 0;
  let made = 0;
  for (let i = 0; i < across * down * planes; i++) {
    // All planes of a row of pieces, then the next row.
    const column = i % across;
    const layer = Math.floor(i / across) % planes;
    const band = Math.floor(i / (across * planes));
    const [left, top] = [column * columns, band * rows];
    const piece = {
      left,
      top,
      width: Math.min(columns, width - left),
      height: Math.min(rows, height - top),
      stride: rowBytes,
    };
    const from = isDirect ? top * rowBytes : 0;
    const output = buffer.subarray(from, from + rowBytes * (isTiled ? rows : piece.height));
    const input = inputOf(tiff, grid, (layer * down + band) * across + column, rowBytes * most);
    const taken = yield* codec.fill(fillOrder === 2 ? flipped(input) : input, output);
    if (taken === undefined)
      throw broken(file, `has a TIFF ${isTiled ? "tile" : "strip"} that is damaged or ends early`);
    read += fillOrder === 2 ? input.length : taken;
    made += output.length;
    // Pieces that do not overlap are no more than the file.
    if (read > file.bytes.length + 2 * made + SLACK)
      throw broken(file, "is a TIFF whose pieces are the same bytes, and more work than a picture is worth");
    if (!directory.isLittle && sampleBits > 8 && predictor !== 3) yield* swapBytes(output, sampleBits >> 3);
    yield* addUp(output, { predictor, rowBytes, sampleBits, step: hasPlanes ? 1 : samples });
    if (!isDirect) yield* unpackRows(unpackers[layer]!, buffer, 0, piece, canvas, width);
    if (i % MOST_PIECES === MOST_PIECES - 1) yield;
  }
  codec.free?.();
  if (grid.isAssociated) yield* unmultiply(canvas);
  // Pillow puts a plane of alpha behind one of gray where it never looks for it: nothing is to be seen.
  if (planes === 2 && canvas.channels === 4) canvas.data.fill(255);
}

/** Strips or tiles that are JPEG, of three samples or one. */
function* readJpegs(tiff: Tiff, grid: Grid, canvas: Canvas): Slices<void> {
  const { file, width, height, layout } = tiff;
  const { hasPlanes, isTiled, isYcbcr, columns, rows, samples, sampleBits, tables } = grid;
  const isKnown = samples === 3 ? isYcbcr || layout.raw === "RGB" : samples === 1 && !isYcbcr && layout.raw === "L";
  if (!isKnown || hasPlanes || sampleBits !== 8)
    throw broken(file, `is a TIFF compressed by JPEG of ${layout.mode} or in planes, which is not decoded`);
  const shared = bytesOf(file, tables);
  const across = Math.ceil(width / columns);
  const down = Math.ceil(height / rows);
  const pieceBytes = samples * columns * Math.min(rows, isTiled ? rows : height);
  checkWork(tiff, across * down * pieceBytes, pieceBytes);
  let read = 0;
  for (let i = 0; i < across * down; i++) {
    const [left, top] = [(i % across) * columns, Math.floor(i / across) * rows];
    const count = Math.min(rows, height - top);
    const input = inputOf(tiff, grid, i, pieceBytes);
    read += input.length + shared.length;
    if (read > (across * down + 1) * shared.length + file.bytes.length + 2 * 3 * width * height + SLACK)
      throw broken(file, "is a TIFF whose pieces are the same bytes, and more work than a picture is worth");
    const image = yield* readPiece(file, shared, input, isYcbcr);
    try {
      const expected = isTiled ? rows : count;
      // The last strip may have the rows of the others.
      const isLonger = !isTiled && top + rows >= height && image.height > expected;
      if (image.width !== columns || (image.height !== expected && !isLonger)) {
        const [found, wanted] = [`${image.width}×${image.height}`, `${columns}×${expected}`];
        throw broken(file, `has a TIFF ${isTiled ? "tile" : "strip"} of ${wanted} pixels that is a JPEG of ${found}`);
      }
      const pixels = 3 * Math.min(columns, width - left);
      for (let y = 0; y < count; y++) {
        const from = 3 * y * columns;
        canvas.data.set(image.data.subarray(from, from + pixels), 3 * ((top + y) * width + left));
        if (y % MOST_PIECES === MOST_PIECES - 1) yield;
      }
    } finally {
      image.free?.();
    }
  }
}

/** An integer as libtiff reads it, -1 for none. */
const wholeAt = (directory: TiffDirectory, entry: TiffEntry, index: number): number =>
  hasInteger(directory, entry, index) ? numberAt(directory, entry, index) : -1;

/** Bytes of a tag; none if it is not there. */
function bytesOf({ bytes }: ImageFile, entry: TiffEntry | undefined): Uint8Array {
  return entry ? bytes.subarray(entry.at, entry.at + entry.count) : new Uint8Array();
}

/** Channels of the modes that have several. */
const BANDS: Partial<Record<Mode, number>> = { LA: 2, PA: 2, RGB: 3, RGBA: 4, CMYK: 4 };

/** How the planes of a picture are read: one to a channel. The alpha of gray or a palette is not. */
function planesOf({ layout: { mode }, colors }: Tiff, planes: number, bits: 8 | 16): Unpacker[] {
  if (planes > 2) return Array.from({ length: planes }, (_, i) => plane(bits, i));
  const first: Layout = mode === "PA" ? { mode: "P", raw: "P" } : { mode: "L", raw: "L" };
  return [unpackerOf(first, colors)!, { bits, unpack: () => {} }];
}

/** The layout of what libtiff gives, which has numbers with the lowest byte first and bits in their order. */
function nativeOf({ mode, raw }: Layout): Layout {
  if (mode === "I;16B") return { mode: "I;16", raw: "I;16" };
  const ordered =
    raw === "I;16R"
      ? "I;16"
      : raw.replace(/;(\d?)(I?)R$/, (_, size, inverted) => (size || inverted ? `;${size}${inverted}` : ""));
  return { mode, raw: ordered.replace(/;16B$/, ";16L") };
}

function gridOf({ file, directory, width, height, compression, layout }: Tiff): Grid {
  const { all, isLittle, isBig, claimed, isCut } = directory;
  const version = isLittle ? [42, 0] : [0, 42];
  if (!isBig && (file.bytes[2] !== version[0] || file.bytes[3] !== version[1]))
    throw broken(file, "is a TIFF of an unknown version");
  if (isCut || claimed > MOST_TAGS)
    throw broken(file, `says that it has ${claimed} TIFF tags; it has not, or too many`);
  // Of a tag that comes twice the first counts; of two tags the later one.
  const find = (tag: number): TiffEntry | undefined => all.find((entry) => entry.tag === tag);
  const later = (a: number, b: number): TiffEntry | undefined => {
    const [first, second] = [find(a), find(b)];
    return first && second ? (all.indexOf(first) > all.indexOf(second) ? first : second) : (first ?? second);
  };
  const known = (entry: TiffEntry | undefined, most: number) => {
    const value = entry?.count === 1 && hasInteger(directory, entry) ? numberAt(directory, entry) : -1;
    return value >= 0 && value <= most ? value : undefined;
  };
  const number = (tag: number, otherwise: number, most = 2 ** 32 - 1) => {
    const entry = find(tag);
    const value = entry ? known(entry, most) : otherwise;
    if (value === undefined) throw broken(file, `has a TIFF tag ${tag} that is not one number from 0 to ${most}`);
    return value;
  };
  // Of these libtiff passes over what is wrong.
  const mild = (tag: number, otherwise: number) => known(find(tag), 65535) ?? otherwise;

  const samples = number(TAG.samples, 1, 65535);
  const perSample = (tag: number, otherwise: number) => {
    const entry = find(tag);
    if (!entry) return otherwise;
    const values = Array.from({ length: entry.count === 1 ? 1 : Math.min(samples, MOST_SAMPLES) }, (_, i) =>
      hasInteger(directory, entry, i) ? numberAt(directory, entry, i) : -1,
    );
    if (values[0]! >= 0 && values.every((value) => value === values[0])) return values[0]!;
    throw broken(file, `has a TIFF tag ${tag} that is not the same number for each sample`);
  };
  const sampleBits = perSample(TAG.bits, 1);
  const format = perSample(TAG.format, 1);
  if (format < 1 || format > 6) throw broken(file, `is a TIFF of sample format ${format}; 1 to 6 exist`);
  if (number(TAG.width, 0) !== width || number(TAG.height, 0) !== height) throw broken(file, "is a TIFF of two sizes");
  if (perSample(TAG.compression, NO_COMPRESSION) !== compression) throw broken(file, "is a TIFF of two compressions");
  const photometric = mild(TAG.photometric, 0);
  const isYcbcr = photometric === 6;
  if (isYcbcr && compression !== JPEG)
    throw broken(file, "is a TIFF of YCbCr that is compressed, but not by JPEG, which is not decoded");
  const colors = find(TAG.colors);
  const bits = find(TAG.bits);
  const hasColors = bits && colors && all.indexOf(bits) < all.indexOf(colors) && colors.count === 3 << sampleBits;
  if (photometric === 3 && sampleBits < 8 && !hasColors)
    throw broken(file, `is a TIFF of ${sampleBits} bits without a palette of ${1 << sampleBits} colors behind that`);

  const planes = number(TAG.planes, 1);
  if (planes !== 1 && planes !== 2) throw broken(file, `is a TIFF of planar configuration ${planes}; 1 and 2 exist`);
  const tileWidth = number(TAG.tileWidth, 0);
  const tileHeight = number(TAG.tileHeight, 0);
  const isTiled = find(TAG.tileWidth) !== undefined || find(TAG.tileHeight) !== undefined;
  const rows = isTiled ? tileHeight : number(TAG.rowsPerStrip, height);
  if (rows === 0 || (isTiled && tileWidth === 0))
    throw broken(file, `is a TIFF in ${isTiled ? "tiles" : "strips"} of no size`);
  const offsets = later(TAG.tileOffsets, TAG.stripOffsets);
  const lengths = later(TAG.tileBytes, TAG.stripBytes);
  if (!offsets) throw broken(file, "is a TIFF without the offsets of its strips or tiles");
  const pieces = (isTiled ? Math.ceil(width / tileWidth) : 1) * Math.ceil(height / rows);
  for (const entry of [offsets, ...(lengths ? [lengths] : [])]) {
    const last = Math.min(entry.count, pieces * (planes === 2 ? samples : 1)) - 1;
    if (!hasInteger(directory, entry, last))
      throw broken(file, "is a TIFF whose strips or tiles have no offsets or lengths");
  }
  if (!lengths && pieces > 1) throw broken(file, "is a TIFF without the lengths of its strips or tiles");

  // PackBits and JPEG have none.
  const predictor = compression === 32773 || compression === JPEG ? 1 : mild(TAG.predictor, 1);
  const isKnown =
    predictor === 2 ? [8, 16, 32, 64].includes(sampleBits) : predictor === 1 || (predictor === 3 && sampleBits === 32);
  if (!isKnown) throw broken(file, `is a TIFF of ${sampleBits} bits with predictor ${predictor}, which is not read`);
  const grid = {
    isTiled,
    columns: isTiled ? tileWidth : width,
    rows,
    samples,
    sampleBits,
    predictor,
    offsets,
    lengths,
  };
  const extra = find(TAG.extra);
  const kinds = extra && Array.from({ length: Math.min(extra.count, samples) }, (_, i) => wholeAt(directory, extra, i));
  if (extra && (extra.count > samples || !kinds?.length || kinds.some((kind) => ![0, 1, 2, 999].includes(kind))))
    throw broken(file, "is a TIFF whose extra samples are of no kind that exists, or too many");
  const isMultiplied = !kinds || kinds[0]! < 2;
  const isAssociated = planes === 2 && layout.mode === "RGBA" && isMultiplied;
  return {
    ...grid,
    isYcbcr,
    tables: find(TAG.jpegTables),
    isAssociated,
    hasPlanes: planes === 2,
    fillOrder: mild(TAG.fillOrder, 1),
  };
}

/** Refuses tiles that are much more than the picture. */
function checkWork({ file, width, height, pixelBits }: Tiff, bytes: number, pieceBytes: number): void {
  const picture = width * height * Math.ceil(pixelBits / 8);
  if (pieceBytes <= Math.min(MOST_BYTES, SLACK / 2 + picture) && bytes <= SLACK + 16 * picture) return;
  const found = pieceBytes.toLocaleString("en-US");
  throw broken(
    file,
    `is a TIFF in pieces of ${found} bytes, which is more than its ${width}×${height} pixels are worth`,
  );
}

/** The bytes of a strip or tile. Where a single one of the picture or a plane has no length, libtiff takes what the file has. */
function inputOf({ file, directory, height }: Tiff, grid: Grid, index: number, size: number): Uint8Array {
  const { offsets, lengths, hasPlanes, isTiled, rows } = grid;
  const { bytes } = file;
  const isOne = !isTiled && rows >= height && !hasPlanes;
  const offset = hasInteger(directory, offsets, index) ? numberAt(directory, offsets, index) : 0;
  let length = lengths && hasInteger(directory, lengths, index) ? numberAt(directory, lengths, index) : 0;
  if (!lengths || (isOne && length === 0 && offset > 0)) {
    if (directory.all.some(({ type }) => !isKnown(type))) throw broken(file, "has a TIFF tag of an unknown type");
    length = Math.floor(spaceOf(directory) / (hasPlanes ? grid.samples : 1));
    if (index === (hasPlanes ? grid.samples : 1) - 1) length = Math.min(length, bytes.length - offset);
  }
  if (length <= 0 || offset < 0 || offset + length > bytes.length)
    throw broken(file, `has TIFF pixels of ${length} bytes at ${offset}, and ${bytes.length} bytes in all`);
  if (length > 2 ** 20 && (length - 4096) / 10 > size) length = 10 * size + 4096;
  return bytes.subarray(offset, offset + length);
}

/** Bytes of the file that are neither header nor directory. */
function spaceOf(directory: TiffDirectory): number {
  const { view, isBig, all } = directory;
  const head = isBig ? 32 + 20 * all.length : 14 + 12 * all.length;
  return view.byteLength - head - all.reduce((sum, entry) => sum + bytesOutside(directory, entry), 0);
}

function flipped(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  flipBits(copy);
  return copy;
}

/** Takes the alpha off that RGB was multiplied by. */
function* unmultiply({ data }: Canvas): Slices<void> {
  for (let at = 0; at < data.length; at += 4) {
    for (let c = at; c < at + 3; c++) data[c] = unmultiplied(data[c]!, data[at + 3]!);
    if ((at / 4) % STRETCH === 0) yield;
  }
}

// ---- four channels to three ----

/** RGB of pixels of four bytes, in their place. */
function* toRgb(data: Uint8Array, convert: (from: Uint8Array, to: Uint8Array) => void): Slices<void> {
  for (let at = 0; at < data.length; at += 4 * STRETCH) {
    convert(data.subarray(at, at + 4 * STRETCH), data.subarray((at / 4) * 3));
    yield;
  }
}

/** As Pillow's cmyk2rgb. */
function rgbOfCmyk(from: Uint8Array, to: Uint8Array): void {
  for (let i = 0, at = 0; i < from.length; i += 4, at += 3) {
    const white = 255 - from[i + 3]!;
    for (let c = 0; c < 3; c++) {
      const product = from[i + c]! * white + 128;
      to[at + c] = white - ((product + (product >> 8)) >> 8);
    }
  }
}
