/**
 * Zip archives (PKWARE's APPNOTE 6.3.10), as NumPy and torch.save write them: the directory at the end, zip64 too, and entries that are
 * stored or deflated. The directory alone is believed; what it claims is compared with the bytes that there are before any of
 * it is read. Archives that two readers could understand differently are refused.
 */

import { excerpt } from "../json.js";
import { latin1 } from "../platform/bytes.js";
import type { ByteSource } from "./source.js";

export interface ZipEntry {
  readonly name: string;
  /** Bytes unpacked, and in the archive; the same of what is stored. */
  readonly size: number;
  readonly packed: number;
  readonly deflated: boolean;
  /** CRC-32 of the bytes unpacked; 0 where the writer made none. */
  readonly crc: number;
  /** Where its local header begins, and the next entry's or the directory. */
  readonly begin: number;
  readonly end: number;
}

/** Most bytes of a directory, of some 40,000 entries: a model of 500 tensors and its optimizer's state have 1,500. */
const MAX_DIRECTORY = 2 ** 22;

/**
 * How many times its bytes a file may unpack to, and how many bytes it may in any case. Weights hardly shrink: compressed by NumPy
 * they keep nine tenths. Deflate alone would go to 1,032 times.
 */
const MAX_EXPANSION = 8;
const FREE_EXPANSION = 2 ** 24;

/** Signatures and sizes of the records (APPNOTE 4.3), and the longest comment behind the last one. */
const LOCAL = { signature: 0x04034b50, size: 30 };
const CENTRAL = { signature: 0x02014b50, size: 46 };
const END = { signature: 0x06054b50, size: 22 };
const END64 = { signature: 0x06064b50, size: 56 };
const LOCATOR64 = { signature: 0x07064b50, size: 20 };
const MAX_COMMENT = 0xffff;

const UTF8 = new TextDecoder();

/** Bytes of deflated data that are handed on at once: they may grow by 1,032 times. */
const PIECE = 2 ** 14;

/** Says what is wrong with an archive. */
export type Refuse = (found: string) => never;

/**
 * The files in an archive, in the order of their bytes.
 * @throws what `refuse` makes of a sentence's end: for what is no whole archive, entries that overlap, are encrypted, packed in
 * other ways, or named twice.
 */
export async function readDirectory(archive: ByteSource, refuse: Refuse): Promise<ZipEntry[]> {
  const { begin, end, count } = await findDirectory(archive, refuse);
  if (end - begin > MAX_DIRECTORY) {
    refuse(`must have a directory of at most ${MAX_DIRECTORY} bytes; it has ${end - begin}`);
  }
  const bytes = new Uint8Array(end - begin);
  await archive.read(bytes, begin);
  const entries: Omit<ZipEntry, "end">[] = [];
  const names = new Set<string>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    const { entry, next } = parseEntry(bytes, at, refuse);
    at = next;
    if (names.has(entry.name)) refuse(`must have each entry once; it has ${excerpt(entry.name)} twice`);
    names.add(entry.name);
    // Folders have no bytes.
    if (!entry.name.endsWith("/") || entry.size > 0) entries.push(entry);
  }
  entries.sort((a, b) => a.begin - b.begin);
  return entries.map((entry, i) => {
    const limit = entries[i + 1]?.begin ?? begin;
    if (entry.begin + LOCAL.size + entry.packed > limit) {
      refuse(
        `must have room for the ${entry.packed} bytes of ${excerpt(entry.name)}; there are fewer before what follows`,
      );
    }
    return { ...entry, end: limit };
  });
}

/** Refuses a file of `size` bytes that claims to be much more unpacked. */
export function checkExpansion(claimed: number, size: number, refuse: Refuse): void {
  const most = Math.max(MAX_EXPANSION * size, FREE_EXPANSION);
  if (claimed > most) refuse(`of ${size} bytes may unpack to ${most} at most; it claims ${claimed}`);
}

interface Place {
  readonly begin: number;
  readonly end: number;
  readonly count: number;
}

/** Where the directory lies, by the last record whose comment ends with the file. */
async function findDirectory(archive: ByteSource, refuse: Refuse): Promise<Place> {
  const { size } = archive;
  const tail = new Uint8Array(Math.min(size, LOCATOR64.size + END.size + MAX_COMMENT));
  await archive.read(tail, size - tail.length);
  const view = viewOf(tail);
  let at = tail.length - END.size;
  const isEnd = () =>
    view.getUint32(at, true) === END.signature && view.getUint16(at + 20, true) === tail.length - at - END.size;
  while (at >= 0 && !isEnd()) at--;
  if (at < 0) return refuse("must end with the directory of a zip; it does not, so that it is cut short or broken");
  const disks = [view.getUint16(at + 4, true), view.getUint16(at + 6, true)];
  const [here, count] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)];
  const [length, begin] = [view.getUint32(at + 12, true), view.getUint32(at + 16, true)];
  const end = size - tail.length + at;
  const isLong = count === 0xffff || length === 0xffffffff || begin === 0xffffffff;
  const locator = at - LOCATOR64.size;
  if (isLong && locator >= 0 && view.getUint32(locator, true) === LOCATOR64.signature) {
    return findDirectory64(archive, number64(view, locator + 8), end - LOCATOR64.size, refuse);
  }
  if (disks.some((disk) => disk !== 0) || here !== count) return refuse("must be one archive; it is a part of several");
  return placeOf(begin, length, end, count, refuse);
}

/** @param limit where the locator of the record begins, which the record ends before. */
async function findDirectory64(archive: ByteSource, at: number, limit: number, refuse: Refuse): Promise<Place> {
  if (!(at + END64.size <= limit))
    return refuse("must have its zip64 record before the end; it is said to lie elsewhere");
  const bytes = new Uint8Array(END64.size);
  await archive.read(bytes, at);
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== END64.signature) return refuse("must have a zip64 record where it says; it has none");
  if (view.getUint32(16, true) !== 0 || view.getUint32(20, true) !== 0) {
    return refuse("must be one archive; it is a part of several");
  }
  return placeOf(number64(view, 48), number64(view, 40), at, number64(view, 32), refuse);
}

function placeOf(begin: number, length: number, limit: number, count: number, refuse: Refuse): Place {
  const end = begin + length;
  if (!(end <= limit)) refuse("must have its directory before its end; it is said to lie elsewhere");
  if (!(count * CENTRAL.size <= length)) refuse(`must have a directory of ${count} entries; it is too short`);
  return { begin, end, count };
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Not exact beyond 2^53, where no file reaches. */
const number64 = (view: DataView, at: number): number => Number(view.getBigUint64(at, true));

function parseEntry(bytes: Uint8Array, at: number, refuse: Refuse): { entry: Omit<ZipEntry, "end">; next: number } {
  const view = viewOf(bytes);
  const cut = "must have a whole directory; it is cut or broken";
  if (at + CENTRAL.size > bytes.length || view.getUint32(at, true) !== CENTRAL.signature) refuse(cut);
  const [flags, method] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)];
  const lengths = [
    view.getUint16(at + 28, true),
    view.getUint16(at + 30, true),
    view.getUint16(at + 32, true),
  ] as const;
  const extra = at + CENTRAL.size + lengths[0];
  const next = extra + lengths[1] + lengths[2];
  if (next > bytes.length) refuse(cut);
  const letters = bytes.subarray(at + CENTRAL.size, extra);
  const name = flags & 0x800 ? UTF8.decode(letters) : latin1(letters);
  // Fields of zip64 are there for those alone that do not fit, in this order.
  const long = longFields(view, extra, extra + lengths[1]);
  const field = (where: number): number => {
    const value = view.getUint32(where, true);
    return value === 0xffffffff ? (long.next().value ?? value) : value;
  };
  const [size, packed, begin] = [field(at + 24), field(at + 20), field(at + 42)];
  if (flags & 0x2041) refuse(`must be readable; ${excerpt(name)} is encrypted`);
  if (method !== 0 && method !== 8)
    refuse(`must have entries stored or deflated; ${excerpt(name)} is packed by method ${method}`);
  const deflated = method === 8;
  if (!deflated && packed !== size) {
    refuse(`must store entries as they are; ${excerpt(name)} claims ${packed} bytes packed and ${size} unpacked`);
  }
  return { entry: { name, size, packed, deflated, crc: view.getUint32(at + 16, true), begin }, next };
}

/** Numbers of the extra field 1 (APPNOTE 4.5.3). */
function* longFields(view: DataView, begin: number, end: number): Generator<number, undefined> {
  for (let at = begin; at + 4 <= end; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== 1) continue;
    const last = Math.min(end, at + 4 + view.getUint16(at + 2, true));
    for (let i = at + 4; i + 8 <= last; i += 8) yield number64(view, i);
    return undefined;
  }
  return undefined;
}

/** Where an entry's bytes begin: behind its local header, whose fields of other lengths are all that is read of it. */
export async function beginOf(
  archive: ByteSource,
  { name, begin, packed, end }: ZipEntry,
  refuse: Refuse,
): Promise<number> {
  const header = new Uint8Array(LOCAL.size);
  await archive.read(header, begin);
  const view = viewOf(header);
  if (view.getUint32(0, true) !== LOCAL.signature)
    refuse(`must have ${excerpt(name)} where its directory says; it has not`);
  const at = begin + LOCAL.size + view.getUint16(26, true) + view.getUint16(28, true);
  if (at + packed > end)
    refuse(`must have room for the ${packed} bytes of ${excerpt(name)}; there are fewer before what follows`);
  return at;
}

/** All bytes of an entry, as many as it claims: whoever calls has compared that with what the file has. */
export async function readEntry(archive: ByteSource, entry: ZipEntry, refuse: Refuse): Promise<Uint8Array> {
  const bytes = new Uint8Array(entry.size);
  if (!entry.deflated) {
    await archive.read(bytes, await beginOf(archive, entry, refuse));
    return bytes;
  }
  const reader = inflate(archive, entry, refuse).getReader();
  let filled = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return bytes;
    bytes.set(value, filled);
    filled += value.length;
  }
}

/** The bytes of a deflated entry as they are unpacked, as many as it claims. */
export function inflate(archive: ByteSource, entry: ZipEntry, refuse: Refuse): ReadableStream<Uint8Array> {
  const { size, packed } = entry;
  const name = excerpt(entry.name);
  let fault: unknown;
  let at: number | undefined;
  let end = 0;
  const pieces = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      try {
        if (at === undefined) {
          at = await beginOf(archive, entry, refuse);
          end = at + packed;
        }
        const piece = new Uint8Array(Math.min(PIECE, end - at));
        await archive.read(piece, at);
        at += piece.length;
        if (piece.length > 0) controller.enqueue(piece);
        if (at === end) controller.close();
      } catch (error) {
        fault = error;
        throw error;
      }
    },
  });
  const reader = pieces.pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  let filled = 0;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        // The host's inflate has words of its own for bytes that nothing deflated.
        const { done, value } = await reader.read().catch(() => {
          if (fault !== undefined) throw fault;
          return refuse(`must hold deflated bytes in ${name}; they are broken`);
        });
        if (done) {
          if (filled < size) refuse(`must inflate ${name} to ${size} bytes; it gives ${filled}`);
          return controller.close();
        }
        filled += value.length;
        if (filled > size) {
          await reader.cancel().catch(() => {});
          refuse(`must inflate ${name} to ${size} bytes; it gives more`);
        }
        controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason).catch(() => {}),
    },
    { highWaterMark: 0 },
  );
}

/** CRC-32 (ISO 3309), by a table. */
export function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = TABLE[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  for (let i = 0; i < 8; i++) byte = (byte >>> 1) ^ (byte & 1 ? 0xedb88320 : 0);
  return byte;
});
