/**
 * Decompression of the strips and tiles of TIFF (TIFF 6.0, sections 9, 13 and 14, and Adobe's technical notes), as libtiff 4.7
 * does it under Pillow: what it refuses is refused, and bytes behind the last one that is needed are not looked at.
 */

import type { Slices } from "../slices.js";
import { createInflater, type Inflater } from "./inflate.js";

/** Decompressors of the strips of one file; what has failed is not freed. */
export type Codec = Pick<Inflater, "fill"> & Partial<Pick<Inflater, "free">>;

/** Bytes between two yields. */
const STRETCH = 1 << 17;

/** By the value of the tag Compression. */
export const CODECS: Readonly<Record<number, () => Codec>> = {
  5: createLzw,
  8: createInflater,
  32773: () => ({ fill: unpackBits }),
  32946: createInflater,
};

/** PackBits: a byte n from 0 to 127 before n + 1 bytes, from -127 to -1 before one that comes 1 - n times. */
function* unpackBits(input: Uint8Array, output: Uint8Array): Slices<number | undefined> {
  let at = 0;
  let to = 0;
  for (let next = STRETCH; to < output.length; ) {
    if (at + to >= next) {
      next = at + to + STRETCH;
      yield;
    }
    if (at >= input.length) return undefined;
    const head = (input[at++]! << 24) >> 24;
    if (head === -128) continue;
    if (head < 0) {
      if (at >= input.length) return undefined;
      output.fill(input[at++]!, to, to + 1 - head);
      to += 1 - head;
    } else {
      const count = Math.min(head + 1, output.length - to);
      if (at + count > input.length) return undefined;
      for (let i = 0; i < count; i++) output[to++] = input[at++]!;
    }
  }
  return at;
}

/** Codes of LZW: 0 to 255 are bytes, then that which forgets all strings, and that which ends the strip. */
const CLEAR = 256;
const END = 257;
const FIRST_STRING = 258;
const MOST_BITS = 12;
/** libtiff takes so many strings, of which codes reach the first 4,096. */
const STRINGS = 5119;

/**
 * Lempel-Ziv-Welch with codes of 9 to 12 bits, the highest bit first. Those of libraries before 1990 have the lowest first, and
 * grow one string later: which it is the first strip says.
 */
function createLzw(): Codec {
  // Each string is a stretch of what has been written: its start and length.
  const starts = new Int32Array(STRINGS);
  const lengths = new Uint16Array(STRINGS);
  let isOld: boolean | undefined;

  function* fill(input: Uint8Array, output: Uint8Array): Slices<number | undefined> {
    isOld ??= input[0] === 0 && input.length > 1 && (input[1]! & 1) === 1;
    const early = isOld ? 0 : 1;
    let at = 0;
    let to = 0;
    let held = 0;
    let heldBits = 0;
    let bits = 9;
    // The next string; none before the first clear code, or when there is no room for more.
    let next = -1;
    let last = 0;
    // The string before; none after a clear code.
    let previous = 0;
    let previousLength = 0;
    for (let pause = STRETCH; to < output.length; ) {
      if (at + to >= pause) {
        pause = at + to + STRETCH;
        yield;
      }
      while (heldBits < bits) {
        if (at >= input.length) return undefined;
        held = isOld ? held | (input[at++]! << heldBits) : (held << 8) | input[at++]!;
        heldBits += 8;
      }
      heldBits -= bits;
      let code: number;
      if (isOld) {
        code = held & ((1 << bits) - 1);
        held >>>= bits;
      } else {
        code = held >>> heldBits;
        held &= (1 << heldBits) - 1;
      }
      if (code === CLEAR) {
        next = FIRST_STRING;
        bits = 9;
        last = (1 << bits) - 1 - early;
        previousLength = 0;
        continue;
      }
      if (code === END || next < 0) return undefined;
      if (previousLength === 0) {
        if (code > CLEAR) return undefined;
        previous = to;
        previousLength = 1;
        output[to++] = code;
        continue;
      }
      if (code > next) return undefined;
      // The string before, and the first byte of this one, which is about to be written behind it.
      starts[next] = previous;
      lengths[next] = previousLength + 1;
      const length = code < CLEAR ? 1 : lengths[code]!;
      const begin = to;
      if (code < CLEAR) output[to++] = code;
      else {
        let from = starts[code]!;
        const end = Math.min(to + length, output.length);
        if (length > 48 && from + length <= to) {
          output.copyWithin(to, from, from + (end - to));
          to = end;
        } else while (to < end) output[to++] = output[from++]!;
      }
      previous = begin;
      previousLength = length;
      if (++next > last) {
        if (bits < MOST_BITS) bits++;
        last = (1 << bits) - 1 - early;
        if (next >= STRINGS) next = -1;
      }
    }
    return at;
  }
  return { fill };
}

/** Rows that hold differences, as the tag Predictor says (TIFF 6.0, section 14; Adobe's technical note 3). */
export interface Differences {
  readonly predictor: number;
  readonly rowBytes: number;
  readonly sampleBits: number;
  /** Samples from one to the one that was taken off it. */
  readonly step: number;
}

/** Adds up the differences of rows, in place; samples of more than a byte have the lowest first. */
export function* addUp(rows: Uint8Array, { predictor, rowBytes, sampleBits, step }: Differences): Slices<void> {
  if (predictor === 1) return;
  const bytes = predictor === 3 ? 1 : sampleBits >> 3;
  const back = step * bytes;
  let done = 0;
  for (let from = 0; from < rows.length; from += rowBytes) {
    const end = from + rowBytes;
    for (let at = from + back; at < end; ) {
      const stop = Math.min(end, at + STRETCH);
      done += stop - at;
      if (bytes === 1) for (; at < stop; at++) rows[at] = rows[at]! + rows[at - back]!;
      else for (; at < stop; at += bytes) addWide(rows, at, bytes, back);
      if (done < STRETCH) continue;
      done = 0;
      yield;
    }
    if (predictor === 3) yield* joinFloats(rows.subarray(from, end));
  }
}

function addWide(rows: Uint8Array, at: number, bytes: number, back: number): void {
  let sum = 0;
  for (let i = at; i < at + bytes; i++) {
    sum = rows[i]! + rows[i - back]! + (sum >> 8);
    rows[i] = sum;
  }
}

/** Makes f32, the lowest byte first, of a row that has the highest bytes of all, then the next. */
function* joinFloats(row: Uint8Array): Slices<void> {
  const apart = row.slice();
  const count = row.length / 4;
  for (let i = 0; i < count; i++) {
    for (let b = 0; b < 4; b++) row[4 * i + b] = apart[(3 - b) * count + i]!;
    if (i % STRETCH === STRETCH - 1) yield;
  }
}

/** Turns the bytes of each number around, in place. */
export function* swapBytes(bytes: Uint8Array, size: number): Slices<void> {
  for (let at = 0; at < bytes.length; at += size) {
    for (let i = at, j = at + size - 1; i < j; i++, j--) {
      const byte = bytes[i]!;
      bytes[i] = bytes[j]!;
      bytes[j] = byte;
    }
    if (at % STRETCH === 0) yield;
  }
}
