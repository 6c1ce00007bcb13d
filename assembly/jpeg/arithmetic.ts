// Coefficients of a scan coded by the binary arithmetic coder (§F.1.4, §G.1.3, annex D): sequential, or progressive
// with a first approximation or one bit more. Registers and statistics are those of annex D; a state is a byte, its
// index in the table below and the more probable symbol in bit 7.
//
// After a code that cannot be, nothing changes until the next restart marker; after a marker come zeros. libjpeg does
// not wait for bytes here: the data must not go beyond `scan.limit`.
import { reader } from "./bits";
import { blockAt, blockIndex, placeOf } from "./blocks";
import { Coding, Component, scan, scanned } from "./frame";

/**
 * Table D.3: Qe, 16 bits; next index after the less probable symbol, bit 7 of which swaps the senses; after the more
 * probable one.
 */
const STATES: usize = memory.data<u32>([
  0x5a1d8101, 0x25860e02, 0x11141003, 0x080b1204, 0x03d81405, 0x01da1706, 0x00e51907, 0x006f1c08, 0x00361e09,
  0x001a210a, 0x000d230b, 0x0006090c, 0x00030a0d, 0x00010c0d, 0x5a7f8f0f, 0x3f252410, 0x2cf22611, 0x207c2712,
  0x17b92813, 0x11822a14, 0x0cef2b15, 0x09a12d16, 0x072f2e17, 0x055c3018, 0x04063119, 0x0303331a, 0x0240341b,
  0x01b1361c, 0x0144381d, 0x00f5391e, 0x00b73b1f, 0x008a3c20, 0x00683e21, 0x004e3f22, 0x003b2023, 0x002c2109,
  0x5ae1a525, 0x484c4026, 0x3a0d4127, 0x2ef14328, 0x261f4429, 0x1f33452a, 0x19a8462b, 0x1518482c, 0x1177492d,
  0x0e744a2e, 0x0bfb4b2f, 0x09f84d30, 0x08614e31, 0x07064f32, 0x05cd3033, 0x04de3234, 0x040f3235, 0x03633336,
  0x02d43437, 0x025c3538, 0x01f83639, 0x01a4373a, 0x0160383b, 0x0125393c, 0x00f63a3d, 0x00cb3b3e, 0x00ab3d3f,
  0x008f3d20, 0x5b12c141, 0x4d045042, 0x412c5143, 0x37d85244, 0x2fe85345, 0x293c5446, 0x23795647, 0x1edf5748,
  0x1aa95749, 0x174e484a, 0x1424484b, 0x119c4a4c, 0x0f6b4a4d, 0x0d514b4e, 0x0bb64d4f, 0x0a404d30, 0x5832d051,
  0x4d1c5852, 0x438e5953, 0x3bdd5a54, 0x34ee5b55, 0x2eae5c56, 0x299a5d57, 0x25165647, 0x5570d859, 0x4ca95f5a,
  0x44d9605b, 0x3e22615c, 0x3824635d, 0x32b4635e, 0x2e175d56, 0x56a8df60, 0x4f466561, 0x47e56662, 0x41cf6763,
  0x3c3d6864, 0x375e635d, 0x52316966, 0x4c0f6a67, 0x46396b68, 0x415e6763, 0x5627e96a, 0x50e76c6b, 0x4b856d67,
  0x55976e6d, 0x504f6f6b, 0x5a10ee6f, 0x5522706d, 0x59ebf06f, 0x5a1d7171,
]);
/** The state of a bit whose values are as probable, which stays. */
const EVEN: u8 = 113;

/** Statistics of 16 slots each. */
const DC_STATISTICS: usize = memory.data(16 * 64, 16);
const AC_STATISTICS: usize = memory.data(16 * 256, 16);
const EVEN_STATE: usize = memory.data(1);

/** Conditioning of §F.1.4.4.1.2 and §F.1.4.4.2, by slot, as the host writes it: L and U of DC, Kx of AC. u8 [3, 16]. */
export const CONDITIONING: usize = memory.data(48, 16);

// prettier-ignore
@unmanaged
class Coder {
  c: u32;
  a: u32;
  ct: i32;
  /** A code could not be; nothing more until the next restart. */
  isLost: bool;
  /** The data went beyond the limit. */
  isBroken: bool;
}

const coder = changetype<Coder>(memory.data(32, 16));

/** Starts a scan or a restart interval. */
export function beginArithmetic(): void {
  const isProgressive = scan.coding == Coding.PROGRESSIVE_ARITHMETIC;
  for (let c = 0; c < scan.components; c++) {
    const part = scanned(c);
    if (!isProgressive || (!scan.bandStart && !scan.high)) {
      memory.fill(DC_STATISTICS + ((<usize>part.dcSlot) << 6), 0, 64);
      part.prediction = 0;
      part.context = 0;
    }
    if (!isProgressive || scan.bandStart) memory.fill(AC_STATISTICS + ((<usize>part.acSlot) << 8), 0, 256);
  }
  store<u8>(EVEN_STATE, EVEN);
  coder.c = 0;
  coder.a = 0;
  coder.ct = -16;
  coder.isLost = false;
  coder.isBroken = false;
}

/** The next byte of data; 0 after a marker. */
function nextByte(): u32 {
  if (reader.marker) return 0;
  let byte: u32 = 0;
  let isEscaped = false;
  do {
    if (reader.raw >= scan.limit) {
      coder.isBroken = true;
      return 0;
    }
    byte = load<u8>(reader.raw++);
    if (byte != 0xff) break;
    isEscaped = true;
  } while (true);
  if (!isEscaped) return byte;
  if (!byte) return 0xff;
  reader.marker = byte;
  return 0;
}

/** One decision (Decode of §D.2.4, with Renorm_d before it). */
function decide(state: usize): bool {
  while (coder.a < 0x8000) {
    if (--coder.ct < 0) {
      coder.c = (coder.c << 8) | nextByte();
      coder.ct += 8;
      // The first bytes.
      if (coder.ct < 0 && ++coder.ct == 0) coder.a = 0x8000;
    }
    coder.a <<= 1;
  }
  const before = <u32>load<u8>(state);
  const row = load<u32>(STATES + ((<usize>(before & 127)) << 2));
  const qe = row >> 16;
  const likely = (before & 128) | (row & 127);
  const unlikely = (before & 128) ^ ((row >> 8) & 255);
  let symbol = before >> 7;
  const a = coder.a - qe;
  coder.a = a;
  const threshold = a << coder.ct;
  if (coder.c >= threshold) {
    coder.c -= threshold;
    coder.a = qe;
    if (a < qe) store<u8>(state, likely);
    else {
      store<u8>(state, unlikely);
      symbol ^= 1;
    }
  } else if (a < 0x8000) {
    if (a < qe) {
      store<u8>(state, unlikely);
      symbol ^= 1;
    } else store<u8>(state, likely);
  }
  return symbol != 0;
}

/** The magnitude category's bit m (§F.1.4.3.1) by decisions from `state` on. @returns 0 if it is too large. */
function category(state: usize, m: u32): u32 {
  for (; decide(state); state++) {
    m <<= 1;
    if (m == 0x8000) {
      coder.isLost = true;
      return 0;
    }
  }
  place = state;
  return m;
}

/** The state at which the last category ended. */
let place: usize = 0;

/** A magnitude of category bit m, less 1, then 1 is added. */
function magnitude(state: usize, m: u32): i32 {
  let v = m;
  for (m >>= 1; m; m >>= 1) if (decide(state)) v |= m;
  return v + 1;
}

/** Figure F.19: the prediction of the next block. */
function decodeDc(part: Component): bool {
  const slot = <usize>part.dcSlot;
  const statistics = DC_STATISTICS + (slot << 6);
  let state = statistics + part.context;
  if (!decide(state)) {
    part.context = 0;
    return true;
  }
  const isNegative = decide(state + 1);
  state += 2 + <usize>isNegative;
  let m: u32 = 0;
  if (decide(state)) {
    m = category(statistics + 20, 1);
    if (!m) return false;
    state = place;
  }
  const low = ((<u32>1) << load<u8>(CONDITIONING + slot)) >> 1;
  const high = ((<u32>1) << load<u8>(CONDITIONING + slot, 16)) >> 1;
  if (m < low) part.context = 0;
  else part.context = (m > high ? 12 : 4) + (isNegative ? 4 : 0);
  const difference = magnitude(state + 14, m);
  part.prediction = (part.prediction + (isNegative ? -difference : difference)) & 0xffff;
  return true;
}

/** Figure F.20: a band of coefficients. @returns the last place that was written, or -1 for a code that cannot be. */
function decodeAc(part: Component, block: usize, from: i32, to: i32, low: i32): i32 {
  const slot = <usize>part.acSlot;
  const statistics = AC_STATISTICS + (slot << 8);
  let last = 0;
  for (let k = from; k <= to; k++) {
    let state = statistics + 3 * (k - 1);
    if (decide(state)) break;
    while (!decide(state + 1)) {
      state += 3;
      if (++k > to) {
        coder.isLost = true;
        return last;
      }
    }
    const isNegative = decide(EVEN_STATE);
    state += 2;
    let m: u32 = 0;
    if (decide(state)) {
      m = 1;
      if (decide(state)) {
        m = category(statistics + (k <= <i32>load<u8>(CONDITIONING + slot, 32) ? 189 : 217), 2);
        if (!m) return last;
        state = place;
      }
    }
    const value = magnitude(state + 14, m);
    store<i16>(placeOf(block, k), (isNegative ? -value : value) << low);
    last = k;
  }
  return last;
}

/** Figure G.10: one bit more of a band. @returns the last place that may be nonzero, which was `last`. */
function refineAc(part: Component, block: usize, last: i32): i32 {
  const statistics = AC_STATISTICS + ((<usize>part.acSlot) << 8);
  const bit = 1 << scan.low;
  let known = min(scan.bandEnd, last);
  while (known > 0 && !load<i16>(placeOf(block, known))) known--;
  for (let k = scan.bandStart; k <= scan.bandEnd; k++) {
    let state = statistics + 3 * (k - 1);
    if (k > known && decide(state)) break;
    for (;;) {
      const at = placeOf(block, k);
      const value = <i32>load<i16>(at);
      if (value) {
        if (decide(state + 2)) store<i16>(at, value + (value < 0 ? -bit : bit));
        break;
      }
      if (decide(state + 1)) {
        store<i16>(at, decide(EVEN_STATE) ? -bit : bit);
        last = max(last, k);
        break;
      }
      state += 3;
      if (++k > scan.bandEnd) {
        coder.isLost = true;
        return last;
      }
    }
  }
  return last;
}

/** Decodes `count` MCUs, from the next on. @returns whether the data stayed within the limit. */
export function decodeArithmetic(count: i32): bool {
  const isSequential = scan.coding == Coding.ARITHMETIC;
  const isDc = isSequential || !scan.bandStart;
  const refinesDc = !isSequential && isDc && scan.high != 0;
  const low = isSequential ? 0 : scan.low;
  for (let i = 0; i < count; i++) {
    if (coder.isLost && !refinesDc) return true;
    for (let c = 0; c < scan.components; c++) {
      const part = scanned(c);
      for (let y = 0; y < part.mcuHigh; y++) {
        for (let x = 0; x < part.mcuWide; x++) {
          const column = (scan.column + i) * part.mcuWide + x;
          const index = blockIndex(part, y, column);
          const block = blockAt(part, y, column);
          if (refinesDc) {
            if (decide(EVEN_STATE)) store<i16>(block, <i32>load<i16>(block) | (1 << low));
            continue;
          }
          if (coder.isLost) continue;
          if (isDc) {
            if (!decodeDc(part)) continue;
            store<i16>(block, part.prediction << low);
          }
          if (isDc && !isSequential) continue;
          const before = <i32>load<u8>(part.lasts + index);
          const after = isSequential
            ? decodeAc(part, block, 1, 63, 0)
            : scan.high
              ? refineAc(part, block, before)
              : decodeAc(part, block, scan.bandStart, scan.bandEnd, low);
          store<u8>(part.lasts + index, max(before, after));
        }
      }
    }
    if (coder.isBroken) return false;
  }
  return true;
}
