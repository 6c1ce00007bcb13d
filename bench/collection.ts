/** Collections, measured: HELP says how. */
import { execFileSync } from "node:child_process";
import { createReadStream, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createGunzip } from "node:zlib";
import { fewShot, openCollection } from "../src/collection/index.js";
import { writeManifest } from "../src/collection/manifest.js";
import { openStore } from "../src/collection/store.js";
import { load } from "../src/index.js";
import { encodeNpy } from "../src/io/npy.js";
import { openObjects } from "../src/io/objects.js";
import { tarEntries } from "../src/io/tar.js";
import { toUnit } from "../src/numerics/vectors.js";
import { installedVersion, thirdparty } from "./engines/thirdparty.js";
import { table } from "./markdown.js";
import { random } from "./models.js";

const HELP = `node dist/bench/collection.js few-shot --model FOLDER --cifar FOLDER [--test 100] [--out FILE.svg]
  Accuracy by 1, 5, 10 and 100 photos of each class of CIFAR-10 (train.tar.gz and test.tar.gz in the folder), three draws, on so many
  test photos of each class; a plot of it.
node dist/bench/collection.js search [--rows 1000000] [--width 512] [--python PYTHON]
  Milliseconds of a search among random vectors; the same by faiss-cpu and hnswlib, and a comparison with NumPy's exact result.
node dist/bench/collection.js index --model FOLDER --cifar FOLDER [--photos 2000] [--out FILE.svg]
  Photos a second of add, a plot of resident memory, and the loop of Transformers.js on its own export of the model, --onnx FOLDER,
  where bench/thirdparty is installed.`;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    ...{ model: { type: "string" }, cifar: { type: "string" }, test: { type: "string", default: "100" } },
    ...{ rows: { type: "string", default: "1000000" }, width: { type: "string", default: "512" } },
    ...{ photos: { type: "string", default: "2000" }, python: { type: "string" }, out: { type: "string" } },
    onnx: { type: "string" },
  },
});

interface Photo {
  readonly name: string;
  readonly label: string;
  readonly bytes: Uint8Array;
}

/** So many photos of each class of an archive. */
async function photosOf(archive: string, each: number): Promise<Photo[]> {
  const photos: Photo[] = [];
  const counts = new Map<string, number>();
  for await (const { name, bytes } of tarEntries(createReadStream(archive).pipe(createGunzip()), archive)) {
    const label = name.split("/").at(-2)!;
    const count = counts.get(label) ?? 0;
    if (count >= each || !name.endsWith(".jpg")) continue;
    counts.set(label, count + 1);
    photos.push({ name: `${label}-${count}.jpg`, label, bytes: await bytes() });
  }
  return photos;
}

const SHOTS = [1, 5, 10, 100];
const DRAWS = 3;

async function measureFewShot(): Promise<void> {
  using model = await load(values.model);
  const each = DRAWS * SHOTS.at(-1)!;
  async function embedded(split: string, count: number) {
    const photos = await photosOf(join(values.cifar!, `${split}.tar.gz`), count);
    const features = await model.embed(photos.map(({ bytes }) => bytes));
    const width = features.length / photos.length;
    return photos.map(({ label }, i) => ({ label, feature: features.slice(i * width, (i + 1) * width) }));
  }
  const test = await embedded("test", Number(values.test));
  const train = await embedded("train", each);
  const rows: { shots: number; accuracies: number[] }[] = [];
  for (const shots of SHOTS) {
    const accuracies: number[] = [];
    for (let draw = 0; draw < DRAWS; draw++) {
      // Photos of each class from another place on in each draw, so that no two draws share one.
      const seen = new Map<string, number>();
      const drawn = train.filter(({ label }) => {
        const place = seen.get(label) ?? 0;
        seen.set(label, place + 1);
        return place >= draw * SHOTS.at(-1)! && place < draw * SHOTS.at(-1)! + shots;
      });
      const head = await fewShot(
        drawn.map(({ feature }) => feature),
        drawn.map(({ label }) => label),
      );
      const right = test.filter(({ label, feature }) => head.classify(feature, { topK: 1 })[0]!.label === label);
      accuracies.push(right.length / test.length);
    }
    rows.push({ shots, accuracies });
  }
  const percent = (x: number) => `${(100 * x).toFixed(1)} %`;
  console.log(
    table(
      ["photos of each class", "draw 1", "draw 2", "draw 3"],
      rows.map(({ shots, accuracies }) => [`${shots}`, ...accuracies.map(percent)]),
    ),
  );
  const points = rows.flatMap(({ shots, accuracies }) => accuracies.map((y) => ({ x: Math.log10(shots), y: 100 * y })));
  const ticks = SHOTS.map((shots) => ({ x: Math.log10(shots), label: `${shots}` }));
  plot("Accuracy on CIFAR-10 in % by photos of each class", points, ticks);
}

async function measureSearch(): Promise<void> {
  const [rows, width] = [Number(values.rows), Number(values.width)];
  const folder = mkdtempSync(join(tmpdir(), "vitrail-bench-"));
  try {
    const identity = { model: "random", precision: "f32", preprocessing: {}, width, check: [] };
    const objects = await openObjects(folder);
    await writeManifest(objects, identity);
    const store = await openStore(objects, width);
    for (let begin = 0; begin < rows; begin += 50_000) {
      const count = Math.min(50_000, rows - begin);
      const vectors = random(count * width, 1, begin + 1);
      for (let i = 0; i < count; i++) vectors.set(toUnit(vectors.subarray(i * width, (i + 1) * width)), i * width);
      const facts = { size: null, time: null, hash: null, metadata: null };
      await store.append(
        vectors,
        Array.from({ length: count }, (_, i) => ({ id: `${begin + i}`, ...facts })),
      );
    }
    const collection = await openCollection(folder);
    const queries = Array.from({ length: 64 }, (_, i) => random(width, 1, 1e6 + i));
    const begin = performance.now();
    await collection.search(queries[0]!);
    const first = performance.now() - begin;
    const times: number[] = [];
    for (const query of queries.slice(0, 20)) {
      const begin = performance.now();
      await collection.search(query);
      times.push(performance.now() - begin);
    }
    const median = times.sort((a, b) => a - b)[10]!;
    const beginBatch = performance.now();
    const found = await collection.search(queries);
    const batch = (performance.now() - beginBatch) / queries.length;
    const rate = (4 * rows * width) / median / 1e6;
    const lines = [["vitrail", median.toFixed(1), batch.toFixed(2), "1"]];
    if (values.python !== undefined) {
      const path = join(folder, "queries.npy");
      const units = Float32Array.from(queries.flatMap((query) => [...toUnit(query)]));
      writeFileSync(path, encodeNpy({ dims: [queries.length, width], data: units }));
      const script = fileURLToPath(new URL("../../bench/collection.py", import.meta.url));
      const text = execFileSync(values.python, [script, join(folder, "img_emb"), path, "10"], {
        encoding: "utf8",
        maxBuffer: 2 ** 28,
      });
      const { numpy, ...others } = JSON.parse(text) as { numpy: number[][] } & Record<
        string,
        { ms: number; batchMs?: number; rows: number[][] }
      >;
      const same = found.every((hits, q) => hits.every(({ id }, i) => Number(id) === numpy[q]![i]));
      console.log(`All of the 10 nearest of 64 queries are NumPy's in f64, in its order: ${same}.`);
      if (!same) process.exitCode = 1;
      for (const [name, { ms, batchMs, rows }] of Object.entries(others) as [
        string,
        { ms: number; batchMs?: number; rows: number[][] },
      ][]) {
        const recall =
          rows.flatMap((list, q) => list.filter((row) => numpy[q]!.includes(row))).length / (10 * rows.length);
        lines.push([name, ms.toFixed(1), batchMs?.toFixed(2) ?? "", recall.toFixed(3)]);
      }
    }
    console.log(
      `${rows} × ${width}, one thread; first search with reading ${first.toFixed(0)} ms; ${rate.toFixed(1)} GB/s.`,
    );
    console.log(table(["", "ms a query", "ms a query, 64 at once", "recall"], lines));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function measureIndex(): Promise<void> {
  const each = Math.ceil(Number(values.photos) / 10);
  const folder = mkdtempSync(join(tmpdir(), "vitrail-bench-"));
  try {
    const at = join(folder, "photos");
    mkdirSync(at);
    const photos = await photosOf(join(values.cifar!, "train.tar.gz"), each);
    for (const { name, bytes } of photos) writeFileSync(join(at, name), bytes);
    const paths = photos.map(({ name }) => join(at, name));
    using model = await load(values.model);
    const collection = await openCollection(join(folder, "store"), { model });
    const points: { x: number; y: number }[] = [];
    const begin = performance.now();
    await collection.add(at, {
      shardRows: 512,
      onProgress: ({ added }) => points.push({ x: added, y: process.memoryUsage.rss() / 1e6 }),
    });
    const seconds = (performance.now() - begin) / 1000;
    const { name, precision, threads } = model.backend;
    const rows = [[`vitrail, ${name} ${precision}, ${threads} threads`, (photos.length / seconds).toFixed(1)]];
    if (installedVersion("@huggingface/transformers") && values.onnx !== undefined) {
      const { env, pipeline } = thirdparty("@huggingface/transformers");
      Object.assign(env, { allowRemoteModels: false, localModelPath: "" });
      const extract = await pipeline("image-feature-extraction", values.onnx, { dtype: "fp32", device: "cpu" });
      const begin = performance.now();
      for (const path of paths) await extract(path);
      rows.push([
        "Transformers.js' loop, onnxruntime-node",
        (paths.length / ((performance.now() - begin) / 1000)).toFixed(1),
      ]);
    }
    console.log(table([`${photos.length} photos of CIFAR-10`, "photos a second"], rows));
    const half = points.slice(points.length >> 1).map(({ y }) => y);
    console.log(`Resident: ${Math.min(...half).toFixed(0)} to ${Math.max(...half).toFixed(0)} MB in the second half.`);
    plot(
      "Resident memory in MB by photos added",
      points,
      [0, 0.5, 1].map((x) => ({ x: x * photos.length, label: `${x * photos.length}` })),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Points from zero up, as SVG, to --out. */
function plot(
  title: string,
  points: readonly { x: number; y: number }[],
  ticks: readonly { x: number; label: string }[],
): void {
  if (values.out === undefined) return;
  const [width, height, left, bottom, top] = [640, 360, 60, 40, 50];
  const most = Math.max(...points.map(({ y }) => y)) * 1.05;
  const end = Math.max(...ticks.map(({ x }) => x));
  const px = (x: number) => (left + (x / end) * (width - left - 30)).toFixed(1);
  const py = (y: number) => (height - bottom - (y / most) * (height - bottom - top)).toFixed(1);
  const levels = [0, 0.25, 0.5, 0.75, 1].map((share) => share * most);
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    "<style>text { font: 13px system-ui, sans-serif; fill: #333 } path { stroke: #777; fill: none } circle { fill: #2a6fd0 }",
    "@media (prefers-color-scheme: dark) { text { fill: #ddd } circle { fill: #7db2ff } }</style>",
    `<text x="${left}" y="24">${title}</text>`,
    `<path d="M${left} ${top - 10}V${height - bottom}H${width - 20}"/>`,
    ...ticks.map(({ x, label }) => `<text x="${px(x)}" y="${height - 16}" text-anchor="middle">${label}</text>`),
    ...levels.map((y) => `<text x="${left - 8}" y="${py(y)}" text-anchor="end">${y.toFixed(0)}</text>`),
    ...points.map(({ x, y }) => `<circle cx="${px(x)}" cy="${py(y)}" r="3"/>`),
    "</svg>",
  ];
  writeFileSync(values.out, `${lines.join("\n")}\n`);
}

const MEASURES: Readonly<Record<string, () => Promise<void>>> = {
  "few-shot": measureFewShot,
  search: measureSearch,
  index: measureIndex,
};
const measure = MEASURES[positionals[0] ?? ""];
if (measure) await measure();
else console.log(HELP);
