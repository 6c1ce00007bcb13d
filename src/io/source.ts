/** Where bytes come from: a file, memory, a Blob or a stream, all read the same way, straight into a given place. */
import { openFile } from "../platform/files.js";

export interface ByteSource {
  /** For messages. */
  readonly name: string;
  /** Bytes in all; Infinity for a stream. */
  readonly size: number;
  /** Fills `target` from `position` on. A stream takes rising positions only. */
  read(target: Uint8Array, position: number): Promise<void>;
  /** The same for reads that go on one behind the other, where it pays to read ahead of them. */
  ahead?(): ByteSource["read"];
  /** Throws unless the bytes end at `position`; nothing more can be read from a stream then. */
  finish(position: number): Promise<void>;
  close(): Promise<void>;
}

/** Bytes of one file, in memory or on their way. */
export type Bytes = ArrayBuffer | Uint8Array | Blob | ReadableStream<Uint8Array>;

export async function fromFile(path: string | URL): Promise<ByteSource> {
  const file = await openFile(path);
  return { ...file, ahead: () => readAhead(file), name: String(path), finish: async () => {} };
}

/** Bytes that are read at once, ahead of who needs them. */
const BLOCK = 1 << 20;

/**
 * Reads of many small tensors: where one goes on where the last has ended, the block behind that is read, and the next one while its
 * bytes are used. Other reads are made as they are asked for.
 */
function readAhead({ size, read }: Pick<ByteSource, "size" | "read">): ByteSource["read"] {
  const spare: Uint8Array[] = [];
  const begin = (at: number) => {
    const bytes = (spare.pop() ?? new Uint8Array(BLOCK)).subarray(0, size - at);
    const done = read(bytes, at);
    // Whoever needs it has the error.
    done.catch(() => {});
    return { at, bytes, done };
  };
  let held: ReturnType<typeof begin> | undefined;
  let next: typeof held;
  /** Where the last read ended. */
  let last = 0;
  let busy = false;

  /** The block that has the byte at `at`. */
  async function blockAt(at: number): Promise<typeof held & object> {
    if (!held || at < held.at || at >= held.at + held.bytes.length) {
      if (held) spare.push(new Uint8Array(held.bytes.buffer));
      held = next?.at === at ? next : begin(at);
      const end = held.at + held.bytes.length;
      await held.done;
      next = end < size ? begin(end) : undefined;
    }
    await held.done;
    return held;
  }

  return async (target, position) => {
    const end = position + target.length;
    const goesOn = position === last && target.length < BLOCK && end <= size && !busy;
    last = end;
    if (!goesOn) return read(target, position);
    busy = true;
    try {
      for (let at = position; at < end; ) {
        const block = await blockAt(at);
        const bytes = block.bytes.subarray(at - block.at, end - block.at);
        target.set(bytes, at - position);
        at += bytes.length;
      }
    } finally {
      busy = false;
    }
  };
}

/** @param name for messages; a File's own name goes before it. */
export function fromBytes(bytes: Bytes, name: string): ByteSource {
  const nothing = async () => {};
  if (bytes instanceof ArrayBuffer) bytes = new Uint8Array(bytes);
  if (bytes instanceof Uint8Array) {
    const all = bytes;
    const read = async (target: Uint8Array, position: number) =>
      target.set(all.subarray(position, position + target.length));
    return { name, size: all.length, read, finish: nothing, close: nothing };
  }
  if (bytes instanceof Blob) {
    const blob = bytes;
    const read = async (target: Uint8Array, position: number) =>
      target.set(new Uint8Array(await blob.slice(position, position + target.length).arrayBuffer()));
    return { name: "name" in blob ? String(blob.name) : name, size: blob.size, read, finish: nothing, close: nothing };
  }
  if (bytes instanceof ReadableStream) return fromStream(bytes, name);
  throw new TypeError(`${name}: expected an ArrayBuffer, Uint8Array, Blob or ReadableStream, got ${typeof bytes}`);
}

function fromStream(stream: ReadableStream<Uint8Array>, name: string): ByteSource {
  if (stream.locked) throw new TypeError(`${name}: the stream is locked, so something else is reading it`);
  const { next, cancel } = chunksOf(stream);
  let chunk: Uint8Array = new Uint8Array(0);
  let position = 0;

  /** Up to `length` of the next bytes; nothing at the end of the stream. */
  async function take(length: number): Promise<Uint8Array | undefined> {
    while (chunk.length === 0) {
      const { done, value } = await next();
      if (done) return undefined;
      if (!(value instanceof Uint8Array)) {
        throw new TypeError(`${name}: the stream must give Uint8Array chunks, got ${typeof value}`);
      }
      chunk = value;
    }
    const part = chunk.subarray(0, length);
    chunk = chunk.subarray(part.length);
    position += part.length;
    return part;
  }

  /** Goes on to `end`; what passes is kept in `target`. */
  async function advance(end: number, target?: Uint8Array): Promise<void> {
    const begin = position;
    while (position < end) {
      const at = position - begin;
      const part = await take(end - position);
      if (!part) throw new Error(`${name}: the stream ended after ${position} bytes; ${end} were expected`);
      target?.set(part, at);
    }
  }

  return {
    name,
    size: Number.POSITIVE_INFINITY,
    async read(target, at) {
      if (at < position) throw new Error(`${name}: a stream can be read only once`);
      await advance(at);
      await advance(at + target.length, target);
    },
    async finish(end) {
      await advance(end);
      if (await take(1)) throw new Error(`${name}: the stream goes on after ${end} bytes, where the last tensor ends`);
    },
    // A stream that failed refuses to be cancelled, with the error that its reader was given.
    close: () => cancel().catch(() => {}),
  };
}

/** Bytes that a stream is asked for at once. */
const CHUNK = 1 << 16;

/** The chunks of a stream, each until the next: all in one buffer, where it can be, else as much garbage as there are weights. */
function chunksOf(stream: ReadableStream<Uint8Array>): {
  next(): Promise<{ done: boolean; value?: Uint8Array }>;
  cancel(): Promise<void>;
} {
  try {
    const reader = stream.getReader({ mode: "byob" });
    let buffer = new ArrayBuffer(CHUNK);
    const next = async () => {
      const { done, value } = await reader.read(new Uint8Array(buffer));
      if (value) buffer = value.buffer;
      return { done, value };
    };
    return { next, cancel: () => reader.cancel() };
  } catch {
    const reader = stream.getReader();
    return { next: () => reader.read(), cancel: () => reader.cancel() };
  }
}
