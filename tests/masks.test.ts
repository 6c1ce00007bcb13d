/** Segments of masks of queries (EoMT), against transformers: stages, post-processing, processors, and photos. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type TestContext, test } from "node:test";
import { createWasmBackend } from "../src/backends/wasm/index.js";
import { valuesOfSeen, windowsOf } from "../src/image/preprocess.js";
import { parseHuggingFace } from "../src/image/processors.js";
import { toSeen } from "../src/image/seen.js";
import { atOnce } from "../src/image/slices.js";
import { load, type OutputName, type Tensor } from "../src/index.js";
import { transpose, transposedRows } from "../src/plans.js";
import { bestOfLines } from "../src/tasks/maps.js";
import {
  classLines,
  instanceSegments,
  panopticSegments,
  type QueryScores,
  regionsOf,
  type SegmentMap,
} from "../src/tasks/query-masks.js";
import { windowOf } from "../src/vit/resnet.js";
import { assertClose, noise } from "./backend.cases.js";
import { compareStages, DENSE_ROOTS, goldenOf } from "./dense.js";
import { readTensors, safetensorsOfNoise, tensorsOf } from "./tensors.js";

const isEomt = (folder: string) => /^hf-eomt/.test(basename(folder));

/** Settings of the goldens' post-processing. */
const PANOPTIC = { threshold: 0.25, mask: 0.5, overlap: 0.02, stuff: [0, 1, 2] };
const INSTANCE = 0.4;

for (const { root, skip, folders } of DENSE_ROOTS) {
  if (skip) test(`masks of queries of ${root}`, { skip }, () => undefined);
  for (const folder of folders.filter(isEomt)) {
    for (const backend of ["wasm", "reference"] as const) {
      test(`${folder} on ${backend} is what its library computes`, (t) =>
        compareStages(folder, { backend }, { post: (_, got, golden) => comparePost(t, got, golden) }));
    }
  }
}

type Got = Readonly<Partial<Record<OutputName, Tensor | Tensor[]>>>;

/** Compares maps and segments behind post-processing, by the settings of the goldens. */
function comparePost(t: TestContext, got: Got, golden: ReadonlyMap<string, Tensor>): void {
  const scores = { masks: got.masksQueriesLogits, classes: got.classQueriesLogits } as QueryScores;
  const [, , height, width] = golden.get("pixel_values")!.dims as [number, number, number, number];
  const semantic = golden.get("post.0.semantic")!;
  const [down, across] = semantic.dims as [number, number];
  const to = { width: across, height: down };
  const model = { width, height };
  const labels = atOnce(bestOfLines(classLines(scores, { model, part: model }), to)).labels;
  const different = semantic.data.reduce((sum, label, i) => sum + Number(label !== labels[i]), 0);
  t.diagnostic(`semantic: ${different} of ${labels.length} pixels differ`);
  assert.ok(different <= 1, `${different} pixels have another class`);
  // The photo's part of a square of pixels, as the library cuts it off.
  const scale = Math.min(width / across, height / down);
  const part = { width: Math.round(across * scale), height: Math.round(down * scale) };
  const sizes = { model, part, to };
  compareSegments(t, "panoptic", atOnce(panopticSegments(scores, sizes, PANOPTIC)), golden, to);
  compareSegments(t, "instance", atOnce(instanceSegments(scores, sizes, INSTANCE)), golden, to);
}

function compareSegments(
  t: TestContext,
  kind: string,
  found: SegmentMap,
  golden: ReadonlyMap<string, Tensor>,
  to: { width: number; height: number },
): void {
  const want = (name: string) => golden.get(`post.0.${kind}${name}`)!.data;
  const different = found.map.reduce((sum, id, i) => sum + Number(id !== want("")[i]), 0);
  t.diagnostic(`${kind}: ${different} of ${found.map.length} pixels differ`);
  assert.ok(different <= 1, `${kind}: ${different} pixels are of another segment`);
  assert.deepEqual(
    found.segments.map(({ index }) => index),
    [...want(".labels")],
  );
  assertClose(
    Float32Array.from(found.segments, ({ probability }) => probability),
    want(".scores"),
    2e-6,
    kind,
  );
  // Masks, areas and boxes are those of the map.
  const { regions, masks } = atOnce(regionsOf(found, to));
  for (const [id, { area, box }] of regions.entries()) {
    const places = [...found.map.keys()].filter((i) => found.map[i] === id);
    assert.equal(area, places.length);
    assert.deepEqual(
      places,
      [...masks[id]!.keys()].filter((i) => masks[id]![i] === 1),
    );
    if (area === 0) continue;
    const [xs, ys] = [places.map((i) => i % to.width), places.map((i) => Math.floor(i / to.width))];
    const expected = [Math.min(...xs), Math.min(...ys), Math.max(...xs) + 1, Math.max(...ys) + 1];
    assert.deepEqual([box.xmin, box.ymin, box.xmax, box.ymax], expected);
  }
}

const PROCESSORS = join(process.env.VITRAIL_DENSE ?? "../shared/goldens-dense", "image-processors");
const absent = existsSync(PROCESSORS) ? false : `${PROCESSORS} is absent: it is not part of the package`;
test("EoMT's image processor gives its library's values: a border, and windows", { skip: absent }, () => {
  const { photos, pipelines } = JSON.parse(readFileSync(join(PROCESSORS, "photos.json"), "utf8"));
  const stored = goldenOf(PROCESSORS, "photos.safetensors");
  let compared = 0;
  for (const { pipeline, config, results } of pipelines) {
    if (!pipeline.startsWith("eomt")) continue;
    for (const { photos: names, backends, shape, patch_offsets: offsets } of results) {
      const photo = photos.find(({ key }: { key: string }) => key === names[0]);
      const { data, dims } = stored.get(photo.decoded)!;
      const image = { data: Uint8Array.from(data), width: dims[1]!, height: dims[0]! };
      for (const [backend, processor] of [
        ["pil", "pillow"],
        ["torchvision", "torchvision"],
      ] as const) {
        const preprocessing = parseHuggingFace(config, processor);
        const seen = toSeen(image, preprocessing);
        const windows = windowsOf(seen);
        assert.equal(windows.length, shape[0]);
        const starts = seen.geometry.windows?.map(([x, y]) => x + y) ?? [];
        assert.deepEqual(
          starts,
          (offsets ?? []).map((offset: readonly number[]) => offset[1]),
        );
        for (const [i, window] of windows.entries()) {
          const key: string = backends[backend].tensors[i];
          const want = stored.get(key)!;
          const [h, w] = [window.height, window.width];
          // Levels where the library's normalization is exact, else values.
          if (want.dims.at(-1) === 3) assert.deepEqual(Array.from(window.data), Array.from(want.data), key);
          else assert.deepEqual(valuesOfSeen(window, { ...preprocessing, width: w, height: h }), want.data, key);
          compared++;
        }
      }
    }
  }
  assert.ok(compared > 6);
});

// From JPEG files, of which one is turned by its EXIF orientation 6 and one mirrored by 8 of XMP, one is gray.
for (const folder of DENSE_ROOTS[0]!.folders.filter(isEomt)) {
  test(`${basename(folder)} gives its library's segments on photos`, async (t) => {
    using model = await load(folder, { backend: "wasm" });
    assert.ok(model.tasks.includes("segment"));
    const golden = goldenOf(folder, "photos.safetensors");
    for (const [key, want] of golden) {
      const [, file = "", kind = ""] = /^(.*\.jpg)\.(semantic|panoptic|instance)$/.exec(key) ?? [];
      if (!file) continue;
      const [height, width] = want.dims as [number, number];
      const threshold = kind === "semantic" ? undefined : 0.3;
      const { segments, ...size } = await model.segment(join("tests/fixtures/image", file), {
        ...{ kind: kind as "semantic", threshold },
      });
      assert.deepEqual(size, { width, height }, file);
      const map = new Int32Array(width * height).fill(-1);
      for (const [id, { mask, index }] of segments.entries()) {
        for (const [i, inside] of mask.data.entries()) {
          if (!inside) continue;
          assert.equal(map[i], -1, "a pixel is in one segment");
          map[i] = kind === "semantic" ? index : id;
        }
      }
      const different = map.reduce((sum, id, i) => sum + Number(id !== want.data[i]), 0);
      t.diagnostic(`${key}: ${segments.length} segments, ${different} of ${map.length} pixels differ`);
      assert.ok(different <= 2, `${key}: ${different} pixels differ`);
      if (kind === "semantic") continue;
      assert.deepEqual(
        segments.map(({ index }) => index),
        [...golden.get(`${key}.labels`)!.data],
      );
      const scores = golden.get(`${key}.scores`)!.data;
      assertClose(
        Float32Array.from(segments, ({ probability }) => probability),
        scores,
        2e-6,
        key,
      );
    }
  });
}

test("chances by which training hides patches are refused, in one sentence", async () => {
  const folder = "tests/fixtures/dense/hf-eomt";
  const weights = readFileSync(join(folder, "model.safetensors"));
  const length = Number(weights.readBigUInt64LE());
  const { attn_mask_probs: probs } = JSON.parse(weights.toString("utf8", 8, 8 + length));
  weights.writeUInt16LE(0x3800, 8 + length + probs.data_offsets[0] + 2);
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  await assert.rejects(load({ config, weights }, { backend: "reference" }), {
    message:
      /^weights: "attn_mask_probs" of ".*" must be 0 or 1, as others are chances that are drawn anew for each image; element 1 is 0.5$/,
  });
});

test("what segment is asked for is compared with what a checkpoint has, in one sentence", async () => {
  using whole = await load("tests/fixtures/dense/hf-eomt", { backend: "reference" });
  using windows = await load("tests/fixtures/dense/hf-eomt-dinov3", { backend: "reference" });
  const photo = "tests/fixtures/image/rgb-420.jpg";
  const refusals: readonly [() => Promise<unknown>, RegExp][] = [
    [
      () => windows.segment(photo, { kind: "panoptic" }),
      /^segment: kind must be semantic, as the checkpoint has it; got "panoptic"$/,
    ],
    [
      () => whole.segment(photo, { kind: "all" as "semantic" }),
      /^segment: kind must be semantic, instance or panoptic, as the checkpoint has it; got "all"$/,
    ],
    [() => whole.segment(photo, { threshold: 2 }), /^segment: threshold must be a number from 0 to 1; got 2$/],
    [
      () => whole.segment(photo, { kind: "semantic", threshold: 0.5 }),
      /^segment: threshold must be left out, as semantic segments have every pixel; got one$/,
    ],
    [
      () => whole.segment(photo, { kind: "instance", stuff: ["LABEL_0"] }),
      /^segment: stuff must be left out where segments are not panoptic; got instance ones$/,
    ],
    [() => whole.segment(photo, { stuff: ["sky"] }), /^segment: stuff must be labels of the checkpoint; got "sky"$/],
    [
      () =>
        whole.forward(
          { pixelValues: { dims: [1, 3, 24, 36], data: new Float32Array(2592) } },
          { outputs: ["masksQueriesLogits"] },
        ),
      /^forward: pixelValues must be \[images, 3, 36, 36\]; got \[1, 3, 24, 36\]$/,
    ],
  ];
  for (const [call, message] of refusals) await assert.rejects(call, { name: "RangeError", message });
});

const isClipSeg = (folder: string) => /^hf-clipseg/.test(basename(folder));

for (const { root, skip, folders } of DENSE_ROOTS) {
  if (skip) test(`masks of texts of ${root}`, { skip }, () => undefined);
  for (const folder of folders.filter(isClipSeg)) {
    for (const backend of ["wasm", "reference"] as const) {
      test(`${folder} on ${backend} is what its library computes`, () => compareStages(folder, { backend }));
    }
  }
}

test("CLIPSeg finds what texts say on photos, as its library does", async (t) => {
  const folder = "tests/fixtures/dense/hf-clipseg-refined";
  const labels = ["a cat", "two dogs"];
  using model = await load(folder, { backend: "wasm" });
  const golden = goldenOf(folder, "photos.safetensors");
  for (const threshold of [undefined, 0.4]) {
    const least = threshold ?? 0.5;
    for (const [file, want] of golden) {
      if (!file.endsWith(".jpg")) continue;
      const [, height, width] = want.dims as [number, number, number];
      const photo = join("tests/fixtures/image", file);
      const { segments, ...size } = await model.segment(photo, { labels, threshold });
      assert.deepEqual(size, { width, height }, file);
      let different = 0;
      for (const [index, label] of labels.entries()) {
        const own = want.data.subarray(index * width * height, (index + 1) * width * height);
        const inside = [...own.keys()].filter((i) => own[i]! >= least);
        const segment = segments.find((found) => found.index === index);
        assert.equal(segment !== undefined, inside.length > 0, `${file}: ${label}`);
        if (!segment) continue;
        assert.equal(segment.label, label);
        different += own.reduce((sum, x, i) => sum + Number((x >= least ? 1 : 0) !== segment.mask.data[i]), 0);
        assert.equal(
          segment.mask.data.reduce((sum, x) => sum + x, 0),
          segment.area,
        );
        const mean = inside.reduce((sum, i) => sum + own[i]!, 0) / inside.length;
        assert.ok(Math.abs(segment.probability - mean) < 1e-3, `${segment.probability} of ${mean}`);
        const xs = inside.map((i) => i % width);
        assert.ok(Math.abs(segment.box.xmin - Math.min(...xs)) <= 1 && segment.box.ymax <= height);
      }
      t.diagnostic(
        `${file} at ${least}: ${segments.length} segments, ${different} of ${2 * width * height} pixels differ`,
      );
      assert.ok(different <= 2, `${file}: ${different} pixels differ`);
    }
  }
});

test("masks of texts need texts, in one sentence, and other checkpoints take none", async () => {
  using clipseg = await load("tests/fixtures/dense/hf-clipseg-refined", { backend: "reference" });
  using eomt = await load("tests/fixtures/dense/hf-eomt", { backend: "reference" });
  using dpt = await load("tests/fixtures/dense/hf-dpt-segmentation", { backend: "reference" });
  const photo = "tests/fixtures/image/rgb-420.jpg";
  const pixelValues = { dims: [1, 3, 32, 32], data: new Float32Array(3072) };
  const refusals: readonly [() => Promise<unknown>, RegExp][] = [
    [() => clipseg.segment(photo), /^segment: labels must be strings, one at least; got undefined$/],
    [() => clipseg.segment(photo, { labels: [] }), /^segment: labels must be strings, one at least; got \[\]$/],
    [
      () => clipseg.segment(photo, { labels: ["a cat"], kind: "semantic" }),
      /^segment: kind must be left out, as this checkpoint makes masks of what labels say$/,
    ],
    [
      () => clipseg.segment(photo, { labels: ["a cat"], threshold: -1 }),
      /^segment: threshold must be a number from 0 to 1; got -1$/,
    ],
    [
      () => eomt.segment(photo, { labels: ["a cat"] }),
      /^segment: labels must be left out, as this checkpoint cannot be asked for others; it has 4 classes of its own$/,
    ],
    [
      () => dpt.segment(photo, { labels: ["a cat"] }),
      /^segment: labels must be left out, as this checkpoint cannot be asked for others; it has 5 classes of its own$/,
    ],
    [
      () => clipseg.forward({ pixelValues }),
      /^forward: masks are told by one of inputIds, conditionalPixelValues, conditionalEmbeddings; got none$/,
    ],
    [
      () => clipseg.forward({ pixelValues, inputIds: { dims: [2, 2], data: [40, 41, 40, 41] } }),
      /^forward: inputIds must have one for each image; got 2 for 1$/,
    ],
    [
      () => clipseg.forward({ pixelValues, conditionalEmbeddings: { dims: [1, 3], data: new Float32Array(3) } }),
      /^forward: conditionalEmbeddings must be \[prompts, 10\]; got \[1, 3\]$/,
    ],
    [
      () => eomt.forward({ pixelValues }, { outputs: ["conditionalEmbeddings"] }),
      /^forward: conditionalEmbeddings needs a checkpoint with masks of what texts say; this one has none$/,
    ],
  ];
  for (const [call, message] of refusals) await assert.rejects(call, { message });
});

test("masks that are enlarged in bands of lines are those of the whole map", async () => {
  // An EoMT of one block, whose map of 92×92 pixels and 264 channels takes 8.9 MB: two bands of lines.
  const folder = join(DENSE_ROOTS[0]!.root, "hf-eomt");
  const [width, grid, patch, prefix, queries] = [264, 46, 6, 3, 5];
  const shapes: Record<string, readonly number[]> = {};
  for (const [name, { dims }] of readTensors(join(folder, "model.safetensors"))) {
    const wide = dims.map((n) => (n === 12 ? width : n === 36 ? grid * grid : n));
    if (!/^(layers\.[1-9]|criterion|attn_mask)/.test(name)) shapes[name] = wide;
  }
  const weights = safetensorsOfNoise({ ...shapes, attn_mask_probs: [1] });
  const tensors = tensorsOf(weights, "weights");
  const file = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  const config = { ...file, hidden_size: width, image_size: grid * patch, num_hidden_layers: 1, num_blocks: 1 };
  const preprocessor = JSON.parse(readFileSync(join(folder, "preprocessor_config.json"), "utf8"));
  using model = await load({ config, weights, preprocessor }, { backend: "wasm" });
  const side = grid * patch;
  const { masksQueriesLogits: masks, lastHiddenState } = await model.forward(
    { pixelValues: { dims: [1, 3, side, side], data: noise(3 * side * side, 6) } },
    { outputs: ["masksQueriesLogits", "lastHiddenState"] },
  );
  assert.deepEqual(masks.dims, [1, queries, 2 * grid, 2 * grid]);

  const b = await createWasmBackend();
  const of = (name: string) => tensors.get(name)!.data;
  const layer = (rows: Float32Array, bias: Float32Array) => {
    const linear = b.createLinear(bias.length, rows.length / bias.length);
    for (const [part, data] of Object.entries({ weight: rows, bias })) {
      b.store({ linear, part: part as "weight", row: 0 }, "F32", new Uint8Array(Float32Array.from(data).buffer));
    }
    return linear;
  };
  const tokens = lastHiddenState.data;
  let kernels = b.createTensor(queries, width, tokens.subarray(0, queries * width));
  for (const i of [1, 2, 3]) {
    const out = b.createTensor(queries, width);
    const fc = layer(of(`mask_head.fc${i}.weight`), of(`mask_head.fc${i}.bias`));
    b.linear(out, kernels, fc, i < 3 ? { activation: "gelu" } : {});
    kernels = out;
  }
  const at = "upscale_block.block.0.";
  const rows = transposedRows({ outputs: width, channels: width, kernel: 2, stride: 2 })(of(`${at}conv1.weight`));
  const bias = Float32Array.from({ length: 4 * width }, (_, i) => of(`${at}conv1.bias`)[i % width]!);
  const patches = b.createTensor(grid * grid, width, tokens.subarray((queries + prefix) * width));
  const [enlarged, map] = [b.createTensor(4 * grid * grid, width), b.createTensor(4 * grid * grid, width)];
  const sizes = { height: grid, width: grid, kernel: 2, stride: 2 };
  b.convolveTransposed(enlarged, patches, layer(rows, bias), sizes, { activation: "gelu" });
  const filters = b.createTensor(
    9,
    width,
    transpose(width)(of(`${at}conv2.weight`)).map((x) => x),
  );
  b.convolveDepthwise(map, enlarged, filters, windowOf({ height: 2 * grid, width: 2 * grid }, 3, 1, "symmetric"));
  const vector = (name: string) => b.createTensor(1, width, of(name));
  const norm = { scale: vector(`${at}layernorm2d.weight`), shift: vector(`${at}layernorm2d.bias`), eps: 1e-6 };
  b.layerNorm(map, map, norm);
  const products = b.createTensor(queries, 4 * grid * grid);
  b.matmul(products, kernels, map);
  const want = await b.read(products);
  const largest = want.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  assertClose(masks.data, want, 1e-5 * largest, "in bands");
  assert.ok(largest > 0.1, `the largest is ${largest}`);
});
