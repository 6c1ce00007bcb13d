/**
 * Decompression of zlib streams (RFC 1950, RFC 1951). Not DecompressionStream: that differs from runtime to runtime in
 * what it makes of damaged streams, and throws away the last bytes before an error.
 */

const LENGTH_BASE = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
];
const LENGTH_BITS = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_BASE = Array.from({ length: 30 }, (_, i) => (i < 2 ? i + 1 : 1 + ((2 + (i & 1)) << ((i >> 1) - 1))));
const DISTANCE_BITS = Array.from({ length: 30 }, (_, i) => (i < 2 ? 0 : (i >> 1) - 1));
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** Looked up by the next `bits` bits of the stream: symbol · 16 + code length; 0 for no code. */
interface CodeTable {
  entries: Uint16Array;
  mask: number;
}

function codeTable(lengths: ArrayLike<number>): CodeTable {
  const counts = new Uint16Array(17);
  for (let i = 0; i < lengths.length; i++) counts[lengths[i]]++;
  counts[0] = 0;
  let bits = 15;
  while (bits > 1 && counts[bits] === 0) bits--;
  const next = new Uint16Array(17);
  for (let n = 1; n <= 15; n++) {
    next[n + 1] = (next[n] + counts[n]) << 1;
    if (next[n] + counts[n] > 1 << n) throw new RangeError("more codes than fit");
  }
  const entries = new Uint16Array(1 << bits);
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const length = lengths[symbol];
    if (length === 0) continue;
    let reversed = 0;
    for (let i = 0, code = next[length]++; i < length; i++, code >>= 1) reversed = (reversed << 1) | (code & 1);
    for (let at = reversed; at < entries.length; at += 1 << length) entries[at] = (symbol << 4) | length;
  }
  return { entries, mask: entries.length - 1 };
}

/**
 * Decompresses into `out` until it is full or the input ends.
 * @returns the number of bytes written: less than out.length if the input ends early.
 * @throws RangeError for data that is not a zlib stream, or whose checksum is wrong.
 */
export function inflate(input: Uint8Array, out: Uint8Array): number {
  if (input.length < 2) return 0;
  if ((input[0] & 15) !== 8 || ((input[0] << 8) | input[1]) % 31 !== 0 || input[1] & 32) {
    throw new RangeError("not a zlib stream");
  }
  let from = 2;
  let to = 0;
  let held = 0;
  let bits = 0;
  // The input is taken to go on with zeros; `from` tells in the end whether any of them were needed.
  const take = (count: number) => {
    for (; bits < count; bits += 8) held |= (input[from++] ?? 0) << bits;
    const value = held & ((1 << count) - 1);
    held >>>= count;
    bits -= count;
    return value;
  };
  const symbol = ({ entries, mask }: CodeTable) => {
    for (; bits < 15; bits += 8) held |= (input[from++] ?? 0) << bits;
    const entry = entries[held & mask];
    if (entry === 0) throw new RangeError("no such code");
    held >>>= entry & 15;
    bits -= entry & 15;
    return entry >> 4;
  };
  const overrun = () => from - (bits >> 3) > input.length;

  for (let isLast = false; !isLast; ) {
    isLast = take(1) === 1;
    const kind = take(2);
    if (overrun()) return to;
    if (kind === 0) {
      from -= bits >> 3;
      held = bits = 0;
      const length = (input[from] ?? 0) | ((input[from + 1] ?? 0) << 8);
      const complement = (input[from + 2] ?? 0) | ((input[from + 3] ?? 0) << 8);
      from += 4;
      if (from > input.length) return to;
      if (length + complement !== 0xffff) throw new RangeError("stored length and its complement differ");
      const part = input.subarray(from, from + Math.min(length, out.length - to));
      out.set(part, to);
      to += part.length;
      if (part.length < length) return to;
      from += length;
      continue;
    }
    if (kind === 3) throw new RangeError("no such kind of block");
    let literals: CodeTable;
    let distances: CodeTable;
    if (kind === 1) {
      literals = codeTable(Uint8Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8)));
      distances = codeTable(new Uint8Array(30).fill(5));
    } else {
      const literalCount = take(5) + 257;
      const distanceCount = take(5) + 1;
      const lengthCount = take(4) + 4;
      const orders = new Uint8Array(19);
      for (let i = 0; i < lengthCount; i++) orders[CODE_LENGTH_ORDER[i]] = take(3);
      const codes = codeTable(orders);
      const lengths = new Uint8Array(literalCount + distanceCount);
      for (let i = 0; i < lengths.length; ) {
        const code = symbol(codes);
        if (code < 16) lengths[i++] = code;
        else {
          const value = code === 16 ? lengths[i - 1] : 0;
          const repeat = code === 16 ? 3 + take(2) : code === 17 ? 3 + take(3) : 11 + take(7);
          lengths.fill(value, i, i + repeat);
          i += repeat;
        }
        if (overrun()) return to;
      }
      literals = codeTable(lengths.subarray(0, literalCount));
      distances = codeTable(lengths.subarray(literalCount));
    }
    for (;;) {
      const code = symbol(literals);
      if (code === 256) break;
      if (overrun() || to === out.length) return to;
      if (code < 256) {
        out[to++] = code;
        continue;
      }
      let length = LENGTH_BASE[code - 257] + take(LENGTH_BITS[code - 257]);
      const step = symbol(distances);
      const distance = DISTANCE_BASE[step] + take(DISTANCE_BITS[step]);
      if (!(distance <= to)) throw new RangeError("a distance to before the start");
      length = Math.min(length, out.length - to);
      if (distance >= length) out.copyWithin(to, to - distance, to - distance + length);
      else for (let i = 0; i < length; i++) out[to + i] = out[to + i - distance];
      to += length;
    }
    if (overrun()) return to;
  }
  from -= bits >> 3;
  if (from + 4 <= input.length) {
    const checksum = (input[from] * 2 ** 24 + (input[from + 1] << 16)) | (input[from + 2] << 8) | input[from + 3];
    if (checksum >>> 0 !== adler32(out.subarray(0, to))) throw new RangeError("its checksum is wrong");
  }
  return to;
}

function adler32(data: Uint8Array): number {
  let a = 1;
  let b = 0;
  for (let i = 0; i < data.length; ) {
    for (const end = Math.min(i + 3800, data.length); i < end; i++) {
      a += data[i];
      b += a;
    }
    a %= 65521;
    b %= 65521;
  }
  return b * 65536 + a;
}
