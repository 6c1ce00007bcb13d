// Blocks of coefficients that are kept until all scans are read: in zigzag order, so that a band is a stretch of a
// block.
import { Component, frame, scan, ZIGZAG } from "./frame";

/**
 * The byte offset in natural order of each place in zigzag order, and of all places that a run or the end of a block
 * leads to.
 */
export const NATURAL: usize = memory.data(64 + 128 + 16, 16);

export function prepareOffsets(): void {
  for (let k = 0; k < 208; k++) store<u8>(NATURAL + k, load<u8>(ZIGZAG + min(k, 63)) << 1);
}

/** The number of a block in the current row of MCUs. */
// @ts-ignore: decorator
@inline
export function blockIndex(part: Component, y: i32, x: i32): usize {
  return <usize>((scan.row * part.v + scan.line + y) * part.blockStride + x);
}

/** The address of a row of blocks of a component: its row `line` in a row of MCUs. */
// @ts-ignore: decorator
@inline
export function blocksAt(part: Component, row: i32, line: i32): usize {
  return part.coefficients + <usize>row * <usize>frame.rowBytes + (<usize>(line * part.blockStride) << 7);
}

/** The address of a block in the current row of MCUs. */
// @ts-ignore: decorator
@inline
export function blockAt(part: Component, y: i32, x: i32): usize {
  return blocksAt(part, scan.row, scan.line + y) + (<usize>x << 7);
}

/** The address of a coefficient; a run may lead beyond the last, and means that. */
// @ts-ignore: decorator
@inline
export function placeOf(block: usize, k: u32): usize {
  return block + (<usize>min(k, 63) << 1);
}

/** A block in natural order. */
const BLOCK: usize = memory.data(128, 16);

/** A block, whose coefficients after place `last` are zero, in natural order; the next call takes its room. */
export function inNaturalOrder(block: usize, last: i32): usize {
  clearBlock(BLOCK);
  for (let k: usize = 0; k <= <usize>last; k++) {
    store<i16>(BLOCK + <usize>load<u8>(NATURAL + k), load<i16>(block + (k << 1)));
  }
  return BLOCK;
}

// @ts-ignore: decorator
@inline
export function clearBlock(block: usize): void {
  const zero = i64x2.splat(0);
  v128.store(block, zero, 0);
  v128.store(block, zero, 16);
  v128.store(block, zero, 32);
  v128.store(block, zero, 48);
  v128.store(block, zero, 64);
  v128.store(block, zero, 80);
  v128.store(block, zero, 96);
  v128.store(block, zero, 112);
}
