/** Depth and semantic segmentation by DPT and UPerNet heads, against transformers: stages, post-processing, and photos. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { inflateSync } from "node:zlib";
import { createReferenceBackend } from "../src/backends/reference.js";
import { decode, type Processor, parsePreprocessing, toSeen } from "../src/image/index.js";
import { valuesOfSeen } from "../src/image/preprocess.js";
import { atOnce } from "../src/image/slices.js";
import { encodePng } from "../src/image/write-png.js";
import { type CheckpointParts, type LoadOptions, load, type OutputName, type Tensor } from "../src/index.js";
import { convolutionRows } from "../src/plans.js";
import { bestClasses, masksOf, resizeBicubic } from "../src/tasks/maps.js";
import { assertClose, noise } from "./backend.cases.js";
import { compareStages, DENSE_ROOTS, type DenseGolden, goldenOf, toleranceOf } from "./dense.js";
import { readBytes, readShapes, safetensorsOfNoise, tensorsOf } from "./tensors.js";

const OWN = DENSE_ROOTS[0]!.root;
const DENSE = DENSE_ROOTS[1]!;

/** Folders of models with a DPT or a UPerNet head. */
const isMap = (folder: string) => /^hf-(depth-anything|dpt-|beit-segmentation)/.test(basename(folder));

for (const { root, skip, folders } of DENSE_ROOTS) {
  if (skip) test(`depth of ${root}`, { skip }, () => undefined);
  for (const folder of folders.filter(isMap)) {
    for (const backend of ["wasm", "reference"] as const) {
      test(`${folder} on ${backend} is what its library computes`, (t) => comparePost(t, folder, { backend }));
    }
  }
}

/** Compares stages, then results in the sizes of photos. */
export const comparePost = (t: TestContext, folder: string, options: LoadOptions) =>
  compareStages(folder, options, {
    post(_, got, golden, entry) {
      for (const [key, want] of golden) {
        if (key === "post.0.predicted_depth") compareDepth(got, want, entry);
        if (key === "post.0.segmentation") {
          const ties = compareClasses(got.logits as Tensor, want);
          t.diagnostic(`${entry.file}: ${ties} pixels of ${want.data.length} have two best classes within f32's error`);
        }
      }
    },
  });

function compareDepth(got: Partial<Record<OutputName, Tensor | Tensor[]>>, want: Tensor, entry: DenseGolden): void {
  const { dims, data } = got.predictedDepth as Tensor;
  const [height, width] = want.dims as [number, number];
  const map = atOnce(resizeBicubic(data, { width: dims[2]!, height: dims[1]! }, { width, height }));
  assertClose(map, want.data, toleranceOf(want, "predicted_depth", entry), `${entry.file} post-processed`);
}

/** Compares a map of classes. Returns the pixels that may differ, as their two best scores are closer than f32 tells. */
function compareClasses({ dims, data }: Tensor, want: Tensor): number {
  const [, classes, h, w] = dims as [number, number, number, number];
  const [height, width] = want.dims as [number, number];
  const map = atOnce(bestClasses(data, classes, { width: w, height: h }, { width, height }));
  let ties = 0;
  for (let i = 0; i < want.data.length; i++) {
    if (map.labels[i] === want.data[i]) continue;
    const scores = Array.from({ length: classes }, (_, c) => scoreAt(c, i % width, Math.floor(i / width)));
    const [own, other] = [scores[map.labels[i]!]!, scores[want.data[i]!]!];
    assert.ok(Math.abs(own - other) < 1e-5 * Math.abs(own), `pixel ${i}: ${map.labels[i]} in place of ${want.data[i]}`);
    ties++;
  }
  const masks = atOnce(masksOf(map));
  for (const [i, { index, area, box }] of map.regions.entries()) {
    assert.equal(
      masks[i]!.reduce((sum, x) => sum + x, 0),
      area,
      "an area is what its mask covers",
    );
    const places = [...masks[i]!.keys()].filter((at) => masks[i]![at] === 1);
    assert.ok(places.every((at) => map.labels[at] === index));
    assert.equal(box.xmin, Math.min(...places.map((at) => at % width)));
    assert.equal(box.xmax, Math.max(...places.map((at) => at % width)) + 1);
    assert.equal(box.ymin, Math.floor(places[0]! / width));
    assert.equal(box.ymax, Math.floor(places.at(-1)! / width) + 1);
  }
  return ties;

  /** Bilinear, as in PyTorch. */
  function scoreAt(c: number, x: number, y: number): number {
    const [sx, sy] = [Math.max(((x + 0.5) * w) / width - 0.5, 0), Math.max(((y + 0.5) * h) / height - 0.5, 0)];
    const [x0, y0] = [Math.floor(sx), Math.floor(sy)];
    const at = (i: number, j: number) => data[(c * h + Math.min(j, h - 1)) * w + Math.min(i, w - 1)]!;
    const [u, v] = [sx - x0, sy - y0];
    return (
      (at(x0, y0) * (1 - u) + at(x0 + 1, y0) * u) * (1 - v) + (at(x0, y0 + 1) * (1 - u) + at(x0 + 1, y0 + 1) * u) * v
    );
  }
}

// From JPEG files, of which one is turned by its EXIF orientation 6 and one mirrored by 8 of XMP, one is gray.
for (const folder of DENSE_ROOTS[0]!.folders.filter(isMap)) {
  test(`${basename(folder)} gives its library's results on photos`, async (t) => {
    assert.ok(existsSync(join(folder, "photos.safetensors")));
    using model = await load(folder, { backend: "wasm" });
    for (const [file, want] of goldenOf(folder, "photos.safetensors")) {
      const [height, width] = want.dims as [number, number];
      const photo = join("tests/fixtures/image", file);
      if (model.tasks.includes("depth")) {
        const map = await model.depth(photo);
        assert.deepEqual([map.width, map.height], [width, height], file);
        assertClose(map.data, want.data, toleranceOf(want, "", { file }), file);
      } else {
        const { segments, ...size } = await model.segment(photo);
        assert.deepEqual(size, { width, height }, file);
        const labels = new Int32Array(width * height).fill(-1);
        for (const { index, mask } of segments) {
          for (const [i, inside] of mask.data.entries()) {
            if (inside) {
              assert.equal(labels[i], -1, "a pixel is in one segment");
              labels[i] = index;
            }
          }
        }
        const different = labels.reduce((sum, label, i) => sum + Number(label !== want.data[i]), 0);
        t.diagnostic(`${file}: ${different} of ${labels.length} pixels differ`);
        assert.ok(different <= 2, `${file}: ${different} pixels differ`);
      }
    }
  });
}

test("pixel values of DPTImageProcessor on photos, to the bit", { skip: DENSE.skip }, () => {
  const folder = join(DENSE.root, "image-processors");
  const { pipelines } = JSON.parse(readFileSync(join(folder, "photos.json"), "utf8")) as {
    pipelines: readonly {
      readonly config: Record<string, unknown>;
      readonly results: readonly {
        readonly photos: readonly string[];
        readonly shape: readonly number[];
        readonly backends: Readonly<Record<string, { readonly float32_sha256: string }>>;
      }[];
    }[];
  };
  const bytes = readBytes(join(folder, "photos.safetensors"));
  const shapes = readShapes(join(folder, "photos.safetensors"));
  const processors = { pillow: "pil", torchvision: "torchvision" } as const;
  const own = pipelines.filter(({ config }) => /^DPT/.test(String(config.image_processor_type)));
  assert.ok(own.length >= 2, `${own.length} pipelines`);
  let compared = 0;
  for (const { config, results } of own) {
    for (const { photos, shape, backends } of results) {
      const [key] = photos;
      for (const [processor, backend] of Object.entries(processors)) {
        const [height, width] = shapes(`decoded.${key}`) as [number, number];
        const preprocessing = parsePreprocessing(config, undefined, [64, 64], { processor: processor as Processor });
        const seen = toSeen({ data: bytes(`decoded.${key}`), width, height }, preprocessing);
        assert.deepEqual([1, 3, seen.height, seen.width], shape, `${key} by ${processor}`);
        const values = valuesOfSeen(seen, preprocessing);
        const hash = createHash("sha256").update(new Uint8Array(values.buffer)).digest("hex");
        assert.equal(hash, backends[backend]!.float32_sha256, `${key} by ${processor}`);
        compared++;
      }
    }
  }
  assert.ok(compared >= 12, `${compared} images`);
});

test("a border of zeros is outside of the photo", () => {
  const preprocessing = parsePreprocessing(
    { image_processor_type: "DPTImageProcessor", do_resize: false, do_pad: true, size_divisor: 14 },
    undefined,
    [56, 56],
  );
  const seen = toSeen({ data: new Uint8Array(3 * 19 * 30).fill(200), width: 19, height: 30 }, preprocessing);
  assert.deepEqual(seen.geometry, {
    photo: { width: 19, height: 30 },
    resized: { width: 19, height: 30 },
    offset: [4, 6],
    model: { width: 28, height: 42 },
  });
  const values = valuesOfSeen(seen, preprocessing);
  for (let c = 0; c < 3; c++)
    for (let y = 0; y < 42; y++)
      for (let x = 0; x < 28; x++) {
        const inside = x >= 4 && x < 23 && y >= 6 && y < 36;
        assert.equal(values[(c * 42 + y) * 28 + x] !== 0, inside, `channel ${c}, row ${y}, column ${x}`);
      }
});

/** A Depth Anything of random weights and this many channels where maps are fused, in memory. */
function createDepthAnything(fused: number): CheckpointParts {
  const width = 8;
  const tensors: Record<string, number[]> = {
    "backbone.embeddings.cls_token": [1, 1, width],
    "backbone.embeddings.patch_embeddings.projection.weight": [width, 3, 8, 8],
    "backbone.embeddings.position_embeddings": [1, 5, width],
  };
  const layer = (name: string, ...shape: number[]) => {
    tensors[`${name}.weight`] = shape;
    tensors[`${name}.bias`] = [shape[0]!];
  };
  tensors["backbone.embeddings.patch_embeddings.projection.bias"] = [width];
  layer("backbone.layernorm", width);
  for (let i = 0; i < 4; i++) {
    const at = `backbone.encoder.layer.${i}.`;
    for (const part of ["query", "key", "value"]) layer(`${at}attention.attention.${part}`, width, width);
    layer(`${at}attention.output.dense`, width, width);
    layer(`${at}mlp.fc1`, 16, width);
    layer(`${at}mlp.fc2`, width, 16);
    for (const part of [1, 2]) {
      layer(`${at}norm${part}`, width);
      tensors[`${at}layer_scale${part}.lambda1`] = [width];
    }
    layer(`neck.reassemble_stage.layers.${i}.projection`, 4, width);
    tensors[`neck.convs.${i}.weight`] = [fused, 4, 3, 3];
    const fusion = `neck.fusion_stage.layers.${i}.`;
    layer(`${fusion}projection`, fused, fused, 1, 1);
    for (const unit of [1, 2])
      for (const part of [1, 2]) layer(`${fusion}residual_layer${unit}.convolution${part}`, fused, fused, 3, 3);
  }
  layer("neck.reassemble_stage.layers.0.resize", 4, 4, 4, 4);
  layer("neck.reassemble_stage.layers.1.resize", 4, 4, 2, 2);
  layer("neck.reassemble_stage.layers.3.resize", 4, 4, 3, 3);
  layer("head.conv1", fused / 2, fused, 3, 3);
  layer("head.conv2", 4, fused / 2, 3, 3);
  layer("head.conv3", 1, 4, 1, 1);
  return {
    config: {
      ...{ model_type: "depth_anything", patch_size: 8, depth_estimation_type: "metric", max_depth: 3 },
      backbone_config: {
        ...{
          model_type: "dinov2",
          num_attention_heads: 2,
          patch_size: 8,
          image_size: 16,
          reshape_hidden_states: false,
        },
        out_indices: [1, 2, 3, 4],
      },
    },
    preprocessor: { image_processor_type: "DPTImageProcessor", size: 16, ensure_multiple_of: 8 },
    weights: safetensorsOfNoise(tensors),
  };
}

test("a result made in bands of lines is that of two images at once, and of the whole map", async () => {
  // 16 channels of 296×256 pixels are 4.8 MB, of two images 9.7: one band of lines, and two.
  const parts = createDepthAnything(32);
  using model = await load(parts, { backend: "wasm" });
  const [height, width] = [296, 256];
  const pixels = noise(2 * 3 * height * width, 5);
  const run = async (images: number, from: number) => {
    const area = 3 * height * width;
    const data = pixels.slice(from * area, (from + images) * area);
    return (await model.forward(
      { pixelValues: { dims: [images, 3, height, width], data } },
      { outputs: ["predictedDepth", "fused"] },
    )) as { predictedDepth: Tensor; fused: Tensor[] };
  };
  const both = await run(2, 0);
  const [first, second] = [await run(1, 0), await run(1, 1)];
  assert.deepEqual(both.predictedDepth.dims, [2, height, width]);
  const area = height * width;
  assertClose(both.predictedDepth.data.slice(0, area), first.predictedDepth.data, 1e-5, "first of two");
  assertClose(both.predictedDepth.data.slice(area), second.predictedDepth.data, 1e-5, "second of two");
  // The head on the whole map, by the reference backend.
  const b = createReferenceBackend();
  const weights = tensorsOf(parts.weights as Uint8Array, "weights");
  const layer = (name: string, outputs: number, channels: number, kernel: number) => {
    const linear = b.createLinear(outputs, kernel * kernel * channels);
    const rows = convolutionRows({ outputs, channels, kernel })(weights.get(`${name}.weight`)!.data);
    for (const [part, data] of Object.entries({ weight: rows, bias: weights.get(`${name}.bias`)!.data })) {
      b.store({ linear, part: part as "weight", row: 0 }, "F32", new Uint8Array(new Float32Array(data).buffer));
    }
    return linear;
  };
  const [, channels, h, w] = first.fused[3]!.dims as [number, number, number, number];
  const rows = new Float32Array(h * w * channels);
  for (let c = 0; c < channels; c++)
    for (let i = 0; i < h * w; i++) rows[i * channels + c] = first.fused[3]!.data[c * h * w + i]!;
  const window = (height: number, width: number) => ({
    ...{ height, width, kernel: 3, stride: 1, top: 1, left: 1, outHeight: height, outWidth: width },
  });
  const half = b.createTensor(h * w, channels / 2);
  b.convolve(half, b.createTensor(h * w, channels, rows), layer("head.conv1", channels / 2, channels, 3), window(h, w));
  const large = b.createTensor(area, channels / 2);
  b.resizeMap(large, half, { height: h, width: w, outHeight: height, outWidth: width, aligned: true });
  const hidden = b.createTensor(area, 4);
  const conv2 = layer("head.conv2", 4, channels / 2, 3);
  b.convolve(hidden, large, conv2, window(height, width), { activation: "relu" });
  const depth = b.createTensor(area, 1);
  b.linear(depth, hidden, layer("head.conv3", 1, 4, 1));
  const want = (await b.read(depth)).map((x) => 3 / (1 + Math.exp(-x)));
  assertClose(both.predictedDepth.data.slice(0, area), want, 3e-5, "in bands");
  const spread = want.reduce((max, x) => Math.max(max, x), 0) - want.reduce((min, x) => Math.min(min, x), 3);
  assert.ok(spread > 0.5, `it spreads over ${spread}`);
});

test("precisions: depth in f16 and int8 is near that of f32", async (t) => {
  const folder = join(OWN, "hf-depth-anything");
  const input = "tests/fixtures/image/rgb-420.jpg";
  const maps = [];
  for (const precision of ["f32", "f16", "int8"] as const) {
    using model = await load(folder, { backend: "wasm", precision });
    maps.push((await model.depth(input)).data);
  }
  const [exact, half, integer] = maps as [Float32Array, Float32Array, Float32Array];
  const most = exact.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  const off = (map: Float32Array) => map.reduce((max, x, i) => Math.max(max, Math.abs(x - exact[i]!)), 0) / most;
  t.diagnostic(
    `off by ${off(half).toExponential(1)} in f16 and ${off(integer).toExponential(1)} in int8, of the largest`,
  );
  // The checkpoint is stored in halves, so f16 is exact in W but for scales and norms that are folded.
  assert.ok(off(half) < 2e-3, `${off(half)}`);
  assert.ok(off(integer) < 0.15, `${off(integer)}`);
});

test("what cannot be done is one sentence", async () => {
  using depth = await load(join(OWN, "hf-depth-anything"), { backend: "wasm" });
  using segments = await load(join(OWN, "hf-dpt-segmentation"), { backend: "wasm" });
  const image = "tests/fixtures/image/rgb-420.jpg";
  assert.deepEqual(depth.tasks, ["embed", "depth"]);
  assert.deepEqual(segments.tasks, ["embed", "segment"]);
  const cases: [promise: Promise<unknown>, message: RegExp][] = [
    [
      depth.segment(image),
      /^segment: the checkpoint must have a segmentation head; this one has none, and can embed, depth$/,
    ],
    [
      segments.depth(image),
      /^depth: the checkpoint must have a depth head; this one has none, and can embed, segment$/,
    ],
    [depth.depth(image, { size: "large" as never }), /^depth: size must be photo or model; got "large"$/],
    [
      segments.segment(image, { kind: "panoptic" as never }),
      /^segment: kind must be semantic, as the checkpoint has it; got "panoptic"$/,
    ],
    [
      segments.forward({}, { outputs: ["predictedDepth"] }),
      /^forward: predictedDepth needs a checkpoint with a depth head; this one has none$/,
    ],
    [
      segments.forward({}, { outputs: ["featureMaps"] }),
      /^forward: featureMaps needs a checkpoint with a dense head on a backbone; this one has none$/,
    ],
    [
      depth.preprocess([image, "tests/fixtures/image/exif-6.jpg"]),
      /^preprocess: images of a list must become pixels of one size, or be given one by one; got 30×36 and 36×18$/,
    ],
  ];
  for (const [promise, message] of cases) await assert.rejects(promise, { name: "RangeError", message });
  const { width, height, data } = await depth.depth(image, { size: "model" });
  assert.deepEqual([width, height, data.length], [36, 30, 36 * 30]);
});

test("configs that do not fit their tensors are refused in one sentence", async () => {
  const parts = createDepthAnything(4);
  const config = parts.config as Record<string, unknown>;
  const backbone = config.backbone_config as Record<string, unknown>;
  const refused = async (changed: object, message: RegExp, weights = parts.weights) =>
    assert.rejects(load({ ...parts, weights, config: { ...config, ...changed } }, { backend: "reference" }), {
      message,
    });
  const of = (changed: object) => ({ backbone_config: { ...backbone, ...changed } });
  await refused(
    of({ out_indices: [1, 2] }),
    /^load: "out_indices" of "weights" must be places of 4 levels, as the tensors tell; got \[1,2\]$/,
  );
  await refused(
    of({ out_indices: [1, 2, 3, 9] }),
    /^load: "out_indices" of "backbone_config of weights" must be numbers of its stem and its 4 stages; got \[1,2,3,9\]$/,
  );
  await refused(
    of({ reshape_hidden_states: true }),
    /"reshape_hidden_states" of "backbone_config of weights" must be false/,
  );
  await refused(
    of({ out_features: ["stage2"] }),
    /"out_features" of "backbone_config of weights" must be the stages of its out_indices/,
  );
  await refused(
    of({ model_type: "swin" }),
    /^load: "model_type" of "backbone_config of weights" must be one of dinov2; got "swin"$/,
  );
  await refused({ head_in_index: 4 }, /^load: "head_in_index" of "weights" must be one of 4 levels; got 4$/);
  await refused(
    { reassemble_factors: [4, 2, 1.5, 0.5] },
    /^load: "reassemble_factors" of "weights" must be 4 numbers, whole or below 1; got \[4,2,1\.5,0\.5\]$/,
  );
  await refused({ max_depth: -1 }, /^load: "max_depth" of "weights" must be a number from .* to 1000000; got -1$/);
  await refused({ patch_size: 3 }, /^load: "patch_size" of "weights" must be 8, as of its backbone; got \[3,3\]$/);
  await refused(
    { depth_estimation_type: "both" },
    /^load: "depth_estimation_type" of "weights" must be one of relative, metric; got "both"$/,
  );
  // Without the head, and without the neck.
  const without = (pattern: RegExp) => {
    const shapes = [...tensorsOf(parts.weights as Uint8Array, "weights")].filter(([name]) => !pattern.test(name));
    return safetensorsOfNoise(Object.fromEntries(shapes.map(([name, { dims }]) => [name, dims])));
  };
  await refused(
    {},
    /^weights: the tensors of "weights" do not fit its config; missing: "head\.conv1\.weight", "head\.conv1\.bias", "head\.conv2\.weight", "head\.conv2\.bias", "head\.conv3\.weight", "head\.conv3\.bias"$/,
    without(/^head/),
  );
  await refused(
    {},
    /^load: "weights" must have the neck and the head of depth_anything; it has no "neck\.convs\.0\.weight"$/,
    without(/^(head|neck)/),
  );
});

test("encodePng: what it writes is read again, and by zlib", async () => {
  const [width, height] = [5, 3];
  const rgb = Uint8Array.from({ length: 3 * width * height }, (_, i) => (i * 37) % 256);
  const read = await decode(await encodePng({ width, height, channels: 3, data: rgb }));
  assert.deepEqual([read.width, read.height, read.data], [width, height, rgb]);
  const deep = Uint16Array.from({ length: width * height }, (_, i) => (i * 4999) % 65536);
  const file = Buffer.from(await encodePng({ width, height, channels: 1, data: deep }));
  assert.deepEqual([...file.subarray(16, 26)], [0, 0, 0, 5, 0, 0, 0, 3, 16, 0]);
  const length = file.readUInt32BE(33);
  const lines = inflateSync(file.subarray(41, 41 + length));
  const values = new Uint16Array(width * height);
  const bytes = new Uint8Array(2 * width * height);
  for (let y = 0; y < height; y++) {
    assert.equal(lines[y * 11], 2, "the filter is Up");
    for (let i = 0; i < 10; i++) bytes[10 * y + i] = lines[11 * y + 1 + i]! + (y > 0 ? bytes[10 * (y - 1) + i]! : 0);
  }
  for (let i = 0; i < values.length; i++) values[i] = (bytes[2 * i]! << 8) | bytes[2 * i + 1]!;
  assert.deepEqual(values, deep);
  await assert.rejects(
    encodePng({ width: 2, height: 2, channels: 3, data: rgb }),
    /^RangeError: encodePng: 2×2 pixels of 3 channels have 12 values; got 45$/,
  );
});

test("vitrail depth and segment print results and write pictures", async () => {
  const out = mkdtempSync(join(tmpdir(), "vitrail-depth-"));
  const cli = fileURLToPath(new URL("../src/cli.js", import.meta.url));
  const image = "tests/fixtures/image/exif-6.jpg";
  const run = (...args: string[]) => spawnSync(process.execPath, [cli, ...args], { encoding: "utf8" });
  const depth = run(
    "depth",
    image,
    image,
    "--model",
    join(OWN, "hf-depth-anything"),
    "--out",
    out,
    "--json",
    "--quiet",
  );
  assert.equal(depth.status, 0, depth.stderr);
  const lines = depth.stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual(Object.keys(lines[0]), [
    "image",
    "width",
    "height",
    "metric",
    "min",
    "max",
    "files",
    "ms",
    "backend",
  ]);
  assert.deepEqual([lines[0].width, lines[0].height, lines[0].metric], [9, 17, true]);
  const names = ["exif-6.depth.png", "exif-6.depth-color.png", "exif-6-2.depth.png", "exif-6-2.depth-color.png"];
  assert.deepEqual(
    lines.flatMap(({ files }) => files.map((file: string) => basename(file))),
    names,
  );
  for (const name of names) {
    const { width, height } = await decode(readFileSync(join(out, name)));
    assert.deepEqual([width, height], [9, 17]);
  }
  const segments = run("segment", image, "--model", join(OWN, "hf-dpt-segmentation"), "--out", out);
  assert.equal(segments.status, 0, segments.stderr);
  assert.match(segments.stdout, /exif-6\.jpg\n( {2} *\d+\.\d % LABEL_\d\n)+ {2}\S+exif-6\.segments\.png\n/);
  assert.ok(existsSync(join(out, "exif-6.segments.png")));
  rmSync(out, { recursive: true });
});

test("inspect counts the work of neck and head as PyTorch's FlopCounterMode", () => {
  // Of transformers' models at 36×36. The 1×1 projections are of maps that are not yet enlarged here: a quarter of theirs.
  for (const [folder, flop] of [
    ["hf-depth-anything", 4_562_592],
    ["hf-dpt-dinov2", 20_714_784],
  ] as const) {
    const cli = fileURLToPath(new URL("../src/cli.js", import.meta.url));
    const args = [cli, "inspect", "--model", join(OWN, folder), "--json"];
    const { gflop } = JSON.parse(spawnSync(process.execPath, args, { encoding: "utf8" }).stdout);
    const part = (1e9 * gflop) / flop;
    assert.ok(part > 0.95 && part <= 1, `${folder}: ${part} of PyTorch's`);
  }
});
