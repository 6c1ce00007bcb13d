/**
 * A collection on disk, in clip-retrieval's layout, so that others read it as it is:
 *
 *     manifest.json                         which model made the vectors, and how
 *     img_emb/img_emb_0000.npy              rows of length 1, f32, [rows, width]
 *     metadata/metadata_0000.parquet        a row for each of them
 *     metadata/metadata_0000.sha256         its digest: Parquet that was damaged can keep its reader busy without end
 *     failures.jsonl                        photos that could not be read, and why
 *     removed.json                          photos that were not there any more
 *     writer.lock                           while one process adds
 *
 * A shard is there when its .npy is, which comes last and whole (`writeWhole`). A photo that is added again is a later row; the
 * earlier ones of its name count no more.
 */

import { encodeNpy, readNpyHead } from "../io/npy.js";
import { fromFile } from "../io/source.js";
import { excerpt, parseJson } from "../json.js";
import {
  diskTools,
  isDirectory,
  listDirectory,
  makeFolder,
  notWritten,
  pathExists,
  readFile,
  readNote,
  writeWhole,
} from "../platform/files.js";
import { locked } from "../platform/lock.js";
import { digestOf, encodeRows, type PhotoRow, readRows } from "./parquet.js";

export interface Shard {
  readonly number: number;
  /** Place of its first row in the collection. */
  readonly first: number;
  readonly count: number;
  /** Where its rows begin in the .npy. */
  readonly begin: number;
}

/** A photo that could not be read. */
export interface Failure {
  readonly id: string;
  readonly error: string;
}

/** Most bytes of the lists of failures and of removed photos. */
const MAX_LIST = 2 ** 28;

export interface Store {
  readonly shards: readonly Shard[];
  readonly failures: Map<string, string>;
  readonly removed: Set<string>;
  vectorsOf(shard: Shard): string;
  rowsOf(shard: Shard): Promise<PhotoRow[]>;
  /** All rows of a shard. */
  readVectors(shard: Shard): Promise<Float32Array>;
  /**
   * Adds a shard, which is there whole or not at all.
   * @param replaced the last shard, if the new one begins with its rows: it is removed when the new one is there.
   */
  append(vectors: Float32Array, rows: readonly PhotoRow[], replaced?: Shard): Promise<void>;
  /** Writes the lists beside the shards. */
  saveLists(): Promise<void>;
  /** Runs a task that adds, when no other process does; sweeps away first what one that was killed has left. */
  writing<T>(signal: AbortSignal | undefined, task: () => Promise<T>): Promise<T>;
}

/** @throws Error: one sentence, for a shard that is not whole. */
export async function openStore(folder: string, width: number): Promise<Store> {
  const { fs, path } = diskTools();
  const vectorsFolder = path.join(folder, "img_emb");
  const rowsFolder = path.join(folder, "metadata");
  const numbered = (number: number) => String(number).padStart(4, "0");
  const vectorsAt = (number: number) => path.join(vectorsFolder, `img_emb_${numbered(number)}.npy`);
  const rowsAt = (number: number) => path.join(rowsFolder, `metadata_${numbered(number)}.parquet`);
  const digestAt = (number: number) => path.join(rowsFolder, `metadata_${numbered(number)}.sha256`);
  const failuresAt = path.join(folder, "failures.jsonl");
  const removedAt = path.join(folder, "removed.json");
  const numbersIn = async (at: string, name: RegExp) =>
    (await isDirectory(at))
      ? (await listDirectory(at))
          .flatMap((file) => name.exec(file)?.[1] ?? [])
          .map(Number)
          .sort((a, b) => a - b)
      : [];
  const shards: Shard[] = [];
  const failures = new Map<string, string>();
  const removed = new Set<string>();

  /** Finds shards that another process has written since. */
  async function find(): Promise<void> {
    const last = shards.at(-1)?.number ?? -1;
    for (const number of await numbersIn(vectorsFolder, /^img_emb_(\d{4,9})\.npy$/)) {
      if (number <= last) continue;
      const { shape, begin } = await headOf(vectorsAt(number), width);
      const before = shards.at(-1);
      shards.push({ number, first: before ? before.first + before.count : 0, count: shape[0]!, begin });
    }
  }

  async function readLists(): Promise<void> {
    failures.clear();
    removed.clear();
    if (await pathExists(failuresAt)) {
      const text = new TextDecoder().decode(await readFile(failuresAt, { maxBytes: MAX_LIST }));
      for (const [i, line] of text.split("\n").filter(Boolean).entries()) {
        const { id, error } = Object(
          parseJson(new TextEncoder().encode(line), `collection: line ${i} of "${failuresAt}"`),
        );
        if (typeof id === "string" && typeof error === "string") failures.set(id, error);
      }
    }
    if (await pathExists(removedAt)) {
      const list = parseJson(await readFile(removedAt, { maxBytes: MAX_LIST }), `collection: "${removedAt}"`);
      if (!Array.isArray(list) || list.some((id) => typeof id !== "string")) {
        throw new Error(`collection: "${removedAt}" must be a list of texts; got ${excerpt(list)}`);
      }
      for (const id of list as string[]) removed.add(id);
    }
  }

  async function removeRows(number: number): Promise<void> {
    for (const at of [rowsAt, digestAt]) await fs.rm(at(number), { force: true });
  }

  /** Removes what a writer that was killed has left: files under other names, and metadata whose vectors never came. */
  async function sweep(): Promise<void> {
    const there = new Set(await numbersIn(vectorsFolder, /^img_emb_(\d{4,9})\.npy$/));
    for (const number of await numbersIn(rowsFolder, /^metadata_(\d{4,9})\.(?:parquet|sha256)$/)) {
      if (!there.has(number)) await removeRows(number);
    }
    for (const at of [folder, vectorsFolder, rowsFolder]) {
      for (const name of (await isDirectory(at)) ? await listDirectory(at) : []) {
        if (name.endsWith(".partial")) await fs.rm(path.join(at, name), { force: true });
      }
    }
  }

  await find();
  await readLists();
  return {
    ...{ shards, failures, removed },
    vectorsOf: ({ number }) => vectorsAt(number),
    rowsOf: async ({ number, count }) => readRows(rowsAt(number), count, await readNote(digestAt(number))),
    async readVectors({ number, count, begin }) {
      const rows = new Float32Array(count * width);
      await readInto(vectorsAt(number), new Uint8Array(rows.buffer), begin);
      return rows;
    },
    async append(vectors, rows, replaced) {
      for (const at of [vectorsFolder, rowsFolder]) await makeFolder(at);
      const number = (shards.at(-1)?.number ?? -1) + 1;
      const encoded = await encodeRows(rows);
      await writeWhole(rowsAt(number), encoded);
      await writeWhole(digestAt(number), digestOf(encoded));
      try {
        await writeWhole(vectorsAt(number), encodeNpy({ dims: [rows.length, width], data: vectors }));
      } catch (error) {
        await removeRows(number);
        throw error;
      }
      if (replaced) {
        shards.pop();
        await fs.rm(vectorsAt(replaced.number), { force: true });
        await removeRows(replaced.number);
      }
      await find();
    },
    async saveLists() {
      const lines = [...failures].map(([id, error]) => `${JSON.stringify({ id, error } satisfies Failure)}\n`);
      if (failures.size > 0 || (await pathExists(failuresAt))) await writeWhole(failuresAt, lines.join(""));
      if (removed.size > 0 || (await pathExists(removedAt))) await writeWhole(removedAt, JSON.stringify([...removed]));
    },
    writing: (signal, task) => {
      const lock = path.join(folder, "writer.lock");
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
            `collection: "${folder}" is being added to by process ${pid} of ${host}; wait until it has ended`,
          );
        },
      ).catch((error) => {
        throw Object(error).syscall ? notWritten(lock, error) : error;
      });
    },
  };
}

/** Reads bytes of a file from a place on. */
export async function readInto(file: string, target: Uint8Array, position: number): Promise<void> {
  const source = await fromFile(file);
  await source.read(target, position).finally(() => source.close());
}

async function headOf(at: string, width: number) {
  const source = await fromFile(at);
  try {
    const head = await readNpyHead(source, (rule, got) => {
      throw new Error(
        `collection: "${at}" must ${rule}; got ${got}: remove it and its metadata, and its photos can be added again`,
      );
    });
    const { dtype, shape } = head;
    if (dtype === "F32" && shape.length === 2 && shape[1] === width) return head;
    throw new Error(
      `collection: "${at}" must have rows of ${width} F32, as its manifest says; got ${dtype} (${shape})`,
    );
  } finally {
    await source.close();
  }
}
