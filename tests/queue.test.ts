/** `vitrail work --queue` by BullMQ on a Redis of Debian's, and what it says where there is none. The heavy form is bench/queue.ts. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { absent, find, installed } from "./installed.js";
import { createProject } from "./project.js";
import { trial } from "./queue.js";

const noQueue =
  absent("bullmq", installed("bullmq/package.json")) || absent("ioredis", installed("ioredis/package.json"));
const noRedis = find("redis-server") === undefined && "there is no redis-server here: apt-get install redis-server";
const project = noQueue ? "" : createProject("queue");

test("workers are killed, Redis is restarted twice, photos are none: nothing is lost, nothing is there twice", {
  skip: noQueue || noRedis,
  timeout: 120_000,
}, async (t) => {
  const note = (text: string) => t.diagnostic(text);
  await trial({ project, photos: 240, poison: 12, shard: 8, workers: 4, kills: 6, restarts: 2, note });
});

const work = (queue: string) => {
  const args = [join(project, "node_modules/vitrail/dist/lib/cli.js"), "work", "--queue", queue];
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: project, encoding: "utf8", timeout: 30_000 });
  return { status, stderr: stderr.trim() };
};

test("a Redis that is not there, or is none, is one sentence without the password", { skip: noQueue }, async () => {
  const closed = work("redis://me:secret@127.0.0.1:1/0");
  assert.equal(closed.status, 2);
  assert.match(closed.stderr, /queue: there is no Redis at "redis:\/\/127\.0\.0\.1:1\/0": connect ECONNREFUSED/);
  assert.ok(!closed.stderr.includes("secret"));
  const wrong = work("http://127.0.0.1");
  assert.match(wrong.stderr, /queue: an address must be redis:\/\/host:port\/database; got "http:\/\/127\.0\.0\.1\/"$/);
});
