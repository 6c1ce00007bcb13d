/** Collections: photos go in once, whatever happens meanwhile, and are found exactly. */
import assert from "node:assert/strict";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { type Collection, openCollection } from "../src/collection/index.js";
import { load, type Model } from "../src/index.js";
import { encodeNpy } from "../src/io/npy.js";
import { runPython, withoutPython } from "./python.js";

const root = mkdtempSync(join(tmpdir(), "vitrail-collection-"));
after(() => rmSync(root, { recursive: true }));
const IMAGES = "tests/fixtures/image";
const PHOTOS = ["rgb-420.jpg", "rgb-8.png", "gray-8.png"].filter((name) => readdirSync(IMAGES).includes(name));
let folders = 0;
const newFolder = () => join(root, `${folders++}`);

/** A folder of photos, and of what is none. */
function photosFolder(count = PHOTOS.length): string {
  const folder = newFolder();
  mkdirSync(join(folder, "deep/er"), { recursive: true });
  for (let i = 0; i < count; i++)
    cpSync(
      join(IMAGES, PHOTOS[i % PHOTOS.length]!),
      join(folder, i % 2 ? "deep/er" : ".", `${i}-${PHOTOS[i % PHOTOS.length]}`),
    );
  return folder;
}

const model = await load("tests/fixtures/checkpoints/hf-vit");
after(() => model.dispose());
const idsOf = async (collection: Collection) => {
  const ids: string[] = [];
  for await (const { id } of collection.photos()) ids.push(id);
  return ids;
};

test("a folder goes in once; what changed goes in again, what is gone is not found", async () => {
  const [photos, folder] = [photosFolder(7), newFolder()];
  const collection = await openCollection(folder, { model });
  assert.deepEqual(await collection.add(photos), { added: 7, skipped: 0, failed: 0, removed: 0 });
  assert.deepEqual(await collection.add(photos), { added: 0, skipped: 7, failed: 0, removed: 0 });
  assert.equal(collection.size, 7);

  const first = join(photos, "0-rgb-420.jpg");
  const [hit] = await collection.search({ image: first }, { topK: 1 });
  assert.equal(hit!.id, first);
  assert.ok(Math.abs(hit!.score - 1) < 1e-6, `${hit!.score}`);

  cpSync(join(IMAGES, "rgb-8.png"), first);
  rmSync(join(photos, "2-gray-8.png"));
  const again = await openCollection(folder, { model });
  assert.deepEqual(await again.add(photos), { added: 1, skipped: 5, failed: 0, removed: 1 });
  assert.equal(again.size, 6);
  const hits = await again.search({ image: first }, { topK: 20 });
  assert.equal(hits.length, 6);
  assert.equal(hits.filter(({ id }) => id === first).length, 1);
  assert.deepEqual((await idsOf(again)).sort(), hits.map(({ id }) => id).sort());

  // It comes back as it was: nothing has to be embedded.
  cpSync(join(IMAGES, "gray-8.png"), join(photos, "2-gray-8.png"));
  assert.equal((await again.add(photos)).removed, 0);
  assert.equal((await openCollection(folder)).size, 7);
});

test("photos that go away while others are added are listed, or were never there", async () => {
  const [photos, folder] = [photosFolder(5), newFolder()];
  const collection = await openCollection(folder, { model });
  const paths = readdirSync(photos, { recursive: true, encoding: "utf8" })
    .map((name) => join(photos, name))
    .filter((path) => statSync(path).isFile());
  const [listed, known, ...others] = paths as [string, string, ...string[]];
  await collection.add(known);
  async function* whileTheyGo() {
    // It has been looked at when it goes, and the next one not yet.
    yield listed;
    yield others[0]!;
    rmSync(listed);
    rmSync(known);
    yield known;
    yield* others.slice(1);
  }
  assert.deepEqual(await collection.add(whileTheyGo()), { added: 3, skipped: 0, failed: 1, removed: 1 });
  assert.deepEqual(
    collection.failures.map(({ id }) => id),
    [listed],
  );
  assert.match(collection.failures[0]!.error, /does not exist$/);
  assert.deepEqual((await idsOf(collection)).sort(), [...others].sort());
});

test("addresses: photos and archives by them; what does not answer is listed, and nothing is asked for twice", async () => {
  const image = readFileSync(join(IMAGES, "rgb-420.jpg"));
  const answers: Record<string, Uint8Array> = {
    "/a.jpg": image,
    "/b.png": readFileSync(join(IMAGES, "rgb-8.png")),
    "/page.jpg": Buffer.from("<html>"),
    "/shard.tar": tar([["c.jpg", image]]),
  };
  const asked: string[] = [];
  const server = createServer(({ url }, response) => {
    asked.push(url!);
    const bytes = answers[url!];
    response.writeHead(bytes ? 200 : 404).end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const at = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const folder = newFolder();
    const collection = await openCollection(folder, { model });
    const places = ["a.jpg", "b.png", "page.jpg", "none.jpg", "shard.tar"].map((name) => `${at}/${name}`);
    const list = join(newFolder(), "list.txt");
    mkdirSync(join(list, ".."));
    writeFileSync(list, places.join("\n"));
    assert.deepEqual(await collection.add(`@${list}`), { added: 3, skipped: 0, failed: 2, removed: 0 });
    assert.deepEqual((await idsOf(collection)).sort(), [places[0], places[1], `${places[4]}#c.jpg`].sort());
    const errors = new Map(collection.failures.map(({ id, error }) => [id, error]));
    assert.match(errors.get(places[2]!)!, /page\.jpg" is not/);
    assert.match(errors.get(places[3]!)!, /none\.jpg" .*404 Not Found/);
    assert.equal(asked.filter((url) => url === "/a.jpg").length, 1);
    assert.deepEqual(await collection.add(new URL(places[0]!)), { added: 0, skipped: 1, failed: 0, removed: 0 });
    assert.equal(asked.filter((url) => url === "/a.jpg").length, 1);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  const closed = await openCollection(newFolder(), { model });
  assert.equal((await closed.add(`${at}/a.jpg`)).failed, 1);
  assert.match(closed.failures[0]!.error, /a\.jpg" .*ECONNREFUSED/);
});

test("--hash: a file that was only touched is not embedded again", async () => {
  const [photos, folder] = [photosFolder(3), newFolder()];
  const collection = await openCollection(folder, { model });
  await collection.add(photos, { hash: true });
  const touched = join(photos, "0-rgb-420.jpg");
  utimesSync(touched, 1, 1);
  assert.equal((await collection.add(photos, { hash: true })).skipped, 3);
  assert.equal((await collection.add(photos)).added, 1);
});

test("a photo that cannot be read is listed with its sentence, and the others are added", async () => {
  const [photos, folder] = [photosFolder(3), newFolder()];
  writeFileSync(join(photos, "bad.jpg"), "nothing");
  const collection = await openCollection(folder, { model });
  const absent = join(photos, "absent.png");
  assert.deepEqual(await collection.add([photos, absent]), { added: 3, skipped: 0, failed: 2, removed: 0 });
  const failures = (await openCollection(folder)).failures;
  assert.deepEqual(failures.map(({ id }) => id).sort(), [absent, join(photos, "bad.jpg")].sort());
  assert.match(failures.find(({ id }) => id === absent)!.error, /absent\.png" does not exist$/);
  assert.match(failures.find(({ id }) => id !== absent)!.error, /bad\.jpg" is not a JPEG/);
  cpSync(join(IMAGES, "rgb-8.png"), join(photos, "bad.jpg"));
  assert.equal((await collection.add(photos)).added, 1);
  assert.deepEqual(
    collection.failures.map(({ id }) => id),
    [absent],
  );
});

/** A tar archive of files. */
function tar(files: readonly (readonly [name: string, bytes: Uint8Array])[]): Buffer {
  const blocks = files.flatMap(([name, bytes]) => {
    const header = Buffer.alloc(512);
    const write = (at: number, text: string) => header.write(text, at, "latin1");
    write(0, name);
    write(100, "0000644\0");
    write(124, `${bytes.length.toString(8).padStart(11, "0")}\0`);
    write(136, "00000001750\0");
    write(148, "        ");
    write(156, "0");
    write(257, "ustar\0" + "00");
    write(
      148,
      `${header
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, "0")}\0 `,
    );
    return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

test("archives: photos with the facts beside them, packed or not; one that is cut fails alone", async () => {
  const folder = newFolder();
  const at = newFolder();
  mkdirSync(at);
  const image = readFileSync(join(IMAGES, "rgb-420.jpg"));
  const facts = Buffer.from(JSON.stringify({ place: "Rome", year: 2020 }));
  const archive = tar([
    ["a/one.jpg", image],
    ["a/one.json", facts],
    ["a/two.txt", Buffer.from("a cat")],
    ["a/two.png", readFileSync(join(IMAGES, "rgb-8.png"))],
    ["a/other.bin", Buffer.from("x")],
  ]);
  writeFileSync(join(at, "s.tar"), archive);
  writeFileSync(join(at, "s.tar.gz"), gzipSync(archive));
  writeFileSync(join(at, "cut.tar"), archive.subarray(0, 700));
  const collection = await openCollection(folder, { model });
  assert.deepEqual(await collection.add(join(at, "*.tar*")), { added: 4, skipped: 0, failed: 1, removed: 0 });
  assert.match(collection.failures[0]!.error, /^tar: ".*cut\.tar" ends inside an entry$/);
  assert.deepEqual(
    (await idsOf(collection)).sort(),
    ["s.tar", "s.tar.gz"].flatMap((name) => [`${join(at, name)}#a/one.jpg`, `${join(at, name)}#a/two.png`]).sort(),
  );
  const hits = await collection.search(image, { filter: ({ metadata }) => metadata?.caption === "a cat" });
  assert.deepEqual(
    hits.map(({ id }) => id.replace(/.*#/, "")),
    ["a/two.png", "a/two.png"],
  );
  assert.equal((await collection.add(join(at, "s.tar"))).skipped, 2);
});

test("photos from a program: an iterable that never ends is taken as it comes, until the signal", async () => {
  const folder = newFolder();
  const collection = await openCollection(folder, { model });
  const stop = new AbortController();
  const image = readFileSync(join(IMAGES, "rgb-420.jpg"));
  let given = 0;
  async function* endless() {
    for (;;) yield { id: `photo ${given++}`, image: new Uint8Array(image), metadata: { given } };
  }
  const stopped = collection.add(endless(), {
    shardRows: 50,
    signal: stop.signal,
    onProgress: ({ added, perSecond, total }) => {
      assert.ok(perSecond > 0 && total === undefined);
      if (added >= 128) stop.abort(new Error("enough"));
    },
  });
  await assert.rejects(stopped, /^Error: enough$/);
  const { size } = await openCollection(folder);
  assert.ok(size >= 128 && size <= given && given < 400, `${size} of ${given}`);
  assert.deepEqual(
    await idsOf(collection),
    Array.from({ length: size }, (_, i) => `photo ${i}`),
  );
});

test("shards: of a full one nothing is written again, one that is not full goes on", async () => {
  const folder = newFolder();
  const collection = await openCollection(folder, { model });
  const image = new Uint8Array(readFileSync(join(IMAGES, "rgb-8.png")));
  const photo = (i: number) => ({ id: `${i}`, image });
  for (const [from, to] of [
    [0, 5],
    [5, 7],
    [7, 12],
  ] as const) {
    await collection.add(
      Array.from({ length: to - from }, (_, i) => photo(from + i)),
      { shardRows: 4 },
    );
  }
  assert.equal(readdirSync(join(folder, "img_emb")).length, 3);
  assert.equal(readdirSync(join(folder, "metadata")).length, 6, "each with its digest");
  assert.deepEqual(
    await idsOf(collection),
    Array.from({ length: 12 }, (_, i) => `${i}`),
  );
  assert.deepEqual(await idsOf(await openCollection(folder)), await idsOf(collection));
  const hits = await collection.search(image, { topK: 12 });
  assert.deepEqual(
    hits.map(({ id }) => id),
    await idsOf(collection),
    "equal scores in the order of adding",
  );
});

/** A collection of given vectors, by a model that is none. */
async function collectionOf(
  vectors: readonly Float32Array[],
  options: { shardRows?: number } = {},
): Promise<Collection> {
  const { length } = vectors[0]!;
  const embed = async (images: unknown) => {
    const list = Array.isArray(images) ? (images as { data: Uint8Array }[]) : [images as { data: Uint8Array }];
    const all = new Float32Array(list.length * length);
    for (const [i, { data }] of list.entries()) {
      const known =
        data.length === 4
          ? vectors[new Uint32Array(new Uint8Array(data).buffer)[0]!]!
          : new Float32Array(length).fill(1);
      const size = Math.hypot(...known);
      all.set(
        known.map((x) => x / size),
        i * length,
      );
    }
    return all;
  };
  const identity = { model: "none", precision: "f32", preprocessing: {} };
  const fake = { identity, embed, text: undefined } as unknown as Model;
  const collection = await openCollection(newFolder(), { model: fake });
  const numbered = (i: number) => new Uint8Array(Uint32Array.of(i).buffer);
  const photos = vectors.map((_, i) => ({ id: `${i}`, image: { data: numbered(i), width: 1, height: 1 } }));
  await collection.add(photos, options);
  return collection;
}

/** Numbers between -1 and 1 that are always the same. */
function randomVectors(count: number, width: number, seed = 1): Float32Array[] {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  return Array.from({ length: count }, () => Float32Array.from({ length: width }, next));
}

const unit = (row: Float32Array) => {
  const size = Math.hypot(...row);
  return row.map((x) => x / size);
};

for (const width of [1, 3, 4, 7, 36]) {
  test(`search in ${width} numbers: all pairs by a plain loop, of one query and of several`, async () => {
    const vectors = randomVectors(1030, width, width);
    // The same vector at the ends of chunks.
    vectors[1024] = vectors[3]!;
    vectors[1029] = vectors[3]!;
    const collection = await collectionOf(vectors, { shardRows: 300 });
    const queries = [...randomVectors(6, width, 99), vectors[3]!];
    const found = await collection.search(queries, { topK: 9 });
    for (const [q, query] of queries.entries()) {
      const direction = unit(query);
      const expected = vectors
        .map((row, i) => ({ i, score: unit(row).reduce((sum, x, j) => sum + x * direction[j]!, 0) }))
        .sort((a, b) => b.score - a.score || a.i - b.i)
        .slice(0, 9);
      assert.deepEqual(
        found[q]!.map(({ id }) => Number(id)),
        expected.map(({ i }) => i),
        `query ${q}`,
      );
      for (const [k, { score }] of found[q]!.entries()) assert.ok(Math.abs(score - expected[k]!.score) < 1e-6);
      assert.deepEqual(await collection.search(query, { topK: 9 }), found[q]);
    }
  });
}

test("duplicates: groups by all pairs, chains too, none below the threshold", async () => {
  const vectors = randomVectors(300, 16);
  const near = (row: Float32Array, by: number) => row.map((x, i) => (i === 0 ? x + by : x));
  // Two of one, far apart, and a chain whose ends are below the threshold.
  vectors[299] = near(vectors[7]!, 0.01);
  vectors[50] = near(vectors[20]!, 0.5);
  vectors[60] = near(vectors[20]!, 1);
  const collection = await collectionOf(vectors);
  const threshold = 0.97;
  const groups = await collection.duplicates({ threshold });
  const units = vectors.map(unit);
  const cosine = (i: number, j: number) => units[i]!.reduce((sum, x, k) => sum + x * units[j]![k]!, 0);
  const pairs: [number, number][] = [];
  for (let i = 0; i < 300; i++) for (let j = i + 1; j < 300; j++) if (cosine(i, j) >= threshold) pairs.push([i, j]);
  const joined = new Set(pairs.flat());
  assert.deepEqual(
    groups.flatMap(({ ids }) => ids.map(Number)).sort((a, b) => a - b),
    [...joined].sort((a, b) => a - b),
  );
  assert.ok(groups.some(({ ids }) => ids.join() === "7,299"));
  assert.ok(groups.some(({ ids }) => ids.join() === "20,50,60") && !pairs.some(([i, j]) => i === 20 && j === 60));
  assert.ok(
    groups.every(({ scores: [least, largest] }) => threshold <= least && least <= largest && largest <= 1 + 1e-6),
  );
});

test("duplicates of photos: the largest file first", async () => {
  const photos = newFolder();
  mkdirSync(photos);
  const image = readFileSync(join(IMAGES, "rgb-8.png"));
  writeFileSync(join(photos, "a.png"), image);
  // What follows the end of a PNG is none of it.
  writeFileSync(join(photos, "b.png"), Buffer.concat([image, Buffer.alloc(100)]));
  const collection = await openCollection(newFolder(), { model });
  await collection.add(photos);
  const [group, ...others] = await collection.duplicates();
  assert.deepEqual([group!.ids, others], [["b.png", "a.png"].map((name) => join(photos, name)), []]);
});

test("a text is looked for by the text tower, and a string without one is a path", async () => {
  using clip = await load("tests/fixtures/checkpoints/hf-clip");
  const folder = newFolder();
  const collection = await openCollection(folder, { model: clip });
  await collection.add(photosFolder(3));
  const hits = await collection.search("a cat", { topK: 3 });
  assert.deepEqual(hits, await collection.search({ text: "a cat" }, { topK: 3 }));
  const vector = await clip.text!.embed("a cat");
  assert.deepEqual(hits, await collection.search(vector, { topK: 3 }));

  const plain = await openCollection(newFolder(), { model });
  await plain.add(photosFolder(3));
  const [hit] = await plain.search(join(IMAGES, "rgb-420.jpg"));
  assert.match(hit!.id, /rgb-420\.jpg$/);
  await assert.rejects(
    plain.search({ text: "a cat" }),
    /^RangeError: search: a text needs a model of images and texts/,
  );
});

test("what is no collection, or not of this model, is refused in one sentence", async () => {
  const made = newFolder();
  const collection = await openCollection(made, { model });
  await collection.add(photosFolder(3));
  using clip = await load("tests/fixtures/checkpoints/hf-clip");
  const both = /^Error: collection: ".*" was made by "hf-vit" in f32, and this model is "hf-clip" in f32: /;
  await assert.rejects(openCollection(made, { model: clip }), both);
  await assert.rejects(openCollection(made, { model, pooling: "token" }), /pooling is "not set", and not "token"/);

  const copy = () => {
    const folder = newFolder();
    cpSync(made, folder, { recursive: true });
    return folder;
  };
  const change = (folder: string, by: (manifest: Record<string, unknown>) => void) => {
    const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8"));
    by(manifest);
    writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
    return folder;
  };
  const newer = change(copy(), (manifest) => (manifest.version = 2));
  const other = change(copy(), (manifest) => (manifest.format = "other"));
  const nameless = change(copy(), (manifest) => (manifest.identity = {}));
  const cut = copy();
  const vectors = join(cut, "img_emb/img_emb_0000.npy");
  truncateSync(vectors, statSync(vectors).size - 10);
  const noParquet = copy();
  writeFileSync(join(noParquet, "metadata/metadata_0000.parquet"), "PAR1 nothing PAR1");
  const fewer = copy();
  const two = newFolder();
  await (await openCollection(two, { model })).add(photosFolder(2));
  cpSync(join(two, "metadata"), join(fewer, "metadata"), { recursive: true });
  const occupied = newFolder();
  mkdirSync(join(occupied, "x"), { recursive: true });
  const cases: [attempt: () => Promise<unknown>, error: RegExp][] = [
    [
      () => openCollection(newer),
      /manifest\.json" was written by a later vitrail, and this one reads version 1; got 2$/,
    ],
    [() => openCollection(other), /must be of the format "vitrail-collection"; got "other"$/],
    [() => openCollection(nameless), /must say which model it is of/],
    [
      () => openCollection(cut),
      /img_emb_0000\.npy" must have 432 bytes behind its head; got 422: remove it and its metadata/,
    ],
    [() => openCollection(noParquet), /metadata_0000\.parquet" must be as it was written, by the digest beside it/],
    [() => openCollection(fewer), /must have a row for each of 3 vectors beside it; it has 2$/],
    [() => openCollection(newFolder()), /^Error: collection: ".*" is none, and making one needs a model$/],
    [() => openCollection(occupied, { model }), /must be empty, or have a manifest\.json; it has "x"$/],
    [
      () => openCollection(join(made, "manifest.json/x"), { model }),
      /manifest\.json\/x" cannot be written: its folder does not exist$/,
    ],
    [
      () => openCollection(made, { modle: 1 } as never),
      /^RangeError: openCollection: options are model, pooling, vectors, signal; got "modle"$/,
    ],
    [async () => (await openCollection(made)).add("x"), /^TypeError: add: photos need the model/],
    [async () => (await openCollection(made)).search("x"), /^TypeError: search: a text or an image needs the model/],
    [
      () => collection.search(Float32Array.of(1)),
      /^RangeError: search: a vector must have 36 numbers, as those of the collection; got 1$/,
    ],
    [
      () => collection.search(new Float32Array(36), { topK: 0 }),
      /^RangeError: search: topK must be a positive integer; got 0$/,
    ],
    [() => collection.duplicates({ threshold: 2 }), /^RangeError: duplicates: threshold must be a cosine/],
    [
      () => collection.add([{ id: "", image: "x" }]),
      /^TypeError: add: a photo must be a path, a URL or \{ id, image, metadata \}/,
    ],
    [() => collection.add("x", { shardRows: 0 }), /^RangeError: add: shardRows must be from 1 to 262144; got 0$/],
  ];
  for (const [attempt, error] of cases) {
    await assert.rejects(attempt, error, String(error));
  }
});

for (const vectors of ["f32", "int8"] as const)
  test(`NumPy, pandas, pyarrow and DuckDB read a store of ${vectors}, and NumPy finds the same photos`, {
    skip: withoutPython,
  }, async () => {
    const folder = newFolder();
    const collection = await openCollection(folder, { model, vectors });
    await collection.add(photosFolder(30), { shardRows: 8 });
    const queries = randomVectors(3, 36, 5).map(unit);
    const path = join(root, "queries.npy");
    writeFileSync(path, encodeNpy({ dims: [3, 36], data: Float32Array.from(queries.flatMap((row) => [...row])) }));
    const read = JSON.parse(runPython("tests/fixtures/collection/read.py", folder, path));
    const ids = await idsOf(collection);
    assert.deepEqual([read.shape, read.pandas, read.pyarrow], [[30, 36], ids, ids]);
    assert.ok(read.lengths[0] < 1e-6);
    const sizes = ids.map((id) => statSync(id).size);
    assert.deepEqual([read.sizes, read.duckdb], [sizes, ids.map((id, i) => [id, sizes[i]])]);
    const hits = await collection.search(queries);
    assert.deepEqual(
      hits.map((list) => list.map(({ id }) => id)),
      read.best,
    );
    for (const [q, list] of hits.entries()) {
      for (const [k, { score }] of list.entries()) assert.ok(Math.abs(score - read.scores[q][k]) < 1e-6);
    }
  });
