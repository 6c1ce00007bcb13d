/** Calls that meet: at once, with `dispose`, with signals; lists of images; and that calls leave nothing behind. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Backend } from "../src/backend.js";
import { createReferenceBackend } from "../src/backends/reference.js";
import { parseConfig } from "../src/checkpoint/recognize.js";
import { planWeights } from "../src/checkpoint/weights.js";
import { forward } from "../src/forward/forward.js";
import {
  type BatchError,
  defaultModel,
  type ImageInput,
  load,
  type Model,
  type Prediction,
  type Tensor,
} from "../src/index.js";
import { openCheckpoint } from "../src/io/checkpoint.js";
import { noise } from "./backend.cases.js";

const FOLDER = "tests/fixtures/checkpoints/hf-vit";
const image = (name: string) => `tests/fixtures/image/${name}`;
const IMAGES = ["rgb-420.jpg", "rgba-8.png", "lossy.webp", "plain.gif", "cmyk.jpg"].map(image);
const IMAGE = IMAGES[0]!;
const GONE = { name: "Error", message: "model: it was disposed of; load it again" };

/** Images of all kinds of input, more than are on their way at once. */
function manyImages(): ImageInput[] {
  return Array.from({ length: 30 }, (_, i) => {
    const path = IMAGES[i % IMAGES.length]!;
    const kinds: ((path: string) => ImageInput)[] = [
      (path) => path,
      (path) => pathToFileURL(path),
      (path) => readFileSync(path),
      (path) => new Uint8Array(readFileSync(path)).buffer,
      (path) => new Blob([new Uint8Array(readFileSync(path))]),
      () => ({ data: new Uint8Array(3 * 20 * 10).map((_, j) => 7 * j + i), width: 20, height: 10 }),
    ];
    return kinds[i % kinds.length]!(path);
  });
}

for (const options of [{}, { backend: "reference", precision: "int8" }] as const) {
  test(`a list has the bits of its images one by one, in order: ${JSON.stringify(options)}`, async () => {
    using model = await load(FOLDER, options);
    const images = manyImages();
    const classes: Prediction[][] = [];
    const rows: number[] = [];
    for (const image of images) {
      classes.push(await model.classify(image));
      rows.push(...(await model.embed(image, { pooling: "mean" })));
    }
    // The second time, the threads that decode have started.
    for (let round = 0; round < 2; round++) {
      assert.deepEqual(await model.classify(images), classes);
      assert.deepEqual(Array.from(await model.embed(images, { pooling: "mean" })), rows);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  });
}

test("of a long list, images that fail fail alone, each with its own error", async () => {
  using model = await load(FOLDER);
  const images: ImageInput[] = Array.from({ length: 25 }, (_, i) => IMAGES[i % IMAGES.length]!);
  images[3] = image("absent.png");
  images[4] = new Uint8Array([1, 2, 3]);
  images[24] = 5 as never;
  const wanted: (Prediction[] | undefined)[] = [];
  const messages: string[] = [];
  for (const image of images) {
    wanted.push(await model.classify(image).catch((error: Error) => void messages.push(error.message)));
  }
  assert.equal(messages.length, 3);
  for (let round = 0; round < 2; round++) {
    await assert.rejects(model.classify(images), (error: BatchError<Prediction[]>) => {
      assert.equal(error.message, `classify: 3 of 25 images failed; ${messages[0]}`);
      assert.deepEqual(
        error.errors.map(({ message }) => message),
        messages,
      );
      assert.deepEqual(error.results, wanted);
      return true;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
});

test("images asked for one by one at once are decoded on threads, each as it is alone, and a bad one fails alone", async () => {
  using model = await load(FOLDER);
  const inputs: ImageInput[] = [...IMAGES, new Uint8Array(10), new Blob(["no image"]), ...IMAGES];
  const outcome = (input: ImageInput) => model.classify(input).catch(({ message }: Error) => message);
  const alone = [];
  for (const input of inputs) alone.push(await outcome(input));
  assert.equal(alone.filter((result) => typeof result === "string").length, 2);
  // The first round starts the threads.
  for (let round = 0; round < 3; round++) assert.deepEqual(await Promise.all(inputs.map(outcome)), alone);
});

test("lists, images and raw calls at once have the results that they have in turn", async () => {
  using model = await load(FOLDER);
  const pixels: Tensor[] = [await model.preprocess(IMAGES)];
  for (const image of IMAGES) pixels.push(await model.preprocess(image));
  // With a signal, passes pause between layers.
  const { signal } = new AbortController();
  const calls: (() => Promise<unknown>)[] = [
    () => model.classify(manyImages()),
    () => model.embed(manyImages().reverse(), { signal }),
    () => model.classify(IMAGE),
    ...[...pixels, ...pixels.reverse()].map((pixelValues, i) => {
      const outputs = i % 2 ? (["logits"] as const) : (["hiddenStates", "attentions"] as const);
      return () => model.forward({ pixelValues }, { outputs, signal });
    }),
  ];
  const inTurn: unknown[] = [];
  for (const call of calls) inTurn.push(await call());
  assert.deepEqual(await Promise.all(calls.map((call) => call())), inTurn);
});

const CALLS: Record<string, (model: Model, signal?: AbortSignal) => Promise<unknown>> = {
  "classify of an image": (model, signal) => model.classify(IMAGE, { signal }),
  "classify of a list": (model, signal) => model.classify(manyImages(), { signal }),
  "embed of a list": (model, signal) => model.embed(manyImages(), { signal }),
  "preprocess of a list": (model, signal) => model.preprocess(manyImages(), { signal }),
  forward: async (model, signal) => {
    const [height, width] = model.config.imageSize;
    const data = new Float32Array(3 * height * width);
    const outputs = ["hiddenStates", "logits"] as const;
    return model.forward({ pixelValues: { dims: [1, 3, height, width], data } }, { outputs, signal });
  },
};
/** From at once to in the middle of things. */
const MOMENTS: Record<string, () => Promise<void>> = {
  "at once": async () => {},
  "a task later": () => new Promise((resolve) => setImmediate(resolve)),
  "5 ms later": () => new Promise((resolve) => setTimeout(resolve, 5)),
};

for (const [name, call] of Object.entries(CALLS)) {
  for (const [moment, wait] of Object.entries(MOMENTS)) {
    test(`dispose during ${name}, ${moment}, rejects it and leaves other models alone`, {
      timeout: 20_000,
    }, async () => {
      for (const signal of [undefined, new AbortController().signal]) {
        const model = await load(defaultModel());
        using other = await load(defaultModel());
        const wanted = other.classify(IMAGE);
        const calls = [call(model, signal), call(model, signal)].map((promise) => promise.then(() => "done"));
        await wait();
        model.dispose();
        for (const result of await Promise.allSettled(calls)) {
          // One that was through before is through.
          if (result.status === "rejected") assert.equal(result.reason.message, GONE.message);
          else assert.notEqual(moment, "at once");
        }
        await assert.rejects(call(model), GONE);
        assert.deepEqual(await other.classify(IMAGE), await wanted);
      }
    });

    test(`an abort during ${name}, ${moment}, rejects with the reason; the next call is right`, async () => {
      using model = await load(defaultModel());
      const wanted = await model.classify(IMAGE);
      const reason = new Error("the user left");
      const controller = new AbortController();
      const running = call(model, controller.signal).then(() => "done");
      const queued = call(model, controller.signal).then(() => "done");
      await wait();
      controller.abort(reason);
      for (const result of await Promise.allSettled([running, queued])) {
        if (result.status === "rejected") assert.equal(result.reason, reason);
        else assert.notEqual(moment, "at once");
      }
      assert.deepEqual(await model.classify(IMAGE), wanted);
    });
  }
}

/** A checkpoint on the reference backend. */
async function onReference(source: string | URL) {
  const checkpoint = await openCheckpoint(source);
  const { config, named, heads } = await parseConfig(checkpoint.name, checkpoint.config, checkpoint.tensors);
  const backend = createReferenceBackend();
  const loader = planWeights(checkpoint.name, { config, named, heads }, checkpoint.tensors).create(backend, "f32");
  await checkpoint.read(loader);
  const weights = await loader.finish();
  await checkpoint.close();
  return { backend, config, weights };
}

for (const name of ["hf-vit", "timm-hybrid", "timm-bit", "hf-beit"]) {
  test(`${name}: no matrix is larger than the backend's largest, and a batch in passes gives the same`, async () => {
    const { backend, config, weights } = await onReference(`tests/fixtures/checkpoints/${name}`);
    let most = 0;
    const measuring = {
      ...backend,
      createTensor(rows: number, cols: number, data?: Float32Array) {
        most = Math.max(most, 4 * rows * cols);
        return backend.createTensor(rows, cols, data);
      },
    };
    const [height, width] = config.imageSize;
    const images = 3;
    const pixelValues = { dims: [images, 3, height, width], data: noise(images * 3 * height * width) };
    const outputs = ["logits", "hiddenStates", ...(config.depth > 0 ? (["attentions"] as const) : [])] as const;
    const run = async (limited: Backend) => (await forward(limited, weights, config, { pixelValues }, outputs)).outputs;
    const whole = await run(measuring);
    // Rows are filled up to eight columns, so that somewhat less than two images fit.
    const maxBufferBytes = Math.ceil((2 * most) / images);
    most = 0;
    const inPasses = await run({ ...measuring, maxBufferBytes });
    assert.ok(most > 0 && most <= maxBufferBytes, `${most} bytes, of at most ${maxBufferBytes}`);
    assert.deepEqual(inPasses, whole);
  });
}

test("blocks limits lists to those that are asked for, and no other attention is kept", async () => {
  const { backend, config, weights } = await onReference(defaultModel());
  const maps: boolean[] = [];
  const watched: Backend = {
    ...backend,
    attention(out, qkv, shape) {
      maps.push(shape.probabilities !== undefined);
      backend.attention(out, qkv, shape);
    },
  };
  const [height, width] = config.imageSize;
  const inputs = { pixelValues: { dims: [1, 3, height, width], data: noise(3 * height * width) } };
  const wanted = ["hiddenStates", "attentions", "queries", "keys", "logits"] as const;
  const all = await (await forward(backend, weights, config, inputs, wanted)).outputs;
  const last = config.depth - 1;
  const some = await (await forward(watched, weights, config, inputs, wanted, { blocks: [last, 1] })).outputs;
  assert.deepEqual(
    maps,
    Array.from({ length: config.depth }, (_, block) => block === 1 || block === last),
  );
  assert.deepEqual(some.hiddenStates, [all.hiddenStates![2], all.hiddenStates![last + 1]]);
  for (const name of ["attentions", "queries", "keys"] as const) {
    assert.deepEqual(some[name], [all[name]![1], all[name]![last]]);
  }
  assert.deepEqual(some.logits, all.logits);
});

test("an abort ends a forward pass within a layer", async () => {
  const { backend, config, weights } = await onReference(defaultModel());
  const controller = new AbortController();
  let layers = 0;
  const counting = {
    ...backend,
    attention(...args: Parameters<typeof backend.attention>) {
      if (++layers === 2) setImmediate(() => controller.abort());
      backend.attention(...args);
    },
  };
  assert.ok(config.depth > 3);
  const [height, width] = config.imageSize;
  const pixelValues = { dims: [1, 3, height, width], data: new Float32Array(3 * height * width) };
  await assert.rejects(forward(counting, weights, config, { pixelValues }, ["logits"], { signal: controller.signal }), {
    name: "AbortError",
  });
  assert.ok(layers <= 3, `${layers} layers of ${config.depth}`);
});

test("a list of ten thousand is opened little by little, and an abort ends it", { timeout: 60_000 }, async () => {
  using model = await load(FOLDER);
  const controller = new AbortController();
  let opened = 0;
  const bytes = readFileSync(IMAGE);
  // Counts what is asked for.
  const images = new Proxy(
    Array.from({ length: 10_000 }, () => bytes),
    {
      get(target, property, receiver) {
        if (typeof property === "string" && /^\d+$/.test(property) && ++opened === 50) controller.abort();
        return Reflect.get(target, property, receiver);
      },
    },
  );
  await assert.rejects(model.classify(images, { signal: controller.signal }), { name: "AbortError" });
  assert.ok(opened < 80, `${opened} images were opened`);
  assert.equal((await model.classify(IMAGES)).length, IMAGES.length);
});

test("thousands of classifications leave no memory behind", { timeout: 120_000 }, async () => {
  using model = await load(FOLDER);
  const bytes = IMAGES.map((path) => readFileSync(path));
  const classify = async (times: number) => {
    for (let i = 0; i < times; i++) await model.classify(bytes[i % bytes.length]!, { topK: 1 });
    await model.classify(
      Array.from({ length: times }, (_, i) => bytes[i % bytes.length]!),
      { topK: 1 },
    );
  };
  await classify(500);
  const { weights, activations } = model.memory;
  const before = inUse();
  await classify(1000);
  const grown = { heap: inUse().heap - before.heap, resident: inUse().resident - before.resident };
  assert.deepEqual({ ...model.memory }, { weights, activations });
  // 500 bytes a call. V8 makes the space for young objects larger in its own time, by 16 MB a thread and more at once.
  console.log(JSON.stringify(grown));
  assert.ok(grown.heap < 1e6 && grown.resident < 64e6, JSON.stringify(grown));
});

/** Bytes of live objects, and of the process. */
function inUse(): { heap: number; resident: number } {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  const { heapUsed, rss } = process.memoryUsage();
  return { heap: heapUsed, resident: rss };
}

/** The compiled library in a folder of its own, and a program beside it that classifies a list. */
const project = mkdtempSync(join(tmpdir(), "vitrail-calls-"));
after(() => rmSync(project, { recursive: true }));
cpSync(fileURLToPath(new URL("../src", import.meta.url)), join(project, "src"), { recursive: true });
cpSync("package.json", join(project, "package.json"));
symlinkSync(resolve("node_modules"), join(project, "node_modules"), "junction");
const program = (end: string) => `
  import { load } from ${JSON.stringify(pathToFileURL(join(project, "src/index.js")).href)};
  const model = await load(${JSON.stringify(FOLDER)});
  const images = ${JSON.stringify([...IMAGES, ...IMAGES, ...IMAGES, ...IMAGES])};
  for (let round = 0; round < 3; round++) {
    console.log(JSON.stringify(await model.classify(images)));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  ${end}`;
const run = (end: string) =>
  execFileSync(process.execPath, ["--input-type=module", "-e", program(end)], { encoding: "utf8", timeout: 20_000 });

test("a process ends by itself, with and without dispose, and needs no threads to decode", { timeout: 60_000 }, () => {
  const wanted = run("model.dispose();");
  assert.equal(wanted.split("\n").length, 4);
  assert.equal(run(""), wanted);
  assert.equal(run("model.classify(images).catch(() => {}); model.dispose();"), wanted);
  rmSync(join(project, "src/engine/lane.js"));
  assert.equal(run("model.dispose();"), wanted);
});

test("calls may share a signal, however many: the host warns of nothing", async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on("warning", onWarning);
  using model = await load(FOLDER);
  const { signal } = new AbortController();
  await Promise.all(Array.from({ length: 30 }, () => model.classify(IMAGE, { signal })));
  await model.embed(
    Array.from({ length: 30 }, () => IMAGE),
    { signal },
  );
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", onWarning);
  assert.deepEqual(
    warnings.map(({ message }) => message),
    [],
  );
});
