/** Pixels made ahead: by threads the same as by the caller, in order whoever made them, and never many at once. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { createLanes, type Lanes } from "../src/engine/lanes.js";
import { type PixelThreads, pixelsAhead } from "../src/image/ahead.js";
import { type ImageInput, parsePreprocessing, type SeenImage } from "../src/image/index.js";
import { type PixelOptions, pixelsOf } from "../src/image/pixels.js";
import { processors } from "../src/platform/host.js";

const FOLDER = "tests/fixtures/image";
const IMAGES = readdirSync(FOLDER)
  .filter((name) => /\.(jpg|png|webp|gif)$/.test(name))
  .map((name) => `${FOLDER}/${name}`);
const OPTIONS: PixelOptions = {
  preprocessing: parsePreprocessing({ size: 16 }, undefined, [16, 16]),
};
const go = () => {};

/** A promise once a thread has started and has time. */
async function takenBy(workers: Lanes, input: ImageInput): Promise<SeenImage | Error | undefined> {
  for (;;) {
    const taken = workers.take(input, OPTIONS);
    if (taken) return taken;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const alone = processors() === 1 ? "there is one processor, so no threads are started" : false;

test("a thread makes the pixels that the caller makes", { skip: alone, timeout: 30_000 }, async () => {
  const workers = createLanes(() => undefined);
  assert.equal(workers.take(IMAGES[0]!, OPTIONS), undefined);
  workers.start(2);
  for (const path of IMAGES) {
    assert.deepEqual(await takenBy(workers, path), await pixelsOf(path, OPTIONS), path);
  }
  const wanted = await pixelsOf(IMAGES[0]!, OPTIONS);
  const bytes = new Uint8Array(readFileSync(IMAGES[0]!));
  const larger = new Uint8Array(bytes.length + 10);
  larger.set(bytes, 5);
  const view = larger.subarray(5, 5 + bytes.length);
  for (const input of [pathToFileURL(IMAGES[0]!), bytes, view, bytes.buffer, new Blob([bytes])]) {
    assert.deepEqual(await takenBy(workers, input), wanted);
  }
  assert.equal(larger.length, bytes.length + 10);
  // A file that cannot be read may be one that only the caller can read; a bad image is bad wherever it is decoded.
  assert.equal(await takenBy(workers, "absent.png"), undefined);
  for (const input of [new Uint8Array(3), 5 as never]) {
    const reason = await pixelsOf(input, OPTIONS).catch((error: Error) => error);
    assert.deepEqual(await takenBy(workers, input), reason);
  }
  // What cannot be sent is not taken, and takes no place.
  for (let i = 0; i < 3; i++) assert.equal(workers.take({ data: go } as never, OPTIONS), undefined);
  assert.deepEqual(await takenBy(workers, bytes), wanted);
  workers.dispose();
});

test("a thread takes two images at once; dispose settles them as not done", {
  skip: alone,
  timeout: 30_000,
}, async () => {
  const workers = createLanes(() => undefined);
  workers.start(2);
  const bytes = new Uint8Array(readFileSync(IMAGES[0]!));
  await takenBy(workers, bytes);
  const [one, two, three] = [1, 2, 3].map(() => workers.take(bytes, OPTIONS));
  assert.ok(one && two && !three);
  workers.dispose();
  assert.deepEqual(await Promise.all([one, two]), [undefined, undefined]);
  assert.equal(workers.take(bytes, OPTIONS), undefined);
});

async function all(images: readonly ImageInput[], workers: PixelThreads): Promise<(SeenImage | string)[]> {
  const results: (SeenImage | string)[] = [];
  for await (const pixels of pixelsAhead(images, workers, OPTIONS, go)) {
    results.push(pixels instanceof Error ? pixels.message : pixels);
  }
  return results;
}

/** Threads that take what `takes` says, and answer later, the last first. */
function threads(takes: (i: number) => boolean, answer: (input: ImageInput) => Promise<SeenImage | undefined>) {
  const waiting: (() => void)[] = [];
  let asked = 0;
  let most = 0;
  const workers: PixelThreads = {
    count: 0,
    suffice: false,
    start() {},
    take(input) {
      if (!takes(asked++)) return undefined;
      const done = new Promise<void>((resolve) => waiting.unshift(resolve));
      most = Math.max(most, waiting.length);
      setTimeout(() => waiting.shift()?.(), 2);
      return done.then(() => answer(input as ImageInput));
    },
  };
  return { workers, most: () => most };
}

test("pixels and errors come in order, whoever makes them", async () => {
  const images: ImageInput[] = [...IMAGES.slice(0, 20), "absent.png", ...IMAGES.slice(20, 30)];
  const wanted = await all(
    images,
    threads(
      () => false,
      async () => undefined,
    ).workers,
  );
  assert.equal(wanted.length, 31);
  assert.deepEqual(wanted[0], await pixelsOf(images[0]!, OPTIONS));
  assert.equal(wanted[20], 'file: "absent.png" does not exist');
  const make = (input: ImageInput) => pixelsOf(input, OPTIONS).catch(() => undefined);
  for (const takes of [() => true, (i: number) => i % 3 > 0]) {
    for (const answer of [make, async () => undefined]) {
      const { workers, most } = threads(takes, answer);
      assert.deepEqual(await all(images, workers), wanted);
      assert.ok(most() <= 8, `${most()} at once`);
    }
  }
});

test("where threads suffice, the caller makes only what they could not, or did not take when nothing was under way", async () => {
  const images = IMAGES.slice(0, 20);
  const wanted = await Promise.all(images.map((image) => pixelsOf(image, OPTIONS)));
  const make = (input: ImageInput) => pixelsOf(input, OPTIONS);
  for (const takes of [() => true, () => false, (i: number) => i % 5 === 0]) {
    for (const answer of [make, async () => undefined]) {
      const { workers } = threads(takes, answer);
      assert.deepEqual(await all(images, { ...workers, suffice: true, count: 4 }), wanted);
    }
  }
});

test("nothing is opened that is not wanted soon, and a check that throws ends it", async () => {
  let opened = 0;
  const images = new Proxy(
    Array.from({ length: 100 }, () => IMAGES[0]!),
    {
      get(target, property, receiver) {
        if (typeof property === "string" && /^\d+$/.test(property)) opened++;
        return Reflect.get(target, property, receiver);
      },
    },
  );
  let over = false;
  const check = () => {
    if (over) throw new Error("enough");
  };
  const pixels = pixelsAhead(
    images,
    threads(
      () => false,
      async () => undefined,
    ).workers,
    OPTIONS,
    check,
  );
  for (let i = 0; i < 10; i++) await pixels.next();
  assert.ok(opened <= 18, `${opened} of 10`);
  over = true;
  await assert.rejects(pixels.next(), { message: "enough" });
});
