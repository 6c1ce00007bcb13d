/** The commands index, search, duplicates and learn; what is on disk when a process is killed, stopped or refused by the disk. */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArguments } from "../src/cli/arguments.js";
import { openCollection } from "../src/collection/index.js";
import { load } from "../src/index.js";

const cli = fileURLToPath(new URL("../src/cli.js", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "vitrail-index-"));
after(() => rmSync(root, { recursive: true, force: true }));
const IMAGES = "tests/fixtures/image";
let folders = 0;
const newFolder = () => join(root, `${folders++}`);

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], { encoding: "utf8" });
  return {
    status,
    stderr,
    lines: stdout.trimEnd().split("\n"),
    json: () =>
      stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line)),
  };
}

/** A folder of so many photos, all of which are other files. */
function photosFolder(count: number): string {
  const folder = newFolder();
  mkdirSync(folder);
  const photos = ["rgb-420.jpg", "rgb-8.png"].map((name) => [name, readFileSync(join(IMAGES, name))] as const);
  for (let i = 0; i < count; i++) {
    const [name, bytes] = photos[i % 2]!;
    writeFileSync(join(folder, `${String(i).padStart(4, "0")}-${name}`), bytes);
  }
  return folder;
}

/** All files of a store but its lists, by their names. */
const contentOf = (store: string) =>
  Object.fromEntries(
    ["img_emb", "metadata"].flatMap((folder) =>
      readdirSync(join(store, folder)).map((name) => [
        name,
        readFileSync(join(store, folder, name)).toString("base64"),
      ]),
    ),
  );

test("index, search and duplicates: what they print, and what --move moves", () => {
  const [photos, store, moved] = [photosFolder(4), newFolder(), newFolder()];
  writeFileSync(join(photos, "bad.jpg"), "nothing");
  const indexed = run("index", photos, "--out", store, "--json");
  const [failure, counts] = indexed.json();
  assert.match(failure.error, /bad\.jpg" is not a JPEG/);
  const { added, skipped, failed, removed, photos: size } = counts;
  assert.deepEqual([indexed.status, added, skipped, failed, removed, size], [1, 4, 0, 1, 0, 4]);
  const again = run("index", photos, "--out", store);
  assert.match(again.lines[0]!, /: 4 photos, 0 added, 4 skipped, 1 failed$/);
  assert.match(again.stderr, /^vitrail: decode: ".*bad\.jpg" is not a JPEG/);

  const [found] = run("search", store, join(IMAGES, "rgb-420.jpg"), "--top", "2", "--json").json();
  assert.deepEqual(
    found.hits.map(({ id }: { id: string }) => id),
    ["0000", "0002"].map((name) => join(photos, `${name}-rgb-420.jpg`)),
  );
  assert.ok(found.hits[0].score > 0.999999);

  const small = newFolder();
  assert.equal(run("index", photos, "--out", small, "--vectors", "int8").status, 1);
  assert.match(
    run("index", photos, "--out", small, "--vectors", "f32").stderr,
    /has vectors of int8, as it was made; got f32\n$/,
  );
  const [same] = run("search", small, join(IMAGES, "rgb-420.jpg"), "--top", "2", "--json").json();
  assert.deepEqual(
    same.hits.map(({ id }: { id: string }) => id),
    found.hits.map(({ id }: { id: string }) => id),
  );

  const groups = run("duplicates", store, "--threshold", "0.999", "--move", moved, "--json").json();
  assert.equal(groups.length, 2);
  assert.deepEqual(readdirSync(moved).sort(), ["0002-rgb-420.jpg", "0003-rgb-8.png"]);
  assert.deepEqual(readdirSync(photos).sort(), ["0000-rgb-420.jpg", "0001-rgb-8.png", "bad.jpg"]);
  assert.match(run("index", photos, "--out", store).lines[0]!, /: 2 photos, 0 added, 2 skipped, 1 failed, 2 removed$/);
});

test("index from standard input: words, or an archive", () => {
  const [photos, store] = [photosFolder(2), newFolder()];
  const words = readdirSync(photos).map((name) => join(photos, name));
  const index = (input: string | Buffer) =>
    execFileSync(process.execPath, [cli, "index", "-", "--out", store, "--json"], { input });
  assert.equal(JSON.parse(index(words.join("\n")).toString()).added, 2);
  const archive = execFileSync("tar", ["-cf", "-", "-C", photos, "."]);
  assert.equal(JSON.parse(index(archive).toString()).added, 2);
});

test("learn makes a head that classify takes", () => {
  const [folder, out] = [newFolder(), join(root, "head.safetensors")];
  for (const [label, name] of [
    ["cat", "rgb-420.jpg"],
    ["dog", "rgb-8.png"],
  ] as const) {
    mkdirSync(join(folder, label), { recursive: true });
    for (let i = 0; i < 3; i++) cpSync(join(IMAGES, name), join(folder, label, `${i}${name.slice(-4)}`));
  }
  const [report] = run("learn", folder, "--out", out, "--json").json();
  assert.deepEqual(
    [report.classes, report.examples, report.accuracy.share, report.suspects],
    [["cat", "dog"], 6, 1, []],
  );
  assert.deepEqual(report.confusion, [
    [3, 0],
    [0, 3],
  ]);
  const { lines } = run("learn", folder, "--out", out);
  assert.match(lines[1]!, /^100\.0 % are right when left out \(95 % interval: 61\.0 % to 100\.0 %\)$/);
  const [{ top }] = run("classify", "--head", out, join(IMAGES, "rgb-420.jpg"), "--json").json();
  assert.equal(top[0].label, "cat");
});

test("what cannot be done is said in one line", () => {
  const store = newFolder();
  const cases: [args: string[], error: RegExp][] = [
    [["index", "x"], /^vitrail: index needs --out STORE/],
    [["search", store, "x"], /^vitrail: collection: ".*" is none, and making one needs a model\n$/],
    [
      ["learn", root, "--out", "h.npz"],
      /^vitrail: learn needs --out HEAD, a file that ends in \.safetensors; got "h\.npz"\n$/,
    ],
  ];
  for (const [args, error] of cases) {
    const { status, stderr } = run(...args);
    assert.equal(status, 2, args.join(" "));
    assert.match(stderr, error);
  }
  for (const [args, message] of [
    [["search", store, "x", "--where", "a"], '--where must be NAME=VALUE; got "a"'],
    [["duplicates", store, "--threshold", "2"], '--threshold must be a cosine above -1 and at most 1; got "2"'],
    [["learn", store, "--l2", "0"], '--l2 must be a positive number; got "0"'],
  ] as const) {
    assert.throws(() => parseArguments(args), { message });
  }
});

/** Adds the photos of a folder in a process of its own, in shards of 8, and says when one is written. */
const CHILD = `
import { openCollection } from ${JSON.stringify(new URL("../src/collection/index.js", import.meta.url).href)};
import { load } from ${JSON.stringify(new URL("../src/index.js", import.meta.url).href)};
const [photos, store] = process.argv.slice(1);
const collection = await openCollection(store, { model: await load("tests/fixtures/checkpoints/hf-vit", { threads: 1 }) });
console.log("begun");
await collection.add(photos, { shardRows: 8 });
console.log(collection.size);
process.exit();
`;
const child = (photos: string, store: string) =>
  spawn(process.execPath, ["--input-type=module", "-e", CHILD, photos, store], {
    stdio: ["ignore", "pipe", "inherit"],
  });

/** Kills are spread over so many milliseconds after the photos are begun; VITRAIL_KILLS is how many there are. */
const KILLS = Number(process.env.VITRAIL_KILLS ?? 2);

test(`killed ${KILLS} times and finished, a store has every byte of one that was left alone`, async () => {
  const [photos, store, undisturbed] = [photosFolder(40), newFolder(), newFolder()];
  const finish = async (at: string) => {
    const whole = child(photos, at);
    const done = new Promise((resolve) => whole.on("exit", resolve));
    let text = "";
    for await (const chunk of whole.stdout) text += chunk;
    await done;
    assert.equal(text, "begun\n40\n");
  };
  const begin = performance.now();
  await finish(undisturbed);
  const most = performance.now() - begin;
  let random = 1;
  for (let i = 0; i < KILLS; i++) {
    const killed = child(photos, store);
    const over = new Promise((resolve) => killed.on("exit", resolve));
    await Promise.race([new Promise((resolve) => killed.stdout.once("data", resolve)), over]);
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    await sleep((random / 2 ** 32) * most * 0.5);
    killed.kill("SIGKILL");
    await over;
    // What is there can be read.
    await openCollection(store);
  }
  await finish(store);
  assert.deepEqual(contentOf(store), contentOf(undisturbed));
  const filesOf = (folder: string) => readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
  assert.deepEqual(filesOf(store), filesOf(undisturbed));
});

test("Ctrl-C ends index cleanly: what is embedded is kept, and the next run goes on", async (t) => {
  const [photos, store] = [photosFolder(60), newFolder()];
  const stopped = spawn(process.execPath, [cli, "index", photos, "--out", store], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let notes = "";
  stopped.stderr.on("data", (chunk) => (notes += chunk));
  const over = new Promise<number | null>((resolve) => stopped.on("exit", resolve));
  while (!readdirSync(root).includes(store.slice(root.length + 1)) || !readdirSync(store).includes("writer.lock"))
    await sleep(5);
  await sleep(150);
  stopped.kill("SIGINT");
  const status = await over;
  if (status === 0) return t.skip("it was through before the signal came");
  assert.equal(status, 130);
  assert.match(notes, /: \d+ photos; the same command goes on\n$/);
  const { size } = await openCollection(store);
  const { lines } = run("index", photos, "--out", store);
  assert.match(
    lines[0]!,
    size > 0 ? new RegExp(`: 60 photos, ${60 - size} added, ${size} skipped`) : /: 60 photos, 60 added/,
  );
  assert.ok(!readdirSync(store).includes("writer.lock"));
});

test("--watch goes on: what comes is added, what goes is left out, and Ctrl-C ends it", async () => {
  const [photos, store] = [photosFolder(3), newFolder()];
  const watching = spawn(process.execPath, [cli, "index", photos, "--out", store, "--watch", "--json"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const over = new Promise<number | null>((resolve) => watching.on("exit", resolve));
  const lines = createInterface({ input: watching.stdout })[Symbol.asyncIterator]();
  const counts = async () => {
    const { added, removed, photos: size } = JSON.parse((await lines.next()).value as string);
    return { added, removed, size };
  };
  assert.deepEqual(await counts(), { added: 3, removed: 0, size: 3 });
  cpSync(join(IMAGES, "gray-8.png"), join(photos, "new.png"));
  rmSync(join(photos, "0000-rgb-420.jpg"));
  assert.deepEqual(await counts(), { added: 1, removed: 1, size: 3 });
  watching.kill("SIGINT");
  assert.equal(await over, 130);
  assert.deepEqual(readdirSync(store).includes("writer.lock"), false);
});

test("two that add at once: the second is told who the first is, and a lock of one that was killed is none", async () => {
  const [photos, store] = [photosFolder(4), newFolder()];
  using model = await load("tests/fixtures/checkpoints/hf-vit");
  const [one, other] = [await openCollection(store, { model }), await openCollection(store, { model })];
  let go = () => {};
  const gate = new Promise<void>((resolve) => (go = resolve));
  async function* waiting() {
    await gate;
    yield* readdirSync(photos).map((name) => join(photos, name));
  }
  const first = one.add(waiting());
  await sleep(50);
  await assert.rejects(
    other.add(photos),
    new RegExp(`is being added to by process ${process.pid} of .*; wait until it has ended$`),
  );
  go();
  assert.equal((await first).added, 4);
  assert.equal((await other.add(photos)).skipped, 4);

  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  writeFileSync(
    join(store, "writer.lock"),
    JSON.stringify({ host: (await import("node:os")).hostname(), pid, id: "" }),
  );
  assert.equal((await other.add(photos)).skipped, 4);
});

test("a folder that cannot be written to: one sentence; what is in it can be searched", async (t) => {
  const [photos, at] = [photosFolder(3), newFolder()];
  using model = await load("tests/fixtures/checkpoints/hf-vit");
  const store = join(at, "store");
  await (await openCollection(store, { model })).add(photos);
  // A superuser may write in spite of a folder's mode, and nobody to what is mounted to be read.
  const superuser = process.getuid?.() === 0;
  if (superuser && spawnSync("mount", ["--bind", "-o", "ro", at, at]).status !== 0)
    return t.skip("no folder can be mounted here to be read only");
  if (!superuser) chmodSync(store, 0o555);
  try {
    const collection = await openCollection(store, { model });
    await assert.rejects(
      collection.add(photos),
      /^Error: file: ".*writer\.lock" may not be written: (its disk is read-only|permission denied)$/,
    );
    assert.equal((await collection.search(join(photos, "0001-rgb-8.png"), { topK: 1 })).length, 1);
    await assert.rejects(openCollection(join(at, "store/new"), { model }), /^Error: file: ".*" may not be written: /);
  } finally {
    if (superuser) spawnSync("umount", [at]);
    else chmodSync(store, 0o755);
  }
});

test("a disk that takes nothing: one sentence, and what was there stays", async (t) => {
  const [photos, store] = [photosFolder(3), newFolder()];
  using model = await load("tests/fixtures/checkpoints/hf-vit");
  const collection = await openCollection(store, { model });
  writeFileSync(join(store, "img_emb"), "a file in the folder's place");
  await assert.rejects(collection.add(photos), /img_emb" cannot be written: a file is in its place$/);
  rmSync(join(store, "img_emb"));
  assert.equal((await collection.add(photos)).added, 3);

  const small = newFolder();
  mkdirSync(small);
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=32k", "tmpfs", small]);
  if (mounted.status !== 0) return t.skip("the full disk: no file system can be mounted here");
  try {
    const full = await openCollection(join(small, "store"), { model });
    await full.add(photos);
    const before = contentOf(join(small, "store"));
    const more = Array.from({ length: 200 }, (_, i) => ({
      id: `${i}`,
      image: new Uint8Array(readFileSync(join(IMAGES, "rgb-8.png"))),
    }));
    await assert.rejects(full.add(more), /cannot be written: the disk is full$/);
    assert.deepEqual(contentOf(join(small, "store")), before);
    assert.equal((await openCollection(join(small, "store"))).size, 3);
  } finally {
    spawnSync("umount", [small]);
  }
});
