/**
 * A job: photos that become one shard of a collection, on any machine, as often as it may be tried. Its name is its number in the
 * plan, which puts shards in order, and a hash of all that its vectors depend on:
 *
 *     jobs/0001-HASH.json                       its photos, for whoever does it
 *     metadata/metadata_0001-HASH.parquet       those that could be read, and why others could not: the first to write it decides
 *     img_emb/img_emb_0001-HASH.npy             their vectors: with this it is done
 *
 * Both are created where they are not there yet, so that of several workers one writes each, and a photo is in one shard once.
 */
import { AHEAD, BATCH, embedAll } from "../collection/add.js";
import { embeddingOf } from "../collection/collection.js";
import { toStored } from "../collection/numbers.js";
import { digestOf, encodeRows, type Failure, type PhotoRow, readRows } from "../collection/parquet.js";
import { digestAt, namesOf, numbered, rowsAt, vectorsAt } from "../collection/store.js";
import type { Identity } from "../identity.js";
import { encodeNpy } from "../io/npy.js";
import type { Objects } from "../io/objects.js";
import { fromBytes } from "../io/source.js";
import { excerpt, parseJson } from "../json.js";
import type { Model } from "../model.js";
import { diskTools } from "../platform/files.js";

/** A photo of a job: a path or an address that every worker can open; of a file its size and the time of its last change. */
export interface Key {
  readonly id: string;
  readonly size?: number;
  readonly time?: number;
}

export interface JobProgress {
  /** Photos of the job that are embedded or could not be read. */
  readonly done: number;
  readonly total: number;
}

/** Most bytes of a job. */
const MAX_BYTES = 2 ** 26;

export const jobAt = (name: string): string => `jobs/${name}.json`;
export const jobsIn = async (objects: Objects): Promise<string[]> => namesOf(await objects.list("jobs"), "", ".json");
export const doneIn = async (objects: Objects): Promise<Set<string>> =>
  new Set(namesOf(await objects.list("img_emb"), "img_emb_", ".npy"));

/** The name of a job: of the same photos and the same model its hash is the same, wherever it is planned. */
export function nameOfJob(number: number, keys: readonly Key[], identity: Identity): string {
  const { model, commit, precision, preprocessing, pooling, check } = identity;
  const photos = keys.map(({ id, size, time }) => [id, size ?? null, time ?? null]);
  const all = [photos, model, commit ?? null, precision, preprocessing, pooling ?? null, check];
  const hash = diskTools().crypto.createHash("sha256").update(JSON.stringify(all)).digest("hex");
  return `${numbered(number)}-${hash.slice(0, 32)}`;
}

export const encodeJob = (keys: readonly Key[]): string => JSON.stringify({ photos: keys });

/** @throws Error: one sentence, for what is no job. */
export async function readJob(objects: Objects, name: string): Promise<Key[]> {
  const bytes = await objects.read(jobAt(name), MAX_BYTES);
  const what = `jobs: "${objects.nameOf(jobAt(name))}"`;
  if (!bytes) throw new Error(`${what} does not exist`);
  const { photos } = Object(parseJson(bytes, what)) as { photos?: unknown };
  if (Array.isArray(photos) && photos.length > 0 && photos.every(isKey)) return photos;
  throw new Error(`${what} must be a list of photos; got ${excerpt(photos ?? null)}`);
}

function isKey(value: unknown): value is Key {
  const { id, size, time } = Object(value) as Key;
  return typeof id === "string" && [size, time].every((x) => x === undefined || Number.isFinite(x));
}

export interface JobParts {
  readonly objects: Objects;
  readonly identity: Identity;
  readonly model: Model;
}

/** A job that was done here, or by another worker meanwhile. */
export interface DoneJob {
  readonly name: string;
  readonly photos: number;
  readonly failures: readonly Failure[];
  /** Another worker had written the shard before. */
  readonly late: boolean;
}

/** Embeds the photos of a job, and writes its shard. A photo that cannot be read is noted in the shard. */
export async function runJob(
  { objects, identity, model }: JobParts,
  name: string,
  { onProgress, signal }: { onProgress?: (progress: JobProgress) => void; signal?: AbortSignal | undefined },
): Promise<DoneJob> {
  if (await objects.has(vectorsAt(name))) return { name, photos: 0, failures: [], late: true };
  const keys = await readJob(objects, name);
  const { width } = identity;
  const vectors = new Map<string, Float32Array>();
  const failures: Failure[] = [];
  const results = new Array<Float32Array | Error>(keys.length);
  let [next, done] = [0, 0];
  /** Takes batches as long as there are any; of several, one decodes while another computes. */
  async function lane(): Promise<void> {
    while (next < keys.length) {
      const first = next;
      next += BATCH;
      const items = keys.slice(first, next).map((key) => ({ ...key, image: key.id }));
      const found = await embedAll(model, items, { ...embeddingOf(identity), ...(signal && { signal }) }, width);
      for (const [i, result] of found.entries()) results[first + i] = result;
      done += items.length;
      onProgress?.({ done, total: keys.length });
    }
  }
  await Promise.all(Array.from({ length: AHEAD }, lane)).catch((error) => {
    // The other lanes end with their batch.
    next = keys.length;
    throw error;
  });
  const rows = keys.flatMap(({ id, size, time }, i): PhotoRow[] => {
    const result = results[i]!;
    if (result instanceof Error) {
      failures.push({ id, error: result.message });
      return [];
    }
    vectors.set(id, result);
    return [{ id, size: size ?? null, time: time ?? null, hash: null, metadata: null }];
  });
  const described = await describe(objects, name, rows, failures);
  const data = new Float32Array(described.rows.length * width);
  for (const [i, { id }] of described.rows.entries()) {
    const vector = vectors.get(id);
    if (!vector) {
      const at = objects.nameOf(rowsAt(name));
      throw new Error(
        `jobs: "${at}" has ${excerpt(id)}, which cannot be read now: if no worker is at it, remove that file`,
      );
    }
    data.set(vector, i * width);
  }
  signal?.throwIfAborted();
  const stored = toStored(identity.vectors ?? "f32", data, width);
  const first = await objects.create(
    vectorsAt(name),
    encodeNpy({ dims: [described.rows.length, width], data: stored }),
  );
  return { name, photos: described.rows.length, failures: described.failures, late: !first };
}

/** Writes the metadata of a shard. Where another worker has, its own are the shard's: two may differ in what they could read. */
async function describe(objects: Objects, name: string, rows: readonly PhotoRow[], failures: readonly Failure[]) {
  const encoded = await encodeRows(rows, failures);
  if (await objects.create(rowsAt(name), encoded)) {
    await objects.write(digestAt(name), digestOf(encoded));
    return { rows, failures };
  }
  const at = objects.nameOf(rowsAt(name));
  const bytes = (await objects.read(rowsAt(name), MAX_BYTES)) ?? new Uint8Array(0);
  // Who wrote it may have died before its digest was there.
  await objects.create(digestAt(name), digestOf(bytes));
  const digest = new TextDecoder().decode(await objects.read(digestAt(name), MAX_BYTES));
  return readRows(fromBytes(bytes, at), at, { digest });
}
