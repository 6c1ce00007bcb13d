/**
 * The markers of a JPEG as libjpeg reads them (ITU-T T.81, annex B), and when it does: Pillow gives it 65,536 bytes
 * more each time that it runs out of bytes, and what it has not asked for it does not see.
 */
import { ascii, broken, type ImageFile } from "./file.js";

export type Coding = "sequential" | "progressive" | "lossless";

export interface JpegComponent {
  id: number;
  /** Sampling factors. */
  h: number;
  v: number;
  /** Slot of its quantization table. */
  quantizer: number;
}

export interface JpegFrame {
  coding: Coding;
  isArithmetic: boolean;
  width: number;
  height: number;
  components: JpegComponent[];
}

export interface JpegScan {
  /** Its components: their index in the frame, and slots of their tables. */
  components: { index: number; dc: number; ac: number }[];
  /** Ss, Se, Ah and Al of B.2.3. */
  bandStart: number;
  bandEnd: number;
  high: number;
  low: number;
  /** MCUs between restart markers; 0 without. */
  restartInterval: number;
  /** Where its data begin. */
  from: number;
}

/** The tables that hold at a scan. */
export interface JpegTables {
  /** u16 [64] in natural order, by slot. */
  quantizers: (Uint16Array | undefined)[];
  /** 16 counts of codes by length and 256 symbols, by slot. */
  dc: (Uint8Array | undefined)[];
  ac: (Uint8Array | undefined)[];
  /** L and U of arithmetic DC statistics and Kx of those of AC: u8 [3, 16]. */
  conditioning: Uint8Array;
}

/** A scan; "end" for EOI; "cut" where there are no more bytes. */
export type JpegMarker = JpegScan | "end" | "cut";

export interface JpegMarkers {
  readonly tables: JpegTables;
  readonly frame: JpegFrame | undefined;
  readonly jfif: boolean;
  /** Color transform of Adobe's APP14 marker; undefined without one. */
  readonly adobe: number | undefined;
  /** Where the bytes end that libjpeg has been given. */
  limit: number;
  /** Goes on after the data of a scan: with `marker`, if it has been read, or at `position`. */
  resume(marker: number, position: number): void;
  /**
   * Reads up to the next scan or the end.
   * @param asks whether more bytes are asked for where those up to `limit` are read.
   * @throws Error: one sentence, for markers that libjpeg refuses.
   */
  next(asks: boolean): JpegMarker;
}

/** Bytes that Pillow reads at a time. */
const CHUNK = 65536;

/** Natural order of the zigzag (figure A.6). */
const ZIGZAG = [
  0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
  35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47,
  55, 62, 63,
];

export const undecodable = (file: ImageFile, why: string): Error =>
  broken(file, `has JPEG data that cannot be decoded: ${why}`);

export function createMarkers(file: ImageFile): JpegMarkers {
  const { bytes } = file;
  const RAN_OUT = Symbol();
  const refused = (why: string) => undecodable(file, why);
  const tables: JpegTables = {
    quantizers: [],
    dc: [],
    ac: [],
    conditioning: new Uint8Array(48),
  };
  const state = { frame: undefined as JpegFrame | undefined, jfif: false, adobe: undefined as number | undefined };
  let restartInterval = 0;
  let hasBegun = false;
  let limit = Math.min(CHUNK, bytes.length);
  let asking = true;
  let at = 0;
  /** The marker that has been read and not been dealt with; 0 for none. */
  let marker = 0;

  function byte(): number {
    while (at >= limit) {
      if (!asking || limit >= bytes.length) throw RAN_OUT;
      limit = Math.min(limit + CHUNK, bytes.length);
    }
    return bytes[at++]!;
  }
  const word = () => (byte() << 8) | byte();

  function nextMarker(): number {
    for (;;) {
      while (byte() !== 0xff);
      let code = byte();
      while (code === 0xff) code = byte();
      if (code) return code;
    }
  }

  function begin(): void {
    if (hasBegun) throw refused("it begins twice");
    hasBegun = true;
    restartInterval = 0;
    state.jfif = false;
    state.adobe = undefined;
    tables.conditioning.fill(0, 0, 16).fill(1, 16, 32).fill(5, 32);
  }

  function readFrame(coding: Coding, isArithmetic: boolean): void {
    if (state.frame) throw broken(file, "has two JPEG frame headers; one is allowed");
    const length = word();
    byte();
    const [height, width, count] = [word(), word(), byte()];
    if (!height || !width || !count || length !== 8 + 3 * count) {
      throw refused(`its frame header has ${length} bytes for ${count} components`);
    }
    const components = Array.from({ length: count }, () => {
      const [id, factors, quantizer] = [byte(), byte(), byte()];
      return { id, h: factors >> 4, v: factors & 15, quantizer };
    });
    state.frame = { coding, isArithmetic, width, height, components };
  }

  function readScan(): JpegScan {
    if (!state.frame) throw broken(file, "has JPEG pixels before the header that says their size");
    const { components } = state.frame;
    const [length, count] = [word(), byte()];
    if (count < 1 || count > 4 || length !== 6 + 2 * count) {
      throw refused(`the header of a scan has ${length} bytes for ${count} components`);
    }
    const found: JpegScan["components"] = [];
    for (let i = 0; i < count; i++) {
      const [id, slots] = [byte(), byte()];
      // As libjpeg, which looks at the scan's list by the frame's index: all but the frame's order are refused, mostly.
      const index = components.findIndex((component, k) => k < 4 && component.id === id && found[k] === undefined);
      if (index < 0 || found.some((other) => other.index === index)) {
        throw refused(`a scan lists component ${id} out of order`);
      }
      found.push({ index, dc: slots >> 4, ac: slots & 15 });
    }
    const [bandStart, bandEnd, approximation] = [byte(), byte(), byte()];
    const [high, low] = [approximation >> 4, approximation & 15];
    return { components: found, bandStart, bandEnd, high, low, restartInterval, from: at };
  }

  function readHuffman(): void {
    let rest = word() - 2;
    while (rest > 16) {
      const slot = byte();
      const spec = new Uint8Array(272);
      let count = 0;
      for (let i = 0; i < 16; i++) count += spec[i] = byte();
      rest -= 17;
      if (count > 256 || count > rest) throw refused(`a Huffman table has ${count} codes in ${rest} bytes`);
      for (let i = 0; i < count; i++) spec[16 + i] = byte();
      rest -= count;
      const number = slot & 16 ? slot - 16 : slot;
      if (number > 3) throw refused(`a Huffman table has number ${number}; 3 is the last`);
      (slot & 16 ? tables.ac : tables.dc)[number] = spec;
    }
    if (rest) throw refused(`a segment of Huffman tables ends with ${rest} bytes too many or too few`);
  }

  function readQuantizers(): void {
    let rest = word() - 2;
    while (rest > 0) {
      const slot = byte();
      const isWide = slot > 15;
      if ((slot & 15) > 3) throw refused(`a quantization table has number ${slot & 15}; 3 is the last`);
      const table = new Uint16Array(64);
      for (const natural of ZIGZAG) table[natural] = isWide ? word() : byte();
      tables.quantizers[slot & 15] = table;
      rest -= isWide ? 129 : 65;
    }
    if (rest) throw refused(`a segment of quantization tables ends with ${rest} bytes too many or too few`);
  }

  function readConditioning(): void {
    let rest = word() - 2;
    for (; rest > 0; rest -= 2) {
      const [slot, value] = [byte(), byte()];
      if (slot > 31) throw refused(`arithmetic conditioning has number ${slot}; 31 is the last`);
      if (slot > 15) tables.conditioning[16 + slot] = value;
      else {
        tables.conditioning[slot] = value & 15;
        tables.conditioning[16 + slot] = value >> 4;
        if ((value & 15) > value >> 4) throw refused("arithmetic conditioning has a lower bound above the upper");
      }
    }
    if (rest) throw refused("a segment of arithmetic conditioning has half an entry");
  }

  function readRestartInterval(): void {
    const length = word();
    if (length !== 4) throw refused(`the segment of the restart interval has ${length} bytes; it has 4`);
    restartInterval = word();
  }

  function readApplication(): void {
    const length = Math.max(0, word() - 2);
    const from = at;
    for (let i = 0; i < Math.min(14, length); i++) byte();
    const has = (tag: string) => ascii(bytes, from, from + tag.length) === tag;
    if (marker === 0xe0 && length >= 14 && has("JFIF\0")) state.jfif = true;
    if (marker === 0xee && length >= 12 && has("Adobe")) state.adobe = bytes[from + 11];
    at = from + length;
  }

  function skip(): void {
    const length = word();
    at += Math.max(0, length - 2);
  }

  /** Does what a marker asks for, other than those of scans and the end. */
  function act(): void {
    if (marker === 0xd8) begin();
    else if (marker === 0xc0 || marker === 0xc1) readFrame("sequential", false);
    else if (marker === 0xc2) readFrame("progressive", false);
    else if (marker === 0xc3) readFrame("lossless", false);
    else if (marker === 0xc9) readFrame("sequential", true);
    else if (marker === 0xca) readFrame("progressive", true);
    else if (marker === 0xc4) readHuffman();
    else if (marker === 0xcc) readConditioning();
    else if (marker === 0xdb) readQuantizers();
    else if (marker === 0xdd) readRestartInterval();
    else if (marker === 0xe0 || marker === 0xee) readApplication();
    else if (marker === 0xdc || marker === 0xfe || (marker >= 0xe1 && marker <= 0xef)) skip();
    else if (marker !== 0x01 && (marker < 0xd0 || marker > 0xd7)) {
      throw refused(`its marker 0x${marker.toString(16).padStart(2, "0")} is not known`);
    }
  }

  function read(): JpegScan | "end" {
    for (;;) {
      if (!marker) {
        if (!hasBegun) {
          if (byte() !== 0xff || byte() !== 0xd8) throw refused("its second stream does not begin as one");
          marker = 0xd8;
        } else marker = nextMarker();
      }
      if (marker === 0xda) {
        const scan = readScan();
        marker = 0;
        return scan;
      }
      if (marker === 0xd9) {
        marker = 0;
        if (state.frame) return "end";
        // Tables alone, which hold for the stream that follows.
        hasBegun = false;
        continue;
      }
      act();
      marker = 0;
    }
  }

  return {
    tables,
    get frame() {
      return state.frame;
    },
    get jfif() {
      return state.jfif;
    },
    get adobe() {
      return state.adobe;
    },
    get limit() {
      return limit;
    },
    set limit(value) {
      limit = value;
    },
    resume(code, position) {
      marker = code;
      at = position;
    },
    next(asks) {
      asking = asks;
      try {
        return read();
      } catch (error) {
        if (error === RAN_OUT) return "cut";
        throw error;
      }
    },
  };
}
