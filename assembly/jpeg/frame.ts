// Structs that the parts of the JPEG decoder share. The host (src/image/decode/jpeg.ts) lays out memory from `heap` on and fills these
// structs, whose fields take 4 bytes each in this order; fields after the blank line are the decoder's own.
// Section numbers (§) are those of ITU-T T.81.

/** One component of the frame: its blocks, its samples, and its part in the scan that is being decoded. */
// prettier-ignore
@unmanaged export class Component {
  /** Sampling factors. */
  h: i32; v: i32;
  /**
   * Blocks (samples, if lossless) in a row and rows of them, without padding; and in a row with its padding to whole
   * MCUs.
   */
  blocksWide: i32; blocksHigh: i32; blockStride: i32;
  /** Unless a scan is decoded straight to samples: i16 [v, blockStride, 64] in zigzag order of the first row of MCUs, the next
   * `rowBytes` of the frame further; and u8 [rows of blocks, blockStride], the last place at which a block may have a nonzero
   * coefficient. */
  coefficients: usize; lasts: usize;
  /** i16 [64] in natural order. */
  quantizer: usize;
  /** Samples on a side of what a block becomes: 8, 4, 2 or 1. */
  size: i32;
  /** Samples: a ring of rows, or all of them if lossless; 16 bytes before each and 32 after may be overwritten. Their
   * width and rows without padding. */
  plane: usize; planeStride: i32; planeRows: i32; width: i32; height: i32;
  /** How often a sample is repeated in a row and a column of the image. */
  repeatX: i32; repeatY: i32;
  /** Upsampled rows: room for one. */
  row: usize;
  /** Numbers of the scan: blocks of an MCU, tables of Huffman codes (huffman.ts), slots of arithmetic statistics. */
  mcuWide: i32; mcuHigh: i32; dcTable: usize; acTable: usize; dcSlot: i32; acSlot: i32;
  /** Lossless: differences of the rows of an MCU and what they were made into, u16 [v, blockStride] each. */
  differences: usize; values: usize;

  prediction: i32;
  context: i32;
  /** Lossless: whether the next row is predicted as the first. */
  isFirstRow: i32;
}

/** The image and how its components become colors. */
// prettier-ignore
@unmanaged export class Frame {
  components: i32; width: i32; height: i32;
  /** RGB, 3 bytes a pixel; 64 bytes after the last may be overwritten. */
  out: usize;
  /** One of the constants of color.ts. */
  color: i32;
  /** True if samples are interpolated ("fancy upsampling"), else they are repeated. */
  interpolates: i32;
  /** Rows of MCUs, and bytes of the coefficients of one, of all components. */
  rows: i32; rowBytes: i32;
}

/** How a scan is coded. */
export namespace Coding {
  export const SEQUENTIAL: i32 = 0;
  export const PROGRESSIVE: i32 = 1;
  export const LOSSLESS: i32 = 2;
  export const ARITHMETIC: i32 = 3;
  export const PROGRESSIVE_ARITHMETIC: i32 = 4;
  /** Sequential and lossless scans by the exact reader (exact.ts). */
  export const EXACT: i32 = 5;
  export const EXACT_LOSSLESS: i32 = 6;
}

/** The scan that is being decoded, and how far. */
// prettier-ignore
@unmanaged export class Scan {
  /**
   * The file's bytes; `limit` is where those end that the coded data may use, and 32 bytes after the file's end may
   * be read.
   */
  start: usize; end: usize; limit: usize;
  coding: i32;
  /**
   * True if MCUs become samples at once, as all components are in this one scan, and not coefficients that are kept.
   */
  isDirect: i32;
  /** Components by their index, as the scan lists them. */
  components: i32; first: i32; second: i32; third: i32; fourth: i32;
  /**
   * Band of coefficients and successive approximation (Ss, Se, Ah, Al of §B.2.3); Ss is a lossless scan's predictor.
   */
  bandStart: i32; bandEnd: i32; high: i32; low: i32;
  /** MCUs in a row and between two restart markers, 0 without. */
  columns: i32; restartInterval: i32;

  /** The next MCU: its row of MCUs of the frame, the row of blocks in that (scans of one component), its column. */
  row: i32; line: i32; column: i32;
  untilRestart: i32; nextRestart: i32;
  /** The row of MCUs in which data were last at hand. */
  lastGoodRow: i32;
  eobRun: i32;
}

/** Results of `decode`. */
export namespace Status {
  export const MORE: i32 = 0;
  /** A row of MCUs has its samples. */
  export const ROW: i32 = 1;
  export const DONE: i32 = 2;
  /** The file ends inside the data. */
  export const TRUNCATED: i32 = 3;
  /** The data break a rule. */
  export const BROKEN: i32 = 4;
}

const COMPONENT_BYTES: usize = 128;

const COMPONENT_DATA: usize = memory.data(512, 16);
export const frame = changetype<Frame>(memory.data(64, 16));
export const scan = changetype<Scan>(memory.data(128, 16));

// @ts-ignore: decorator
@inline
export function component(index: i32): Component {
  return changetype<Component>(COMPONENT_DATA + <usize>index * COMPONENT_BYTES);
}

/** Component `i` of those that the scan lists. */
// @ts-ignore: decorator
@inline
export function scanned(i: i32): Component {
  return component(load<i32>(changetype<usize>(scan) + (<usize>i << 2), offsetof<Scan>("first")));
}

/** The natural index of each place in zigzag order (§A.3.6), and of the places after the last, where a run may end. */
export const ZIGZAG: usize = memory.data<u8>([
  0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
  35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
  63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,
]);
