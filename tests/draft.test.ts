/** load's option draft: a JPEG at a part of its size, where that is enough, and results in the coordinates of the whole photo. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { decode, type Geometry, parsePreprocessing, toModel, toPhoto } from "../src/image/index.js";
import { pixelsOf } from "../src/image/pixels.js";
import { load } from "../src/index.js";

const PHOTO = new Uint8Array(readFileSync("models/samples/cat-1.jpg"));
const whole = await decode(PHOTO);
const preprocessing = parsePreprocessing({ size: 32, resample: 2 }, undefined, [32, 32]);

test("the photo's coordinates are those of the whole photo, at every share", async () => {
  for (const size of [1, 7, 16, 32, Math.min(whole.width, whole.height), 1000]) {
    const own = parsePreprocessing({ size, resample: 2 }, undefined, [size, size]);
    const seen: Geometry[] = [];
    for (const draft of [false, true]) seen.push((await pixelsOf(PHOTO, { preprocessing: own, draft })).geometry);
    const [exact, drafted] = seen as [Geometry, Geometry];
    assert.deepEqual(drafted.photo, { width: whole.width, height: whole.height });
    assert.deepEqual(drafted.model, exact.model);
    // A drafted picture may end with pixels that stand for less than the others: less than one of them.
    const corner = [whole.width, whole.height] as const;
    for (const axis of [0, 1] as const) {
      const [a, b] = [toModel(exact, corner)[axis], toModel(drafted, corner)[axis]];
      assert.ok(b <= a && a - b < 1, `${size}: ${a} and ${b}`);
    }
    const back = toPhoto(drafted, toModel(drafted, corner));
    for (const axis of [0, 1] as const) assert.ok(Math.abs(back[axis] - corner[axis]) < 1e-9);
  }
});

test("pixels are those of Pillow's draft, resized; about those of the whole photo", async () => {
  const drafted = await pixelsOf(PHOTO, { preprocessing, draft: true });
  const small = await decode(PHOTO, { draft: { width: 32, height: 32 } });
  assert.ok(small.width < whole.width && small.width >= 32);
  assert.deepEqual(drafted.data, (await pixelsOf(small, { preprocessing })).data);
  const exact = [...(await pixelsOf(PHOTO, { preprocessing })).data];
  const difference = exact.reduce((sum, x, i) => sum + Math.abs(x - drafted.data[i]!), 0) / exact.length;
  assert.ok(difference > 0 && difference < 6, `${difference} levels on average`);
});

test("load takes it, for single images and lists, and nothing but a flag", async () => {
  using model = await load(undefined, { draft: true });
  const one = await model.preprocess(PHOTO);
  const list = await model.preprocess([PHOTO, PHOTO]);
  assert.deepEqual(list.data, new Float32Array([...one.data, ...one.data]));
  assert.equal(one.geometry.photo.width, whole.width);
  await assert.rejects(load(undefined, { draft: 1 as never }), { message: "load: draft must be true or false; got 1" });
});
