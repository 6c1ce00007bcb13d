/** Collections, measured: heads of a few photos, search, and indexing. */
import { execFileSync } from "node:child_process";
import { createReadStream, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createGunzip } from "node:zlib";
import { fewShot, openCollection } from "../src/collection/index.js";
import { writeManifest } from "../src/collection/manifest.js";
import { openStore } from "../src/collection/store.js";
import { load, type Model } from "../src/index.js";
import { encodeNpy } from "../src/io/npy.js";
import { openObjects } from "../src/io/objects.js";
import { tarEntries } from "../src/io/tar.js";
import { toUnit } from "../src/numerics/vectors.js";
import { installedVersion, thirdparty } from "./engines/thirdparty.js";
import { folderOf, transformersFolder } from "./files.js";
import { random } from "./models.js";
import { median } from "./race.js";
import { joined } from "./work.js";

/** What the sections are measured on. */
export interface CollectionSources {
  /** A ViT in a folder. */
  readonly model: string;
  /** A folder with CIFAR-10's train.tar.gz and test.tar.gz, JPEG files in a folder a class. */
  readonly cifar: string;
  /** A Python with NumPy, faiss-cpu and hnswlib. */
  readonly python: string;
}

export interface FewShotResults {
  readonly model: string;
  /** Test photos. */
  readonly tested: number;
  /** Share of test photos that are right, by photos of each class and draw. */
  readonly shots: readonly { readonly shots: number; readonly accuracies: readonly number[] }[];
}

export interface SearchResults {
  readonly searches: readonly {
    readonly rows: number;
    readonly width: number;
    /** Milliseconds of the first search, which reads the vectors. */
    readonly firstMs: number;
    /** True if all of the nearest are NumPy's in f64, in its order. */
    readonly exact: boolean;
    readonly timings: readonly Found[];
  }[];
}

/** An engine's nearest ten of each query, one by one and 64 at once. */
interface Found {
  readonly name: string;
  readonly ms: number;
  readonly batchMs?: number;
  readonly buildSeconds?: number;
  readonly recall: number;
}

export interface IndexingResults {
  readonly rates: readonly { readonly name: string; readonly photos: number; readonly perSecond: number }[];
  /** A run of its own, in which nothing else is in the process. */
  readonly memory: {
    readonly photos: number;
    readonly imageSize: number;
    readonly seconds: number;
    readonly points: readonly { readonly photos: number; readonly residentBytes: number }[];
  };
}

interface Photo {
  readonly name: string;
  readonly label: string;
  readonly bytes: Uint8Array;
}

/** So many photos of each class of an archive. */
async function* photosIn(archive: string, each: number): AsyncGenerator<Photo> {
  const counts = new Map<string, number>();
  for await (const { name, bytes } of tarEntries(createReadStream(archive).pipe(createGunzip()), archive)) {
    const label = name.split("/").at(-2)!;
    const count = counts.get(label) ?? 0;
    if (count >= each || !name.endsWith(".jpg")) continue;
    counts.set(label, count + 1);
    yield { name: `${label}-${count}.jpg`, label, bytes: await bytes() };
  }
}

export async function photosOf(archive: string, each: number): Promise<Photo[]> {
  const photos: Photo[] = [];
  for await (const photo of photosIn(archive, each)) photos.push(photo);
  return photos;
}

const SHOTS = [1, 5, 10, 100];
const DRAWS = 3;
/** Photos of each class that are drawn from, and test photos of each. */
const [POOL, TESTED] = [150, 50];

export async function measureFewShot({ model: folder, cifar }: CollectionSources): Promise<FewShotResults> {
  using model = await load(folder);
  async function embedded(split: string, count: number) {
    const photos = await photosOf(join(cifar, `${split}.tar.gz`), count);
    const features = await model.embed(photos.map(({ bytes }) => bytes));
    const width = features.length / photos.length;
    return photos.map(({ label }, i) => ({ label, feature: features.slice(i * width, (i + 1) * width) }));
  }
  const test = await embedded("test", TESTED);
  const train = await embedded("train", POOL);
  const all: FewShotResults["shots"][number][] = [];
  for (const shots of SHOTS) {
    const accuracies: number[] = [];
    for (let draw = 0; draw < DRAWS; draw++) {
      // The first photos of each class in a random order, another one in each draw.
      const keys = random(train.length, 1, draw + 1);
      const seen = new Map<string, number>();
      const drawn = train
        .map((photo, i) => ({ ...photo, key: keys[i]! }))
        .sort((a, b) => a.key - b.key)
        .filter(({ label }) => {
          const place = seen.get(label) ?? 0;
          seen.set(label, place + 1);
          return place < shots;
        });
      const head = await fewShot(
        drawn.map(({ feature }) => feature),
        drawn.map(({ label }) => label),
      );
      const right = test.filter(({ label, feature }) => head.classify(feature, { topK: 1 })[0]!.label === label);
      accuracies.push(right.length / test.length);
    }
    all.push({ shots, accuracies });
  }
  return { model: model.identity.model, tested: test.length, shots: all };
}

const SEARCHES = [
  [100_000, 192],
  [1_000_000, 512],
] as const;
const QUERIES = 64;
const NEAREST = 10;

export async function measureSearch({ python }: CollectionSources): Promise<SearchResults> {
  const searches: SearchResults["searches"][number][] = [];
  for (const [rows, width] of SEARCHES) searches.push(await searchAmong(rows, width, python));
  return { searches };
}

async function searchAmong(rows: number, width: number, python: string): Promise<SearchResults["searches"][number]> {
  const folder = mkdtempSync(join(tmpdir(), "vitrail-bench-"));
  try {
    await writeStore(folder, rows, width);
    const collection = await openCollection(folder);
    const queries = Array.from({ length: QUERIES }, (_, i) => random(width, 1, 1e6 + i));
    const timed = async (queries: Float32Array[]) => {
      const begin = performance.now();
      const hits = await collection.search(queries, { topK: NEAREST });
      return { hits, ms: performance.now() - begin };
    };
    const { ms: firstMs } = await timed(queries.slice(0, 1));
    const times: number[] = [];
    for (const query of queries) times.push((await timed([query])).ms);
    const { hits, ms: batchMs } = await timed(queries);

    const path = join(folder, "queries.npy");
    writeFileSync(path, encodeNpy({ dims: [QUERIES, width], data: joined(queries.map(toUnit)) }));
    const script = fileURLToPath(new URL("../../bench/collection.py", import.meta.url));
    const args = [script, join(folder, "img_emb"), path, `${NEAREST}`];
    const { numpy, ...others } = JSON.parse(execFileSync(python, args, { encoding: "utf8", maxBuffer: 2 ** 28 })) as {
      numpy: number[][];
    } & Record<string, Omit<Found, "name" | "recall"> & { rows: number[][] }>;
    const exact = hits.every((list, q) => list.every(({ id }, i) => Number(id) === numpy[q]![i]));
    const recallOf = (found: readonly (readonly number[])[]) =>
      found.flatMap((list, q) => list.filter((row) => numpy[q]!.includes(row))).length / (NEAREST * QUERIES);
    const own = { name: "vitrail", ms: median(times), batchMs: batchMs / QUERIES };
    const theirs = Object.entries(others as Record<string, Omit<Found, "name" | "recall"> & { rows: number[][] }>);
    const timings = [
      { ...own, recall: recallOf(hits.map((list) => list.map(({ id }) => Number(id)))) },
      ...theirs.map(([name, { rows, ...times }]) => ({ name, ...times, recall: recallOf(rows) })),
    ];
    return { rows, width, firstMs, exact, timings };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A collection of random unit vectors, whose ids are their numbers. */
async function writeStore(folder: string, rows: number, width: number): Promise<void> {
  const objects = await openObjects(folder);
  const identity = { model: "random", precision: "f32", preprocessing: {}, width, check: [] };
  await writeManifest(objects, identity);
  const store = await openStore(objects, identity);
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
}

/** Photos of each class, by which rates are measured, and of which the run for memory is made. */
const [RATED, ALL] = [60, 5000];
/** Pixels of the images in the run for memory: 50,000 at 224 take as long as all other sections. */
const SMALL = 64;
/** Points of a plot. */
const POINTS = 120;

export async function measureIndexing({ cifar }: CollectionSources): Promise<IndexingResults> {
  const root = mkdtempSync(join(tmpdir(), "vitrail-bench-"));
  const folder = folderOf("Ti");
  try {
    const at = join(root, "photos");
    const few = join(root, "few");
    for (const made of [at, few]) mkdirSync(made);
    const points: IndexingResults["memory"]["points"][number][] = [];
    // The photos are written as they come, so that none of them is in memory.
    const counts = new Map<string, number>();
    const archive = join(cifar, "train.tar.gz");
    const names: string[] = [];
    for await (const { name, label, bytes } of photosIn(archive, ALL)) {
      writeFileSync(join(at, name), bytes);
      const count = counts.get(label) ?? 0;
      counts.set(label, count + 1);
      if (count >= RATED) continue;
      writeFileSync(join(few, name), bytes);
      names.push(join(few, name));
    }
    const index = async (model: Model, from: string, onProgress?: (photos: number) => void) => {
      const collection = await openCollection(mkdtempSync(join(root, "store-")), { model });
      const begin = performance.now();
      const { added } = await collection.add(from, { onProgress: ({ added }) => onProgress?.(added) });
      return { photos: added, seconds: (performance.now() - begin) / 1000 };
    };
    const rates: IndexingResults["rates"][number][] = [];
    using small = await load(folder, { imageSize: SMALL });
    const memory = await index(small, at, (photos) => {
      points.push({ photos, residentBytes: process.memoryUsage.rss() });
    });
    small.dispose();
    using model = await load(folder);
    const { photos, seconds } = await index(model, few);
    const { name, precision, threads } = model.backend;
    rates.push({ name: `vitrail add, ${name} ${precision}, ${threads} threads`, photos, perSecond: photos / seconds });
    if (installedVersion("@huggingface/transformers")) {
      const { env, pipeline } = thirdparty("@huggingface/transformers");
      Object.assign(env, { allowRemoteModels: false, localModelPath: transformersFolder.parent });
      const extract = await pipeline("image-feature-extraction", transformersFolder.name, {
        dtype: "fp32",
        device: "cpu",
      });
      const begin = performance.now();
      for (const path of names) await extract(path);
      const perSecond = (1000 * names.length) / (performance.now() - begin);
      rates.push({ name: "Transformers.js, a loop, onnxruntime-node", photos: names.length, perSecond });
    }
    const step = Math.ceil(points.length / POINTS);
    const kept = points.filter((_, i) => i % step === 0 || i === points.length - 1);
    return { rates, memory: { ...memory, imageSize: SMALL, points: kept } };
  } finally {
    rmSync(root, { recursive: true });
  }
}
