/**
 * The jobs of stores by BullMQ (https://docs.bullmq.io) on Redis, where a team runs that already: priorities, retries with back-off,
 * jobs of workers that died, and progress in its dashboards. A job in the queue is the name of one in a store: what Redis forgets
 * is planned again, and what it hands out twice is written once. The package `bullmq` is the user's (a peer), and loaded here only.
 */
import { identityIn } from "../collection/collection.js";
import { openObjects } from "../io/objects.js";
import type { Model } from "../model.js";
import { diskTools } from "../platform/files.js";
import { builtin } from "../platform/host.js";
import { nameOf, reasonOf } from "../platform/web.js";
import { checkNames } from "../tasks/task.js";
import { abortable, sleep } from "../waiting.js";
import { type JobParts, type JobProgress, runJob } from "./job.js";
import { checkLease, createTally, type Worked } from "./work.js";

export interface EnqueueOptions {
  /** 0, unless given, is done first; up to 2097152. */
  priority?: number;
}

export interface QueueWorkOptions {
  /** Gives the model of a store; asked once a store. */
  model: (store: string) => Promise<Model>;
  /** Seconds without a sign of life after which the queue gives a job to another worker, 60 unless given. */
  lease?: number;
  /** Goes on when nothing is left to be done. */
  watch?: boolean;
  /** Called after each batch. */
  onProgress?: (progress: QueueProgress) => void;
  /** Ends it; the job under way goes back to the queue. The promise rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface QueueProgress extends Worked {
  readonly job: JobProgress;
}

/** The parts of BullMQ that are used here, by their names there. */
interface BullMQ {
  Queue: new (name: string, options: object) => Queue;
  Worker: new (name: string, run: (job: Job, token: string) => Promise<unknown>, options: object) => Worker;
}
interface Queue {
  addBulk(jobs: readonly { name: string; data: JobData; opts: object }[]): Promise<unknown>;
  getFailed(): Promise<Job[]>;
  getJobCounts(...states: string[]): Promise<Record<string, number>>;
  on(event: "error", listener: () => void): void;
  close(): Promise<void>;
}
interface Worker {
  on(event: "error", listener: (error: Error) => void): void;
  on(event: "failed", listener: (job: Job | undefined, error: Error) => void): void;
  close(force?: boolean): Promise<void>;
}
interface Job {
  readonly id?: string;
  readonly data: JobData;
  readonly attemptsMade: number;
  readonly opts: { readonly attempts?: number };
  updateProgress(progress: JobProgress): Promise<void>;
  retry(): Promise<void>;
}
interface JobData {
  readonly store: string;
  readonly job: string;
}

/** The queue's name in Redis. */
const NAME = "vitrail";
/** Times that a job is tried, and milliseconds before the second; each wait is twice the one before. */
const [TRIES, DELAY] = [5, 1000];
/** Times that a job may lose its worker. */
const MAX_STALLED = 100;
/** Milliseconds that Redis has for its first answer, and those between two looks at whether anything is left. */
const [ANSWER, LOOK] = [5000, 500];
/** Jobs that are put in the queue at once. */
const AT_ONCE = 1000;
/** States of jobs that are still to be done. */
const OPEN = ["waiting", "active", "delayed", "prioritized", "paused", "waiting-children"];

/**
 * Puts jobs of a store in the queue; those that are there already stay as they are, and those that failed are tried again.
 * @param queue redis://[user:password@]host:port[/database], or rediss:// for TLS.
 * @param store a folder that all workers have under this path, or s3://bucket/prefix.
 * @throws Error: one sentence, without the password, if there is no Redis.
 */
export async function enqueue(
  queue: string,
  store: string,
  jobs: readonly string[],
  { priority = 0, ...others }: EnqueueOptions = {},
): Promise<void> {
  checkNames("enqueue", others, { priority: true });
  const { Queue } = await load(queue);
  const place = /^s3:/i.test(store) ? store : diskTools().path.resolve(store);
  const bull = new Queue(NAME, { connection: connectionOf(queue) });
  bull.on("error", () => {});
  try {
    const backoff = { type: "exponential", delay: DELAY };
    const kept = { removeOnComplete: { count: 1000 }, removeOnFail: false };
    const all = jobs.map((job) => {
      const opts = { jobId: idOf(place, job), priority, attempts: TRIES, backoff, ...kept };
      return { name: NAME, data: { store: place, job }, opts };
    });
    const ids = new Set(all.map(({ opts }) => opts.jobId));
    for (const job of await bull.getFailed()) if (ids.has(job.id!)) await job.retry();
    for (let i = 0; i < all.length; i += AT_ONCE) await bull.addBulk(all.slice(i, i + AT_ONCE));
  } finally {
    await bull.close();
  }
}

/** The id of a job in the queue; BullMQ has no second one of the same. */
function idOf(store: string, job: string): string {
  const hash = diskTools().crypto.createHash("sha256").update(store).digest("hex");
  return `${hash.slice(0, 12)}-${job}`;
}

/**
 * Does jobs of a queue, of whatever stores, until none is left.
 * @throws Error: one sentence, if there is no Redis, or BullMQ is not installed.
 */
export async function workQueue(
  queue: string,
  { model, lease = 60, watch = false, onProgress, signal, ...others }: QueueWorkOptions,
): Promise<Worked> {
  checkNames("workQueue", others, { model: true, lease: true, watch: true, onProgress: true, signal: true });
  checkLease("workQueue", lease);
  const { Queue, Worker } = await load(queue);
  const tally = createTally();
  const failed: { job: string; error: string }[] = [];
  const stores = new Map<string, Promise<JobParts>>();
  const ended = new AbortController();

  async function partsOf(store: string): Promise<JobParts> {
    const objects = await openObjects(store);
    const loaded = await model(store);
    return { objects, model: loaded, identity: await identityIn(objects, { model: loaded, signal: ended.signal }) };
  }

  async function run(job: Job): Promise<void> {
    const { store, job: name } = job.data;
    const parts = stores.get(store) ?? partsOf(store);
    stores.set(store, parts);
    // One that cannot be opened now may be later.
    parts.catch(() => stores.delete(store));
    tally.add(
      await runJob(await parts, name, {
        signal: ended.signal,
        onProgress(progress) {
          job.updateProgress(progress).catch(() => {});
          onProgress?.({ ...tally.all(), failed: [...failed], job: progress });
        },
      }),
    );
  }

  const bull = new Queue(NAME, { connection: connectionOf(queue) });
  const worker = new Worker(NAME, run, {
    // Waits for a Redis that is restarted.
    connection: { ...connectionOf(queue), maxRetriesPerRequest: null },
    lockDuration: 1000 * lease,
    stalledInterval: 500 * lease,
    maxStalledCount: MAX_STALLED,
  });
  bull.on("error", () => {});
  worker.on("error", () => {});
  worker.on("failed", (job, error) => {
    if (job && job.attemptsMade >= (job.opts.attempts ?? 1)) failed.push({ job: job.data.job, error: error.message });
  });
  try {
    for (;;) {
      await sleep(LOOK, signal);
      if (watch) continue;
      // Unanswered while Redis is restarted.
      const counts = await abortable(bull.getJobCounts(...OPEN), signal).catch(() => undefined);
      signal?.throwIfAborted();
      if (counts && Object.values(counts).every((count) => count === 0)) break;
    }
  } catch (error) {
    ended.abort(error);
    throw error;
  } finally {
    await worker.close();
    await bull.close();
    for (const parts of stores.values()) (await parts.catch(() => undefined))?.model.dispose();
  }
  return { ...tally.all(), failed };
}

function connectionOf(queue: string): object {
  const { hostname, port, username, password, pathname, protocol } = new URL(queue);
  return {
    ...{ host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 6379) },
    ...(username && { username: decodeURIComponent(username) }),
    ...(password && { password: decodeURIComponent(password) }),
    ...(pathname.length > 1 && { db: Number(pathname.slice(1)) }),
    ...(protocol === "rediss:" && { tls: {} }),
  };
}

/** BullMQ, when Redis has answered. */
async function load(queue: string): Promise<BullMQ> {
  if (
    !URL.canParse(queue) ||
    !/^rediss?:$/.test(new URL(queue).protocol) ||
    !/^\/?\d*$/.test(new URL(queue).pathname)
  ) {
    throw new Error(`queue: an address must be redis://host:port/database; got "${nameOf(queue)}"`);
  }
  // By a variable: bundlers would look for what few users have.
  const packageName = "bullmq";
  const bullmq: BullMQ = await import(packageName).catch((error) => {
    throw new Error(
      `queue: the packages bullmq and ioredis must be installed (npm install bullmq ioredis): ${reasonOf(error)}`,
    );
  });
  await ping(queue);
  return bullmq;
}

/** Asks Redis for an answer: BullMQ would wait for one that is not there for ever. */
async function ping(queue: string): Promise<void> {
  const { hostname, port, username, password, protocol } = new URL(queue);
  const name = `"${nameOf(queue)}"`;
  const place = { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 6379) };
  const [user, secret] = [username, password].map(decodeURIComponent);
  const words = secret ? ["AUTH", ...(user ? [user] : []), secret] : ["PING"];
  const request = `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;
  const socket =
    protocol === "rediss:"
      ? builtin("node:tls").connect({ ...place, servername: place.host })
      : builtin("node:net").connect(place);
  try {
    const answer = await new Promise<string>((resolve, reject) => {
      socket.setTimeout(ANSWER, () => reject(new Error(`no answer came for ${ANSWER / 1000} seconds`)));
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("the connection was closed")));
      socket.once("data", (data: Uint8Array) => resolve(new TextDecoder().decode(data)));
      socket.write(request);
    }).catch((error) => {
      throw new Error(`queue: there is no Redis at ${name}: ${reasonOf(error)}`);
    });
    if (/^\+(PONG|OK)/.test(answer)) return;
    const refused = /^-(NOAUTH|WRONGPASS|ERR AUTH|NOPERM)/.test(answer);
    throw new Error(
      refused
        ? `queue: Redis at ${name} refuses the user name or password that it was given`
        : `queue: what answers at ${name} is no Redis`,
    );
  } finally {
    socket.destroy();
  }
}
