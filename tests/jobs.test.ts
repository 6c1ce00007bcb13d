/** Jobs: photos of a plan are in the collection once, by however many workers, in whatever way these end. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openCollection } from "../src/collection/index.js";
import { load } from "../src/index.js";
import { openObjects } from "../src/io/objects.js";
import { plan, status, work } from "../src/jobs/index.js";
import { createLeases } from "../src/jobs/leases.js";
import { python, withoutPython } from "./python.js";
import { type Bucket, CREDENTIALS, startBucket } from "./s3.js";

const root = mkdtempSync(join(tmpdir(), "vitrail-jobs-"));
after(() => rmSync(root, { recursive: true, force: true, maxRetries: 5 }));
const IMAGES = "tests/fixtures/image";
const PHOTOS = ["rgb-420.jpg", "rgb-8.png", "gray-8.png"];
const MODEL = "tests/fixtures/checkpoints/hf-vit";
let folders = 0;
const newFolder = () => join(root, `${folders++}`);
const model = await load(MODEL);
after(() => model.dispose());

/** A folder of photos, of which the last `bad` are none. */
function photosFolder(count: number, bad = 0): string {
  const folder = newFolder();
  mkdirSync(folder);
  for (let i = 0; i < count; i++) {
    const file = join(folder, `${String(i).padStart(3, "0")}.${i % 3 ? "png" : "jpg"}`);
    if (i < count - bad) cpSync(join(IMAGES, PHOTOS[i % 3]!), file);
    else writeFileSync(file, `none, ${i}`);
  }
  return folder;
}

/** All that a collection holds, by photo. */
async function contentOf(place: string) {
  const collection = await openCollection(place);
  const objects = await openObjects(place);
  const vectors: string[] = [];
  for (const name of await objects.list("img_emb")) {
    vectors.push(Buffer.from((await objects.read(`img_emb/${name}`, 2 ** 24))!).toString("base64"));
  }
  const ids: string[] = [];
  for await (const { id } of collection.photos()) ids.push(id);
  return { ids, failures: collection.failures, vectors };
}

/** A store that one worker made, undisturbed. */
async function undisturbed(photos: string, shardRows: number) {
  const place = newFolder();
  await plan(place, photos, { model, shardRows });
  await work(place, { model });
  return contentOf(place);
}

test("a plan is worked through: the collection is that of one process, and what is new is planned next", async () => {
  const [photos, place] = [photosFolder(20, 3), newFolder()];
  const planned = await plan(place, photos, { model, shardRows: 8 });
  assert.deepEqual([planned.jobs.length, planned.planned, planned.skipped, planned.removed], [3, 20, 0, 0]);
  assert.deepEqual(await status(place), { jobs: 3, done: 0, leased: 0 });
  // Planned already.
  assert.deepEqual(await plan(place, photos, { model }), { ...planned, planned: 0, skipped: 20 });

  const { failures, ...worked } = await work(place, { model });
  assert.deepEqual(worked, { jobs: 3, photos: 17, failed: [] });
  assert.equal(failures.length, 3);
  assert.deepEqual(await status(place), { jobs: 3, done: 3, leased: 0 });
  assert.deepEqual(readdirSync(join(place, "leases")), []);
  assert.deepEqual(await work(place, { model }), { jobs: 0, photos: 0, failures: [], failed: [] });

  const alone = await openCollection(newFolder(), { model });
  await alone.add(photos);
  const collection = await openCollection(place, { model });
  assert.equal(collection.size, 17);
  assert.deepEqual(collection.failures, alone.failures);
  for (const query of [join(photos, "000.jpg"), join(photos, "001.png")]) {
    assert.deepEqual(await collection.search(query, { topK: 20 }), await alone.search(query, { topK: 20 }));
  }

  // One is mended, one is gone, one comes; a process adds beside the jobs.
  cpSync(join(IMAGES, "rgb-8.png"), join(photos, "017.png"));
  cpSync(join(IMAGES, "rgb-8.png"), join(photos, "new.png"));
  rmSync(join(photos, "000.jpg"));
  const next = await plan(place, photos, { model });
  assert.deepEqual([next.jobs.length, next.planned, next.skipped, next.removed], [1, 4, 16, 1]);
  await work(place, { model });
  assert.deepEqual(await (await openCollection(place, { model })).add(photosFolder(2)), {
    ...{ added: 2, skipped: 0, failed: 0, removed: 0 },
  });
  const again = await openCollection(place);
  assert.deepEqual([again.size, again.failures.length], [20, 2]);
  assert.ok((await plan(place, photos, { model })).skipped >= 18);
});

test("workers at once, of whom each waits for the others' jobs: every photo once", async () => {
  const [photos, place] = [photosFolder(60, 4), newFolder()];
  await plan(place, photos, { model, shardRows: 5 });
  const workers = await Promise.all([1, 2, 3, 4].map(() => work(place, { model, lease: 5 })));
  assert.equal(
    workers.reduce((sum, { jobs }) => sum + jobs, 0),
    12,
  );
  assert.deepEqual(await contentOf(place), await undisturbed(photos, 5));
});

test("a shard that two workers write is that of the first, whole", async () => {
  const [photos, place] = [photosFolder(6, 1), newFolder()];
  await plan(place, photos, { model });
  // Leases that end at once are none: both may do the job.
  const both = await Promise.all([work(place, { model, lease: 0.1 }), work(place, { model, lease: 0.1 })]);
  assert.ok(both.reduce((sum, { jobs }) => sum + jobs, 0) === 1);
  assert.deepEqual(await contentOf(place), await undisturbed(photos, 1024));
  // What could be read is what the first to write the metadata could read.
  const other = newFolder();
  const [name] = (await plan(other, photos, { model })).jobs;
  mkdirSync(join(other, "metadata"));
  cpSync(join(place, `metadata/metadata_${name}.parquet`), join(other, `metadata/metadata_${name}.parquet`));
  cpSync(join(IMAGES, "rgb-8.png"), join(photos, "005.png"));
  const { photos: kept, failures } = await work(other, { model });
  assert.deepEqual([kept, failures.length], [5, 1]);
});

test("a lease is had once, taken over without a heartbeat, and not while there is one", async () => {
  const objects = await openObjects(newFolder());
  const [a, b, c] = [100, 100, 100].map((duration) => createLeases(objects, duration));
  const name = "0000-00000000000000000000000000000000";
  const among = new Set([name]);
  const [first, none] = [await a!.claim(name), await b!.claim(name)];
  assert.ok(first && !none);
  const read = async () => String(await objects.read(`leases/${name}.0`, 4096));
  // However slow the machine is: between any two looks there is a heartbeat.
  for (let i = 0; i < 8; i++) {
    const before = await read();
    assert.equal(await b!.takeOver(among), undefined, "it beats");
    while ((await read()) === before) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  // A process that has died: its file stays as it is.
  await first.release();
  await objects.create(`leases/${name}.0`, '{"owner":"dead","beat":7}');
  for (const leases of [b, c]) assert.equal(await leases!.takeOver(among), undefined, "it may be alive");
  await new Promise((resolve) => setTimeout(resolve, 150));
  const both = await Promise.all([b, c].map((leases) => leases!.takeOver(among)));
  assert.equal(both.filter(Boolean).length, 1);
  const taken = both.find(Boolean);
  assert.equal(taken!.generation, 1);
  await taken!.release();
  assert.deepEqual(await objects.list("leases"), []);
});

test("a lease that nobody gives back keeps no process alive", () => {
  const at = (file: string) => JSON.stringify(new URL(`../src/${file}`, import.meta.url).href);
  const code = `const { createLeases } = await import(${at("jobs/leases.js")});
    const { openObjects } = await import(${at("io/objects.js")});
    const { locked } = await import(${at("platform/lock.js")});
    await createLeases(await openObjects(process.argv[1]), 100).claim("0000");
    void locked(process.argv[1] + "/lock", undefined, () => new Promise(() => {}));`;
  const folder = newFolder();
  const { status } = spawnSync(process.execPath, ["--input-type=module", "-e", code, folder], { timeout: 60_000 });
  // 13: a promise at the top is left open, where Node says so.
  assert.ok(status === 0 || status === 13, `${status}`);
  assert.deepEqual(readdirSync(join(folder, "leases")), ["0000.0"]);
});

const cli = (args: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess =>
  spawn(process.execPath, ["dist/src/cli.js", ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });

/** Of a process that has ended: its status and what it said. */
async function ended(child: ChildProcess): Promise<{ status: number | null; stdout: string; stderr: string }> {
  let [stdout, stderr] = ["", ""];
  child.stdout!.on("data", (text) => (stdout += text));
  child.stderr!.on("data", (text) => (stderr += text));
  const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { status, stdout, stderr };
}

test("vitrail index --plan and vitrail work: processes are killed, and others go on", {
  timeout: 100_000,
}, async () => {
  const [photos, place] = [photosFolder(90, 5), newFolder()];
  const index = await ended(
    cli(["index", photos, "--out", place, "--model", MODEL, "--plan", "--shard", "6", "--json"]),
  );
  assert.equal(index.status, 0, index.stderr);
  assert.deepEqual(JSON.parse(index.stdout), { store: place, jobs: 15, planned: 90, skipped: 0, removed: 0 });
  const args = ["work", place, "--model", MODEL, "--lease", "1", "--json", "--threads", "1"];
  for (let i = 0; i < 3; i++) {
    const killed = cli(args);
    await new Promise((resolve) => setTimeout(resolve, 400 + 150 * i));
    killed.kill("SIGKILL");
  }
  const workers = await Promise.all([ended(cli(args)), ended(cli(args))]);
  for (const { status, stderr } of workers) assert.ok(status === 0 || status === 1, stderr);
  assert.deepEqual(await contentOf(place), await undisturbed(photos, 6));
});

/** Runs a test with a bucket that this process has. */
async function withBucket(task: (bucket: Bucket) => Promise<void>): Promise<void> {
  const bucket = await startBucket();
  const before = { ...process.env };
  Object.assign(process.env, bucket.environment);
  try {
    await task(bucket);
  } finally {
    for (const name of Object.keys(bucket.environment)) delete process.env[name];
    Object.assign(process.env, before);
    await bucket.stop();
  }
}

test("a store on S3: planned, worked on by three, searched, as in a folder", async () => {
  await withBucket(async ({ objects, fail }) => {
    const [photos, place] = [photosFolder(40, 2), "s3://photos/all of/them"];
    const planned = await plan(place, photos, { model, shardRows: 4 });
    assert.equal(planned.jobs.length, 10);
    fail(503, 2);
    await Promise.all([1, 2, 3].map(() => work(place, { model, lease: 5 })));
    assert.deepEqual(await contentOf(place), await undisturbed(photos, 4));
    assert.ok([...objects.keys()].every((key) => key.startsWith("all of/them/")));
    const collection = await openCollection(place, { model });
    const [hit] = await collection.search(join(photos, "000.jpg"));
    assert.equal(hit!.id, join(photos, "000.jpg"));
    assert.equal((await plan(place, photos, { model })).skipped, 38);
    await assert.rejects(collection.add(photos), /"s3:\/\/photos\/all of\/them" is no folder, and is added to by jobs/);
  });
});

test("of all who create an object on S3 one is told that it did, though the server has them wait", async () => {
  await withBucket(async ({ objects, counts, fail }) => {
    const bucket = await openObjects("s3://photos/a");
    // 409: a conditional request for the same object is under way.
    fail(409, 2);
    assert.equal(await bucket.create("x", "first"), true);
    fail(409, 1);
    assert.equal(await bucket.create("x", "second"), false);
    assert.equal(objects.get("a/x")!.toString(), "first");
    assert.equal(counts.conflicts, 1);
  });
});

const noMoto =
  withoutPython || (spawnSync(python!, ["-c", "import moto.server"]).status !== 0 && "this Python has no moto[server]");
test("the same store on a server of another program, moto", { skip: noMoto }, async () => {
  const server = spawn(python!, ["-m", "moto.server", "-p", "0"], { stdio: ["ignore", "ignore", "pipe"] });
  const port = await new Promise<string>((resolve, reject) => {
    let said = "";
    server.stderr.on("data", (text) => {
      said += text;
      const [, port] = /http:\/\/127\.0\.0\.1:(\d+)/.exec(said) ?? [];
      if (port) resolve(port);
    });
    server.once("exit", () => reject(new Error(said)));
  });
  const at = `http://127.0.0.1:${port}`;
  const before = { ...process.env };
  Object.assign(process.env, CREDENTIALS, { AWS_ENDPOINT_URL: at, AWS_REGION: "us-east-1" });
  try {
    await fetch(`${at}/photos`, { method: "PUT" });
    const bucket = await openObjects("s3://photos/a b");
    const made = await Promise.all(Array.from({ length: 8 }, (_, i) => bucket.create("x/y+ü", `${i}`)));
    assert.equal(made.filter(Boolean).length, 1);
    assert.equal(new TextDecoder().decode(await bucket.read("x/y+ü", 9)), `${made.indexOf(true)}`);
    assert.deepEqual(await bucket.list("x"), ["y+ü"]);
    await bucket.remove("x/y+ü");
    assert.equal(await bucket.has("x/y+ü"), false);

    const [photos, place] = [photosFolder(40, 2), "s3://photos/all of/them"];
    await plan(place, photos, { model, shardRows: 4 });
    await Promise.all([1, 2, 3].map(() => work(place, { model, lease: 5 })));
    assert.deepEqual(await contentOf(place), await undisturbed(photos, 4));
    const [hit] = await (await openCollection(place, { model })).search(join(photos, "000.jpg"));
    assert.equal(hit!.id, join(photos, "000.jpg"));
  } finally {
    for (const name of [...Object.keys(CREDENTIALS), "AWS_ENDPOINT_URL", "AWS_REGION"]) delete process.env[name];
    Object.assign(process.env, before);
    server.kill();
  }
});

test("what is wrong is said in one sentence, without secrets", async () => {
  const photos = photosFolder(3);
  const made = newFolder();
  await plan(made, photos, { model });
  using clip = await load("tests/fixtures/checkpoints/hf-clip");
  await assert.rejects(
    work(made, { model: clip }),
    /^Error: collection: ".*" was made by "hf-vit" in f32, and this model is "hf-clip"/,
  );
  await assert.rejects(work(newFolder(), {} as never), /is none, and making one needs a model$/);
  await assert.rejects(
    plan(newFolder(), [{ id: "a", image: new Uint8Array(3) }], { model }),
    /^TypeError: plan: a photo must be a path/,
  );
  await assert.rejects(plan(made, photos, { model, shardRows: 0 }), /^RangeError: plan: shardRows must be from 1/);
  await assert.rejects(
    work(made, { model, lease: 0 }),
    /^RangeError: work: lease must be from 0.1 to 86400 seconds; got 0$/,
  );
  await assert.rejects(
    plan("s3://x", photos, { model }),
    /^Error: s3: a place must be s3:\/\/bucket\/prefix; got "s3:\/\/x"$/,
  );
  const broken = newFolder();
  const { jobs } = await plan(broken, photos, { model, shardRows: 1 });
  for (const [i, content] of ["{", '{"photos":[]}', '{"photos":[{"id":1}]}'].entries()) {
    writeFileSync(join(broken, `jobs/${jobs[i]}.json`), content);
  }
  const { failed } = await work(broken, { model });
  assert.equal(failed.length, 3);
  for (const { error } of failed) {
    assert.match(error, /^jobs: ".*\.json" (must be a list of photos; got|is not valid JSON)/);
  }
  await assert.rejects(
    plan("s3://photos/x", photos, { model }),
    /AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set/,
  );
  await withBucket(async ({ environment }) => {
    process.env.AWS_SECRET_ACCESS_KEY = "another-secret";
    await assert.rejects(plan("s3://photos/x", photos, { model }), (error: Error) => {
      assert.equal(
        error.message,
        's3: "s3://photos/x/manifest.json" cannot be read: the server answered 403 Forbidden (SignatureDoesNotMatch)',
      );
      return !error.stack!.includes("another-secret");
    });
    Object.assign(process.env, environment);
    await assert.rejects(plan("s3://nowhere/x", photos, { model }), /404 Not Found \(NoSuchBucket\)$/);
  });
});
