/** Adding photos: what is new is embedded, a few batches ahead, and written a shard at a time. */

import { mostBytes } from "../image/source.js";
import { listImages } from "../io/images.js";
import type { Model } from "../model.js";
import { diskTools, readFile } from "../platform/files.js";
import type { BatchError } from "../tasks/batch.js";
import type { EmbedOptions } from "../tasks/embed.js";
import { type Item, itemsOf, type Source } from "./items.js";
import { fromStored, numberBytes } from "./numbers.js";
import type { PhotoRow } from "./parquet.js";
import type { Index, Last } from "./photos.js";
import { isOfJob, type Store } from "./store.js";

export interface AddOptions {
  /**
   * Compares contents (SHA-256) where size or time differ: a file that was only copied or touched is not embedded again. Unless given,
   * size and time tell.
   */
  hash?: boolean;
  /** Photos of a shard, 4096 unless given: what is lost at most when the process is killed. */
  shardRows?: number;
  /** Called after each batch. */
  onProgress?: (progress: AddProgress) => void;
  /** Ends it; what is embedded by then is written. The promise then rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** Photos by what became of them. */
export interface Added {
  readonly added: number;
  /** They were there, and have not changed. */
  readonly skipped: number;
  readonly failed: number;
  /** They were there, and are no more. */
  readonly removed: number;
}

export interface AddProgress extends Added {
  /** Photos in all, as far as they are counted; undefined where they cannot be. */
  readonly total: number | undefined;
  /** Photos embedded a second. */
  readonly perSecond: number;
  /** Seconds that the rest takes at this rate, where the total is known. */
  readonly secondsLeft: number | undefined;
}

/** Photos that the model is given at once: their decoding overlaps (image/ahead.ts). */
export const BATCH = 32;
/** Batches under way: while the last photos of one are computed, the first of the next are decoded. */
export const AHEAD = 2;

interface Parts {
  readonly model: Model;
  readonly embedding: EmbedOptions;
  readonly width: number;
  readonly store: Store;
  readonly index: Index;
}

/** An item with the digest of its bytes, if it was asked for. */
type Read = Item & { readonly digest?: string };

export async function addPhotos(
  { model, embedding, width, store, index }: Parts,
  sources: Source | Iterable<Source> | AsyncIterable<Source>,
  { hash = false, shardRows = 4096, onProgress, signal }: AddOptions,
): Promise<Added> {
  if (!Number.isSafeInteger(shardRows) || shardRows < 1 || shardRows > MAX_SHARD) {
    throw new RangeError(`add: shardRows must be from 1 to ${MAX_SHARD}; got ${shardRows}`);
  }
  // Ends what is under way here when anything else fails.
  const own = new AbortController();
  const ended = signal ? AbortSignal.any([signal, own.signal]) : own.signal;
  const counts = { added: 0, skipped: 0, failed: 0, removed: 0 };
  let total: number | undefined;

  return store.writing(signal, async () => {
    await index.update();
    const shard = await openShard(store, width, shardRows);
    const met = new Set<string>();
    const wholes: string[] = [];
    const under: Promise<{ batch: Read[]; results: readonly (Float32Array | Error)[] }>[] = [];
    let batch: Read[] = [];
    const begin = performance.now();

    function send(): void {
      if (batch.length === 0) return;
      const sent = batch;
      batch = [];
      const embedded = embedAll(model, sent, { ...embedding, signal: ended }, width);
      // It is awaited in its turn.
      embedded.catch(() => {});
      under.push(embedded.then((results) => ({ batch: sent, results })));
      under.at(-1)!.catch(() => {});
    }

    async function receive(): Promise<void> {
      const { batch, results } = await under.shift()!;
      for (const [i, item] of batch.entries()) await settle(item, results[i]!);
      report();
    }

    async function settle({ id, size, time, metadata, digest }: Read, result: Float32Array | Error): Promise<void> {
      if (result instanceof Error) {
        counts.failed++;
        store.failures.set(id, result.message);
        return;
      }
      counts.added++;
      store.failures.delete(id);
      store.removed.delete(id);
      const facts = metadata === undefined ? null : JSON.stringify(metadata);
      await shard.add(result, { id, size: size ?? null, time: time ?? null, hash: digest ?? null, metadata: facts });
    }

    function report(): void {
      const { added, skipped, failed } = counts;
      const perSecond = (1000 * (added + failed)) / (performance.now() - begin);
      const secondsLeft = total === undefined ? undefined : (total - added - skipped - failed) / perSecond;
      onProgress?.({ ...counts, total, perSecond, secondsLeft });
    }

    try {
      if (onProgress)
        void countOf(sources, ended).then(
          (count) => (total = count),
          () => {},
        );
      for await (const item of itemsOf(sources, ended)) {
        if ("folder" in item) {
          wholes.push(item.folder);
          continue;
        }
        met.add(item.id);
        const state = await stateOf(item);
        if (state === "removed") {
          if (!store.removed.has(item.id)) counts.removed++;
          store.removed.add(item.id);
        } else if (state === "there") {
          counts.skipped++;
          store.removed.delete(item.id);
          store.failures.delete(item.id);
        } else if (state.error) {
          await settle(state, state.error);
        } else {
          batch.push(state);
          if (batch.length === BATCH) send();
          while (under.length >= AHEAD) await receive();
        }
      }
      send();
      while (under.length > 0) await receive();
      for (const id of goneFrom(wholes, met, { index, store })) {
        store.removed.add(id);
        counts.removed++;
      }
    } catch (error) {
      own.abort(error);
      await Promise.allSettled(under);
      if (!signal?.aborted) throw error;
      // What is embedded is kept.
      await shard.flush();
      await store.saveLists();
      await index.update();
      throw error;
    }
    await shard.flush();
    await store.saveLists();
    await index.update();
    report();
    return counts;
  });

  /** Tells whether an item is known as it is, or is gone; else the item, with its digest where that is wanted. */
  async function stateOf(item: Item): Promise<"there" | "removed" | Read> {
    const { id, gone, error } = item;
    const last = index.last(id);
    const known = knownAs(item, last);
    if (known) return known;
    if (error || gone || !hash || item.image === undefined) return item;
    try {
      const bytes = await bytesOf(item);
      const digest = diskTools().crypto.createHash("sha256").update(bytes).digest("hex");
      if (last?.hash === digest) return "there";
      return { ...item, image: new File([bytes as Uint8Array<ArrayBuffer>], id), digest };
    } catch (error) {
      ended.throwIfAborted();
      return { ...item, error: error as Error };
    }
  }

  async function bytesOf({ image }: Item): Promise<Uint8Array> {
    if (image instanceof Blob) return new Uint8Array(await image.arrayBuffer());
    if (typeof image === "string" || image instanceof URL)
      return readFile(image, { maxBytes: mostBytes(), signal: ended });
    if (image instanceof ArrayBuffer || image instanceof Uint8Array) return new Uint8Array(image as ArrayBuffer);
    throw new TypeError("image: hash needs a file, an address or encoded bytes; got pixels");
  }
}

/** Tells of an item whether its photo is known as it is, or is gone. */
export function knownAs(
  { size, time, gone, error }: Item,
  last: Pick<Last, "size" | "time"> | undefined,
): "there" | "removed" | undefined {
  if (!last) return undefined;
  if (gone) return "removed";
  return !error && (size === undefined || (last.size === size && last.time === time)) ? "there" : undefined;
}

/** Photos of folders that were gone through which were not met. */
export function goneFrom(
  folders: readonly string[],
  met: ReadonlySet<string>,
  { index, store }: Pick<Parts, "index" | "store">,
): string[] {
  const { sep } = diskTools().path;
  const within = folders.map((folder) => (folder.endsWith(sep) ? folder : folder + sep));
  if (within.length === 0) return [];
  return [...index.ids()].filter(
    (id) => !met.has(id) && !store.removed.has(id) && !IN_ARCHIVE.test(id) && within.some((at) => id.startsWith(at)),
  );
}

/** Most rows of a shard: of 1024 floats, 1 GB. */
export const MAX_SHARD = 2 ** 18;

const IN_ARCHIVE = /\.(tar|tar\.gz|tgz)#/i;

/** Vectors of all photos, or their errors. */
export async function embedAll(
  model: Model,
  items: readonly Item[],
  options: EmbedOptions,
  width: number,
): Promise<readonly (Float32Array | Error)[]> {
  try {
    const rows = await model.embed(
      items.map(({ image }) => image!),
      options,
    );
    return items.map((_, i) => rows.subarray(i * width, (i + 1) * width));
  } catch (error) {
    options.signal?.throwIfAborted();
    // Throws once the model was disposed of, which is no fault of a photo.
    void model.memory;
    if (items.length === 1) return [error as Error];
    const { errors, results } = error as BatchError<Float32Array>;
    if (!results) throw error;
    let failed = 0;
    return items.map((_, i) => results[i] ?? errors[failed++]!);
  }
}

/** Photos in all, where they can be counted without opening anything. */
async function countOf(
  sources: Source | Iterable<Source> | AsyncIterable<Source>,
  signal: AbortSignal,
): Promise<number | undefined> {
  const list = Array.isArray(sources) ? sources : [sources];
  if (!list.every((source) => typeof source === "string")) return undefined;
  let count = 0;
  for await (const { image } of listImages(list as string[], signal)) {
    if (/\.(tar|tar\.gz|tgz)$/i.test(image)) return undefined;
    count++;
  }
  return count;
}

/** The shard that is being filled. It begins with what the last one has, if that is not full, and takes its place. */
async function openShard(store: Store, width: number, most: number) {
  const last = store.shards.at(-1);
  let replaced = last && last.count < most && !isOfJob(last) ? last : undefined;
  let rows: PhotoRow[] = replaced ? (await store.rowsOf(replaced)).rows : [];
  const vectors = new Float32Array(most * width);
  if (replaced) {
    const bytes = new Uint8Array(numberBytes(store.numbers) * width * replaced.count);
    await store.readVectors(replaced, 0, bytes);
    vectors.set(fromStored(store.numbers, bytes, width));
  }
  let added = 0;

  async function flush(): Promise<void> {
    if (added === 0) return;
    await store.append(vectors.subarray(0, rows.length * width), rows, replaced);
    await store.saveLists();
    replaced = undefined;
    rows = [];
    added = 0;
  }

  return {
    flush,
    async add(vector: Float32Array, row: PhotoRow): Promise<void> {
      vectors.set(vector, rows.length * width);
      rows.push(row);
      added++;
      if (rows.length >= most) await flush();
    },
  };
}
