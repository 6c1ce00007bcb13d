/** Reading the entropy-coded bits of a JPEG scan (ITU-T T.81, annex F and, for the tables, C). */

/** A Huffman table: for each code of up to 16 bits, padded on the right, 256 · length + value; 0 for no code. */
export type HuffmanTable = Uint16Array;

/** The tables of one DHT segment, added to `tables` at 16 · class + number. */
export function readHuffmanTables(payload: Uint8Array, tables: Map<number, HuffmanTable>): void {
  for (let at = 0; at + 17 <= payload.length; ) {
    const slot = payload[at];
    const table = new Uint16Array(65536);
    let value = at + 17;
    let code = 0;
    for (let length = 1; length <= 16; length++) {
      for (let n = payload[at + length]; n > 0; n--) {
        const next = code + (65536 >> length);
        table.fill((length << 8) | payload[value++], code, next);
        code = next;
      }
    }
    tables.set(slot, table);
    at = value;
  }
}

/** The parts of entropy-coded data between restart markers, without the zeros stuffed after each 0xff. */
export function restartIntervals(data: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let part = new Uint8Array(data.length);
  let length = 0;
  for (let i = 0; i < data.length; i++) {
    part[length++] = data[i];
    if (data[i] !== 0xff) continue;
    if (i + 1 < data.length && (data[i + 1] & 0xf8) === 0xd0) {
      parts.push(part.subarray(0, length - 1));
      part = new Uint8Array(data.length - i);
      length = 0;
    }
    i++;
  }
  parts.push(part.subarray(0, length));
  return parts;
}

export interface BitReader {
  /** Position in bits. */
  at: number;
  /** The next 16 bits; zeros after the end. */
  peek(): number;
  /** The next `count` bits, at most 16, as a number. */
  bits(count: number): number;
  /** The value of the next Huffman code. @throws RangeError for bits that are no code. */
  code(table: HuffmanTable): number;
}

export function createBitReader(bytes: Uint8Array): BitReader {
  return {
    at: 0,
    peek() {
      const i = this.at >> 3;
      const word = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
      return (word >> (8 - (this.at & 7))) & 0xffff;
    },
    bits(count) {
      const value = this.peek() >> (16 - count);
      this.at += count;
      return value;
    },
    code(table) {
      const entry = table[this.peek()];
      if (entry === 0) throw new RangeError("no such Huffman code");
      this.at += entry >> 8;
      return entry & 255;
    },
  };
}
