/** What a user can call, on tiny checkpoints: results of the libraries that own them, shapes, order, and the promises of the docstrings. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { load, type Model, type OutputName, type Tensor } from "../src/index.js";
import { TASK_NAMES } from "../src/tasks/index.js";

const CHECKPOINTS = "tests/fixtures/checkpoints";
const IMAGES = ["rgb-420.jpg", "rgba-8.png", "lossy.webp", "plain.gif"].map((name) => `tests/fixtures/image/${name}`);
const IMAGE = IMAGES[0]!;

const loadVit = () => load(join(CHECKPOINTS, "hf-vit"));

interface Case {
  readonly classify?: { readonly image: string; readonly probabilities: readonly number[] };
}

const caseOf = (name: string) => JSON.parse(readFileSync(join(CHECKPOINTS, name, "case.json"), "utf8")) as Case;
const folders = readdirSync(CHECKPOINTS).filter((name) => existsSync(join(CHECKPOINTS, name, "case.json")));
for (const name of folders.filter((folder) => caseOf(folder).classify)) {
  test(`${name} classifies a photo as its library does`, async () => {
    using model = await load(join(CHECKPOINTS, name));
    const classify = caseOf(name).classify!;
    const predictions = await model.classify(join("tests/fixtures/image", classify.image), { topK: 7 });
    const order = classify.probabilities.map((_, index) => index);
    order.sort((a, b) => classify.probabilities[b]! - classify.probabilities[a]!);
    assert.deepEqual(
      predictions.map(({ index }) => index),
      order,
    );
    for (const { index, probability, label } of predictions) {
      assert.ok(Math.abs(probability - classify.probabilities[index]!) < 2e-6, `class ${index}: ${probability}`);
      assert.equal(label, model.labels[index]);
    }
  });
}

test("labels are the checkpoint's, or placeholders", async () => {
  using vit = await loadVit();
  assert.deepEqual(
    [vit.labels.length, vit.labels[0], vit.labels[2], vit.labels[6]],
    [7, "tench", "great white shark, man-eater", "stingray"],
  );
  using timm = await load(join(CHECKPOINTS, "timm-vit"));
  assert.equal(timm.labels[6], "LABEL_6");
});

test("classify: one image gives its classes, a list gives a list; topK bounds them", async () => {
  using model = await loadVit();
  const one = await model.classify(IMAGE);
  assert.equal(one.length, 5);
  const all = await model.classify(IMAGE, { topK: 100 });
  assert.deepEqual(all.slice(0, 5), one);
  assert.equal(all.length, 7);
  const sum = all.reduce((total, { probability }) => total + probability, 0);
  assert.ok(Math.abs(sum - 1) < 1e-12, `probabilities add up to ${sum}`);
  assert.ok(all.every(({ logit }, i) => i === 0 || logit <= all[i - 1]!.logit));

  const lists = await model.classify(IMAGES, { topK: 2 });
  assert.deepEqual(
    lists.map((list) => list.length),
    [2, 2, 2, 2],
  );
  assert.deepEqual(lists[0], one.slice(0, 2));
  assert.deepEqual(await model.classify([]), []);
});

test("an image may be a path, a URL, bytes, a buffer, a Blob or pixels", async () => {
  using model = await loadVit();
  const wanted = await model.classify(IMAGE);
  const bytes = new Uint8Array(readFileSync(IMAGE));
  for (const image of [pathToFileURL(IMAGE), bytes, bytes.buffer, new Blob([bytes])]) {
    assert.deepEqual(await model.classify(image), wanted);
  }
  const gray = { data: new Uint8Array(3 * 5 * 4).fill(128), width: 5, height: 4 };
  const rgba = { data: new Uint8ClampedArray(4 * 5 * 4).fill(128), width: 5, height: 4 };
  assert.deepEqual(await model.classify(gray), await model.classify(rgba));
});

test("embed: head, token and mean are rows of forward's outputs; normalize makes them unit vectors", async () => {
  using model = await loadVit();
  const pixelValues = await model.preprocess(IMAGE);
  const { preLogits, lastHiddenState } = await model.forward(
    { pixelValues },
    { outputs: ["preLogits", "lastHiddenState"] },
  );
  const { width } = model.config;
  assert.deepEqual(await model.embed(IMAGE), preLogits.data);
  assert.deepEqual(await model.embed(IMAGE, { pooling: "token" }), lastHiddenState.data.slice(0, width));
  const mean = await model.embed(IMAGE, { pooling: "mean" });
  for (let i = 0; i < width; i++) {
    let sum = 0;
    for (let row = 1; row <= 12; row++) sum += lastHiddenState.data[row * width + i]!;
    assert.ok(Math.abs(mean[i]! - sum / 12) < 1e-6);
  }
  const unit = await model.embed(IMAGE, { normalize: true });
  assert.ok(Math.abs(Math.hypot(...unit) - 1) < 1e-6);
  assert.ok(Math.abs(unit[0]! / unit[1]! - preLogits.data[0]! / preLogits.data[1]!) < 1e-5);

  const rows = await model.embed(IMAGES);
  assert.equal(rows.length, IMAGES.length * width);
  assert.deepEqual(rows.slice(0, width), preLogits.data);
  assert.equal((await model.embed([])).length, 0);
});

test("preprocess and preprocessBytes: shapes, and the same pixels before and after normalization", async () => {
  using model = await loadVit();
  const bytes = await model.preprocessBytes(IMAGES);
  assert.equal(bytes.length, IMAGES.length * 12 * 16 * 3);
  const { dims, data } = await model.preprocess(IMAGES);
  assert.deepEqual(dims, [4, 3, 12, 16]);
  assert.equal(data.length, 4 * 3 * 12 * 16);
  for (const [image, channel, pixel] of [
    [0, 0, 0],
    [1, 2, 100],
    [3, 1, 191],
  ] as const) {
    const byte = bytes[(image * 192 + pixel) * 3 + channel]!;
    assert.ok(Math.abs(data[(image * 3 + channel) * 192 + pixel]! - (byte / 255 - 0.5) / 0.5) < 1e-6);
  }
});

test("forward: the outputs asked for and no others, in their shapes", async () => {
  using model = await loadVit();
  const pixelValues = await model.preprocess(IMAGES.slice(0, 2));
  assert.deepEqual(Object.keys(await model.forward({ pixelValues })), ["logits"]);

  const outputs: OutputName[] = [
    "logits",
    "preLogits",
    "lastHiddenState",
    "patchEmbedding",
    "hiddenStates",
    "attentions",
    "queries",
    "keys",
  ];
  const got = await model.forward({ pixelValues }, { outputs });
  const dims = (output: Tensor | Tensor[]) => (Array.isArray(output) ? output.map((x) => x.dims) : output.dims);
  assert.deepEqual(Object.fromEntries(Object.entries(got).map(([name, output]) => [name, dims(output)])), {
    logits: [2, 7],
    preLogits: [2, 36],
    lastHiddenState: [2, 13, 36],
    patchEmbedding: [2, 12, 36],
    hiddenStates: [
      [2, 13, 36],
      [2, 13, 36],
      [2, 13, 36],
    ],
    attentions: [
      [2, 3, 13, 13],
      [2, 3, 13, 13],
    ],
    queries: [
      [2, 3, 13, 12],
      [2, 3, 13, 12],
    ],
    keys: [
      [2, 3, 13, 12],
      [2, 3, 13, 12],
    ],
  });
  for (const { dims, data } of Object.values(got).flat()) {
    assert.equal(
      data.length,
      dims.reduce((product, n) => product * n, 1),
    );
  }
});

test("a batch has the bits of its images one by one", async () => {
  using model = await loadVit();
  const batch = await model.preprocess(IMAGES);
  const { logits } = await model.forward({ pixelValues: batch });
  for (const [i, image] of IMAGES.entries()) {
    const alone = await model.forward({ pixelValues: await model.preprocess(image) });
    assert.deepEqual(logits.data.slice(7 * i, 7 * i + 7), alone.logits.data);
  }
});

test("calls made at once have the results of calls made in turn", async () => {
  using model = await loadVit();
  const calls = IMAGES.flatMap((image) => [() => model.classify(image), () => model.embed(image, { pooling: "mean" })]);
  const inTurn: unknown[] = [];
  for (const call of calls) inTurn.push(await call());
  assert.deepEqual(await Promise.all(calls.map((call) => call())), inTurn);

  using other = await load(join(CHECKPOINTS, "timm-vit"));
  const [mine, theirs] = await Promise.all([model.classify(IMAGE), other.classify(IMAGE)]);
  assert.deepEqual(mine, await model.classify(IMAGE));
  assert.deepEqual(theirs, await other.classify(IMAGE));
});

test("reference and wasm agree, and the model says which of them runs and why", async () => {
  using fast = await loadVit();
  using slow = await load(join(CHECKPOINTS, "hf-vit"), { backend: "reference" });
  const { threads, reason, ...what } = fast.backend;
  assert.deepEqual(what, { name: "wasm", precision: "f32" });
  assert.equal(threads, Math.min(8, availableParallelism()));
  assert.match(reason, /SIMD, \d×\d+.* tiles/);
  const plain = "asked for; plain loops on one thread";
  assert.deepEqual(slow.backend, { name: "reference", precision: "f32", threads: 1, reason: plain });
  const [a, b] = [await fast.classify(IMAGE), await slow.classify(IMAGE)];
  for (const [i, { index, logit }] of a.entries()) {
    assert.equal(index, b[i]!.index);
    assert.ok(Math.abs(logit - b[i]!.logit) < 1e-5);
  }
});

test("a signal stops a call with its reason, before and while it runs, and leaves the model whole", async () => {
  using model = await loadVit();
  const wanted = await model.classify(IMAGE);
  const pixelValues = await model.preprocess(IMAGE);
  const reason = new Error("the user left");
  const aborted = AbortSignal.abort(reason);
  const calls: ((signal: AbortSignal) => Promise<unknown>)[] = [
    (signal) => model.classify(IMAGE, { signal }),
    (signal) => model.embed(IMAGES, { signal }),
    (signal) => model.preprocess(IMAGE, { signal }),
    (signal) => model.preprocessBytes(IMAGE, { signal }),
    (signal) => model.forward({ pixelValues }, { signal }),
  ];
  for (const call of calls) await assert.rejects(call(aborted), reason);

  const controller = new AbortController();
  const running = model.forward({ pixelValues }, { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(running, reason);
  await assert.rejects(load(join(CHECKPOINTS, "hf-vit"), { signal: aborted }), reason);
  assert.deepEqual(await model.classify(IMAGE), wanted);
});

test("progress counts every byte of the weights, up to all of them, and tells the memory that they take", async () => {
  const seen: { loaded: number; total: number; memory?: number }[] = [];
  using model = await load(join(CHECKPOINTS, "timm-vit"), { onProgress: (progress) => seen.push(progress) });
  assert.ok(seen.every(({ loaded }, i) => i === 0 || loaded > seen[i - 1]!.loaded));
  assert.equal(seen.at(-1)!.loaded, seen[0]!.total);
  assert.ok(model.memory.weights > seen[0]!.total, "16-bit weights are stored as f32");
  assert.equal(seen[0]!.memory, model.memory.weights);
});

test("memory: weights are counted, activations do not grow with the calls", async () => {
  // Threads that lists run on beside each other have activations of their own.
  using model = await load(join(CHECKPOINTS, "hf-vit"), { threads: 1 });
  await model.classify(IMAGE);
  const after = { ...model.memory };
  assert.ok(after.weights >= 4 * 18_000 && after.activations > 0);
  for (let i = 0; i < 20; i++) await model.classify(IMAGES);
  assert.deepEqual({ ...model.memory }, after);
});

test("using disposes of a model at the end of its block, await using too", async () => {
  let outside: Model;
  {
    using model = await loadVit();
    outside = model;
  }
  await assert.rejects(outside.classify(IMAGE), /^Error: model: it was disposed of; load it again$/);
  {
    await using model = await loadVit();
    outside = model;
  }
  await assert.rejects(outside.classify(IMAGE), /^Error: model: it was disposed of; load it again$/);
});

test("a checkpoint loads from a folder, a file, a URL and from memory", async () => {
  const folder = join(CHECKPOINTS, "hf-vit");
  using model = await load(folder);
  const wanted = await model.classify(IMAGE);
  const weights = new Uint8Array(readFileSync(join(folder, "model.safetensors")));
  const json = (name: string) => JSON.parse(readFileSync(join(folder, name), "utf8"));
  const [config, preprocessor] = [json("config.json"), json("preprocessor_config.json")];
  for (const source of [
    join(folder, "model.safetensors"),
    pathToFileURL(folder),
    { config, preprocessor, weights },
    { config, preprocessor, weights: new Blob([weights]).stream() },
  ]) {
    using again = await load(source);
    assert.deepEqual(await again.classify(IMAGE), wanted);
  }
});

test("a family that resamples positions by itself takes images of the size that its preprocessing makes", async () => {
  const folder = join(CHECKPOINTS, "hf-dinov2-registers");
  const parts = {
    config: JSON.parse(readFileSync(join(folder, "config.json"), "utf8")),
    weights: new Uint8Array(readFileSync(join(folder, "model.safetensors"))),
    preprocessor: { image_processor_type: "ViTImageProcessor", size: { height: 28, width: 56 } },
  };
  using model = await load(parts);
  assert.deepEqual(model.config.imageSize, [42, 42]);
  const pixelValues = await model.preprocess(IMAGE);
  assert.deepEqual(pixelValues.dims, [1, 3, 28, 56]);
  const { pooled } = await model.forward({ pixelValues }, { outputs: ["pooled"] });
  assert.deepEqual(await model.embed(IMAGE, { pooling: "pooler" }), pooled.data);
});

test("imageSize: positions are resampled at load, and images prepared for it", async () => {
  const folder = join(CHECKPOINTS, "timm-vit");
  using other = await load(folder, { imageSize: [26, 14] });
  using native = await load(folder);
  const pixelValues = await other.preprocess(IMAGE);
  assert.deepEqual(pixelValues.dims, [1, 3, 26, 14]);
  const [atLoad, atCall] = [
    await other.forward({ pixelValues }),
    await native.forward({ pixelValues }, { interpolatePositions: true }),
  ];
  assert.deepEqual(atLoad.logits.data, atCall.logits.data);
  await assert.rejects(native.forward({ pixelValues }), {
    message: "forward: pixelValues must be [images, 3, 14, 14]; got [1, 3, 26, 14]",
  });
  await assert.rejects(load(folder, { imageSize: 3 }), {
    message: 'load: images of "tests/fixtures/checkpoints/timm-vit" must be at least a patch of 6×6 in size; got 3×3',
  });
});

test("embed: every pooling that a checkpoint has, and none gives all tokens", async () => {
  using clip = await load(join(CHECKPOINTS, "hf-clip"));
  const pixelValues = await clip.preprocess(IMAGE);
  const outputs = await clip.forward(
    { pixelValues },
    { outputs: ["lastHiddenState", "imageFeatures", "pooled", "preLogits"] },
  );
  assert.deepEqual(await clip.embed(IMAGE), outputs.imageFeatures.data);
  assert.deepEqual(await clip.embed(IMAGE, { pooling: "none" }), outputs.lastHiddenState.data);
  assert.deepEqual(await clip.embed(IMAGE, { pooling: "head" }), outputs.preLogits.data);
  await assert.rejects(clip.embed(IMAGE, { pooling: "map" }), {
    message: "embed: pooling map needs a checkpoint with attention pooling; this one has none",
  });
  using bit = await load(join(CHECKPOINTS, "timm-bit"));
  const [mean, head] = [await bit.embed(IMAGE, { pooling: "mean" }), await bit.embed(IMAGE)];
  assert.equal(mean.length, 128);
  for (const [i, value] of mean.entries()) assert.ok(Math.abs(value - head[i]!) < 1e-5, `${i}`);
});

test("config.classes 0 leaves the classifier out, whether the file has one or not", async () => {
  for (const name of ["hf-vit", "hf-deit-distilled", "timm-vit"]) {
    const folder = join(CHECKPOINTS, name);
    using whole = await load(folder);
    using without = await load(folder, { config: { classes: 0 } });
    assert.deepEqual(await without.embed(IMAGE), await whole.embed(IMAGE));
    assert.ok(without.memory.weights < whole.memory.weights);
    assert.deepEqual(without.labels, []);
    await assert.rejects(without.classify(IMAGE), /the checkpoint must have a classifier; this one has none/);
  }
});

test("tasks: what a checkpoint can do, and every other one says what it lacks and what can be done", async () => {
  using classifier = await load();
  assert.deepEqual(classifier.tasks, ["classify", "embed"]);
  for (const name of TASK_NAMES) {
    assert.equal(typeof classifier[name], "function");
    if (classifier.tasks.includes(name)) continue;
    const call = (classifier[name] as (image: string, ...rest: unknown[]) => Promise<unknown>)(IMAGE, []);
    await assert.rejects(call, {
      name: "RangeError",
      message: /: the checkpoint must have .*, and can classify, embed$/,
    });
  }
});
