/** Collections whose vectors are int8: what is stored, and that search and duplicates are exact on it. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openCollection } from "../src/collection/index.js";
import { writeManifest } from "../src/collection/manifest.js";
import { fromStored, toStored } from "../src/collection/numbers.js";
import { openStore } from "../src/collection/store.js";
import { load } from "../src/index.js";
import { openObjects } from "../src/io/objects.js";
import { plan, work } from "../src/jobs/index.js";
import { toUnit } from "../src/numerics/vectors.js";

const root = mkdtempSync(join(tmpdir(), "vitrail-int8-"));
after(() => rmSync(root, { recursive: true, force: true, maxRetries: 5 }));
let folders = 0;
const newFolder = () => join(root, `${folders++}`);
let random = 1;
/** Sums of uniform numbers, about normal. */
const normal = () => {
  let sum = -2;
  for (let i = 0; i < 4; i++) {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    sum += random / 2 ** 32;
  }
  return sum;
};
const unit = (width: number) => toUnit(Float32Array.from({ length: width }, normal));

/** The integers of a collection's shards, read without it: an .npy's bytes begin at a multiple of 64. */
function integersOf(store: string, width: number): Int8Array[] {
  return readdirSync(join(store, "img_emb"))
    .sort()
    .flatMap((name) => {
      const bytes = readFileSync(join(store, "img_emb", name));
      const head = bytes.subarray(0, 128).toString("latin1");
      assert.match(head, new RegExp(`'descr': '\\|i1', 'fortran_order': False, 'shape': \\(\\d+, ${width}\\)`));
      const all = new Int8Array(bytes.subarray(10 + bytes.readUInt16LE(8)));
      return Array.from({ length: all.length / width }, (_, i) => all.subarray(i * width, (i + 1) * width));
    });
}

/** The cosine in f64. */
function cosine(query: ArrayLike<number>, row: ArrayLike<number>): number {
  let [product, a, b] = [0, 0, 0];
  for (let i = 0; i < row.length; i++) {
    product += query[i]! * row[i]!;
    a += query[i]! ** 2;
    b += row[i]! ** 2;
  }
  return b === 0 ? 0 : product / Math.sqrt(a * b);
}

test("rows are stored as the integers of their direction, and written again as they are", () => {
  for (const width of [192, 512]) {
    let most = 0;
    for (let i = 0; i < 200; i++) {
      const [row, query] = [unit(width), unit(width)];
      const stored = toStored("int8", row, width) as Int8Array;
      assert.equal(Math.max(...Array.from(stored, Math.abs)), 127);
      const back = fromStored("int8", new Uint8Array(stored.slice().buffer), width);
      assert.deepEqual(toStored("int8", back, width), stored);
      most = Math.max(most, Math.abs(cosine(query, row) - cosine(query, stored)), 1 - cosine(row, stored));
    }
    assert.ok(most < 0.003, `${width}: ${most}`);
  }
  assert.deepEqual(toStored("int8", new Float32Array(4), 2), new Int8Array(4));
});

test("search and duplicates are exact on what is stored, at widths that fill no vector of SIMD", async () => {
  for (const [width, count, asked] of [
    [192, 1200, 4],
    // More than pass at once.
    [37, 1100, 67],
    [1030, 200, 4],
  ] as const) {
    const folder = newFolder();
    const identity = { model: "x", precision: "f32", preprocessing: {}, width, check: [], vectors: "int8" } as const;
    const objects = await openObjects(folder);
    await writeManifest(objects, identity);
    const store = await openStore(objects, identity);
    const facts = { size: null, time: null, hash: null, metadata: null };
    const rows = Array.from({ length: count }, () => unit(width));
    // Some lie near others, one is another, one is nothing.
    for (let i = 10; i < 40; i++)
      rows[i + 100] = toUnit(rows[i]!.map((x) => x + (0.01 * i * normal()) / Math.sqrt(width)));
    rows[7] = rows[5]!;
    rows[8] = new Float32Array(width);
    for (let first = 0; first < count; first += 1000) {
      const some = rows.slice(first, first + 1000);
      const data = new Float32Array(some.length * width);
      for (const [i, row] of some.entries()) data.set(row, i * width);
      await store.append(
        data,
        some.map((_, i) => ({ id: `${first + i}`, ...facts })),
      );
    }
    const integers = integersOf(folder, width);
    assert.equal(integers.length, count);
    const collection = await openCollection(folder);
    const queries = [rows[5]!, rows[120]!, ...Array.from({ length: asked }, () => unit(width))];
    const found = await collection.search(queries, { topK: 12 });
    for (const [q, hits] of found.entries()) {
      const query = toUnit(queries[q]!);
      const wanted = integers
        .map((row, i) => ({ i, score: cosine(query, row) }))
        .sort((a, b) => b.score - a.score || a.i - b.i)
        .slice(0, 12);
      for (const [i, { id, score }] of hits.entries()) {
        assert.ok(Math.abs(score - wanted[i]!.score) < 1e-6, `${width}, query ${q}`);
        assert.ok(
          Number(id) === wanted[i]!.i || Math.abs(wanted[i]!.score - cosine(query, integers[Number(id)]!)) < 1e-12,
        );
      }
    }
    const pairs = (await collection.duplicates({ threshold: 0.9 })).flatMap(({ ids }) => ids.map(Number));
    const near = new Set<number>();
    for (let a = 0; a < 150; a++)
      for (let b = a + 1; b < 150; b++) if (cosine(integers[a]!, integers[b]!) >= 0.9) near.add(a).add(b);
    assert.deepEqual(
      pairs.filter((row) => row < 150).sort((a, b) => a - b),
      [...near].sort((a, b) => a - b),
    );
    assert.ok(near.size > 10, `${near.size}`);
  }
});

test("photos: shards that go on keep their rows, jobs write the same, and other numbers are refused", async () => {
  using model = await load("tests/fixtures/checkpoints/hf-vit");
  const [photos, folder, jobs, whole] = [newFolder(), newFolder(), newFolder(), newFolder()];
  mkdirSync(photos);
  const images = ["rgb-420.jpg", "rgb-8.png", "gray-8.png"];
  const put = (i: number) => cpSync(`tests/fixtures/image/${images[i % 3]}`, join(photos, `${i}-${images[i % 3]}`));
  for (let i = 0; i < 4; i++) put(i);
  const collection = await openCollection(folder, { model, vectors: "int8" });
  await collection.add(photos);
  const first = integersOf(folder, 36);
  for (let i = 4; i < 7; i++) put(i);
  await (await openCollection(folder, { model })).add(photos);
  const all = integersOf(folder, 36);
  assert.deepEqual(all.slice(0, 4), first);
  assert.equal(all.length, 7);
  const f32 = await openCollection(whole, { model });
  await f32.add(photos);
  const [query] = [join(photos, "0-rgb-420.jpg")];
  const [exact, rounded] = [await f32.search(query), await (await openCollection(folder, { model })).search(query)];
  assert.equal(rounded[0]!.id, query);
  for (const { id, score } of rounded) assert.ok(Math.abs(score - exact.find((hit) => hit.id === id)!.score) < 0.02);

  await plan(jobs, photos, { model, vectors: "int8", shardRows: 3 });
  await work(jobs, { model });
  assert.deepEqual(integersOf(jobs, 36), all);

  await assert.rejects(openCollection(whole, { vectors: "int8" }), /has vectors of f32, as it was made; got int8$/);
  await assert.rejects(openCollection(folder, { vectors: "f32" }), /has vectors of int8, as it was made; got f32$/);
  await assert.rejects(openCollection(folder, { vectors: "f16" as never }), /vectors must be f32 or int8; got "f16"$/);
  const manifest = join(folder, "manifest.json");
  const { identity, ...others } = JSON.parse(readFileSync(manifest, "utf8"));
  const lie = (vectors: unknown) =>
    writeFileSync(manifest, JSON.stringify({ ...others, identity: { ...identity, vectors } }));
  lie(undefined);
  await assert.rejects(openCollection(folder), /must have rows of 36 F32, as its manifest says; got I8/);
  lie("int4");
  await assert.rejects(openCollection(folder), /must say which model it is of/);
});
