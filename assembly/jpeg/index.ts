// JPEG (ITU-T T.81) from entropy-coded data to RGB, to the byte as Pillow with libjpeg-turbo 3 makes it. The host,
// src/image/decode/jpeg.ts, reads the markers, lays out memory from `heap` on, fills the structs of frame.ts, and calls one
// step after the other. A module of its own, whose memory is dropped with whatever a damaged file may have written.
import { CONDITIONING } from "./arithmetic";
import { reader } from "./bits";
import { blocksAt, inNaturalOrder } from "./blocks";
import { component, frame, scan } from "./frame";
import { buildTable, tableAt } from "./huffman";
import { samplesOf, transform } from "./idct";
import { PRECISION } from "./smoothing";

export { beginScan as begin_scan, decode } from "./scan";
export { smoothRow as smooth_row } from "./smoothing";
export { emit } from "./upsample";

/** The first byte that is the host's. */
export function heap(): usize {
  return __heap_base;
}

/** Addresses of what the host fills: components, frame, scan, arithmetic conditioning, precision for smoothing. */
export function component_at(index: i32): usize {
  return changetype<usize>(component(index));
}

export function frame_at(): usize {
  return changetype<usize>(frame);
}

export function scan_at(): usize {
  return changetype<usize>(scan);
}

export function conditioning_at(): usize {
  return CONDITIONING;
}

export function precision_at(): usize {
  return PRECISION;
}

/**
 * Makes the table of a slot, 0 to 7, of 16 counts and their symbols; see huffman.ts. @returns its address, or 0 for
 * codes that cannot be.
 */
export function build_table(slot: i32, spec: usize, kind: i32, largest: i32): usize {
  const table = tableAt(slot);
  return buildTable(table, spec, kind, largest) ? table : 0;
}

/** The marker after the scan, if it was read, else 0; and where the file is read on. */
export function marker(): i32 {
  return reader.marker;
}

export function position(): usize {
  return reader.raw;
}

/** Where the bytes end that libjpeg would have been given. */
export function limit(): usize {
  return scan.limit;
}

/** The samples of one row of blocks: of a component, in a row of MCUs. */
export function transform_row(index: i32, row: i32, line: i32): void {
  const part = component(index);
  const first = <usize>((row * part.v + line) * part.blockStride);
  let block = blocksAt(part, row, line);
  for (let x = 0; x < part.blocksWide; x++, block += 128) {
    const last = <i32>load<u8>(part.lasts + first + x);
    transform(part, inNaturalOrder(block, last), last, samplesOf(part, row, line, x));
  }
}

/** Tells whether 0xff 0xff … 0x00 lies in a file's data: a zero after fill bytes. */
export function has_filled_zero(from: usize, to: usize): bool {
  const ff = i8x16.splat(-1);
  for (; from < to; from += 15) {
    let found = i8x16.bitmask(i8x16.eq(v128.load(from), ff));
    // Two in a row.
    for (found &= found >> 1; found; found &= found - 1) {
      let at = from + <usize>ctz(found);
      while (at < to && load<u8>(at) == 0xff) at++;
      if (at < to && !load<u8>(at)) return true;
    }
  }
  return false;
}
