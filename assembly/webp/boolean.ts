// Boolean decoder of VP8 (RFC 6386, section 7), one for each partition of a frame, of which one is in use at a time.
//
// State: `value` has the bits that were loaded and not consumed yet, of which the upper 8 + `bits` are compared; `range` is
// that of the paper, brought to 128..255 when the next bit is read. Eof is when a bit was read with less than 8 more bits
// behind it. Bytes come seven at a time into 64 bits, as in libwebp: which bits of a value beyond its range are lost in a
// corrupt partition (one that begins with 0xFF) depends on it.
//
// tokens.ts has the same steps on locals, since a global is a load and a store at each.

export let value: u64 = 0;
export let bits: i32 = 0;
export let range: u32 = 0;
let next: usize = 0;
let end: usize = 0;
let eof: bool = false;

/** Partitions: 0 has the modes, 1 to 8 the coefficients. Each is value, bits, range, next, end, eof. */
const PARTITIONS: usize = memory.data(9 * 32, 8);

/** Begins partition `i`, which has the bytes from `from` to `to`. */
export function beginPartition(i: i32, from: usize, to: usize): void {
  range = 255;
  next = from;
  end = to;
  eof = false;
  value = refill(0, -8);
  leavePartition(i);
}

/** Makes partition `i` the one in use. */
export function enterPartition(i: i32): void {
  const state = PARTITIONS + (<usize>i << 5);
  value = load<u64>(state);
  bits = load<i32>(state, 8);
  range = load<u32>(state, 12);
  next = load<u32>(state, 16);
  end = load<u32>(state, 20);
  eof = load<bool>(state, 24);
}

/** Keeps the state of the one in use as that of partition `i`. */
export function leavePartition(i: i32): void {
  const state = PARTITIONS + (<usize>i << 5);
  store<u64>(state, value);
  store<i32>(state, bits, 8);
  store<u32>(state, range, 12);
  store<u32>(state, <u32>next, 16);
  store<u32>(state, <u32>end, 20);
  store<bool>(state, eof, 24);
}

export function isAtEof(): bool {
  return eof;
}

/** Brings back what was on locals, see tokens.ts. */
export function setState(newValue: u64, newBits: i32, newRange: u32): void {
  value = newValue;
  bits = newBits;
  range = newRange;
}

/** Shifts more bytes into value, to be called when the number of bits is negative: in `bits` is then what that becomes. */
export function refill(oldValue: u64, oldBits: i32): u64 {
  if (end - next >= 8) {
    bits = oldBits + 56;
    next += 7;
    return (oldValue << 56) | (bswap(load<u64>(next - 7)) >> 8);
  }
  if (next < end) {
    bits = oldBits + 8;
    return (oldValue << 8) | load<u8>(next++);
  }
  if (!eof) {
    bits = oldBits + 8;
    eof = true;
    return oldValue << 8;
  }
  bits = 0;
  return oldValue;
}

/** A bit that is 0 with a probability of `probability` / 256. */
export function bit(probability: u32): u32 {
  const shift = clz(range) - 24;
  range <<= shift;
  bits -= shift;
  if (bits < 0) value = refill(value, bits);
  const split = (((range - 1) * probability) >> 8) + 1;
  if (<u32>(value >> <u64>bits) < split) {
    range = split;
    return 0;
  }
  value -= <u64>split << <u64>bits;
  range -= split;
  return 1;
}

/** A number of `count` bits, the highest first. */
export function literal(count: i32): i32 {
  let result = 0;
  for (; count > 0; count--) result = (result << 1) | bit(128);
  return result;
}

/** A magnitude of `count` bits and its sign. */
export function signed(count: i32): i32 {
  const magnitude = literal(count);
  return bit(128) ? -magnitude : magnitude;
}

/** The same behind a bit that tells whether it is there; else 0. */
export function optional(count: i32): i32 {
  return bit(128) ? signed(count) : 0;
}
