/** Photos to be added, one after the other, from words, archives and what a program gives. */
import { type ImageInput, mostBytes } from "../image/source.js";
import { listImages } from "../io/images.js";
import { type TarEntry, tarEntries } from "../io/tar.js";
import { excerpt, parseJson } from "../json.js";
import { diskTools, isFile } from "../platform/files.js";
import { answerOf, connect, nameOf, reasonOf } from "../platform/web.js";

/** A photo with a name of its own, and facts that are kept beside its vector. */
export interface Photo {
  readonly id: string;
  readonly image: ImageInput;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/**
 * A path of a photo, a folder, a tar archive (.tar, .tar.gz, .tgz; webdataset's are such), a pattern such as "photos/*.jpg", a list "@list.txt", or
 * an address of a photo or an archive; a photo with a name, or an archive as it arrives.
 */
export type Source = string | URL | Photo | Archive;

/** A tar archive as it arrives. */
export interface Archive {
  /** Ids of its photos begin with this one. */
  readonly id: string;
  readonly archive: AsyncIterable<Uint8Array>;
}

/** A photo, and what is known of it before it is opened. */
export interface Item extends Partial<Omit<Photo, "id">> {
  readonly id: string;
  /** Bytes of its file, and milliseconds since 1970 when it was changed. */
  readonly size?: number;
  readonly time?: number;
  /** There is no such file. */
  readonly gone?: boolean;
  /** Why it cannot be had. */
  readonly error?: Error;
}

/** A folder or pattern that was gone through: what is known of it and was not met is no more there. */
export interface Whole {
  readonly folder: string;
}

const ARCHIVE = /\.(tar|tar\.gz|tgz)$/i;
const IMAGE_IN_ARCHIVE = /\.(jpe?g|jfif|png|webp|gif|bmp|tiff?|ppm)$/i;
/** Most bytes of an entry with facts. */
const MAX_FACTS = 2 ** 20;

export async function* itemsOf(
  sources: Source | Iterable<Source> | AsyncIterable<Source>,
  signal: AbortSignal,
): AsyncGenerator<Item | Whole> {
  const many = typeof sources === "object" && (Symbol.iterator in sources || Symbol.asyncIterator in sources);
  for await (const source of many ? (sources as AsyncIterable<Source>) : [sources as Source]) {
    signal.throwIfAborted();
    if (typeof source === "string" || source instanceof URL) yield* ofPlace(source, signal);
    else if ("archive" in Object(source)) yield* photosOf((source as Archive).archive, String(source.id), signal);
    else yield ofPhoto(source as Photo);
  }
}

function ofPhoto(photo: Photo): Item {
  const { id, image, metadata } = Object(photo) as Partial<Photo>;
  const plain = metadata === undefined || (typeof metadata === "object" && metadata !== null);
  if (typeof id === "string" && id !== "" && image !== undefined && plain) return { id, image, metadata };
  throw new TypeError(`add: a photo must be a path, a URL or { id, image, metadata }; got ${excerpt(photo)}`);
}

async function* ofPlace(source: string | URL, signal: AbortSignal): AsyncGenerator<Item | Whole> {
  const { path, fs, os } = diskTools();
  const word = source instanceof URL ? source.href : source.replace(/^~(?=[\\/]|$)/, os.homedir());
  for await (const { image, error } of listImages([word], signal)) {
    if (error) yield { id: image, error };
    else if (ARCHIVE.test(image.replace(/[?#].*$/, ""))) yield* ofArchive(image, signal);
    else if (!isFile(image)) yield { id: image, image };
    else yield await ofFile(pathOf(image));
  }
  const found = await fs.stat(word).catch(() => undefined);
  if (found?.isDirectory()) yield { folder: path.resolve(word) };
}

/** A path without its steps, which is the same wherever the program runs. */
function pathOf(file: string): string {
  const { path, url } = diskTools();
  return path.resolve(/^file:/i.test(file) ? url.fileURLToPath(file) : file);
}

async function ofFile(id: string): Promise<Item> {
  try {
    const { size, mtimeMs } = await diskTools().fs.stat(id);
    return { id, image: id, size, time: mtimeMs };
  } catch {
    // Opening it says why.
    return { id, image: id, gone: true };
  }
}

async function* ofArchive(source: string, signal: AbortSignal): AsyncGenerator<Item> {
  const name = nameOf(source);
  try {
    const { chunks, close } = isFile(source) ? fileChunks(pathOf(source)) : await webChunks(source, signal);
    const whole = /z([?#].*)?$/i.test(source) ? unzipped(chunks) : chunks;
    const id = isFile(source) ? pathOf(source) : source;
    try {
      yield* photosOf(whole, id, signal);
    } finally {
      close();
    }
  } catch (error) {
    signal.throwIfAborted();
    const message = reasonOf(error);
    yield { id: name, error: message.includes(name) ? (error as Error) : new Error(`tar: "${name}" ${message}`) };
  }
}

/**
 * Photos of an archive, whose ids are that of the archive, "#", and the entry's name. Facts in .json and .txt entries of the same
 * name, beside an image as webdataset has them, go with it.
 */
async function* photosOf(
  chunks: AsyncIterable<Uint8Array>,
  archive: string,
  signal: AbortSignal,
): AsyncGenerator<Item> {
  let key = "";
  let group: Item[] = [];
  let facts: Record<string, unknown> = {};
  function* finished() {
    for (const item of group) yield Object.keys(facts).length > 0 ? { ...item, metadata: facts } : item;
    group = [];
    facts = {};
  }
  for await (const entry of tarEntries(chunks, archive)) {
    signal.throwIfAborted();
    // A key ends at the first dot of the last part, as webdataset has it.
    const own = /^(?:.*\/)?[^./]*/.exec(entry.name)![0];
    if (own !== key) yield* finished();
    key = own;
    if (IMAGE_IN_ARCHIVE.test(entry.name)) group.push(await ofEntry(entry, archive));
    else if (/\.(json|txt)$/i.test(entry.name) && entry.size <= MAX_FACTS) Object.assign(facts, await factsOf(entry));
  }
  yield* finished();
}

async function ofEntry(entry: TarEntry, archive: string): Promise<Item> {
  const { name, size, time } = entry;
  const id = `${archive}#${name}`;
  const most = mostBytes();
  if (size > most) return { id, error: new Error(`image: "${name}" has ${size} bytes, and at most ${most} are read`) };
  // As a File, for its name in messages.
  return { id, image: new File([(await entry.bytes()) as Uint8Array<ArrayBuffer>], name), size, time: 1000 * time };
}

async function factsOf(entry: TarEntry): Promise<object> {
  const bytes = await entry.bytes();
  if (/\.txt$/i.test(entry.name)) return { caption: new TextDecoder().decode(bytes) };
  try {
    const value = parseJson(bytes, entry.name);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : { json: value };
  } catch {
    // What is beside a photo does not keep it out.
    return {};
  }
}

interface Chunks {
  readonly chunks: AsyncIterable<Uint8Array>;
  close(): void;
}

function fileChunks(path: string): Chunks {
  const stream = diskTools().stream(path);
  return { chunks: stream, close: () => stream.destroy() };
}

async function webChunks(source: string | URL, signal: AbortSignal): Promise<Chunks> {
  const { response, next, close } = await connect(source, { signal });
  if (!response.ok) {
    close();
    throw new Error(`was answered with ${answerOf(response.status)}`);
  }
  async function* chunks() {
    for (;;) {
      const chunk = await next();
      if (!chunk) return;
      yield chunk;
    }
  }
  return { chunks: chunks(), close };
}

/** The bytes of a gzip stream. */
function unzipped(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  const packed = new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        const { done, value } = await iterator.next();
        if (done) controller.close();
        else controller.enqueue(value as Uint8Array<ArrayBuffer>);
      },
    },
    { highWaterMark: 0 },
  );
  return packed.pipeThrough(new DecompressionStream("gzip")) as unknown as AsyncIterable<Uint8Array>;
}
