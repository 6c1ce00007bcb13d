/**
 * A trial of `vitrail work --queue` with a real Redis: workers are killed at random, Redis is restarted, photos are no images; then
 * what the store holds is compared, by content, with one that a single process made undisturbed.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { openCollection } from "../src/collection/index.js";

export interface Trial {
  /** A project with the packed package, from which bullmq and ioredis are found. */
  readonly project: string;
  readonly photos: number;
  /** Photos that are none. */
  readonly poison: number;
  readonly shard: number;
  readonly workers: number;
  readonly kills: number;
  readonly restarts: number;
  readonly note?: (text: string) => void;
}

const IMAGES = ["rgb-420.jpg", "rgb-8.png", "gray-8.png"].map((name) => `tests/fixtures/image/${name}`);
const MODEL = resolve("tests/fixtures/checkpoints/hf-vit");

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A Redis that writes each command to disk before it answers, so that it has them after a SIGKILL. */
export async function startRedis(folder: string, port: number): Promise<ChildProcess> {
  const kept = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""];
  const redis = spawn("redis-server", ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder, ...kept]);
  await new Promise<void>((resolve, reject) => {
    let said = "";
    redis.stdout.on("data", (text) => {
      said += text;
      if (said.includes("Ready to accept connections")) resolve();
    });
    redis.once("exit", () => reject(new Error(said)));
  });
  return redis;
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const over = new Promise((resolve) => child.once("exit", resolve));
  if (child.exitCode === null && child.signalCode === null) {
    child.kill(signal);
    await over;
  }
}

/** Files of the shards, and what others read of them. */
async function contentOf(store: string) {
  const files = readdirSync(join(store, "img_emb")).sort();
  const collection = await openCollection(store);
  const ids: string[] = [];
  for await (const { id } of collection.photos()) ids.push(id);
  return {
    files,
    ids,
    failures: [...collection.failures].sort((a, b) => (a.id < b.id ? -1 : 1)),
    vectors: files.map((file) => readFileSync(join(store, "img_emb", file)).toString("base64")),
  };
}

export async function trial({ project, photos, poison, shard, workers, kills, restarts, note }: Trial): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "vitrail-queue-"));
  const [folder, store, alone, data] = ["photos", "store", "alone", "redis"].map((name) => join(root, name)) as [
    string,
    string,
    string,
    string,
  ];
  for (const made of [folder, data]) mkdirSync(made);
  for (let i = 0; i < photos; i++) {
    const file = join(folder, `${String(i).padStart(6, "0")}.jpg`);
    // They are all over the plan.
    if (i % Math.ceil(photos / poison) === 1) writeFileSync(file, `none, ${i}`);
    else cpSync(IMAGES[i % IMAGES.length]!, file);
  }
  const port = await freePort();
  const queue = `redis://127.0.0.1:${port}`;
  const cli = join(project, "node_modules/vitrail/dist/lib/cli.js");
  const base = ["--model", MODEL, "--threads", "1", "--quiet"];
  const running = new Set<ChildProcess>();
  const outputs: string[] = [];
  let redis = await startRedis(data, port);

  function start(): ChildProcess {
    const child = spawn(process.execPath, [cli, "work", "--queue", queue, "--lease", "2", "--json", ...base], {
      cwd: project,
    });
    running.add(child);
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said += text));
    child.on("exit", (code, signal) => {
      running.delete(child);
      // One that begins while Redis is away says so, and is begun again, as by whoever looks after workers.
      if (code === 2 && said.includes("queue: there is no Redis at")) start();
      else if (signal === null) outputs.push(`${code} ${said}`);
    });
    return child;
  }

  try {
    const plan = ["index", folder, "--shard", `${shard}`, "--json", ...base];
    const planned = JSON.parse(
      execFileSync(process.execPath, [cli, ...plan, "--out", store, "--queue", queue], {
        cwd: project,
        encoding: "utf8",
      }),
    );
    assert.equal(planned.jobs, Math.ceil(photos / shard));
    for (let i = 0; i < workers; i++) start();
    const events = [
      ...Array.from({ length: kills }, () => "kill"),
      ...Array.from({ length: restarts }, () => "restart"),
    ];
    for (let i = events.length - 1; i > 0; i--) {
      const j = Math.floor(Math.random() * (i + 1));
      [events[i], events[j]] = [events[j]!, events[i]!];
    }
    const shards = () => (existsSync(join(store, "img_emb")) ? readdirSync(join(store, "img_emb")).length : 0);
    // Disturbances come while there is something to disturb.
    while (shards() === 0) await setTimeout(50);
    let restarted = 0;
    for (const event of events) {
      await setTimeout(300 + 700 * Math.random());
      if (event === "kill") {
        const victims = [...running];
        const victim = victims[Math.floor(Math.random() * victims.length)];
        if (victim) await end(victim, "SIGKILL");
        start();
      } else {
        await end(redis, restarted++ % 2 ? "SIGKILL" : "SIGTERM");
        redis = await startRedis(data, port);
      }
    }
    const unfinished = planned.jobs - shards();
    note?.(`${events.length} disturbances, and then ${unfinished} of ${planned.jobs} jobs are to be done`);
    while (running.size > 0) await setTimeout(100);
    for (const output of outputs) assert.match(output, /^[01] /);

    execFileSync(process.execPath, [cli, ...plan, "--out", alone, "--plan"], { cwd: project });
    spawnWork(cli, alone, base, project);
    assert.deepEqual(await contentOf(store), await contentOf(alone));
    const { ids, failures } = await contentOf(store);
    assert.equal(new Set(ids).size, ids.length);
    assert.equal(ids.length + failures.length, photos);
    assert.ok(failures.length > 0);
  } finally {
    for (const child of running) await end(child, "SIGKILL");
    await end(redis, "SIGKILL");
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Works through a store in one process, which ends with 1: there are photos that are none. */
function spawnWork(cli: string, store: string, base: readonly string[], cwd: string): void {
  try {
    execFileSync(process.execPath, [cli, "work", store, ...base], { cwd, stdio: "pipe" });
  } catch (error) {
    assert.equal((error as { status: number }).status, 1, String((error as { stderr: Buffer }).stderr));
  }
}
