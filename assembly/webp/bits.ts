// Bits of VP8L, the lowest of a byte first. They are looked at where they lie, eight bytes at a time: no state but a position.
//
// Data of less than 8 bytes count as 8 with zeros behind. To read beyond the data is an error wherever it is tested, with one
// exception (alpha of one byte a pixel, see pixels.ts), for which this gives the bits that libwebp gives: those of the
// last 64 over again, and from `read` zeros.

/** The data, behind which lie 16 zeros. */
export let data: usize = 0;
/** In bits: the next one, and how many there are. */
export let position: u64 = 0;
export let total: u64 = 0;
let ended: bool = false;

export function beginBits(from: usize, length: usize): void {
  memory.fill(from + length, 0, 16);
  data = from;
  position = 0;
  total = <u64>max<usize>(length, 8) << 3;
  ended = false;
}

export function moveTo(newPosition: u64): void {
  position = newPosition;
}

/** Tells whether more bits were read than there are. */
export function isPastEnd(): bool {
  return ended || position > total;
}

/** Makes that final: what is read next are the last 64 bits. */
export function noteEnd(): void {
  if (position <= total) return;
  ended = true;
  position = total - 64;
}

/** At least 57 of the next bits, or zeros where there are none. */
export function peek(): u64 {
  const at = position < total ? position : total - 64 + ((position - total) & 63);
  return load<u64>(data + <usize>(at >> 3)) >> (at & 7);
}

/** A number of up to 18 bits. Of none, nothing is read. */
export function read(count: i32): u32 {
  if (count == 0) return 0;
  if (ended) {
    position = total - 64;
    return 0;
  }
  const value = <u32>peek() & ((1 << count) - 1);
  position += count;
  noteEnd();
  return value;
}
