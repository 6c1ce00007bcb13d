/** Masks by prompts (SAM), against transformers: stages, post-processing, pixel values, and photos. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type TestContext, test } from "node:test";
import { valuesOfSeen } from "../src/image/preprocess.js";
import { parsePreprocessing } from "../src/image/processors.js";
import { toSeen } from "../src/image/seen.js";
import { atOnce } from "../src/image/slices.js";
import { type Box, load, type Model, type Segmentation, type Tensor } from "../src/index.js";
import { maskAbove, resizeBilinear } from "../src/tasks/maps.js";
import { onPhoto } from "../src/tasks/prompts.js";
import { assertClose } from "./backend.cases.js";
import { compareStages, DENSE_ROOTS, goldenOf, toleranceOf } from "./dense.js";
import { sha256 } from "./pillow.js";

const BACKENDS = ["wasm", "reference"] as const;
const isSam = (folder: string) => basename(folder) === "hf-sam";
const OWN = "tests/fixtures/dense/hf-sam";
const photo = (name: string) => `tests/fixtures/image/${name}`;

/** Compares a mask with scores: pixels may differ whose score is within the error of f32. Returns how many do. */
function compareMask(mask: Uint8Array, scores: Float32Array, tolerance: number, what: string): number {
  assert.equal(mask.length, scores.length, what);
  let ties = 0;
  for (const [i, score] of scores.entries()) {
    if (mask[i] === Number(score > 0)) continue;
    assert.ok(Math.abs(score) <= tolerance, `${what}: pixel ${i} is ${mask[i]}, of a score of ${score}`);
    ties++;
  }
  return ties;
}

for (const { root, skip, folders } of DENSE_ROOTS) {
  if (skip) test(`masks by prompts of ${root}`, { skip }, () => undefined);
  for (const folder of folders.filter(isSam)) {
    for (const backend of BACKENDS) {
      test(`${folder} on ${backend} is what its library computes`, (t) =>
        compareStages(
          folder,
          { backend },
          {
            post(_, got, golden, entry) {
              const want = golden.get("post.0.mask_logits");
              if (want) comparePost(t, got.predMasks as Tensor, want, toleranceOf(want, "pred_masks", entry));
            },
          },
        ));
    }
  }
}

/** post_process_masks of a photo of 30×40 pixels, which the model sees as 48×64 of 64×64. */
function comparePost(t: TestContext, { dims, data }: Tensor, want: Tensor, tolerance: number): void {
  const [height, width] = want.dims.slice(2) as [number, number];
  const from = { height: dims[3]!, width: dims[4]! };
  const geometry = {
    photo: { width, height },
    resized: { width: 64, height: 48 },
    offset: [0, 0],
    model: { width: 64, height: 64 },
  } as const;
  const area = from.height * from.width;
  let ties = 0;
  for (let i = 0; i * width * height < want.data.length; i++) {
    const scores = want.data.subarray(i * width * height, (i + 1) * width * height);
    const { data: mask } = atOnce(onPhoto(data.subarray(i * area, (i + 1) * area), from, geometry));
    ties += compareMask(mask, scores, tolerance, `mask ${i}`);
  }
  t.diagnostic(`${ties} pixels of ${want.data.length} have scores within the error of f32`);
}

test("a model in int8 and one in f16 stay near", async () => {
  const pixelValues = goldenOf(OWN, "golden.safetensors").get("pixel_values")!;
  const golden = goldenOf(OWN, "golden.safetensors");
  for (const [precision, most] of [
    ["f16", 0.01],
    ["int8", 0.15],
  ] as const) {
    using model = await load(OWN, { backend: "wasm", precision });
    const { imageEmbeddings } = await model.forward({ pixelValues }, { outputs: ["imageEmbeddings"] });
    const want = golden.get("image_embeddings")!.data;
    assertClose(imageEmbeddings.data, want, most * Math.max(...want.map(Math.abs)), precision);
  }
});

/** The wider set, with pixel values of photos. */
const WIDER = DENSE_ROOTS.at(-1)!;

test("pixel values of photos are those of both processors of transformers", { skip: WIDER.skip }, () => {
  const folder = join(WIDER.root, "image-processors");
  const { pipelines } = JSON.parse(readFileSync(join(folder, "photos.json"), "utf8"));
  const tensors = goldenOf(folder, "photos.safetensors");
  const { config, results } = pipelines.find(({ pipeline }: { pipeline: string }) => pipeline === "sam");
  let compared = 0;
  for (const { photos, shape, backends, reshaped_input_sizes: sizes } of results) {
    for (const [processor, backend] of [
      ["pillow", "pil"],
      ["torchvision", "torchvision"],
    ] as const) {
      const { dims, data } = tensors.get(`decoded.${photos[0]}`)!;
      const image = { data: Uint8Array.from(data), width: dims[1]!, height: dims[0]! };
      const preprocessing = parsePreprocessing(config, undefined, [64, 64], { processor });
      const seen = toSeen(image, preprocessing);
      assert.deepEqual([1, 3, seen.height, seen.width], shape);
      assert.deepEqual([seen.geometry.resized.height, seen.geometry.resized.width], sizes[0]);
      assert.equal(
        sha256(valuesOfSeen(seen, preprocessing)),
        backends[backend].float32_sha256,
        `${photos[0]} by ${processor}`,
      );
      compared++;
    }
  }
  assert.equal(compared, 6);
});

/** Prompts of the fixture's photos, parts of their sides. */
const POINTS = [
  [0.25, 0.5, 1],
  [0.75, 0.625, 0],
] as const;
const pointsOf = (width: number, height: number) =>
  POINTS.map(([x, y, label]) => ({ x: x * width, y: y * height, label }));
const boxOf = (width: number, height: number): Box => ({
  ...{ xmin: 0.125 * width, ymin: 0.25 * height },
  ...{ xmax: 0.875 * width, ymax: 0.75 * height },
});

/** Compares masks of an object with the library's scores, the best first. */
function compareSegments({ segments, ...size }: Segmentation, scores: Tensor, iou: Tensor, what: string): number {
  const [masks, height, width] = scores.dims as [number, number, number];
  assert.deepEqual(size, { width, height }, what);
  assert.equal(segments.length, masks, what);
  const area = width * height;
  const order = [...iou.data.keys()].sort((a, b) => iou.data[b]! - iou.data[a]!);
  let ties = 0;
  for (const [i, { label, index, probability, mask, box, area: covered }] of segments.entries()) {
    const own = order[i]!;
    assert.deepEqual([label, index, mask.width, mask.height], ["object", 0, width, height]);
    assert.ok(Math.abs(probability - iou.data[own]!) < 1e-4, `${what}: ${probability} of mask ${own}`);
    ties += compareMask(mask.data, scores.data.subarray(own * area, (own + 1) * area), 1e-4, `${what}: mask ${own}`);
    const places = [...mask.data.keys()].filter((at) => mask.data[at] === 1);
    assert.equal(covered, places.length, "an area is what its mask covers");
    const [columns, rows] = [places.map((at) => at % width), places.map((at) => Math.floor(at / width))];
    const around = {
      ...{ xmin: Math.min(...columns), ymin: Math.min(...rows) },
      ...{ xmax: Math.max(...columns) + 1, ymax: Math.max(...rows) + 1 },
    };
    assert.deepEqual(box, places.length > 0 ? around : { xmin: 0, ymin: 0, xmax: 0, ymax: 0 });
  }
  return ties;
}

// From JPEG files, of which one is turned by its EXIF orientation 6 and one mirrored by 8 of XMP, one is gray.
for (const backend of BACKENDS) {
  test(`masks of photos on ${backend} are the library's, at once and of prepared images`, async (t) => {
    using model = await load(OWN, { backend });
    assert.deepEqual(model.tasks.includes("segment"), true);
    const golden = goldenOf(OWN, "photos.safetensors");
    const files = [...golden.keys()].filter((key) => key.endsWith(".points")).map((key) => key.slice(0, -7));
    assert.equal(files.length, 4);
    let [ties, pixels] = [0, 0];
    for (const file of files) {
      const scores = golden.get(`${file}.points`)!;
      const [, height, width] = scores.dims as [number, number, number];
      const prepared = await model.prepare(photo(file));
      const asked = [
        ["points", { points: pointsOf(width, height) }],
        ["box", { boxes: [boxOf(width, height)], multimask: false }],
      ] as const;
      for (const [kind, options] of asked) {
        const [want, iou] = [golden.get(`${file}.${kind}`)!, golden.get(`${file}.${kind}.iou`)!];
        const found = await model.segment(photo(file), options);
        ties += compareSegments(found, want, iou, `${file} by ${kind}`);
        pixels += want.data.length;
        assert.deepEqual(await prepared.segment(options), found);
        assert.deepEqual(structuredClone(found), found);
      }
    }
    t.diagnostic(`${ties} pixels of ${pixels} have scores within the error of f32`);
  });
}

test("objects are answered in turn, and an embedding that was kept gives the same", async () => {
  using model = await load(OWN, { backend: "wasm" });
  const image = photo("rgb-420.jpg");
  const [a, b] = [[{ x: 3, y: 4 }], pointsOf(37, 29)] as const;
  const [first, second] = [boxOf(37, 29), { xmin: -5, ymin: 1, xmax: 20.5, ymax: 40 }];
  const prepared = await model.prepare(image);
  const each = [
    await prepared.segment({ points: a, boxes: [first] }),
    await prepared.segment({ points: b, boxes: [second] }),
  ];
  const both = await model.segment(image, { points: [a, b], boxes: [first, second] });
  assert.deepEqual(
    both.segments,
    each.flatMap(({ segments }, index) => segments.map((segment) => ({ ...segment, index }))),
  );
  const { embedding, geometry } = prepared;
  assert.deepEqual(embedding.dims, [1, 16, 6, 6]);
  const again = await model.prepare(structuredClone({ embedding, geometry }));
  assert.deepEqual(await again.segment({ points: a, boxes: [first] }), each[0]);
  const list = await model.segment([image, photo("gray.jpg")], { points: b });
  assert.deepEqual(list[0], await model.segment(image, { points: b }));
  assert.equal(list.length, 2);
  const alone = await model.forward({ pixelValues: await model.preprocess(image) }, { outputs: ["imageEmbeddings"] });
  assert.deepEqual(alone.imageEmbeddings, embedding);
});

test("several images of a call have prompts of their own", async () => {
  using model = await load(OWN, { backend: "wasm" });
  const golden = goldenOf(OWN, "golden-2.safetensors");
  const names = { pixelValues: "pixel_values", inputPoints: "input_points", inputBoxes: "input_boxes" } as const;
  const one = Object.fromEntries(Object.entries(names).map(([name, key]) => [name, golden.get(key)!]));
  const turned = ({ dims, data }: Tensor) => ({ dims, data: data.map((x) => 40 - x) });
  const other = { ...one, inputPoints: turned(one.inputPoints!), inputBoxes: one.inputBoxes! };
  const twice = (a: Tensor, b: Tensor) => ({
    dims: [2, ...a.dims.slice(1)],
    data: Float32Array.of(...a.data, ...b.data),
  });
  const inputs = Object.fromEntries(Object.keys(names).map((name) => [name, twice(one[name]!, other[name as never])]));
  const outputs = ["predMasks", "iouScores", "imageEmbeddings"] as const;
  const all = await model.forward(inputs as never, { outputs });
  const [a, b] = [await model.forward(one as never, { outputs }), await model.forward(other as never, { outputs })];
  for (const name of outputs) assert.deepEqual(all[name], twice(a[name], b[name]), name);
  const { imageEmbeddings } = all;
  const { pixelValues: _, ...prompts } = inputs as Record<string, Tensor>;
  const given = await model.forward({ ...prompts, imageEmbeddings }, { outputs: ["predMasks", "iouScores"] });
  assert.deepEqual(given, { predMasks: all.predMasks, iouScores: all.iouScores });
});

test("an embedding whose numbers change is another image, and a mask beneath it leaves it as it is", async () => {
  using model = await load(OWN, { backend: "wasm" });
  const { embedding } = await model.prepare(photo("rgb-420.jpg"));
  const other = (await model.prepare(photo("gray.jpg"))).embedding;
  const points = { inputPoints: { dims: [1, 1, 1, 2], data: Float32Array.of(20, 11) } };
  const ask = async (imageEmbeddings: Tensor, more = {}) =>
    (await model.forward({ imageEmbeddings, ...points, ...more }, { outputs: ["predMasks"] })).predMasks;
  const first = await ask(embedding);
  const second = await ask(other);
  assert.notDeepEqual(first, second);
  const mutable = { dims: embedding.dims, data: embedding.data.slice() };
  assert.deepEqual(await ask(mutable), first);
  const inputMasks = { dims: [1, 1, 24, 24], data: new Float32Array(24 * 24).fill(3) };
  assert.notDeepEqual(await ask(mutable, { inputMasks }), first);
  assert.deepEqual(await ask(mutable), first);
  mutable.data.set(other.data);
  assert.deepEqual(await ask(mutable), second);
  mutable.data[0]! += 1;
  assert.notDeepEqual(await ask(mutable), second);
});

test("masks above 0 are those of all pixels computed, at sizes that divide nothing", () => {
  for (const [from, to] of [
    [5, 17],
    [3, 40],
    [4, 41],
    [16, 7],
    [9, 9],
    [1, 6],
  ] as const) {
    const map = Float32Array.from({ length: from * from }, (_, i) => Math.sin(7 * i + from));
    const [size, other] = [
      { width: from, height: from },
      { width: to, height: to + 3 },
    ];
    const whole = atOnce(resizeBilinear(map, size, other, other));
    const { data, area, box } = atOnce(maskAbove(map, size, other));
    const inside = [...data.keys()].filter((i) => data[i] === 1).map((i) => [i % to, Math.floor(i / to)] as const);
    const sides = [0, 1].map((axis) => inside.map((place) => place[axis]!));
    const [xs, ys] = sides as [number[], number[]];
    assert.deepEqual(box, {
      ...{ xmin: Math.min(...xs), ymin: Math.min(...ys) },
      ...{ xmax: Math.max(...xs) + 1, ymax: Math.max(...ys) + 1 },
    });
    assert.equal(compareMask(data, whole, 0, `${from} to ${to}`), 0);
    assert.equal(
      area,
      data.reduce((sum, x) => sum + x, 0),
    );
    const part = { width: to - 1, height: 2 };
    const cut = atOnce(resizeBilinear(map, size, other, part));
    assert.deepEqual(cut, Float32Array.from([0, 1].flatMap((y) => [...whole.subarray(y * to, y * to + to - 1)])));
  }
});

const refused = (promise: Promise<unknown>, message: RegExp) =>
  assert.rejects(promise, (error: Error) => {
    assert.match(error.message, message);
    assert.ok(!error.message.includes("\n"));
    return true;
  });

test("what cannot be asked for is one sentence, and nothing of the other images is lost", async () => {
  using model = await load(OWN, { backend: "wasm" });
  const image = photo("rgb-420.jpg");
  const point = { x: 3, y: 4 };
  const box = boxOf(37, 29);
  const prepared = await model.prepare(image);
  for (const ask of [
    (options: object) => model.segment(image, options),
    (options: object) => prepared.segment(options as never),
  ]) {
    await refused(ask({}), /^segment: this checkpoint is told what to look for by points or by boxes; got neither$/);
    await refused(ask({ points: [] }), /^segment: points must be one at least; got none$/);
    await refused(ask({ boxes: [] }), /^segment: boxes must be one at least; got none$/);
    await refused(
      ask({ boxes: new Array(10_000).fill(box) }),
      /^segment: boxes must be at most 1000 at once; got 10000$/,
    );
    await refused(
      ask({ points: [{ x: "3", y: 4 }] }),
      /^segment: a point must be \{ x, y, label \}, two numbers and 1 or 0; got \{ x: 3, y: 4, label: undefined \}$/,
    );
    await refused(
      ask({ points: [{ x: Number.NaN, y: 4 }] }),
      /^segment: a point must be .*; got \{ x: NaN, y: 4, label: undefined \}$/,
    );
    await refused(ask({ points: [{ ...point, label: 2 }] }), /^segment: a point must be .*label: 2 \}$/);
    await refused(ask({ points: [[3, 4]] }), /^segment: a point must be .*; got 3$/);
    await refused(ask({ points: "3,4" }), /^segment: points must be a list; got "3,4"$/);
    await refused(
      ask({ points: [[point], point] }),
      /^segment: points must be all points or all lists of points; got both$/,
    );
    await refused(
      ask({ points: [point, point], boxes: [box, box] }),
      /^segment: points must be lists, as many as there are boxes, or of one object with one box; got 1 and 2 boxes$/,
    );
    await refused(
      ask({ points: [{ x: 38, y: 4 }] }),
      /^segment: a point must be on the photo of 37×29 pixels; got 38, 4$/,
    );
    await refused(
      ask({ boxes: [{ ...box, xmax: 0 }] }),
      /^segment: a box must be \{ xmin, ymin, xmax, ymax \}, numbers of which the first two are less; got /,
    );
    await refused(
      ask({ boxes: [{ xmin: 40, ymin: 0, xmax: 50, ymax: 9 }] }),
      /^segment: a box must have a part of the photo of 37×29 pixels in it; got 40, 0, 50, 9$/,
    );
    await refused(
      ask({ points: [point], kind: "semantic" }),
      /^segment: kind must be left out, as this checkpoint has no classes; got "semantic"$/,
    );
    await refused(ask({ points: [point], multimask: 3 }), /^segment: multimask must be true or false; got 3$/);
    await refused(
      ask({ points: [point], labels: [1] }),
      /^segment: labels must be left out, as this checkpoint has no classes; got \[1\]$/,
    );
  }
  // A point that is on one photo alone.
  await assert.rejects(
    model.segment([image, photo("exif-6.jpg")], { points: [{ x: 20, y: 4 }] }),
    (error: AggregateError & { results: unknown[] }) => {
      assert.match(
        error.message,
        /^segment: 1 of 2 images failed; segment: a point must be on the photo of 9×17 pixels/,
      );
      assert.equal((error.results[0] as Segmentation).segments.length, 3);
      return true;
    },
  );
});

test("forward: prompts of another shape are one sentence", async () => {
  using model = await load(OWN, { backend: "reference" });
  const tensor = (...dims: number[]) => ({ dims, data: new Float32Array(dims.reduce((a, b) => a * b, 1)) });
  const pixelValues = tensor(1, 3, 48, 48);
  const inputPoints = tensor(1, 1, 2, 2);
  const ask = (inputs: object, outputs = ["iouScores"]) =>
    model.forward(inputs as never, { outputs: outputs as never });
  await refused(ask({ pixelValues }), /^forward: masks need a prompt, inputPoints or inputBoxes; got neither$/);
  await refused(ask({ inputPoints }), /^forward: prompts are of pixelValues or of imageEmbeddings; got neither$/);
  const labels = (...data: number[]) => ({ dims: [1, 1, data.length], data });
  await refused(
    ask({ pixelValues, inputPoints, inputLabels: labels(1) }),
    /^forward: inputLabels must be \[1, 1, 2\]; got \[1, 1, 1\] with 1 values$/,
  );
  await refused(
    ask({ pixelValues, inputPoints, inputLabels: labels(1, 7) }),
    /^forward: inputLabels must be 1, 0, -1 or -10; got 7$/,
  );
  await refused(
    ask({ pixelValues, inputPoints: tensor(1, 1, 0, 2) }),
    /^forward: an object must have 1 to 1000 points; got 0$/,
  );
  await refused(
    ask({ pixelValues, inputBoxes: tensor(1, 0, 4) }),
    /^forward: prompts must be of 1 to 1000 objects of each image; got 0$/,
  );
  await refused(
    ask({ pixelValues, inputBoxes: tensor(1, 10_000, 4) }),
    /^forward: prompts must be of 1 to 1000 objects of each image; got 10000$/,
  );
  await refused(
    ask({ pixelValues, inputPoints, inputBoxes: tensor(1, 2, 4) }),
    /^forward: inputBoxes must be \[1, 1, 4\]; got \[1, 2, 4\]$/,
  );
  const nan = { ...inputPoints, data: Float32Array.of(1, 2, Number.NaN, 3) };
  await refused(ask({ pixelValues, inputPoints: nan }), /^forward: inputPoints must be finite numbers; got NaN at 2$/);
  const imageEmbeddings = tensor(1, 16, 6, 6);
  await refused(
    ask({ pixelValues, imageEmbeddings, inputPoints }),
    /^forward: prompts are of pixelValues or of imageEmbeddings; got both$/,
  );
  await refused(
    ask({ imageEmbeddings: tensor(1, 16, 6, 5), inputPoints }),
    /^forward: imageEmbeddings must be \[1, 16, 6, 6\]; got \[1, 16, 6, 5\]$/,
  );
  await refused(
    ask({ imageEmbeddings, inputPoints }, ["iouScores", "hiddenStates"]),
    /^forward: outputs of images need pixelValues in the place of imageEmbeddings; got hiddenStates$/,
  );
  for (const name of ["attentions", "queries", "keys"] as const) {
    await refused(
      ask({ pixelValues }, [name]),
      /^forward: (attentions|queries|keys) need blocks that attend to all tokens/,
    );
  }
});

test("checkpoints that take no prompts say so", async () => {
  using model: Model = await load("tests/fixtures/dense/hf-dpt-segmentation");
  const image = photo("rgb-420.jpg");
  await refused(
    model.segment(image, { points: [{ x: 1, y: 1 }] }),
    /^segment: points must be left out, as this checkpoint takes no prompts; it has 5 classes$/,
  );
  await refused(
    model.prepare(image),
    /^prepare: the checkpoint must take points and boxes; this one takes none, and can embed, segment$/,
  );
  await refused(
    model.forward({ pixelValues: await model.preprocess(image) }, { outputs: ["predMasks"] }),
    /^forward: predMasks needs a checkpoint with masks by prompts; this one has none$/,
  );
});
