/** Lists on threads side by side: the bits of images one by one, whatever the model, the precision, the threads and the list. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { listBeside, passTogether } from "../bench/lanes.js";
import { createTurns } from "../src/engine/turns.js";
import { type ImageInput, load, type Model, type Precision } from "../src/index.js";
import type { BatchError } from "../src/tasks/batch.js";

const FOLDER = "tests/fixtures/image";
/** Photos of many sizes and formats. */
const IMAGES: ImageInput[] = readdirSync(FOLDER)
  .filter((name) => /\.(jpg|png|webp|gif)$/.test(name))
  .slice(0, 23)
  .map((name) => `${FOLDER}/${name}`);

const checkpoint = (name: string) => `tests/fixtures/checkpoints/${name}`;

const open = (name: string, threads: number, precision: Precision = "f32"): Promise<Model> =>
  load(checkpoint(name), { backend: "wasm", threads, precision });

/** Embeddings of images one by one. */
async function oneByOne(model: Model, images: readonly ImageInput[]): Promise<Float32Array[]> {
  const rows: Float32Array[] = [];
  for (const image of images) rows.push(await model.embed(image));
  return rows;
}

/** Has a list embedded until threads have run passes of it: they have activations of their own then. */
async function untilBeside(model: Model, images: readonly ImageInput[]): Promise<Float32Array> {
  for (;;) {
    const before = model.memory.activations;
    const rows = await model.embed(images);
    if (model.memory.activations > before) return rows;
  }
}

const joined = (rows: readonly Float32Array[]) => Float32Array.from(rows.flatMap((row) => [...row]));

const MODELS = ["hf-vit", "hf-beit", "hf-clip", "hf-siglip2-naflex", "timm-hybrid", "timm-rope-mixed"];

for (const name of MODELS) {
  test(`${name}: what threads make of a list is what images give one by one`, { timeout: 60_000 }, async () => {
    using model = await open(name, 2);
    const images = IMAGES.slice(0, 9);
    const wanted = joined(await oneByOne(model, images));
    assert.deepEqual(await untilBeside(model, images), wanted);
    assert.deepEqual(await model.embed(images), wanted);
  });
}

test("bits are the same for all precisions, threads and lengths of lists", { timeout: 120_000 }, async () => {
  for (const [precision, ...some] of [
    ["f32", 2, 5],
    ["f16", 4],
    ["int8", 3],
  ] as const) {
    let wanted: Float32Array[] | undefined;
    for (const threads of some) {
      using model = await open("hf-vit", threads, precision);
      wanted ??= await oneByOne(model, IMAGES);
      await untilBeside(model, IMAGES);
      for (const count of [1, 2, 3, 7, IMAGES.length]) {
        assert.deepEqual(
          await model.embed(IMAGES.slice(0, count)),
          joined(wanted.slice(0, count)),
          `${threads} ${count}`,
        );
      }
    }
  }
});

test("bad images of a list fail by themselves, and the others are there", { timeout: 60_000 }, async () => {
  using model = await open("hf-vit", 2);
  const wanted = await oneByOne(model, IMAGES);
  await untilBeside(model, IMAGES);
  const images = IMAGES.map((image, i) => (i % 5 === 2 ? new Uint8Array(i) : i === 10 ? "absent.png" : image));
  const error: BatchError<Float32Array> = await model.embed(images).then(
    () => assert.fail("it must fail"),
    (reason) => reason,
  );
  const bad = images.flatMap((image, i) => (image === IMAGES[i] ? [] : [i]));
  assert.equal(error.errors.length, bad.length);
  assert.deepEqual(
    error.results,
    wanted.map((row, i) => (bad.includes(i) ? undefined : row)),
  );
});

test("lists with signals and without at the same time: each is whole, or ended by its own", {
  timeout: 60_000,
}, async () => {
  using model = await open("hf-vit", 2);
  const wanted = joined(await oneByOne(model, IMAGES));
  await untilBeside(model, IMAGES);
  const [one, other] = [new AbortController(), new AbortController()];
  const lists = [one.signal, undefined, other.signal, undefined].map((signal) => model.embed(IMAGES, { signal }));
  setTimeout(() => one.abort(new Error("enough")), 2);
  await assert.rejects(lists[0]!, { message: "enough" });
  for (const list of lists.slice(1)) assert.deepEqual(await list, wanted);
});

test("a signal ends a list at once; the next one is whole", { timeout: 60_000 }, async () => {
  using model = await open("hf-vit", 3);
  const wanted = joined(await oneByOne(model, IMAGES));
  await untilBeside(model, IMAGES);
  for (const wait of [0, 1, 3, 10]) {
    const end = new AbortController();
    const list = model.embed([...IMAGES, ...IMAGES, ...IMAGES], { signal: end.signal });
    setTimeout(() => end.abort(new Error("enough")), wait);
    await assert.rejects(list, { message: "enough" });
  }
  const { signal } = new AbortController();
  assert.deepEqual(await model.embed(IMAGES, { signal }), wanted);
});

test("dispose ends a list; another model of the same files goes on", { timeout: 60_000 }, async () => {
  const model = await open("hf-vit", 2);
  using other = await open("hf-vit", 2);
  const wanted = joined(await oneByOne(other, IMAGES));
  await untilBeside(model, IMAGES);
  const lists = [model.embed(IMAGES), other.embed(IMAGES)] as const;
  model.dispose();
  await assert.rejects(lists[0], { message: "model: it was disposed of; load it again" });
  assert.deepEqual(await lists[1], wanted);
  const last = other.embed(IMAGES);
  other.dispose();
  await assert.rejects(last, { message: "model: it was disposed of; load it again" });
});

test("lists, single images and raw calls at the same time have the bits of each by itself", {
  timeout: 60_000,
}, async () => {
  using model = await open("hf-vit", 3);
  const wanted = await oneByOne(model, IMAGES);
  await untilBeside(model, IMAGES);
  const values = await model.preprocess(IMAGES[0]!);
  const raw = async () => (await model.forward({ pixelValues: values }, { outputs: ["preLogits"] })).preLogits.data;
  const [first, one, second, logits] = await Promise.all([
    ...([model.embed(IMAGES), model.embed(IMAGES[3]!), model.embed(IMAGES.slice(5)), raw()] as const),
  ]);
  assert.deepEqual(first, joined(wanted));
  assert.deepEqual(one, wanted[3]);
  assert.deepEqual(second, joined(wanted.slice(5)));
  assert.deepEqual(logits, wanted[0]);
});

test("the model of cost: tasks, barriers, a caller that is too slow, a bandwidth that is too small", () => {
  const phases = [
    { ms: 12, tasks: () => 12, barriers: 1 },
    { ms: 1, tasks: () => 0, barriers: 0 },
  ];
  assert.equal(passTogether(phases, 0.5, 1), 13);
  // Three of twelve tasks on the busiest of five threads, a barrier, and what the caller does alone.
  assert.equal(passTogether(phases, 0.5, 5), 3 + 0.5 + 1);
  const costs = { phases, batch: phases, barrier: 0, pixels: 7, caller: 0, bytes: 1000 };
  const free = Number.POSITIVE_INFINITY;
  assert.equal(listBeside(costs, 50, 1, free), 50 * 20);
  for (const lanes of [2, 4, 16]) {
    const least = (800 * 20) / lanes;
    const found = listBeside(costs, 800, lanes, free);
    assert.ok(found >= least && found < 1.06 * least, `${lanes}: ${found} of ${least}`);
  }
  assert.ok(listBeside({ ...costs, caller: 5 }, 800, 16, free) >= 800 * 5);
  assert.ok(listBeside(costs, 800, 16, 100) >= (800 / 16) * (160 + 7));
});

test("calls that are made at once pass side by side, with the bits of each by itself", {
  timeout: 60_000,
}, async () => {
  const ways: ((model: Model, image: ImageInput) => Promise<Float32Array>)[] = [
    (model, image) => model.embed(image),
    async (model, image) => {
      const pixelValues = await model.preprocess(image);
      return (await model.forward({ pixelValues }, { outputs: ["preLogits"] })).preLogits.data;
    },
  ];
  for (const way of ways) {
    using model = await open("hf-vit", 2);
    const wanted = await oneByOne(model, IMAGES);
    const { activations } = model.memory;
    do {
      assert.deepEqual(await Promise.all(IMAGES.map((image) => way(model, image))), wanted);
    } while (model.memory.activations === activations);
  }
});

test("a thread decodes between passes, and passes between images, however many come of the other", () => {
  for (const size of [1, 4]) {
    const turns = createTurns<string, string>((first, passes) => ({ able: [first, ...passes.slice(1)], size }));
    const order: string[] = [];
    let late = 0;
    const take = () => {
      const turn = turns.next()!;
      order.push(...("batch" in turn ? turn.batch : [turn.image]));
      // As many come as go: of calls that others wait behind.
      if ("batch" in turn) turns.passes.push(...turn.batch.map(() => `later pass ${late++}`));
      else turns.pixels.push(`later image ${late++}`);
    };
    turns.passes.push("a", "b", "c", "d", "pass");
    turns.pixels.push("image", "e", "f");
    while (!(order.includes("image") && order.includes("pass"))) {
      take();
      assert.ok(order.length < 12, order.join());
    }
    assert.ok(order.indexOf("image") <= size, order.join());
  }
  // Less than a batch waits for as many images as fill one, and no longer.
  const turns = createTurns<number, string>((first, passes) => ({ able: [first, ...passes.slice(1)], size: 4 }));
  turns.passes.push("a");
  turns.pixels.push(1, 2, 3, 4, 5, 6);
  const kinds = Array.from({ length: 6 }, () => Object.keys(turns.next()!)[0]);
  assert.deepEqual(kinds, ["image", "image", "image", "image", "batch", "image"]);
  assert.equal(createTurns(() => ({ able: [], size: 1 })).next(), undefined);
});
