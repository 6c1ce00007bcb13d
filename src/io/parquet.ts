/**
 * Parquet as vitrail has it written: columns of texts and numbers, in pages of version 2, plain and uncompressed. Others read any
 * Parquet; this reader bounds its work and memory by the bytes that it is given, whatever they say.
 *
 * Source: https://github.com/apache/parquet-format, README.md, Encodings.md and parquet.thrift, whose numbers of fields these are;
 * the compact protocol of https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
 */
import { excerpt } from "../json.js";

export interface Table {
  readonly rows: number;
  readonly columns: readonly (readonly (string | number | null)[])[];
  /** The file's own metadata. */
  readonly notes: ReadonlyMap<string, string>;
}

/** Refuses a file, given what it must, to continue "the file …". */
type Refuse = (fault: string) => never;

type Value = number | boolean | Uint8Array | Value[] | Struct;
/** Fields by their numbers. */
type Struct = Map<number, Value>;

/** Structs in structs, of which Parquet's own are 6. */
const MAX_DEPTH = 16;
/** The letters PAR1. */
const MAGIC = 0x31524150;
const [BYTE_ARRAY, DOUBLE] = [6, 5];
const OPTIONAL = 1;
const DATA_PAGE_V2 = 3;

/**
 * Reads columns by their names; others may be of any kind.
 * @param refuse throws, given what is wrong.
 */
export function readParquet(bytes: Uint8Array, names: readonly string[], refuse: Refuse): Table {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const decoder = new TextDecoder();
  const size = bytes.length;
  if (size < 12 || view.getUint32(0, true) !== MAGIC || view.getUint32(size - 4, true) !== MAGIC) {
    refuse("must begin and end with PAR1");
  }
  const length = view.getUint32(size - 8, true);
  if (length > size - 12) refuse(`must have room for its ${length} bytes of metadata; it has ${size} in all`);
  const file = structAt(bytes, size - 8 - length, size - 8, refuse).value;
  const field = (struct: Struct, id: number, what: string): number => {
    const value = struct.get(id);
    return typeof value === "number" && value >= 0 ? value : refuse(`must say ${what}`);
  };
  const list = (struct: Struct, id: number, what: string): Value[] => {
    const value = struct.get(id);
    return Array.isArray(value) ? value : refuse(`must have ${what}`);
  };
  const struct = (value: Value | undefined, what: string): Struct =>
    value instanceof Map ? value : refuse(`must have ${what}`);
  const text = (value: Value | undefined): string =>
    value instanceof Uint8Array ? decoder.decode(value) : refuse("must have names that are texts");

  const [, ...elements] = list(file, 2, "a schema").map((element) => struct(element, "a schema"));
  const schema = elements.map((element) => ({
    name: text(element.get(4)),
    type: field(element, 1, "the type of each column"),
    optional: element.get(3) === OPTIONAL,
  }));
  const wanted = names.map((name) => {
    const place = schema.findIndex((column) => column.name === name);
    const { type, optional } =
      schema[place] ?? refuse(`must have the column ${name}; it has ${excerpt(schema.map(({ name }) => name))}`);
    if (type !== BYTE_ARRAY && type !== DOUBLE)
      refuse(`must have texts or numbers in the column ${name}; it has type ${type}`);
    return { place, type, optional, values: [] as (string | number | null)[] };
  });
  const rows = field(file, 3, "its number of rows");
  // A value that must be there takes four bytes or more; others can be of none.
  if (rows > size / 4 || (rows > 0 && wanted.every(({ optional }) => optional))) {
    refuse(`must have bytes for its ${rows} rows; it has ${size}`);
  }
  for (const group of list(file, 4, "groups of rows").map((group) => struct(group, "groups of rows"))) {
    const chunks = list(group, 1, "columns");
    for (const column of wanted) {
      const facts = struct(struct(chunks[column.place], "all columns in a group").get(3), "facts of a column");
      if (facts.get(4) !== 0) refuse("must be uncompressed");
      const end = column.values.length + field(facts, 5, "the number of a column's values");
      let at = field(facts, 9, "where a column begins");
      while (column.values.length < end) at = readPage(at, column, Math.min(end, rows));
    }
  }
  const short = wanted.find(({ values }) => values.length !== rows);
  if (short) refuse(`must have ${rows} values in each column, as it says; it has ${short.values.length}`);
  const notes = file.has(5) ? list(file, 5, "notes").map((note) => struct(note, "notes")) : [];
  return {
    rows,
    columns: wanted.map(({ values }) => values),
    notes: new Map(notes.map((note) => [text(note.get(1)), text(note.get(2))])),
  };

  /** Adds a page's values to a column of at most `most`, and gives the place behind it. */
  function readPage(at: number, { type, optional, values }: (typeof wanted)[number], most: number): number {
    if (at >= size) refuse("must have its pages in it");
    const { value: header, end: begin } = structAt(bytes, at, size, refuse);
    const page = header.get(8);
    if (header.get(1) !== DATA_PAGE_V2 || !(page instanceof Map)) refuse("must have pages of version 2");
    const count = field(page as Struct, 1, "the number of a page's values");
    const levels = field(page as Struct, 5, "the length of a page's levels");
    const end = begin + field(header, 3, "the size of a page");
    if (count < 1 || values.length + count > most || end > size || levels > end - begin || page.get(6) !== 0) {
      refuse(`must have pages that fit in it and its columns; one says that it has ${count} values`);
    }
    if (page.get(4) !== 0) refuse("must have plain pages");
    const there = optional ? presence(begin, begin + levels, count) : undefined;
    let from = begin + levels;
    for (let i = 0; i < count; i++) {
      if (there && there[i] === 0) values.push(null);
      else if (type === DOUBLE) {
        if (from + 8 > end) refuse("must have all values of a page in it");
        values.push(view.getFloat64(from, true));
        from += 8;
      } else {
        const length = from + 4 <= end ? view.getUint32(from, true) : size;
        if (from + 4 + length > end) refuse("must have all values of a page in it");
        values.push(decoder.decode(bytes.subarray(from + 4, from + 4 + length)));
        from += 4 + length;
      }
    }
    return end;
  }

  /** Presence of each value of a page: runs of levels of one bit, repeated or packed. */
  function presence(from: number, to: number, count: number): Uint8Array {
    const levels = new Uint8Array(count);
    let at = 0;
    while (at < count) {
      const head = varint(bytes, from, to, refuse);
      const packed = head.value % 2 === 1;
      const run = Math.floor(head.value / 2) * (packed ? 8 : 1);
      const taken = packed ? run / 8 : 1;
      from = head.end;
      if (run === 0 || from + taken > to) refuse("must have the levels of all values");
      const end = Math.min(count, at + run);
      for (let i = 0; at < end; i++, at++)
        levels[at] = packed ? (bytes[from + (i >> 3)]! >> (i & 7)) & 1 : bytes[from]! & 1;
      from += taken;
    }
    return levels;
  }
}

/** An unsigned number, seven bits a byte, the low ones first. */
function varint(bytes: Uint8Array, at: number, end: number, refuse: Refuse): { value: number; end: number } {
  let value = 0;
  for (let factor = 1; factor < 2 ** 64; factor *= 128) {
    if (at >= end) break;
    const byte = bytes[at++]!;
    value += (byte & 127) * factor;
    if (byte < 128) return { value, end: at };
  }
  return refuse("must have whole numbers in its metadata");
}

/** A struct of thrift's compact protocol. Every value of it takes a byte at least. */
function structAt(bytes: Uint8Array, begin: number, end: number, refuse: Refuse): { value: Struct; end: number } {
  let at = begin;
  const value = struct(0);
  return { value, end: at };

  function byte(): number {
    return at < end ? bytes[at++]! : refuse("must have whole metadata");
  }
  function number(): number {
    const read = varint(bytes, at, end, refuse);
    at = read.end;
    return read.value;
  }
  /** 0, -1, 1, -2, … */
  function signed(): number {
    const n = number();
    return n % 2 === 0 ? n / 2 : -(n + 1) / 2;
  }
  function struct(depth: number): Struct {
    if (depth > MAX_DEPTH) refuse(`must have metadata of at most ${MAX_DEPTH} levels`);
    const fields: Struct = new Map();
    let id = 0;
    for (;;) {
      const head = byte();
      if (head === 0) return fields;
      id = head >> 4 ? id + (head >> 4) : signed();
      fields.set(id, element(head & 15, depth));
    }
  }
  function element(type: number, depth: number): Value {
    switch (type) {
      case 1:
      case 2:
        return type === 1;
      case 3:
        return byte();
      case 4:
      case 5:
      case 6:
        return signed();
      case 7:
      case 8: {
        const length = type === 7 ? 8 : number();
        if (length > end - at) refuse("must have whole metadata");
        at += length;
        return bytes.subarray(at - length, at);
      }
      case 9: {
        const head = byte();
        const length = head >> 4 === 15 ? number() : head >> 4;
        if (length > end - at) refuse("must have whole metadata");
        // A boolean of a list is a byte.
        const kind = (head & 15) <= 2 ? 3 : head & 15;
        return Array.from({ length }, () => element(kind, depth + 1));
      }
      case 12:
        return struct(depth + 1);
      default:
        return refuse(`must have metadata of kinds that Parquet knows; got ${type}`);
    }
  }
}
