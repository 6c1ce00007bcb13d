/**
 * Boxes: OWL-ViT, OWLv2 and YOLOS against transformers. Stages of the forward pass and post-processing are compared in a
 * developer's folder of goldens; whole calls, from JPEG files to boxes on the photo, with small checkpoints of the repository.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { type Geometry, parsePreprocessing, toPixelValues, toSeen } from "../src/image/index.js";
import { type Box, type Detection, load, type Model, type OutputName, type Tensor } from "../src/index.js";
import {
  byProbability,
  classifiedBoxes,
  inPhoto,
  ofImage,
  queriedBoxes,
  type ScoredBox,
  similarBoxes,
  suppressed,
} from "../src/tasks/boxes.js";
import { assertClose } from "./backend.cases.js";
import { compareStages, DENSE_ROOTS, type DenseGolden } from "./dense.js";
import { sha256 } from "./pillow.js";
import { readBytes, readShapes } from "./tensors.js";

const BACKENDS = ["reference", "wasm"] as const;

/** Arguments of a call in Python, those that have names: numbers and lists. */
const argumentsOf = (call: string): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    [...call.matchAll(/(\w+)=([^=]*)(?=, \w+=|\)$)/g)].map(([, name, value]) => [name, JSON.parse(value!)]),
  );

/** The geometry of a photo that fills what the model sees, or the upper left of it. */
function geometryIn([height, width]: readonly [number, number], padded: boolean): Geometry {
  const side = Math.max(height, width);
  const resized = padded ? { width: width / side, height: height / side } : { width: 1, height: 1 };
  return { photo: { width, height }, resized, offset: [0, 0], model: { width: 1, height: 1 } };
}

/** Compares what transformers' post-processing gives with ours, image by image, in the model's order. */
function compareBoxes(
  { config }: Model,
  { logits, predBoxes, targetPredBoxes }: Readonly<Partial<Record<OutputName, Tensor | Tensor[]>>>,
  golden: ReadonlyMap<string, Tensor>,
  { file, post }: DenseGolden,
): void {
  const stored = [...golden.keys()].filter((key) => key.startsWith("post."));
  if (!post) {
    assert.deepEqual(stored, []);
    return;
  }
  const [, method] = /^\w+\.(\w+)\(/.exec(post.call)!;
  const {
    threshold,
    nms_threshold: iou,
    target_sizes: sizes,
  } = argumentsOf(post.call) as {
    threshold: number;
    nms_threshold: number;
    target_sizes: [number, number][];
  };
  const left = new Set(stored);
  const compare = (key: string, got: readonly number[], tolerance: number) => {
    const want = golden.get(key)!.data;
    left.delete(key);
    assert.equal(got.length, want.length, `${file} ${key}: number of values`);
    if (want.length > 0) assertClose(Float32Array.from(got), want, tolerance, `${file} ${key}`);
  };
  for (const [i, size] of sizes.entries()) {
    const found = ofImage({ logits: logits as Tensor, predBoxes: (targetPredBoxes ?? predBoxes) as Tensor }, i);
    const guided = method === "post_process_image_guided_detection";
    const choose = config.tokenBoxes ? classifiedBoxes : queriedBoxes;
    const boxes = guided ? similarBoxes(found, threshold, iou) : choose(found, threshold);
    const geometry = geometryIn(size, config.family === "owlv2");
    compare(
      `post.${i}.scores`,
      boxes.map(({ probability }) => probability),
      1e-5,
    );
    if (!guided)
      compare(
        `post.${i}.labels`,
        boxes.map(({ index }) => index),
        0,
      );
    compare(
      `post.${i}.boxes`,
      boxes.flatMap(({ box }) => Object.values(inPhoto(box, geometry))),
      1e-3,
    );
  }
  assert.deepEqual([...left], [], `${file}: results that nothing is compared with`);
}

for (const { root, skip, folders } of DENSE_ROOTS) {
  if (skip) test(`boxes of ${root}`, { skip }, () => undefined);
  for (const folder of folders.filter((name) => /^hf-(owl|yolos)/.test(basename(name)))) {
    for (const backend of BACKENDS) {
      test(`${folder} on ${backend}: stages and boxes are transformers'`, () =>
        compareStages(folder, { backend }, { post: compareBoxes }));
    }
  }
}

/** The wider set, with pixel values of photos. */
const WIDER = DENSE_ROOTS.at(-1)!;

interface Photos {
  readonly photos: readonly { readonly key: string; readonly width: number; readonly height: number }[];
  readonly pipelines: readonly {
    readonly pipeline: string;
    readonly config: object;
    readonly results: readonly {
      readonly photos: readonly string[];
      readonly shape: readonly number[];
      readonly backends: Readonly<Record<string, { readonly float32_sha256: string }>>;
    }[];
  }[];
}

for (const pipeline of ["owlvit", "owlv2", "yolos"]) {
  test(`${pipeline}: pixel values of photos are those of both processors of transformers`, { skip: WIDER.skip }, () => {
    const folder = join(WIDER.root, "image-processors");
    const { pipelines } = JSON.parse(readFileSync(join(folder, "photos.json"), "utf8")) as Photos;
    const bytes = readBytes(join(folder, "photos.safetensors"));
    const shapes = readShapes(join(folder, "photos.safetensors"));
    const { config, results } = pipelines.find((row) => row.pipeline === pipeline)!;
    let compared = 0;
    for (const { photos, backends, shape } of results) {
      const [key] = photos;
      // Batches are padded to one size: each image is prepared alone here.
      if (photos.length > 1) continue;
      for (const [processor, backend] of [
        ["pillow", "pil"],
        ["torchvision", "torchvision"],
      ] as const) {
        const [height, width] = shapes(`decoded.${key}`) as [number, number];
        const photo = { data: bytes(`decoded.${key}`), width, height };
        const preprocessing = parsePreprocessing(config, undefined, [48, 48], { processor });
        const seen = toSeen(photo, preprocessing);
        assert.deepEqual([1, 3, seen.height, seen.width], shape);
        const values = toPixelValues(seen.data, { ...preprocessing, width: seen.width, height: seen.height });
        assert.equal(sha256(values), backends[backend]!.float32_sha256, `${key} by ${processor}`);
        compared++;
      }
    }
    assert.equal(compared, 6);
  });
}

const ROOT = "tests/fixtures/checkpoints";
const photo = (name: string) => `tests/fixtures/image/${name}`;

interface Call {
  readonly image: string;
  readonly labels?: readonly string[];
  readonly query?: string;
  readonly threshold?: number;
  readonly iou?: number;
  readonly found: {
    readonly scores: readonly number[];
    readonly labels?: readonly number[];
    readonly boxes: readonly (readonly [number, number, number, number])[];
  };
}

const callsOf = (folder: string): readonly Call[] =>
  JSON.parse(readFileSync(`${ROOT}/${folder}/case.json`, "utf8")).detect;

/** What the library finds, best first, as `detect` gives it. */
function expected({ labels, query, found }: Call, own: readonly string[]): Detection[] {
  const all = found.scores.map((probability, i) => {
    const index = found.labels?.[i] ?? 0;
    const [xmin, ymin, xmax, ymax] = found.boxes[i]!;
    const label = query ? "query" : (labels ?? own)[index]!;
    return { label, index, probability, box: { xmin, ymin, xmax, ymax } };
  });
  return byProbability(all);
}

function assertAlike(got: readonly Detection[], want: readonly Detection[], what: string): void {
  assert.equal(got.length, want.length, `${what}: number of boxes`);
  for (const [i, { label, index, probability, box }] of want.entries()) {
    const ours = got[i]!;
    assert.deepEqual([ours.label, ours.index], [label, index], `${what}: ${i}`);
    assert.ok(
      Math.abs(ours.probability - probability) < 1e-5,
      `${what}: ${i} has ${ours.probability}, not ${probability}`,
    );
    for (const side of Object.keys(box) as (keyof Box)[]) {
      assert.ok(
        Math.abs(ours.box[side] - box[side]) < 1e-3,
        `${what}: ${side} of ${i} is ${ours.box[side]}, not ${box[side]}`,
      );
    }
  }
}

const optionsOf = ({ labels, query, threshold, iou }: Call) => ({
  ...(labels && { labels }),
  ...(query && { query: photo(query) }),
  ...(threshold !== undefined && { threshold }),
  // 1 leaves the suppression out, in the library.
  ...(iou !== undefined && iou < 1 && { iou }),
});

for (const folder of ["hf-owlvit", "hf-owlv2", "hf-yolos"]) {
  test(`${folder}: boxes on JPEG photos, one of them stored on its side, are transformers'`, async () => {
    for (const backend of BACKENDS) {
      using model = await load(`${ROOT}/${folder}`, { backend });
      assert.ok(model.tasks.includes("detect"));
      let boxes = 0;
      for (const call of callsOf(folder)) {
        const got = await model.detect(photo(call.image), optionsOf(call));
        assertAlike(got, expected(call, model.labels), `${call.image} on ${backend}`);
        boxes += got.length;
        assert.deepEqual(structuredClone(got), got);
        assert.deepEqual(await model.detect(photo(call.image), { ...optionsOf(call), topK: 2 }), got.slice(0, 2));
        assert.deepEqual(await model.detect([photo(call.image)], optionsOf(call)), [got]);
      }
      assert.ok(boxes > 5, `${boxes} boxes`);
    }
  });
}

test("detect: lists keep their order, and a bad image fails alone", async () => {
  for (const [folder, options] of [
    ["hf-owlvit", { labels: ["cat"], threshold: 0 }],
    ["hf-yolos", { threshold: 0 }],
  ] as const) {
    using model = await load(`${ROOT}/${folder}`);
    const images = [photo("rgb-420.jpg"), photo("exif-6.jpg")];
    const each = [await model.detect(images[0]!, options), await model.detect(images[1]!, options)];
    assert.deepEqual(await model.detect(images, options), each);
    const bad = model.detect([images[0]!, new Uint8Array(9), images[1]!], options);
    await assert.rejects(bad, (error: AggregateError & { results: unknown }) => {
      assert.deepEqual(error.results, [each[0], undefined, each[1]]);
      return /^detect: 1 of 3 images failed; /.test(error.message);
    });
    assert.deepEqual(await model.detect(images[0]!, { ...options, threshold: 1 }), []);
    assert.deepEqual(await model.detect([], options), []);
  }
});

test("detect: texts are embedded once, whatever the number of images, and a query too", async () => {
  using model = await load(`${ROOT}/hf-owlv2`, { backend: "reference" });
  const file = new File([readFileSync(photo("rgb-420.jpg"))], "query.jpg");
  const once = await model.detect(photo("exif-6.jpg"), { query: file });
  assert.deepEqual(await model.detect(photo("exif-6.jpg"), { query: file }), once);
  assert.deepEqual(await model.detect(photo("exif-6.jpg"), { query: photo("rgb-420.jpg") }), once);
});

test("detect: what cannot be asked for is one sentence", async () => {
  const image = photo("rgb-420.jpg");
  using owl = await load(`${ROOT}/hf-owlvit`);
  using yolos = await load(`${ROOT}/hf-yolos`);
  using classifier = await load(`${ROOT}/hf-vit`);
  const cases: [model: Model, options: object, error: string, message: string][] = [
    [owl, {}, "TypeError", "detect: this checkpoint is told what to look for by labels or by query; got neither"],
    [
      owl,
      { labels: ["a"], query: image },
      "TypeError",
      "detect: this checkpoint is told what to look for by labels or by query; got both",
    ],
    [owl, { labels: [] }, "TypeError", "detect: texts must be strings, one at least; got []"],
    [owl, { labels: "cat" }, "TypeError", 'detect: texts must be strings, one at least; got "cat"'],
    [
      owl,
      { labels: ["dog ".repeat(1000)] },
      "RangeError",
      'text: it must have at most 12 tokens for this model; got 1002: "dog dog dog dog dog dog dog dog dog dog dog dog dog dog dog…',
    ],
    [owl, { labels: ["cat"], threshold: 2 }, "RangeError", "detect: threshold must be a number from 0 to 1; got 2"],
    [
      owl,
      { labels: ["cat"], threshold: "0.1" },
      "RangeError",
      'detect: threshold must be a number from 0 to 1; got "0.1"',
    ],
    [owl, { labels: ["cat"], iou: Number.NaN }, "RangeError", "detect: iou must be a number from 0 to 1; got null"],
    [owl, { labels: ["cat"], topK: 0 }, "RangeError", "detect: topK must be a positive integer; got 0"],
    [
      owl,
      { labels: ["cat"], label: 1 },
      "RangeError",
      'detect: options are labels, query, threshold, topK, iou, signal; got "label"',
    ],
    [owl, { query: "missing.jpg" }, "Error", 'file: "missing.jpg" does not exist'],
    [
      yolos,
      { labels: ["cat"] },
      "RangeError",
      "detect: labels must be left out, as this checkpoint cannot be asked for others; it has 4 classes of its own",
    ],
    [
      yolos,
      { query: image },
      "RangeError",
      "detect: query must be left out, as this checkpoint cannot be asked for others; it has 4 classes of its own",
    ],
    [
      classifier,
      {},
      "RangeError",
      "detect: the checkpoint must have boxes; this one has none, and can classify, embed",
    ],
  ];
  for (const [model, options, name, message] of cases) {
    await assert.rejects(model.detect(image, options), { name, message });
  }
});

test("detect: of boxes of a class that overlap the best stays, in the order that they had", () => {
  const box = (index: number, probability: number, xmin: number, xmax: number): ScoredBox => ({
    ...{ index, probability },
    box: { xmin, ymin: 0, xmax, ymax: 1 },
  });
  const boxes = [box(0, 0.5, 0, 1), box(0, 0.9, 0.1, 1), box(1, 0.3, 0, 1), box(0, 0.4, 0.9, 2)];
  assert.deepEqual(suppressed(boxes, 0.5), [boxes[1], boxes[2], boxes[3]]);
  assert.deepEqual(suppressed(boxes, 0.95), boxes);
});

test("forward: a detector's outputs, and what it must be given", async () => {
  using owl = await load(`${ROOT}/hf-owlvit`, { backend: "reference" });
  using yolos = await load(`${ROOT}/hf-yolos`, { backend: "reference" });
  using clip = await load(`${ROOT}/hf-clip`, { backend: "reference" });
  const pixelValues = { dims: [1, 3, 12, 12], data: new Float32Array(432).fill(0.1) };
  const queryEmbeds = { dims: [2, 16], data: Float32Array.from({ length: 32 }, (_, i) => Math.sin(i)) };
  const { logits, classEmbeds } = await owl.forward(
    { pixelValues, queryEmbeds },
    { outputs: ["logits", "classEmbeds", "predBoxes"] },
  );
  assert.deepEqual(logits.dims, [1, 9, 2]);
  const { classEmbeds: raw } = await owl.forward({ pixelValues }, { outputs: ["classEmbeds"] });
  const length = (row: Float32Array) => Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
  assert.ok(Math.abs(length(classEmbeds.data.subarray(0, 16)) - 1) < 1e-4);
  assert.ok(Math.abs(length(raw.data.subarray(0, 16)) - 1) > 1e-2);
  const inputIds = { dims: [3, 2], data: [1, 2, 3, 4, 5, 6] };
  const cases: [model: Model, inputs: object, output: string, message: string][] = [
    [
      owl,
      { pixelValues },
      "logits",
      "forward: boxes are compared with one of inputIds, queryPixelValues and queryEmbeds; got none",
    ],
    [
      owl,
      { pixelValues, queryEmbeds, inputIds },
      "logits",
      "forward: boxes are compared with one of inputIds, queryPixelValues and queryEmbeds; got inputIds and queryEmbeds",
    ],
    [
      owl,
      { pixelValues: { dims: [2, 3, 12, 12], data: new Float32Array(864) }, inputIds },
      "logits",
      "forward: inputIds must have as many texts for each image; got 3 for 2",
    ],
    [
      owl,
      { pixelValues, queryPixelValues: { dims: [2, 3, 12, 12], data: new Float32Array(864) } },
      "logits",
      "forward: queryPixelValues must have an image for each; got 2 for 1",
    ],
    [
      owl,
      { pixelValues, queryEmbeds: { dims: [2, 3], data: new Float32Array(6) } },
      "logits",
      "forward: queryEmbeds must be [queries, 16]; got [2, 3]",
    ],
    [
      owl,
      { pixelValues },
      "objectnessLogits",
      "forward: objectnessLogits needs a checkpoint with an objectness head; this one has none",
    ],
    [
      yolos,
      { pixelValues },
      "classEmbeds",
      "forward: classEmbeds needs a checkpoint with boxes that are compared with queries; this one has none",
    ],
    [clip, { pixelValues }, "predBoxes", "forward: predBoxes needs a checkpoint with boxes; this one has none"],
  ];
  for (const [model, inputs, output, message] of cases) {
    await assert.rejects(model.forward(inputs, { outputs: [output as never] }), { message });
  }
});

test("a detector's tower gives features as well, of patches without the detection tokens", async () => {
  using yolos = await load(`${ROOT}/hf-yolos`, { backend: "reference" });
  const image = photo("rgb-420.jpg");
  const pixelValues = await yolos.preprocess(image);
  const { lastHiddenState } = await yolos.forward({ pixelValues }, { outputs: ["lastHiddenState"] });
  const [, tokens = 0, width = 0] = lastHiddenState.dims;
  const mean = await yolos.embed(image, { pooling: "mean" });
  for (let i = 0; i < width; i++) {
    let sum = 0;
    for (let token = 1; token < tokens - 5; token++) sum += lastHiddenState.data[token * width + i]!;
    assert.ok(Math.abs(mean[i]! - sum / (tokens - 6)) < 1e-6);
  }
  using owl = await load(`${ROOT}/hf-owlvit`, { backend: "reference" });
  assert.equal((await owl.embed(image)).length, 16);
  assert.equal((await owl.zeroShot(image, ["cat", "dog"])).length, 2);
});
