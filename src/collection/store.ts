/**
 * A collection on disk, in clip-retrieval's layout, so that others read it as it is:
 *
 *     manifest.json                         which model made the vectors, and how
 *     img_emb/img_emb_0000.npy              rows of length 1, f32, or int8 (numbers.ts), [rows, width]
 *     metadata/metadata_0000.parquet        a row for each of them
 *     metadata/metadata_0000.sha256         its digest: a damaged name would be read as another one
 *     failures.jsonl                        photos that could not be read, and why
 *     removed.json                          photos that were not there any more
 *     writer.lock                           while one process adds
 *     img_emb/img_emb_0001-HASH.npy         a shard of a job (jobs/), with its metadata
 *
 * A shard is there when its .npy is, which comes last and whole. A photo that is added again is a later row; the earlier ones of its
 * name count no more.
 */

import type { Identity } from "../identity.js";
import { encodeNpy, readNpyHead } from "../io/npy.js";
import type { Objects } from "../io/objects.js";
import { excerpt, parseJson } from "../json.js";
import { diskTools, notWritten } from "../platform/files.js";
import { locked } from "../platform/lock.js";
import { type Numbers, numberBytes, toStored } from "./numbers.js";
import { digestOf, encodeRows, type Failure, type PhotoRow, type Rows, readRows } from "./parquet.js";

export interface Shard {
  /** Its number, and of a job its hash: 0001 or 0001-HASH. */
  readonly name: string;
  /** Place of its first row in the collection. */
  readonly first: number;
  readonly count: number;
  /** Offset of its rows in the .npy, in bytes. */
  readonly begin: number;
}

/** Most bytes of the lists of failures and of removed photos. */
const MAX_LIST = 2 ** 28;

/** Most bytes of a digest as text. */
const MAX_DIGEST = 1024;

export interface Store {
  readonly numbers: Numbers;
  readonly shards: readonly Shard[];
  readonly failures: Map<string, string>;
  readonly removed: Set<string>;
  /** Finds shards that others have written since. */
  find(): Promise<void>;
  rowsOf(shard: Shard): Promise<Rows>;
  /** Fills a target with the bytes of a shard's rows, from one on. */
  readVectors(shard: Shard, row: number, target: Uint8Array): Promise<void>;
  /**
   * Adds a shard, which is there whole or not at all.
   * @param replaced the last shard, if the new one begins with its rows: it is removed when the new one is there.
   */
  append(vectors: Float32Array, rows: readonly PhotoRow[], replaced?: Shard): Promise<void>;
  /** The first number that no shard has, and no job. */
  nextNumber(): Promise<number>;
  /** Writes the lists beside the shards. */
  saveLists(): Promise<void>;
  /** Runs a task that adds, when no other process does; sweeps away first what one that was killed has left. */
  writing<T>(signal: AbortSignal | undefined, task: () => Promise<T>): Promise<T>;
}

export const vectorsAt = (name: string): string => `img_emb/img_emb_${name}.npy`;
export const rowsAt = (name: string): string => `metadata/metadata_${name}.parquet`;
export const digestAt = (name: string): string => `metadata/metadata_${name}.sha256`;
/** The name of shard's and job's files by number. */
export const numbered = (number: number): string => String(number).padStart(4, "0");
/** Names of a job and of its shard. */
const NAME = /^(\d{4,9})(?:-[0-9a-f]{32})?$/;
/** The number in the name of a shard or job; undefined for what is none. */
export const numberOf = (name: string): number | undefined => {
  const [, number] = NAME.exec(name) ?? [];
  return number === undefined ? undefined : Number(number);
};
/** Tells a shard of a job, which is written once, from those that `append` writes. */
export const isOfJob = ({ name }: Shard): boolean => name.includes("-");

/** Names of shards or jobs among those of their files, by number. */
export function namesOf(files: readonly string[], begin: string, end: string): string[] {
  const fit = files.filter((file) => file.startsWith(begin) && file.endsWith(end));
  return fit
    .map((file) => file.slice(begin.length, -end.length))
    .filter((name) => NAME.test(name))
    .sort((a, b) => numberOf(a)! - numberOf(b)! || (a < b ? -1 : 1));
}

/** @throws Error: one sentence, for a shard that is not whole. */
export async function openStore(
  objects: Objects,
  { width, vectors }: Pick<Identity, "width" | "vectors">,
): Promise<Store> {
  const numbers = vectors ?? "f32";
  const FAILURES = "failures.jsonl";
  const REMOVED = "removed.json";
  const shards: Shard[] = [];
  const failures = new Map<string, string>();
  const removed = new Set<string>();
  const vectorNames = async () => namesOf(await objects.list("img_emb"), "img_emb_", ".npy");

  async function find(): Promise<void> {
    const known = new Set(shards.map(({ name }) => name));
    for (const name of await vectorNames()) {
      if (known.has(name)) continue;
      const { shape, begin } = await headOf(objects, vectorsAt(name), width, numbers);
      const before = shards.at(-1);
      shards.push({ name, first: before ? before.first + before.count : 0, count: shape[0]!, begin });
    }
  }

  async function readLists(): Promise<void> {
    failures.clear();
    removed.clear();
    const lines = new TextDecoder()
      .decode(await objects.read(FAILURES, MAX_LIST))
      .split("\n")
      .filter(Boolean);
    for (const [i, line] of lines.entries()) {
      const { id, error } = Object(
        parseJson(new TextEncoder().encode(line), `collection: line ${i} of "${objects.nameOf(FAILURES)}"`),
      );
      if (typeof id === "string" && typeof error === "string") failures.set(id, error);
    }
    const bytes = await objects.read(REMOVED, MAX_LIST);
    if (!bytes) return;
    const list = parseJson(bytes, `collection: "${objects.nameOf(REMOVED)}"`);
    if (!Array.isArray(list) || list.some((id) => typeof id !== "string")) {
      throw new Error(`collection: "${objects.nameOf(REMOVED)}" must be a list of texts; got ${excerpt(list)}`);
    }
    for (const id of list as string[]) removed.add(id);
  }

  async function removeRows(name: string): Promise<void> {
    for (const at of [rowsAt, digestAt]) await objects.remove(at(name));
  }

  /** Removes what a writer that was killed has left: files under other names, and metadata whose vectors never came. */
  async function sweep(): Promise<void> {
    const there = new Set(await vectorNames());
    const files = await objects.list("metadata");
    for (const name of [".parquet", ".sha256"].flatMap((end) => namesOf(files, "metadata_", end))) {
      // Those of a job wait for their vectors.
      if (!there.has(name) && !name.includes("-")) await removeRows(name);
    }
    for (const folder of ["", "img_emb", "metadata"]) {
      for (const name of await objects.list(folder)) {
        if (name.endsWith(".partial")) await objects.remove(`${folder}/${name}`);
      }
    }
  }

  async function nextNumber(): Promise<number> {
    const jobs = namesOf(await objects.list("jobs"), "", ".json");
    return [...jobs, ...shards.map(({ name }) => name)].reduce((next, name) => Math.max(next, numberOf(name)! + 1), 0);
  }

  await find();
  await readLists();
  return {
    ...{ numbers, shards, failures, removed, find, nextNumber },
    async rowsOf({ name, count }) {
      const noted = await objects.read(digestAt(name), MAX_DIGEST);
      const digest = noted && new TextDecoder().decode(noted);
      return readRows(await objects.open(rowsAt(name)), objects.nameOf(rowsAt(name)), { count, digest });
    },
    async readVectors({ name, begin }, row, target) {
      const source = await objects.open(vectorsAt(name));
      await source.read(target, begin + numberBytes(numbers) * width * row).finally(() => source.close());
    },
    async append(vectors, rows, replaced) {
      const name = numbered(await nextNumber());
      const encoded = await encodeRows(rows);
      await objects.write(rowsAt(name), encoded);
      await objects.write(digestAt(name), digestOf(encoded));
      try {
        const data = toStored(numbers, vectors, width);
        await objects.write(vectorsAt(name), encodeNpy({ dims: [rows.length, width], data }));
      } catch (error) {
        await removeRows(name);
        throw error;
      }
      if (replaced) {
        shards.pop();
        await objects.remove(vectorsAt(replaced.name));
        await removeRows(replaced.name);
      }
      await find();
    },
    async saveLists() {
      const lines = [...failures].map(([id, error]) => `${JSON.stringify({ id, error } satisfies Failure)}\n`);
      if (failures.size > 0 || (await objects.has(FAILURES))) await objects.write(FAILURES, lines.join(""));
      if (removed.size > 0 || (await objects.has(REMOVED))) await objects.write(REMOVED, JSON.stringify([...removed]));
    },
    writing(signal, task) {
      const { folder, name } = objects;
      if (folder === undefined) {
        throw new Error(`collection: "${name}" is no folder, and is added to by jobs (vitrail/jobs) alone`);
      }
      const lock = diskTools().path.join(folder, "writer.lock");
      return locked(
        lock,
        signal,
        async () => {
          await sweep();
          await find();
          await readLists();
          return task();
        },
        (owner) => {
          // Not written yet, it is asked for again.
          if (owner === "") return;
          const { host, pid } = Object(JSON.parse(owner));
          throw new Error(
            `collection: "${name}" is being added to by process ${pid} of ${host}; wait until it has ended`,
          );
        },
      ).catch((error) => {
        throw Object(error).syscall ? notWritten(lock, error) : error;
      });
    },
  };
}

async function headOf(objects: Objects, path: string, width: number, numbers: Numbers) {
  const source = await objects.open(path);
  const at = objects.nameOf(path);
  try {
    const head = await readNpyHead(source, (rule, got) => {
      throw new Error(
        `collection: "${at}" must ${rule}; got ${got}: remove it and its metadata, and its photos can be added again`,
      );
    });
    const { dtype, shape } = head;
    const wanted = numbers === "int8" ? "I8" : "F32";
    if (dtype === wanted && shape.length === 2 && shape[1] === width) return head;
    throw new Error(
      `collection: "${at}" must have rows of ${width} ${wanted}, as its manifest says; got ${dtype} (${shape})`,
    );
  } finally {
    await source.close();
  }
}
