/** Checkpoints from every kind of source give the same tensors; broken ones give one sentence. */
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { type Checkpoint, openCheckpoint, type TensorConsumer } from "../src/io/checkpoint.js";
import { encode, isConvertible, type TensorInfo } from "../src/io/safetensors.js";
import { fromFile } from "../src/io/source.js";
import { widen } from "../src/numerics/elements.js";
import { openFile, readFile } from "../src/platform/files.js";

const scratch = mkdtempSync(join(tmpdir(), "vitrail-"));
after(() => rmSync(scratch, { recursive: true }));

/** A folder with these files, texts or bytes; objects become JSON. */
function folder(name: string, files: Record<string, string | Uint8Array | object>): string {
  const path = join(scratch, name);
  mkdirSync(path, { recursive: true });
  for (const [file, content] of Object.entries(files)) {
    const raw = typeof content === "string" || content instanceof Uint8Array;
    writeFileSync(join(path, file), raw ? content : JSON.stringify(content));
  }
  return path;
}

/** Collects tensors in kernel-like memory: every chunk passes through the same place. */
function collector(wanted: (info: TensorInfo) => boolean = isConvertible) {
  const memory = new WebAssembly.Memory({ initial: 128 });
  const tensors = new Map<string, number[]>();
  const calls: string[] = [];
  const consumer: TensorConsumer = {
    wanted,
    stage(length) {
      calls.push(`stage ${length}`);
      return new Uint8Array(memory.buffer, 64, length);
    },
    store(info, row, bytes) {
      assert.equal(bytes.buffer, memory.buffer, "read in place");
      calls.push(`store ${info.name} ${row}`);
      const bits = new Uint32Array(widen(bytes, info.dtype).buffer);
      const known = tensors.get(info.name) ?? [];
      // One push per chunk would pass a million arguments.
      tensors.set(info.name, known.length === 0 ? [...bits] : known.concat([...bits]));
      return -1;
    },
  };
  return { consumer, tensors, calls };
}

async function readAll(checkpoint: Checkpoint): Promise<Map<string, number[]>> {
  const { consumer, tensors } = collector();
  await checkpoint.read(consumer);
  await checkpoint.close();
  return new Map([...tensors].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A stream of the bytes in chunks of odd sizes, some empty. */
function stream(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let at = 0;
  let turn = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      const length = [7, 0, 1, 64, 3, 1000][turn++ % 6]!;
      controller.enqueue(bytes.slice(at, at + length));
      at += length;
    },
  });
}

const mixed = new Uint8Array(readFileSync("tests/fixtures/safetensors/mixed.safetensors"));
const golden = JSON.parse(readFileSync("tests/fixtures/safetensors/widened.json", "utf8")) as {
  mixed: Record<string, number[]>;
};
const expected = new Map(
  Object.entries(golden.mixed)
    .filter(([, bits]) => bits.length > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1)),
);

const values = (length: number, first = 0) => Float32Array.from({ length }, (_, i) => first + i);
const shardA = encode([
  { name: "a", shape: [3, 2], data: values(6) },
  { name: "b", shape: [4], data: values(4, 10) },
]);
const shardB = encode([{ name: "c", shape: [], data: values(1, 20) }]);
const weight_map = { a: "one.safetensors", b: "one.safetensors", c: "two.safetensors" };

test("path, file URL, folder, buffer, array, Blob, File and stream give PyTorch's values", async () => {
  const config = { architecture: "vit" };
  const path = folder("plain model", { "model.safetensors": mixed, "config.json": config });
  const padded = new Uint8Array(mixed.length + 3);
  padded.set(mixed, 3);
  const sources: Record<string, Parameters<typeof openCheckpoint>[0]> = {
    folder: path,
    "folder with a slash": `${path}/`,
    "folder URL": pathToFileURL(path),
    "folder URL as text": `${pathToFileURL(path)}/`,
    file: join(path, "model.safetensors"),
    "file URL": pathToFileURL(join(path, "model.safetensors")),
    Uint8Array: { config, weights: padded.subarray(3) },
    ArrayBuffer: { config, weights: mixed.slice().buffer },
    Blob: { config, weights: new Blob([mixed]) },
    stream: { config, weights: stream(mixed) },
    list: { config, weights: [mixed] },
  };
  for (const [kind, source] of Object.entries(sources)) {
    const checkpoint = await openCheckpoint(source);
    assert.deepEqual(checkpoint.config, config, kind);
    assert.equal(checkpoint.preprocessor, undefined, kind);
    assert.equal(checkpoint.tensors.size, 14, kind);
    assert.equal(checkpoint.bytes, 281, kind);
    assert.deepEqual(await readAll(checkpoint), expected, kind);
  }
});

test("shards from an index, a list and streams give the same tensors", async () => {
  const path = folder("sharded", {
    "model.safetensors.index.json": { metadata: { total_size: 44 }, weight_map },
    "one.safetensors": shardA,
    "two.safetensors": shardB,
    "preprocessor_config.json": { size: 224 },
  });
  const whole = encode([
    { name: "c", shape: [], data: values(1, 20) },
    { name: "b", shape: [4], data: values(4, 10) },
    { name: "a", shape: [3, 2], data: values(6) },
  ]);
  const want = await readAll(await openCheckpoint({ weights: whole }));
  assert.equal(want.size, 3);
  const onDisk = await openCheckpoint(path);
  assert.deepEqual(onDisk.preprocessor, { size: 224 });
  assert.equal(onDisk.config, undefined);
  assert.equal(onDisk.tensors.get("c")?.file, `${path}/two.safetensors`);
  assert.deepEqual(await readAll(onDisk), want);
  assert.deepEqual(await readAll(await openCheckpoint({ weights: [shardA, new Blob([shardB as BlobPart])] })), want);
  assert.deepEqual(await readAll(await openCheckpoint({ weights: [stream(shardB), stream(shardA)] })), want);
});

test("a folder without the usual name may hold one other safetensors file, or OpenCLIP's", async () => {
  const one = await openCheckpoint(folder("odd", { "vit.safetensors": shardA, "notes.txt": "" }));
  assert.deepEqual([...one.tensors.keys()], ["a", "b"]);
  await one.close();
  const files = { "open_clip_model.safetensors": shardB, "other.safetensors": shardA };
  const openClip = await openCheckpoint(folder("openclip", files));
  assert.deepEqual([...openClip.tensors.keys()], ["c"]);
  await openClip.close();
});

test("tensors are read in chunks of whole rows, at most 1 MiB or one row", async () => {
  const weights = encode([
    { name: "tall", shape: [175_000, 3], data: new Float32Array(525_000) },
    { name: "wide", shape: [2, 375_000], data: new Float32Array(750_000) },
    { name: "flat", shape: [375_000], data: new Float32Array(375_000) },
    { name: "none", shape: [0, 5], data: new Float32Array(0) },
    { name: "scalar", shape: [], data: new Float32Array(1) },
    { name: "skipped", shape: [1], data: new Float32Array(1) },
  ]);
  const path = folder("chunks", { "model.safetensors": weights });
  const expectedCalls = [
    ...["stage 1048572", "store tall 0", "stage 1048572", "store tall 87381", "stage 2856", "store tall 174762"],
    ...["stage 1500000", "store wide 0", "stage 1500000", "store wide 1"],
    ...["stage 1048576", "store flat 0", "stage 451424", "store flat 262144"],
    ...["stage 4", "store scalar 0"],
  ];
  const blob = new Blob([weights as BlobPart]);
  for (const source of [path, { weights }, { weights: blob }, { weights: blob.stream() }]) {
    const checkpoint = await openCheckpoint(source);
    const { consumer, calls } = collector((info) => info.name !== "skipped");
    const progress: number[] = [];
    await checkpoint.read(
      { ...consumer, store: (info, row) => calls.push(`store ${info.name} ${row}`) * 0 - 1 },
      {
        onProgress: ({ phase, file, loaded, total }) => {
          assert.deepEqual([phase, total], ["weights", 6_600_004]);
          assert.equal(file, typeof source === "string" ? `${path}/model.safetensors` : "weights");
          progress.push(loaded);
        },
      },
    );
    await checkpoint.close();
    assert.deepEqual(calls, expectedCalls);
    assert.deepEqual(progress, [1048572, 2097144, 2100000, 3600000, 5100000, 6148576, 6600000, 6600004]);
  }
});

test("aborting stops between chunks with the signal's reason", async () => {
  const weights = encode([
    { name: "a", shape: [2, 1_200_000], data: new Float32Array(2_400_000) },
    { name: "b", shape: [1], data: values(1) },
  ]);
  const controller = new AbortController();
  const checkpoint = await openCheckpoint({ weights }, { signal: controller.signal });
  const { consumer, calls } = collector();
  const reason = new Error("enough");
  const reading = checkpoint.read(consumer, { signal: controller.signal, onProgress: () => controller.abort(reason) });
  await assert.rejects(reading, reason);
  assert.deepEqual(calls, ["stage 4800000", "store a 0"]);
  await assert.rejects(openCheckpoint({ weights }, { signal: controller.signal }), reason);
});

test("an element that the consumer cannot store ends the reading, and is named", async () => {
  for (const [value, at] of [
    [Number.NaN, 2_200_001],
    [Number.NEGATIVE_INFINITY, 0],
  ] as const) {
    const data = new Float32Array(2_200_002);
    data[at] = value;
    const checkpoint = await openCheckpoint({
      weights: encode([{ name: "blocks.0.norm1.weight", shape: [2_200_002], data }]),
    });
    const { consumer, calls } = collector();
    const message = `checkpoint: "blocks.0.norm1.weight" in "weights" must be finite; element ${at} is ${value}`;
    const store: TensorConsumer["store"] = (info, _, bytes) => {
      calls.push("store");
      return widen(bytes, info.dtype).findIndex((x) => !Number.isFinite(x));
    };
    await assert.rejects(checkpoint.read({ ...consumer, store }), { message });
    assert.equal(calls.filter((call) => call === "store").length, at === 0 ? 1 : 9);
    await checkpoint.read({ ...consumer, wanted: () => false });
  }
});

test("a wanted tensor that does not convert is refused before anything is read", async () => {
  const checkpoint = await openCheckpoint({ weights: mixed });
  const { consumer, calls } = collector(() => true);
  await assert.rejects(checkpoint.read(consumer), {
    message: 'checkpoint: "u16" in "weights" is U16, which does not convert to f32',
  });
  assert.deepEqual(calls, []);
});

test("a stream is read once, to its end", async () => {
  const checkpoint = await openCheckpoint({ weights: stream(shardA) });
  await checkpoint.read(collector((info) => info.name === "a").consumer);
  await assert.rejects(checkpoint.read(collector().consumer), { message: "weights: a stream can be read only once" });

  const size = shardA.length;
  const cut = await openCheckpoint({ weights: stream(shardA.subarray(0, size - 1)) });
  await assert.rejects(cut.read(collector(() => false).consumer), {
    message: `weights: the stream ended after ${size - 1} bytes; ${size} were expected`,
  });
  const long = new Uint8Array(size + 1);
  long.set(shardA);
  await assert.rejects((await openCheckpoint({ weights: stream(long) })).read(collector().consumer), {
    message: `weights: the stream goes on after ${size} bytes, where the last tensor ends`,
  });
  await assert.rejects(openCheckpoint({ weights: stream(shardA.subarray(0, 5)) }), {
    message: "weights: the stream ended after 5 bytes; 8 were expected",
  });
  const locked = stream(shardA);
  locked.getReader();
  await assert.rejects(openCheckpoint({ weights: locked }), {
    name: "TypeError",
    message: "weights: the stream is locked, so something else is reading it",
  });
  const texts = new ReadableStream({ start: (controller) => controller.enqueue("text") });
  await assert.rejects(openCheckpoint({ weights: texts }), {
    name: "TypeError",
    message: "weights: the stream must give Uint8Array chunks, got string",
  });
});

const index = (map: unknown) => ({ "model.safetensors.index.json": { weight_map: map } });
const shards = { "one.safetensors": shardA, "two.safetensors": shardB };
const INDEX = "model.safetensors.index.json";

/** Files of a folder, and what is said of it; PATH stands for the folder. */
const broken: [what: string, files: Parameters<typeof folder>[1], message: string][] = [
  [
    "empty folder",
    {},
    `checkpoint: folder "PATH" must hold model.safetensors, pytorch_model.bin, the index of either or one other file of weights; it holds nothing`,
  ],
  [
    "pickled weights that are cut short",
    { "pytorch_model.bin": "PK", "config.json": {} },
    'torch: "PATH/pytorch_model.bin" must end with the directory of a zip; it does not, so that it is cut short or broken',
  ],
  [
    "two files of other names",
    shards,
    'checkpoint: folder "PATH" must hold model.safetensors, pytorch_model.bin, the index of either or one other file of ' +
      "weights; it holds one.safetensors, two.safetensors",
  ],
  [
    "zero-length weights",
    { "model.safetensors": "" },
    'checkpoint: "PATH/model.safetensors" must be a file of weights; it is empty',
  ],
  [
    "weights that claim a header of 10 GB",
    { "model.safetensors": new Uint8Array(new BigUint64Array([10_000_000_000n, 0n]).buffer) },
    'safetensors: header of "PATH/model.safetensors" says 10,000,000,000 bytes but the file has 16',
  ],
  [
    "truncated weights",
    { "model.safetensors": shardA.subarray(0, -4) },
    `safetensors: header of "PATH/model.safetensors" describes a file of ${shardA.length} bytes but the file has ${shardA.length - 4}`,
  ],
  [
    "config a list",
    { "model.safetensors": shardA, "config.json": [1, 2] },
    'checkpoint: "PATH/config.json" must hold a JSON object; it holds a list',
  ],
  [
    "index without a map",
    { [INDEX]: { metadata: {} } },
    `checkpoint: "PATH/${INDEX}" must hold an object "weight_map"; got undefined`,
  ],
  [
    "missing shard",
    { ...index(weight_map), "one.safetensors": shardA },
    `checkpoint: "PATH/${INDEX}" names "two.safetensors", which the folder does not hold`,
  ],
  [
    "missing shards",
    index(weight_map),
    `checkpoint: "PATH/${INDEX}" names "one.safetensors" (and 1 more), which the folder does not hold`,
  ],
  [
    "shard outside the folder",
    { ...index({ a: "../odd/vit.safetensors" }), ...shards },
    `checkpoint: "PATH/${INDEX}" must name .safetensors files of its own folder; "a" is in another file`,
  ],
  [
    "absolute shard",
    { ...index({ a: "/etc/passwd" }), ...shards },
    `checkpoint: "PATH/${INDEX}" must name .safetensors files of its own folder; "a" is in another file`,
  ],
  [
    "shard not a text",
    { ...index({ a: 1 }), ...shards },
    `checkpoint: "PATH/${INDEX}" must name .safetensors files of its own folder; "a" is in 1`,
  ],
  [
    "tensors in another shard than the index says",
    { ...index({ ...weight_map, a: "two.safetensors", d: "two.safetensors" }), ...shards },
    `checkpoint: "PATH/${INDEX}" puts "a" (and 1 more) in "PATH/two.safetensors", which does not hold it`,
  ],
  [
    "a tensor in two shards",
    { ...index(weight_map), "one.safetensors": shardA, "two.safetensors": shardA },
    'checkpoint: "a" is both in "PATH/one.safetensors" and in "PATH/two.safetensors"',
  ],
];

for (const [what, files, message] of broken) {
  test(`refuses ${what}`, async () => {
    const path = folder(`broken ${what}`, files);
    await assert.rejects(openCheckpoint(path), { message: message.replaceAll("PATH", path) });
  });
}

test("refuses JSON that does not parse, with the file's name", async () => {
  const path = folder("bad json", { "model.safetensors": shardA, "config.json": '{"a": NaN}' });
  await assert.rejects(openCheckpoint(path), (error: Error) =>
    error.message.startsWith(`checkpoint: "${path}/config.json" is not valid JSON: `),
  );
  const notText = folder("bad utf-8", { "model.safetensors": shardA, "config.json": Uint8Array.of(0x7b, 0xff) });
  await assert.rejects(openCheckpoint(notText), /config\.json" is not valid JSON/);
});

test("refuses missing files, directories named as files, and other things", async () => {
  await assert.rejects(openCheckpoint("no/such-model"), { message: 'file: "no/such-model" does not exist' });
  await assert.rejects(openCheckpoint(""), { message: 'file: "" does not exist' });
  await assert.rejects(openCheckpoint("package.json/x"), { message: 'file: "package.json/x" does not exist' });
  const path = folder("directory as file", {});
  mkdirSync(join(path, "model.safetensors"));
  await assert.rejects(openCheckpoint(path), {
    message: `file: "${path}/model.safetensors" is a directory, not a file`,
  });
  await assert.rejects(openCheckpoint("https://example.org/model"), {
    message: 'checkpoint: "https://example.org/model" is not on disk; expected a folder, a file, a file: URL or bytes',
  });
  await assert.rejects(openCheckpoint({ weights: [] }), {
    name: "RangeError",
    message: "weights: expected at least one safetensors file, got an empty list",
  });
  await assert.rejects(openCheckpoint({ weights: "model.safetensors" as never }), {
    name: "TypeError",
    message: "weights: expected an ArrayBuffer, Uint8Array, Blob or ReadableStream, got string",
  });
  await assert.rejects(openCheckpoint(shardA as never), {
    name: "TypeError",
    message: "checkpoint: expected a path, a URL or { config, weights }, got object",
  });
});

test("a file that shrinks after it was opened", async () => {
  const path = join(folder("shrinking", { "model.safetensors": shardA }), "model.safetensors");
  const checkpoint = await openCheckpoint(path);
  truncateSync(path, shardA.length - 10);
  await assert.rejects(checkpoint.read(collector().consumer), {
    message: `file: "${path}" ended at byte ${shardA.length - 10} while it was read`,
  });
  await checkpoint.close();
});

test("reads that go on one behind the other, with others between them, give the bytes that are there", async () => {
  const bytes = Uint8Array.from({ length: 3_500_000 }, (_, i) => (i * 31) ^ (i >> 8));
  const source = await fromFile(join(folder("ahead", { "weights.bin": bytes }), "weights.bin"));
  const read = source.ahead!();
  const check = async (position: number, length: number) => {
    const target = new Uint8Array(length);
    await read(target, position);
    assert.ok(Buffer.compare(target, bytes.subarray(position, position + length)) === 0, `${length} at ${position}`);
  };
  let at = 0;
  for (const length of [8, 100, 0, 1 << 20, 700_000, 5, 2_000_000 - (1 << 20), 400_000, 1, 250_000]) {
    await check(at, length);
    at += length;
  }
  await check(3_000_000, 9);
  await check(12, 9);
  await check(21, 1_500_000);
  await Promise.all([check(1_500_021, 70), check(1_500_091, 900_000), check(5, 5)]);
  await check(2_400_091, 3_500_000 - 2_400_091);
  await assert.rejects(read(new Uint8Array(9), 3_499_995), { message: /ended at byte 3500000 while it was read$/ });
  await source.close();
});

const root = process.getuid?.() === 0 || process.platform === "win32";
test("a file without permission", { skip: root && "this user may read every file" }, async () => {
  const path = join(folder("secret", { "model.safetensors": shardA }), "model.safetensors");
  chmodSync(path, 0);
  await assert.rejects(openCheckpoint(path), { message: `file: "${path}" may not be read: permission denied` });
});

test("readFile takes paths and URLs, and refuses the rest in one sentence", async () => {
  const path = join(folder("a file", { "x y.bin": Uint8Array.of(1, 2, 3) }), "x y.bin");
  for (const source of [path, pathToFileURL(path), String(pathToFileURL(path)), "data:;base64,AQID"]) {
    const bytes = await readFile(source);
    assert.equal(bytes.constructor, Uint8Array);
    assert.deepEqual([...bytes], [1, 2, 3]);
  }
  await assert.rejects(readFile(scratch), { message: `file: "${scratch}" is a directory, not a file` });
  await assert.rejects(readFile(`${path}x`), { message: `file: "${path}x" does not exist` });
  await assert.rejects(readFile(path, { maxBytes: 2 }), {
    message: `file: "${path}" has 3 bytes, and at most 2 are read`,
  });
  await assert.rejects(readFile(path, { signal: AbortSignal.abort(new Error("stop")) }), { message: "stop" });
  await assert.rejects(openFile("data:,x"), {
    message: 'file: "data:,x" is not on a file system that can be read here',
  });
});

test("readFile fetches web addresses", async () => {
  const server = createServer((request, response) => {
    response.statusCode = request.url === "/a.bin" ? 200 : 404;
    response.end("abc");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    assert.deepEqual([...(await readFile(`${base}/a.bin`))], [97, 98, 99]);
    await assert.rejects(readFile(new URL(`${base}/b.bin`)), {
      message: `file: "${base}/b.bin" was answered with 404 Not Found`,
    });
    await assert.rejects(readFile(`${base}/a.bin`, { maxBytes: 2 }), {
      message: `file: "${base}/a.bin" has 3 bytes, and at most 2 are read`,
    });
  } finally {
    server.close();
    server.closeAllConnections();
  }
  await assert.rejects(readFile(`${base}/a.bin`), /^Error: file: "http:.*" cannot be read: /);
});

const goldens = "../shared/goldens";
test("every golden checkpoint opens and reads", { skip: !existsSync(goldens) && `${goldens} is absent` }, async () => {
  const cases = readdirSync(goldens, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const { name } of cases.filter(({ name }) => !name.startsWith("npz"))) {
    const { weights } = JSON.parse(readFileSync(`${goldens}/${name}/case.json`, "utf8"));
    const checkpoint = await openCheckpoint(`${goldens}/${name}`);
    const files = new Set([...checkpoint.tensors.values()].map(({ file }) => file.split("/").at(-1)));
    assert.deepEqual([...files].sort(), weights.filter((file: string) => file.endsWith(".safetensors")).sort(), name);
    const { consumer, tensors } = collector();
    await checkpoint.read(consumer);
    await checkpoint.close();
    assert.equal(tensors.size, checkpoint.tensors.size, name);
  }
});
