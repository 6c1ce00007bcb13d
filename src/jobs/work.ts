/** Working through the jobs of a store, beside any number of other processes and machines: nothing else has to run. */
import { identityIn } from "../collection/collection.js";
import type { Failure } from "../collection/parquet.js";
import { type Objects, openObjects } from "../io/objects.js";
import type { Model } from "../model.js";
import { checkNames } from "../tasks/task.js";
import { sleep } from "../waiting.js";
import { type DoneJob, doneIn, type JobProgress, jobsIn, runJob } from "./job.js";
import { createLeases, type Lease, leasedIn } from "./leases.js";

export interface WorkOptions {
  /** The model that embeds; it must be the store's. */
  model: Model;
  /** Seconds without a heartbeat after which a job is taken over, 60 unless given: more than a batch of 32 photos takes here. */
  lease?: number;
  /** Called after each batch. */
  onProgress?: (progress: WorkProgress) => void;
  /** Ends it; the job under way is free for others then. The promise rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface WorkProgress extends Worked {
  /** Jobs of the store that are done, by whomever, and all. */
  readonly done: number;
  readonly total: number;
  /** The job under way. */
  readonly job: JobProgress;
}

/** Jobs and photos that a call has done. */
export interface Worked {
  /** Shards that it has written. */
  readonly jobs: number;
  readonly photos: number;
  /** Photos that could not be read. */
  readonly failures: readonly Failure[];
  /** Jobs that failed each time they were tried here, and why. */
  readonly failed: readonly { readonly job: string; readonly error: string }[];
}

export interface Status {
  readonly jobs: number;
  readonly done: number;
  /** Jobs that somebody has, or had when it died. */
  readonly leased: number;
}

/** Times that a job is tried here, and milliseconds before the second. */
const [TRIES, DELAY] = [3, 1000];

/** Milliseconds before the jobs are listed again when others have all that are left; twice as many each time, up to the most. */
const [SOON, LATE] = [125, 5000];

/** Jobs in a row that another worker had taken or done since they were listed: they are listed again then. */
const MISSES = 16;

/** How far the jobs of a store are. */
export async function status(place: string): Promise<Status> {
  const objects = await openObjects(place);
  const [jobs, done, leased] = await Promise.all([jobsIn(objects), doneIn(objects), leasedIn(objects)]);
  return {
    jobs: jobs.length,
    done: jobs.filter((name) => done.has(name)).length,
    leased: jobs.filter((name) => leased.has(name) && !done.has(name)).length,
  };
}

/**
 * Does jobs of a store until all are done: those that nobody has, then those whose workers have died.
 * @param place a folder, or s3://bucket/prefix.
 * @throws Error: one sentence, for a store of another model, and for one that cannot be read or written.
 */
export async function work(
  place: string,
  { model, lease = 60, onProgress, signal, ...others }: WorkOptions,
): Promise<Worked> {
  checkNames("work", others, { model: true, lease: true, onProgress: true, signal: true });
  checkLease("work", lease);
  const objects = await openObjects(place);
  const identity = await identityIn(objects, { model, signal });
  const leases = createLeases(objects, 1000 * lease);
  const tally = createTally();
  const tries = new Map<string, { count: number; error: string; again: number }>();
  const failed = () => [...tries].filter(([, { count }]) => count >= TRIES).map(([job, { error }]) => ({ job, error }));
  let [done, total, wait] = [0, 0, SOON];

  /** Does a job; false if another worker had done it before. */
  async function attempt(name: string, held: Lease): Promise<boolean> {
    try {
      const report = (job: JobProgress) => onProgress?.({ ...tally.all(), failed: failed(), done, total, job });
      const result = await runJob({ objects, identity, model }, name, { signal, onProgress: report });
      tally.add(result);
      tries.delete(name);
      done++;
      return !result.late;
    } catch (error) {
      signal?.throwIfAborted();
      // Throws once the model was disposed of, which is no fault of a job.
      void model.memory;
      const count = (tries.get(name)?.count ?? 0) + 1;
      tries.set(name, { count, error: (error as Error).message, again: performance.now() + DELAY * 4 ** (count - 1) });
      return true;
    } finally {
      await held.release();
    }
  }

  for (;;) {
    const [jobs, finished, leased] = await Promise.all([jobsIn(objects), doneIn(objects), leasedIn(objects)]);
    const open = jobs.filter((name) => !finished.has(name) && (tries.get(name)?.count ?? 0) < TRIES);
    [done, total] = [jobs.filter((name) => finished.has(name)).length, jobs.length];
    if (open.length === 0) {
      await sweep(objects, jobs, finished);
      return { ...tally.all(), failed: failed() };
    }
    const now = performance.now();
    const free = open.filter((name) => !leased.has(name) && (tries.get(name)?.again ?? 0) <= now);
    let [misses, busy] = [0, true];
    while (free.length > 0 && misses < MISSES) {
      signal?.throwIfAborted();
      // Any of them, so that many workers do not ask for the same one.
      const name = removeAny(free);
      const held = await leases.claim(name);
      if (held) [busy, wait] = [false, SOON];
      misses = held && (await attempt(name, held)) ? 0 : misses + 1;
    }
    if (free.length > 0) continue;
    const taken = await leases.takeOver(new Set(open));
    if (taken) await attempt(taken.name, taken);
    else if (busy) {
      await sleep(Math.min(wait, 250 * lease), signal);
      wait = Math.min(2 * wait, LATE);
    }
  }
}

/** Takes any of a list's texts out of it. */
function removeAny(names: string[]): string {
  const at = Math.floor(Math.random() * names.length);
  const [name, last] = [names[at]!, names.pop()!];
  if (at < names.length) names[at] = last;
  return name;
}

export function checkLease(call: string, lease: number): void {
  if (!(lease >= 0.1 && lease <= 86_400)) {
    throw new RangeError(`${call}: lease must be from 0.1 to 86400 seconds; got ${lease}`);
  }
}

/** Sums of what a worker has done. */
export function createTally() {
  let [jobs, photos] = [0, 0];
  const failures: Failure[] = [];
  return {
    add(done: DoneJob): void {
      if (done.late) return;
      jobs++;
      photos += done.photos;
      failures.push(...done.failures);
    },
    all: () => ({ jobs, photos, failures: [...failures] }),
  };
}

/** Removes what workers that died have left of jobs that are done. */
async function sweep(objects: Objects, jobs: readonly string[], done: ReadonlySet<string>): Promise<void> {
  if (!jobs.every((name) => done.has(name))) return;
  for (const file of await objects.list("leases")) {
    if (done.has(file.replace(/\.\d+$/, ""))) await objects.remove(`leases/${file}`);
  }
  for (const file of await objects.list("partial")) {
    const [, name] = /^(?:metadata|img_emb)_(\d{4,9}-[0-9a-f]{32})\./.exec(file) ?? [];
    if (name !== undefined && done.has(name)) await objects.remove(`partial/${file}`);
  }
}
