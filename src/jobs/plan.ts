/** Planning: photos that a collection does not have yet, as jobs. */
import { goneFrom, knownAs, MAX_SHARD } from "../collection/add.js";
import { type CollectionOptions, identityIn } from "../collection/collection.js";
import { itemsOf, type Source } from "../collection/items.js";
import { createIndex } from "../collection/photos.js";
import { openStore } from "../collection/store.js";
import { type Objects, openObjects } from "../io/objects.js";
import { excerpt } from "../json.js";
import { checkNames } from "../tasks/task.js";
import { sleep } from "../waiting.js";
import { doneIn, encodeJob, jobAt, jobsIn, type Key, nameOfJob, readJob } from "./job.js";
import { createLeases, type Lease } from "./leases.js";

export interface PlanOptions extends CollectionOptions {
  /** Photos of a job and a shard, 1024 unless given: what is lost at most when a worker dies. */
  shardRows?: number;
  /** Called for each photo that was looked at. */
  onProgress?: (progress: { readonly photos: number }) => void;
}

export interface Planned {
  /** Jobs that are to be done, those of earlier plans too. */
  readonly jobs: readonly string[];
  /** Photos of the new ones. */
  readonly planned: number;
  /** Photos that are there and have not changed, or are in a job already. */
  readonly skipped: number;
  /** Photos that were there, and are no more. */
  readonly removed: number;
}

/** Milliseconds that a plan is leased for. */
const LEASE = 10_000;

/**
 * Plans jobs for photos that the store does not have: files, folders, patterns, lists and addresses, whose names mean the same on every
 * machine that works.
 * @param place a folder that all of them have, or s3://bucket/prefix.
 * @throws Error: one sentence, if another process is planning, and for a store of another model.
 */
export async function plan(
  place: string,
  sources: Source | Iterable<Source> | AsyncIterable<Source>,
  { model, pooling, vectors, shardRows = 1024, onProgress, signal, ...others }: PlanOptions = {},
): Promise<Planned> {
  checkNames("plan", others, {
    model: true,
    pooling: true,
    vectors: true,
    shardRows: true,
    onProgress: true,
    signal: true,
  });
  if (!Number.isSafeInteger(shardRows) || shardRows < 1 || shardRows > MAX_SHARD) {
    throw new RangeError(`plan: shardRows must be from 1 to ${MAX_SHARD}; got ${shardRows}`);
  }
  const objects = await openObjects(place);
  const identity = await identityIn(objects, { model, pooling, vectors, signal });
  const lease = await leaseOfPlan(objects, signal);
  try {
    const store = await openStore(objects, identity);
    const index = createIndex(store);
    await index.update();
    const done = await doneIn(objects);
    const jobs = (await jobsIn(objects)).filter((name) => !done.has(name));
    const waiting = new Map<string, { size: number | null; time: number | null }>();
    for (const name of jobs) {
      for (const { id, size = null, time = null } of await readJob(objects, name)) waiting.set(id, { size, time });
    }
    const counts = { planned: 0, skipped: 0, removed: 0 };
    const met = new Set<string>();
    const wholes: string[] = [];
    const { removed } = store;
    const before = removed.size;
    let number = await store.nextNumber();
    let keys: Key[] = [];

    async function close(): Promise<void> {
      if (keys.length === 0) return;
      const name = nameOfJob(number++, keys, identity);
      await objects.create(jobAt(name), encodeJob(keys));
      jobs.push(name);
      keys = [];
    }

    for await (const item of itemsOf(sources, signal ?? new AbortController().signal)) {
      if ("folder" in item) {
        wholes.push(item.folder);
        continue;
      }
      const { id, size, time, image } = item;
      if (image !== undefined && typeof image !== "string" && !(image instanceof URL)) {
        throw new TypeError(
          `plan: a photo must be a path or an address that workers can open; ${excerpt(id)} is in memory`,
        );
      }
      if (met.has(id)) continue;
      met.add(id);
      const state = knownAs(item, waiting.get(id)) ?? knownAs(item, index.last(id));
      if (state === "removed") {
        if (!removed.has(id)) counts.removed++;
        removed.add(id);
      } else if (state === "there") {
        counts.skipped++;
        removed.delete(id);
      } else {
        counts.planned++;
        removed.delete(id);
        keys.push({ id, ...(size !== undefined && { size }), ...(time !== undefined && { time }) });
        if (keys.length === shardRows) await close();
      }
      onProgress?.({ photos: met.size });
    }
    await close();
    for (const id of goneFrom(wholes, met, { index, store })) {
      removed.add(id);
      counts.removed++;
    }
    if (removed.size !== before || counts.removed > 0) await store.saveLists();
    return { jobs, ...counts };
  } finally {
    await lease.release();
  }
}

/** One plan at a time; that of a process which has died is taken over. */
async function leaseOfPlan(objects: Objects, signal: AbortSignal | undefined): Promise<Lease> {
  const leases = createLeases(objects, LEASE);
  const begin = performance.now();
  do {
    const lease = (await leases.claim("plan")) ?? (await leases.takeOver(new Set(["plan"])));
    if (lease) return lease;
    await sleep(LEASE / 8, signal);
  } while (performance.now() - begin < 2 * LEASE);
  throw new Error(`jobs: "${objects.name}" is being planned by another process; wait until it has ended`);
}
