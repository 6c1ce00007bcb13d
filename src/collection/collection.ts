/** Photos whose vectors are on disk: adding them, and what is found among them. */
import { checkSame, type Identity, identityOf } from "../identity.js";
import type { ImageInput } from "../image/source.js";
import { type Objects, openObjects } from "../io/objects.js";
import { excerpt } from "../json.js";
import type { Model } from "../model.js";
import type { EmbedOptions } from "../tasks/embed.js";
import { checkNames } from "../tasks/task.js";
import { type Added, type AddOptions, addPhotos } from "./add.js";
import { type DuplicateOptions, duplicatesOf, type Group } from "./duplicates.js";
import type { Source } from "./items.js";
import { readManifest, writeManifest } from "./manifest.js";
import type { Numbers } from "./numbers.js";
import type { Failure } from "./parquet.js";
import { createIndex, type Index, type KnownPhoto } from "./photos.js";
import { createSearcher, type Hit, type SearchOptions } from "./search.js";
import { openStore } from "./store.js";

export interface CollectionOptions {
  /** The model that embeds what is added and searched for. A collection that is there opens without one, for vectors alone. */
  model?: Model;
  /** Vectors of a new collection, as `embed` has them. */
  pooling?: Exclude<EmbedOptions["pooling"], "none">;
  /** Numbers of a new collection's vectors, f32 unless given; int8 takes a quarter of the bytes, and cosines differ by some thousandths. */
  vectors?: Numbers;
  signal?: AbortSignal;
}

/** A text or an image to be looked for, told apart; or a vector as `embed` gives it. */
export type Query =
  | { readonly text: string }
  | { readonly image: ImageInput }
  | Exclude<ImageInput, string>
  | string
  | Float32Array;

export interface Collection {
  /** The model that made the vectors, and how. */
  readonly identity: Identity;
  /** Photos that can be found. */
  readonly size: number;
  /**
   * Adds photos: files, folders, patterns, lists, tar archives, addresses, and whatever an iterable gives, in bounded memory. Those that are there and
   * have not changed are skipped; of a folder, those that are gone are left out of what is found from then on. A photo that cannot
   * be read is listed in `failures`, and the others are added. Whatever ends it, the next call goes on: a shard is on disk whole or
   * not at all.
   * @throws Error: one sentence, if another process is adding, and if the disk does not take what is written.
   */
  add(sources: Source | Iterable<Source> | AsyncIterable<Source>, options?: AddOptions): Promise<Added>;
  /**
   * Photos whose vectors have the largest cosine with that of the query: exactly those, in f64; equal ones in the order in which they
   * were added. With a text tower a string is a text, else a path.
   */
  search(query: Query, options?: SearchOptions): Promise<Hit[]>;
  search(queries: readonly Query[], options?: SearchOptions): Promise<Hit[][]>;
  /** Groups of photos of which each has a cosine above the threshold with another one, of all pairs, the largest file first. */
  duplicates(options?: DuplicateOptions): Promise<Group[]>;
  /** Photos that could not be read when they were last added, and why. */
  readonly failures: readonly Failure[];
  /** All photos that can be found, in the order in which they were added. */
  photos(): AsyncGenerator<KnownPhoto>;
}

/**
 * Opens a collection; makes it where there is none.
 * @param folder an empty one, or one that does not exist yet, for a new collection; or s3://bucket/prefix.
 * @throws Error: one sentence, for vectors of another model with both models, and for a folder that is none.
 */
export async function openCollection(
  folder: string,
  { model, pooling, vectors, signal, ...others }: CollectionOptions = {},
): Promise<Collection> {
  checkNames("openCollection", others, { model: true, pooling: true, vectors: true, signal: true });
  if (typeof folder !== "string" || folder === "") {
    throw new TypeError(`openCollection: folder must be a path; got ${excerpt(folder)}`);
  }
  const objects = await openObjects(folder);
  const identity = await identityIn(objects, { model, pooling, vectors, signal });
  const { width } = identity;
  const store = await openStore(objects, identity);
  const embedding = embeddingOf(identity);
  const index: Index = createIndex(store);
  await index.update();
  const searcher = createSearcher(store, index, width);

  /** The vector of a query. */
  async function vectorOf(query: Query, signal: AbortSignal | undefined): Promise<Float32Array> {
    if (query instanceof Float32Array) return query;
    if (!model) throw new TypeError("search: a text or an image needs the model; open the collection with it");
    // Not of what it inherits: a Blob has a method text.
    const { text, image } = query as { text?: string; image?: ImageInput };
    const told = (name: string) => typeof query === "object" && Object.hasOwn(query, name);
    const words = told("text") ? text : typeof query === "string" && model.text ? query : undefined;
    if (words === undefined) {
      return model.embed((told("image") ? image : query) as ImageInput, { ...embedding, signal });
    }
    if (!model.text)
      throw new RangeError("search: a text needs a model of images and texts; this one has no text tower");
    return model.text.embed(words, { normalize: true, signal });
  }

  async function search(query: Query | readonly Query[], options: SearchOptions = {}) {
    checkNames("search", options, { topK: true, filter: true, signal: true });
    const list = Array.isArray(query) ? (query as readonly Query[]) : [query as Query];
    const vectors: Float32Array[] = [];
    for (const one of list) vectors.push(await vectorOf(one, options.signal));
    const hits = await searcher.search(vectors, options);
    return Array.isArray(query) ? hits : hits[0]!;
  }

  return {
    identity,
    get size() {
      return index.size;
    },
    get failures() {
      return [...new Map([...index.failures, ...store.failures])].map(([id, error]) => ({ id, error }));
    },
    async add(sources, options = {}) {
      checkNames("add", options, { hash: true, shardRows: true, onProgress: true, signal: true });
      if (!model) throw new TypeError("add: photos need the model; open the collection with it");
      return addPhotos({ model, embedding, width, store, index }, sources, options);
    },
    search: search as Collection["search"],
    duplicates(options = {}) {
      checkNames("duplicates", options, { threshold: true, onProgress: true, signal: true });
      return duplicatesOf({ width, store, index, searcher }, options);
    },
    photos: () => index.photos(),
  };
}

/** Options of `embed` that make a collection's vectors. */
export const embeddingOf = ({ pooling }: Identity): EmbedOptions => ({
  ...(pooling && { pooling: pooling as EmbedOptions["pooling"] }),
  normalize: true,
});

/** The identity of a collection's vectors, by its manifest, which is made where there is none. */
export async function identityIn(
  objects: Objects,
  { model, pooling, vectors, signal }: CollectionOptions,
): Promise<Identity> {
  const { name } = objects;
  if (vectors !== undefined && vectors !== "f32" && vectors !== "int8") {
    throw new RangeError(`collection: vectors must be f32 or int8; got ${excerpt(vectors)}`);
  }
  const made = await readManifest(objects);
  const numbers = made?.vectors ?? "f32";
  if (made && vectors && vectors !== numbers) {
    throw new Error(`collection: "${name}" has vectors of ${numbers}, as it was made; got ${vectors}`);
  }
  if (!made && !model) throw new Error(`collection: "${name}" is none, and making one needs a model`);
  if (made && !model) return made;
  const own = await identityOf(model!, { pooling: pooling ?? made?.pooling, normalize: true, signal });
  const given = vectors === "int8" ? { ...own, vectors } : own;
  if (!made) {
    // The folder for unfinished files may be that of another process which is making it.
    const [other] = (await objects.list("")).filter((file) => file !== "partial");
    if (other !== undefined) {
      throw new Error(`collection: "${name}" must be empty, or have a manifest.json; it has ${excerpt(other)}`);
    }
    if (await writeManifest(objects, given)) return given;
  }
  // Another process may have made it meanwhile.
  const there = made ?? (await readManifest(objects))!;
  checkSame(`collection: "${name}"`, there, given);
  return there;
}
