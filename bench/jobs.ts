/** Jobs, measured: one process and two on the same machine, and what leases and BullMQ cost a photo. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { load } from "../src/index.js";
import { plan } from "../src/jobs/index.js";
import { find, installed } from "../tests/installed.js";
import { createProject } from "../tests/project.js";
import { freePort, startRedis } from "../tests/queue.js";
import { type CollectionSources, photosOf } from "./collection.js";
import { folderOf } from "./files.js";

export interface JobsResults {
  readonly photos: number;
  /** Seconds from the start of the first process to the end of the last one, by how many there are; one thread each. */
  readonly seconds: Readonly<Record<"one" | "two", number>>;
  /** Milliseconds a photo that are no embedding, by how jobs are shared. */
  readonly overheads: readonly { readonly name: string; readonly photos: number; readonly msPerPhoto: number }[];
}

/** Photos of each class. */
const EACH = 60;
/** Photos of a job in the race, so that two processes end at about the same time, and as the default is. */
const [SMALL, USUAL] = [20, 1024];
/** Photos without an embedding. */
const BARE = 50_000;

export async function measureJobs({ cifar }: CollectionSources): Promise<JobsResults> {
  const root = mkdtempSync(join(tmpdir(), "vitrail-bench-"));
  try {
    const photos = await photosOf(join(cifar, "train.tar.gz"), EACH);
    mkdirSync(join(root, "photos"));
    for (const { name, bytes } of photos) writeFileSync(join(root, "photos", name), bytes);
    using model = await load(folderOf("Ti"), { threads: 1 });
    const race = async (processes: number) => {
      const store = join(root, `store-${processes}`);
      await plan(store, join(root, "photos"), { model, shardRows: SMALL });
      const begin = performance.now();
      await Promise.all(Array.from({ length: processes }, () => worker(store)));
      return (performance.now() - begin) / 1000;
    };
    const seconds = { one: await race(1), two: await race(2) };
    const overheads: JobsResults["overheads"][number][] = [];
    for (const share of ["leases in a folder", "BullMQ on Redis"] as const) {
      const store = join(root, share);
      const bare = Array.from({ length: BARE }, (_, i) => ({ id: `/photos/${i}.jpg`, image: `/photos/${i}.jpg` }));
      const { jobs } = await plan(store, bare, { model, shardRows: USUAL });
      const isQueue = share === "BullMQ on Redis";
      if (isQueue && !(installed("bullmq/package.json") && find("redis-server"))) continue;
      const ms = isQueue ? await withRedis(root, (queue) => bareWork(store, jobs, queue)) : await bareWork(store, jobs);
      overheads.push({ name: share, photos: BARE, msPerPhoto: ms / BARE });
    }
    return { photos: photos.length, seconds, overheads };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** A process of `vitrail work`. */
async function worker(store: string): Promise<void> {
  const cli = fileURLToPath(new URL("../src/cli.js", import.meta.url));
  const args = [cli, "work", store, "--model", folderOf("Ti"), "--threads", "1", "--quiet"];
  const [status] = await once(spawn(process.execPath, args, { stdio: "ignore" }), "exit");
  if (status !== 0) throw new Error(`bench: vitrail work must end with 0; it ended with ${status}`);
}

async function withRedis<T>(folder: string, task: (queue: string) => Promise<T>): Promise<T> {
  const port = await freePort();
  const redis = await startRedis(folder, port);
  try {
    return await task(`redis://127.0.0.1:${port}`);
  } finally {
    redis.kill();
  }
}

/**
 * Milliseconds from the beginning of work to its last shard, by a model that gives zeros for photos at once, in a process of its own;
 * of a queue with the time in which jobs are put in it.
 */
async function bareWork(store: string, jobs: readonly string[], queue = ""): Promise<number> {
  const cwd = queue ? createProject("bench") : ".";
  const here = (file: string) => new URL(`../src/${file}`, import.meta.url).href;
  const modules = queue ? ["vitrail", "vitrail/jobs"] : [here("index.js"), here("jobs/index.js")];
  const code = `const [vitrail, from, folder, store, queue, jobs] = process.argv.slice(1);
    const { load } = await import(vitrail);
    const { work, workQueue, enqueue } = await import(from);
    const model = await load(folder, { threads: 1 });
    const width = (await model.embed({ data: new Uint8Array(3), width: 1, height: 1 })).length;
    const embed = (images, options) =>
      Array.isArray(images) ? Promise.resolve(new Float32Array(images.length * width)) : model.embed(images, options);
    const none = new Proxy(model, { get: (model, name) => (name === "embed" ? embed : model[name]) });
    const begin = performance.now();
    let last = begin;
    const onProgress = () => { last = performance.now(); };
    if (queue) {
      await enqueue(queue, store, JSON.parse(jobs));
      await workQueue(queue, { model: async () => none, onProgress });
    } else await work(store, { model: none, onProgress });
    console.log(last - begin);`;
  const args = ["--input-type=module", "-e", code, ...modules, folderOf("Ti"), store, queue, JSON.stringify(jobs)];
  return Number(execFileSync(process.execPath, args, { cwd, encoding: "utf8" }));
}
