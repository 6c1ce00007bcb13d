/**
 * Tar archives (POSIX ustar and pax, GNU's long names), read once from front to back, as webdataset's shards are. Memory is bounded
 * by the largest entry that is taken, whatever the archive claims.
 */
import { concatenate } from "../platform/bytes.js";

export interface TarEntry {
  readonly name: string;
  readonly size: number;
  /** Seconds since 1970. */
  readonly time: number;
  /** Its bytes, which are passed over unless they are asked for before the next entry. */
  bytes(): Promise<Uint8Array>;
}

const BLOCK = 512;
/** Most bytes of a long name or of pax's records, which are a few hundred. */
const MAX_RECORDS = 2 ** 20;

/**
 * The regular files of an archive.
 * @param name the archive, for messages.
 * @throws Error: one sentence, for a header that is none, and an archive that ends inside an entry.
 */
export async function* tarEntries(chunks: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<TarEntry> {
  const refuse = (found: string): never => {
    throw new Error(`tar: "${name}" ${found}`);
  };
  const { take, skip } = cutting(chunks, () => refuse("ends inside an entry"));
  let records: { readonly path?: string; readonly size?: number } = {};
  for (let at = 0; ; at += BLOCK) {
    const header = await take(BLOCK, true);
    // Two blocks of zeros end it; some writers leave them out.
    if (!header || header.every((byte) => byte === 0)) return;
    checkSum(header, () => refuse(`must have a header at byte ${at}; it has none`));
    const size = records.size ?? numberOf(header.subarray(124, 136));
    if (!Number.isSafeInteger(size) || size < 0) refuse(`must give the entry at byte ${at} a size; it gives none`);
    const padding = (BLOCK - (size % BLOCK)) % BLOCK;
    const kind = String.fromCharCode(header[156]!);
    at += size + padding;
    if (kind === "L" || kind === "x") {
      if (size > MAX_RECORDS) refuse(`must have names of at most ${MAX_RECORDS} bytes; it has one of ${size}`);
      const text = (await take(size))!;
      await skip(padding);
      records = { ...records, ...(kind === "L" ? { path: textOf(text) } : paxOf(text)) };
      continue;
    }
    const own = records.path ?? nameOf(header);
    records = {};
    if (kind === "0" || kind === "\0") {
      let taken = false;
      yield {
        name: own,
        size,
        time: numberOf(header.subarray(136, 148)),
        async bytes() {
          taken = true;
          return (await take(size))!;
        },
      };
      if (!taken) await skip(size);
    } else await skip(size);
    await skip(padding);
  }
}

/** Takes a stream apart. */
function cutting(chunks: AsyncIterable<Uint8Array>, short: () => never) {
  const iterator = chunks[Symbol.asyncIterator]();
  let chunk: Uint8Array = new Uint8Array(0);

  async function more(): Promise<boolean> {
    while (chunk.length === 0) {
      const { done, value } = await iterator.next();
      if (done) return false;
      chunk = value;
    }
    return true;
  }

  function cut(length: number): Uint8Array {
    const part = chunk.subarray(0, length);
    chunk = chunk.subarray(part.length);
    return part;
  }

  return {
    /** So many bytes; nothing at the end, where that may be. Pieces are kept as they come: a size is believed when it is there. */
    async take(length: number, mayEnd = false): Promise<Uint8Array | undefined> {
      const parts: Uint8Array[] = [];
      for (let rest = length; rest > 0; ) {
        if (!(await more())) return mayEnd && rest === length ? undefined : short();
        const part = cut(rest);
        parts.push(part);
        rest -= part.length;
      }
      return parts.length === 1 ? parts[0] : concatenate(parts);
    },
    async skip(length: number): Promise<void> {
      for (let rest = length; rest > 0; ) {
        if (!(await more())) short();
        rest -= cut(rest).length;
      }
    },
  };
}

/** Octal digits, or, above 8 GB, GNU's binary number. */
function numberOf(field: Uint8Array): number {
  if (field[0]! & 0x80) return field.subarray(1).reduce((value, byte) => value * 256 + byte, field[0]! & 0x7f);
  const digits = textOf(field).trim();
  return digits === "" ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
}

/** A text up to its zero. */
function textOf(field: Uint8Array): string {
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}

function nameOf(header: Uint8Array): string {
  const prefix = textOf(header.subarray(257, 262)) === "ustar" ? textOf(header.subarray(345, 500)) : "";
  const name = textOf(header.subarray(0, 100));
  return prefix === "" ? name : `${prefix}/${name}`;
}

/** Records "length key=value\n". */
function paxOf(bytes: Uint8Array): { path?: string; size?: number } {
  const found: { path?: string; size?: number } = {};
  for (const [, key, value] of new TextDecoder().decode(bytes).matchAll(/^\d+ ([^=\n]+)=(.*)$/gm)) {
    if (key === "path") found.path = value!;
    if (key === "size") found.size = Number(value);
  }
  return found;
}

/** The sum of a header's bytes, in which that of the sum itself counts as spaces. */
function checkSum(header: Uint8Array, refuse: () => never): void {
  let sum = 8 * 0x20;
  for (const [i, byte] of header.entries()) if (i < 148 || i >= 156) sum += byte;
  if (sum !== numberOf(header.subarray(148, 156))) refuse();
}
