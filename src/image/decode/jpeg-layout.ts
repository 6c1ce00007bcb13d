/** The memory of the JPEG decoder: where everything of a picture lies, and the structs of assembly/jpeg/frame.ts. */
import type { ImageFile } from "./file.js";
import { firstByte, type JpegKernel } from "./jpeg-kernel.js";
import { type JpegComponent, type JpegFrame, type JpegMarkers, type JpegScan, undecodable } from "./jpeg-markers.js";

/** Numbers of assembly/jpeg/color.ts. */
const COLOR = { gray: 0, rgb: 1, ycc: 2, cmyk: 3, ycck: 4 } as const;

/** Fields of the structs in their order, of 4 bytes each. */
const PART_FIELDS = [
  ...(["h", "v", "blocksWide", "blocksHigh", "blockStride", "coefficients", "lasts", "quantizerAt", "size"] as const),
  ...(["plane", "planeStride", "planeRows", "width", "height", "repeatX", "repeatY", "row"] as const),
  ...(["mcuWide", "mcuHigh", "dcTable", "acTable", "dc", "ac", "differences", "values"] as const),
] as const;

/** A component of the frame as the decoder has it; the numbers are those of assembly/jpeg/frame.ts. */
export interface Part extends Record<(typeof PART_FIELDS)[number], number> {
  /** Slot of its quantization table. */
  readonly quantizer: number;
  /** True once it was in a scan; its quantization table from then on. */
  isScanned: boolean;
  table: Uint16Array | undefined;
  /** By place in zigzag order: how many low bits are not known, -1 for all; and before its last scan. */
  readonly precision: Int8Array;
  readonly precisionBefore: Int8Array;
}

/** Sizes and addresses. */
export interface Layout {
  readonly parts: Part[];
  /** Size of the result. */
  readonly width: number;
  readonly height: number;
  /** Pixels of the picture on a side of one of the result: 1, or by a draft 2, 4 or 8. */
  readonly side: number;
  readonly color: number;
  /** True if samples are interpolated, else they are repeated. */
  readonly interpolates: boolean;
  /** Rows of MCUs; rows of the result that one makes, and how many of them wait for samples of the next. */
  readonly rows: number;
  readonly rowHeight: number;
  readonly lag: number;
  /** True if scans are decoded until the end of the image is read. */
  readonly hasScans: boolean;
  /** True if MCUs become samples at once. */
  readonly isDirect: boolean;
  /** Addresses of the file, of room for a Huffman table, of the pixels, and of what is behind it all. */
  readonly fileAt: number;
  readonly specAt: number;
  readonly out: number;
  readonly end: number;
  /** Coefficients of all components, and bytes of those of a row of MCUs. */
  readonly coefficients: number;
  readonly rowBytes: number;
}

export const ceilDiv = (a: number, b: number): number => Math.ceil(a / b);
const roundUp = (a: number, b: number) => ceilDiv(a, b) * b;

/** The denominator that Pillow's `Image.draft` chooses: the picture stays at least as large as what is asked for. */
function draftScale({ draft }: ImageFile, { width, height, coding }: JpegFrame): number {
  if (!draft || coding === "lossless") return 1;
  const scale = Math.min(Math.floor(width / draft.width), Math.floor(height / draft.height));
  return [8, 4, 2].find((s) => s <= scale) ?? 1;
}

function colorOf(file: ImageFile, { jfif, adobe }: JpegMarkers, { components, coding }: JpegFrame): number {
  const isLossless = coding === "lossless";
  const isRgb = String.fromCharCode(...components.map(({ id }) => id)) === "RGB";
  let color: number = COLOR.gray;
  if (components.length === 3) {
    if (jfif || adobe) color = COLOR.ycc;
    else color = adobe === 0 || isRgb || isLossless ? COLOR.rgb : COLOR.ycc;
  } else if (components.length === 4) color = adobe ? COLOR.ycck : COLOR.cmyk;
  if (isLossless && (color === COLOR.ycc || color === COLOR.ycck)) {
    throw undecodable(file, "it is lossless, and its colors would have to be converted");
  }
  return color;
}

/** Gives everything of a picture its place in the decoder's memory. */
export function layOut(file: ImageFile, markers: JpegMarkers, frame: JpegFrame, scan: JpegScan): Layout {
  const { components, coding, isArithmetic } = frame;
  const color = colorOf(file, markers, frame);
  const isLossless = coding === "lossless";
  const hasScans = coding === "progressive" || scan.components.length < components.length;
  const isDirect = !hasScans && !isLossless && !isArithmetic;
  const maxH = Math.max(...components.map(({ h }) => h));
  const maxV = Math.max(...components.map(({ v }) => v));
  const unit = isLossless ? 1 : 8;
  // A block becomes `least` samples on a side at least.
  const least = unit / draftScale(file, frame);
  const interpolates = least > 1;

  let end = firstByte();
  const place = (bytes: number) => {
    const at = roundUp(end, 16);
    end = at + bytes;
    return at;
  };
  const fileAt = place(file.bytes.length + 32);
  const specAt = place(272);
  let rowBytes = 0;
  const parts = components.map(({ h, v, quantizer }: JpegComponent): Part => {
    // Larger where a component would be upsampled otherwise: of 4:2:0 at half its size, luma is reduced and chroma is
    // not.
    let size = least;
    while (size < unit && (maxH * least) % (2 * h * size) === 0 && (maxV * least) % (2 * v * size) === 0) size *= 2;
    const repeatX = (maxH * least) / (h * size);
    const repeatY = (maxV * least) / (v * size);
    if (!Number.isInteger(repeatX) || !Number.isInteger(repeatY)) {
      throw undecodable(file, `samples of a component at ${h}×${v} of ${maxH}×${maxV} would be repeated in parts`);
    }
    const blocksWide = ceilDiv(frame.width * h, maxH * unit);
    const blocksHigh = ceilDiv(frame.height * v, maxV * unit);
    const blockStride = roundUp(blocksWide, h);
    const blockRows = roundUp(blocksHigh, v);
    const blocks = isDirect || isLossless ? 0 : blockStride * blockRows;
    const first = rowBytes;
    rowBytes += 128 * (blocks / (blockRows / v));
    const width = ceilDiv(frame.width * h * size, maxH * unit);
    // A ring of two rows of MCUs; 48 bytes between rows are room for the columns beside the first and last, and to
    // read on.
    const planeRows = isLossless ? blockRows : 2 * v * size;
    const planeStride = roundUp(blockStride * size + 48, 16);
    return {
      h,
      v,
      quantizer,
      blocksWide,
      blocksHigh,
      blockStride,
      size,
      width,
      height: ceilDiv(frame.height * v * size, maxV * unit),
      repeatX,
      repeatY,
      planeStride,
      planeRows,
      quantizerAt: place(128),
      plane: place(planeStride * planeRows + 64) + 16,
      row: place(repeatX * width + 96),
      lasts: place(blocks),
      coefficients: first,
      differences: place(isLossless ? 2 * v * blockStride : 0),
      values: place(isLossless ? 2 * v * blockStride : 0),
      mcuWide: 1,
      mcuHigh: 1,
      dc: 0,
      ac: 0,
      dcTable: 0,
      acTable: 0,
      isScanned: false,
      table: undefined,
      precision: new Int8Array(64).fill(-1),
      precisionBefore: new Int8Array(64).fill(-1),
    };
  });
  const width = ceilDiv(frame.width * least, unit);
  const height = ceilDiv(frame.height * least, unit);
  const rows = ceilDiv(frame.height, unit * maxV);
  const rowHeight = maxV * least;
  // Pixels take the place of coefficients that have become some. Where row i of MCUs becomes pixels, those before it end below the
  // coefficients of row i - 2, whose DC values guesses may be made of: i (pixels of a row) + 64 <= lead + (i - 2) (coefficients of
  // a row) for the first i and the last.
  const bytes = 3 * width * height + 64;
  const leadOf = (i: number) => i * 3 * width * rowHeight + 64 - (i - 2) * rowBytes;
  const lead = roundUp(Math.max(leadOf(1), leadOf(rows - 1)), 16);
  const out = place(rowBytes ? Math.max(bytes, lead + rows * rowBytes) : bytes);
  const coefficients = out + lead;
  for (const part of parts) part.coefficients += coefficients;
  return {
    parts,
    width,
    height,
    side: unit / least,
    color,
    interpolates,
    rows,
    rowHeight,
    lag: interpolates && parts.some(({ repeatY }) => repeatY === 2) ? 1 : 0,
    hasScans,
    isDirect,
    fileAt,
    specAt,
    out,
    end,
    coefficients,
    rowBytes,
  };
}

const wordsAt = ({ exports }: JpegKernel, at: number, length: number) =>
  new Uint32Array(exports.memory.buffer, at, length);

export function writeFrame(kernel: JpegKernel, layout: Layout): void {
  const { parts, width, height, out, color, interpolates, rows, rowBytes } = layout;
  const fields = [parts.length, width, height, out, color, Number(interpolates), rows, rowBytes];
  wordsAt(kernel, kernel.exports.frame_at(), fields.length).set(fields);
  parts.forEach((part, i) => {
    writePart(kernel, i, part);
  });
}

/** Writes component `index` of the frame. */
export function writePart(kernel: JpegKernel, index: number, part: Part): void {
  const words = wordsAt(kernel, kernel.exports.component_at(index), PART_FIELDS.length);
  for (let i = 0; i < words.length; i++) words[i] = part[PART_FIELDS[i]!];
}

interface ScanFields {
  start: number;
  end: number;
  limit: number;
  coding: number;
  isDirect: boolean;
  columns: number;
}

export function writeScan(kernel: JpegKernel, scan: JpegScan, fields: ScanFields): void {
  const { start, end, limit, coding, isDirect, columns } = fields;
  const { components, bandStart, bandEnd, high, low, restartInterval } = scan;
  const [first = 0, second = 0, third = 0, fourth = 0] = components.map(({ index }) => index);
  const words = [
    ...[start, end, limit, coding, Number(isDirect), components.length, first, second, third, fourth],
    ...[bandStart, bandEnd, high, low, columns, restartInterval],
  ];
  wordsAt(kernel, kernel.exports.scan_at(), words.length).set(words);
}
