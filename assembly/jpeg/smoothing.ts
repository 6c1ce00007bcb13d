// Block smoothing of progressive files whose scans have not told all (libjpeg-turbo's decompress_smooth_data): AC
// coefficients that are still unknown are guessed from the DC values of the 5×5 blocks around, before the inverse
// DCT. Coefficients are kept as they were read.
//
//     |coefficient| = (128 q + |q0 Σ w DC|) div (256 q), less than 2^Al if a scan has told its upper bits
//
// Where no AC is known, nine are guessed and DC as well, with the wider kernels. Sums are of 32 bits, products with
// q0 of 64.
import { blocksAt, inNaturalOrder } from "./blocks";
import { Component, component, frame, scan } from "./frame";
import { samplesOf, transform } from "./idct";

/** The kernels' 25 weights, by row, and seven zeros. */
// prettier-ignore
const UNKNOWN: usize = memory.data<i16>([
  -1, -1, 0, 1, 1,   -3, 13, 0, -13, 3,   -3, 38, 0, -38, 3,   -3, 13, 0, -13, 3,   -1, -1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, // AC01
  -1, -3, -3, -3, -1,   -1, 13, 38, 13, -1,   0, 0, 0, 0, 0,   1, -13, -38, -13, 1,   1, 3, 3, 3, 1, 0, 0, 0, 0, 0, 0, 0, // AC10
  0, 0, 1, 0, 0,   0, 2, 7, 2, 0,   0, -5, -14, -5, 0,   0, 2, 7, 2, 0,   0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, // AC20
  -1, 0, 0, 0, 1,   0, 9, 0, -9, 0,   0, 0, 0, 0, 0,   0, -9, 0, 9, 0,   1, 0, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0, // AC11
  0, 0, 0, 0, 0,   0, 2, -5, 2, 0,   1, 7, -14, 7, 1,   0, 2, -5, 2, 0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // AC02
  0, 0, 0, 0, 0,   0, 1, 0, -1, 0,   0, 2, 0, -2, 0,   0, 1, 0, -1, 0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // AC03
  0, 0, 0, 0, 0,   0, 1, -3, 1, 0,   0, 0, 0, 0, 0,   0, -1, 3, -1, 0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // AC12
  0, 0, 0, 0, 0,   0, 1, 0, -1, 0,   0, -3, 0, 3, 0,   0, 1, 0, -1, 0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // AC21
  0, 0, 0, 0, 0,   0, 1, 2, 1, 0,   0, 0, 0, 0, 0,   0, -1, -2, -1, 0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // AC30
  -2, -6, -8, -6, -2,   -6, 6, 42, 6, -6,   -8, 42, 152, 42, -8,   -6, 6, 42, 6, -6,   -2, -6, -8, -6, -2, 0, 0, 0, 0, 0, 0, 0, // DC
]);
// prettier-ignore
const KNOWN: usize = memory.data<i16>([
  0, 0, 0, 0, 0,   0, 0, 0, 0, 0,   -7, 50, 0, -50, 7,   0, 0, 0, 0, 0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // AC01
  0, 0, -7, 0, 0,   0, 0, 50, 0, 0,   0, 0, 0, 0, 0,   0, 0, -50, 0, 0,   0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, // AC10
  0, 0, -1, 0, 0,   0, 0, 13, 0, 0,   0, 0, -24, 0, 0,   0, 0, 13, 0, 0,   0, 0, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, // AC20
  0, -1, 0, 1, 0,   -1, 10, 0, -10, 1,   0, 0, 0, 0, 0,   1, -10, 0, 10, -1,   0, 1, 0, -1, 0, 0, 0, 0, 0, 0, 0, 0, // AC11
  0, 0, 0, 0, 0,   0, 0, 0, 0, 0,   -1, 13, -24, 13, -1,   0, 0, 0, 0, 0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // AC02
]);

/** Natural indices of DC and of what is guessed. */
const PLACES: usize = memory.data<u8>([0, 1, 8, 16, 9, 2, 3, 10, 17, 24]);

/** DC values around a block, i16 [32]. */
const AROUND: usize = memory.data(64, 16);

/**
 * As the host writes it, by component, i32 [4, 2, 10]: how many low bits of the first ten places in zigzag order are
 * unknown (-1 for all), for rows of MCUs with data in the last scan and for those after it.
 */
export const PRECISION: usize = memory.data(320, 16);

/** The samples of one row of blocks: of a component, in a row of MCUs. */
export function smoothRow(index: i32, row: i32, line: i32): void {
  const part = component(index);
  const precision = PRECISION + <usize>index * 80 + (row > scan.lastGoodRow ? 40 : 0);
  let isUnknown = true;
  for (let k: usize = 1; k < 10; k++) if (load<i32>(precision + (k << 2)) != -1) isUnknown = false;
  const kernels = isUnknown ? UNKNOWN : KNOWN;
  const guesses: usize = isUnknown ? 9 : 5;

  // Rows of padding count, and the last row of MCUs counts its own lines for all before it.
  const lines = min(part.v, part.blocksHigh - row * part.v);
  const place = row * lines + line;
  const places = frame.rows * lines;
  const at = row * part.v + line;
  const middle = rowAt(part, at);
  const above = place > 0 ? rowAt(part, at - 1) : middle;
  const above2 = place > 1 ? rowAt(part, at - 2) : above;
  const below = place < places - 1 ? rowAt(part, at + 1) : middle;
  const below2 = place < places - 2 ? rowAt(part, at + 2) : below;

  for (let x = 0; x < part.blocksWide; x++) {
    gather(above2, x, part.blocksWide, 0);
    gather(above, x, part.blocksWide, 10);
    gather(middle, x, part.blocksWide, 20);
    gather(below, x, part.blocksWide, 30);
    gather(below2, x, part.blocksWide, 40);
    const out = samplesOf(part, row, line, x);
    const last = <i32>load<u8>(part.lasts + <usize>(at * part.blockStride + x));
    const block = inNaturalOrder(middle + (<usize>x << 7), last);
    if (isFlat()) {
      transform(part, block, last, out);
      continue;
    }
    const q0 = <i64>load<u16>(part.quantizer);
    for (let k: usize = 1; k <= guesses; k++) {
      const bits = load<i32>(precision + (k << 2));
      const natural = <usize>load<u8>(PLACES + k) << 1;
      if (!bits || load<i16>(block + natural)) continue;
      store<i16>(block + natural, guess(kernels + ((k - 1) << 6), q0, load<u16>(part.quantizer + natural), bits));
    }
    if (isUnknown) store<i16>(block, guess(UNKNOWN + (9 << 6), q0, q0, -1));
    transform(part, block, max(last, 9), out);
  }
}

/** A row of blocks, counted over all rows of MCUs. */
function rowAt(part: Component, at: i32): usize {
  return blocksAt(part, at / part.v, at % part.v);
}

/** The DC values of a row of blocks from two before x to two after it, or of those at the edges. */
// @ts-ignore: decorator
@inline
function gather(blocks: usize, x: i32, width: i32, to: usize): void {
  for (let i = -2; i <= 2; i++, to += 2) {
    const at = min(max(x + i, 0), width - 1);
    store<i16>(AROUND + to, load<i16>(blocks + (<usize>at << 7)));
  }
}

/** Tells whether all around is the same: no kernel says anything then. */
// @ts-ignore: decorator
@inline
function isFlat(): bool {
  const center = v128.load16_splat(AROUND);
  const differs = v128.or(
    v128.or(v128.xor(v128.load(AROUND), center), v128.xor(v128.load(AROUND, 16), center)),
    v128.or(v128.xor(v128.load(AROUND, 32), center), v128.xor(v128.load16_splat(AROUND, 48), center)),
  );
  return !v128.any_true(differs);
}

function guess(kernel: usize, q0: i64, q: i64, bits: i32): i32 {
  const products = i32x4.add(
    i32x4.add(
      i32x4.dot_i16x8_s(v128.load(AROUND), v128.load(kernel)),
      i32x4.dot_i16x8_s(v128.load(AROUND, 16), v128.load(kernel, 16)),
    ),
    i32x4.add(
      i32x4.dot_i16x8_s(v128.load(AROUND, 32), v128.load(kernel, 32)),
      i32x4.dot_i16x8_s(v128.load(AROUND, 48), v128.load(kernel, 48)),
    ),
  );
  const pairs = i32x4.add(products, v128.shuffle<u32>(products, products, 2, 3, 0, 1));
  const sum = q0 * <i64>(i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1));
  let size = <i32>((128 * q + abs(sum)) / (256 * q));
  if (bits > 0) size = min(size, (1 << bits) - 1);
  return sum < 0 ? -size : size;
}
