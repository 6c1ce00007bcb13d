// Header of a VP8 frame (RFC 6386, sections 9.2 to 9.11 and 19.2), read from the first partition.
import { beginPartition, bit, enterPartition, isAtEof, leavePartition, literal, optional, signed } from "./boolean";
import { AC_STEPS, BANDS, DC_STEPS, DEFAULT_PROBABILITIES, UPDATE_PROBABILITIES } from "./tables";

/** That each macroblock names its segment; u8 [3], the tree of which. */
export let mapsSegments: bool = false;
export const SEGMENT_PROBABILITIES: usize = memory.data(4);

/** That macroblocks can be without coefficients, and the probability that one is not. */
export let canSkip: bool = false;
export let skipProbability: u32 = 0;

/** Number of partitions with coefficients: 1, 2, 4 or 8. */
export let partitions: i32 = 0;

/** Coefficient probabilities by place instead of band: u8 [type 4][place 17][context 3][node 11]. */
export const PROBABILITIES: usize = memory.data(4 * 17 * 33);

/** Steps of the quantizer: i32 [segment 4][plane 3: luma, second-order luma, chroma][first coefficient, others]. */
export const STEPS: usize = memory.data(4 * 3 * 2 * 4, 4);

export let filters: bool = false;
export let filterIsSimple: bool = false;
/** Strength of the loop filter: u8 [segment 4][macroblock predicted as 16×16, as 4×4][level, interior limit, threshold]. */
export const FILTERS: usize = memory.data(4 * 2 * 4);

/** Changes of a segment: i32 [segment 4][quantizer, filter level]. */
const SEGMENTS: usize = memory.data(4 * 2 * 4, 4);

// @ts-ignore: decorator
@inline
function clamp(value: i32, limit: i32): i32 {
  return max(0, min(value, limit));
}

// @ts-ignore: decorator
@inline
function dcStep(index: i32, limit: i32): i32 {
  return load<u8>(DC_STEPS + clamp(index, limit));
}

// @ts-ignore: decorator
@inline
function acStep(index: i32): i32 {
  return load<u16>(AC_STEPS + (clamp(index, 127) << 1));
}

/**
 * Reads the header of the `length` bytes at `data`, and where the partitions lie. The ten bytes of its tag were checked.
 * @returns false if the data ends too early.
 */
export function readHeader(data: usize, length: usize): bool {
  const end = data + length;
  const tag = <u32>load<u8>(data) | (<u32>load<u16>(data, 1) << 8);
  const first = data + 10;
  const firstSize: usize = tag >> 5;
  if (firstSize > end - first) return false;
  beginPartition(0, first, first + firstSize);
  enterPartition(0);
  // Color space and clamping: every decoder does the same with both.
  literal(2);

  const hasSegments = <bool>bit(128);
  let isAbsolute: bool = true;
  mapsSegments = false;
  memory.fill(SEGMENTS, 0, 4 * 2 * 4);
  if (hasSegments) {
    mapsSegments = <bool>bit(128);
    if (bit(128)) {
      isAbsolute = <bool>bit(128);
      for (let i: usize = 0; i < 4; i++) store<i32>(SEGMENTS + (i << 3), optional(7));
      for (let i: usize = 0; i < 4; i++) store<i32>(SEGMENTS + (i << 3), optional(6), 4);
    }
    if (mapsSegments) {
      for (let i: usize = 0; i < 3; i++) store<u8>(SEGMENT_PROBABILITIES + i, bit(128) ? literal(8) : 255);
    }
  }
  if (isAtEof()) return false;

  filterIsSimple = <bool>bit(128);
  const level = literal(6);
  const sharpness = literal(3);
  const hasDeltas = <bool>bit(128);
  let frameDelta = 0;
  let smallDelta = 0;
  if (hasDeltas && bit(128)) {
    // The first of each four is for what a key frame has: prediction inside the frame, and by blocks of 4×4.
    for (let i = 0; i < 4; i++) {
      const delta = optional(6);
      if (i == 0) frameDelta = delta;
    }
    for (let i = 0; i < 4; i++) {
      const delta = optional(6);
      if (i == 0) smallDelta = delta;
    }
  }
  filters = level > 0;
  if (isAtEof()) return false;

  partitions = 1 << literal(2);
  let sizes = first + firstSize;
  const sizesLength = <usize>(partitions - 1) * 3;
  if (sizesLength > end - sizes) return false;
  let from = sizes + sizesLength;
  for (let i = 1; i < partitions; i++, sizes += 3) {
    const size = <u32>load<u8>(sizes) | (<u32>load<u16>(sizes, 1) << 8);
    const to = from + min<usize>(size, end - from);
    beginOther(i, from, to);
    from = to;
  }
  if (from >= end) return false;
  beginOther(partitions, from, end);

  const base = literal(7);
  const y1dc = optional(4);
  const y2dc = optional(4);
  const y2ac = optional(4);
  const uvdc = optional(4);
  const uvac = optional(4);
  for (let i: usize = 0; i < 4; i++) {
    const segment = SEGMENTS + (i << 3);
    const index = load<i32>(segment) + (hasSegments && isAbsolute ? 0 : base);
    const steps = STEPS + i * 24;
    store<i32>(steps, dcStep(index + y1dc, 127));
    store<i32>(steps, acStep(index), 4);
    store<i32>(steps, 2 * dcStep(index + y2dc, 127), 8);
    store<i32>(steps, max(8, (acStep(index + y2ac) * 155) / 100), 12);
    store<i32>(steps, dcStep(index + uvdc, 117), 16);
    store<i32>(steps, acStep(index + uvac), 20);

    const own = load<i32>(segment, 4) + (hasSegments && isAbsolute ? 0 : level);
    storeFilter(FILTERS + (i << 3), own + (hasDeltas ? frameDelta : 0), sharpness);
    storeFilter(FILTERS + (i << 3) + 4, own + (hasDeltas ? frameDelta + smallDelta : 0), sharpness);
  }
  // What a next frame would begin with.
  bit(128);

  readProbabilities();
  canSkip = <bool>bit(128);
  skipProbability = canSkip ? literal(8) : 0;
  leavePartition(0);
  return true;
}

/** Begins a partition while 0 is in use. */
function beginOther(i: i32, from: usize, to: usize): void {
  leavePartition(0);
  beginPartition(i, from, to);
  enterPartition(0);
}

function readProbabilities(): void {
  for (let type: usize = 0; type < 4; type++) {
    const bands = memory.data(8 * 33);
    for (let i: usize = 0; i < 8 * 33; i++) {
      const at = type * (8 * 33) + i;
      const isNew = bit(load<u8>(UPDATE_PROBABILITIES + at));
      store<u8>(bands + i, isNew ? literal(8) : load<u8>(DEFAULT_PROBABILITIES + at));
    }
    for (let place: usize = 0; place < 17; place++) {
      memory.copy(PROBABILITIES + (type * 17 + place) * 33, bands + <usize>load<u8>(BANDS + place) * 33, 33);
    }
  }
}

/** Section 15.2: limits by level and sharpness; the threshold is that of high edge variance. */
function storeFilter(filter: usize, level: i32, sharpness: i32): void {
  level = clamp(level, 63);
  let interior = level;
  if (sharpness) interior = min(interior >> (sharpness > 4 ? 2 : 1), 9 - sharpness);
  store<u8>(filter, level);
  store<u8>(filter, max(1, interior), 1);
  store<u8>(filter, level >= 40 ? 2 : level >= 15 ? 1 : 0, 2);
}
