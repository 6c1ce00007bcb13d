/** Poses by ViTPose and ViTPose+, against transformers: stages, crops to the byte, places of keypoints, and photos. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { cropPlaceOf } from "../src/image/affine.js";
import { parsePreprocessing, type Size, toModel, toSeen } from "../src/image/index.js";
import { cropsOf, valuesOfSeen } from "../src/image/preprocess.js";
import { atOnce } from "../src/image/slices.js";
import { type Box, load, type Tensor } from "../src/index.js";
import { peaksOf } from "../src/tasks/keypoints.js";
import { assertClose } from "./backend.cases.js";
import { compareStages, DENSE_ROOTS, type DenseGolden, goldenOf } from "./dense.js";

const isPose = (folder: string) => /^hf-vitpose/.test(basename(folder));

/** A box of COCO: left, top, width, height. */
const boxOf = ([x, y, width, height]: readonly number[]): Box => ({
  ...{ xmin: x!, ymin: y!, xmax: x! + width!, ymax: y! + height! },
});

/** Boxes of a call in Python, all of them. */
const boxesOf = (call: string): Box[] =>
  (JSON.parse(/boxes=(\[\[\[.*?\]\]\])/.exec(call)![1]!) as number[][][]).flat().map(boxOf);

/**
 * Compares keypoints with the library's. A peak that the refinement moves out of its box is one on a paraboloid that is nearly
 * flat: the library's own moves by pixels with the last digits of a heatmap, so it is compared by its own distance.
 * @param most parts of the box's size, or of the distance from it.
 * @returns how many such there are that differ by more.
 */
function comparePeaks(
  peaks: readonly { x: number; y: number; score: number }[],
  { keypoints, scores }: { readonly keypoints: Float32Array; readonly scores: Float32Array },
  { center, scale }: ReturnType<typeof cropPlaceOf>,
  most: number,
): number {
  let flat = 0;
  assert.equal(keypoints.length, 2 * peaks.length);
  for (const [k, { x, y, score }] of peaks.entries()) {
    assertClose(Float32Array.of(score), scores.subarray(k, k + 1), 3e-5 * Math.max(1, Math.abs(score)), `score ${k}`);
    const differences = [x, y].map((own, i) => Math.abs(own - keypoints[2 * k + i]!));
    const sizes = scale.map((side) => 200 * side);
    const distances = sizes.map((size, i) => Math.max(size, Math.abs(keypoints[2 * k + i]! - center[i]!)));
    if (differences.every((difference, i) => difference <= most * distances[i]!)) continue;
    const outside = distances.some((distance, i) => distance > sizes[i]!);
    assert.ok(outside, `keypoint ${k} at ${x}, ${y} should be at ${keypoints.subarray(2 * k, 2 * k + 2)}`);
    flat++;
  }
  return flat;
}

/** Compares keypoints of the library's heatmaps and of ours with the library's. */
function compareKeypoints(
  t: TestContext,
  {
    got,
    golden,
    boxes,
    model,
  }: { got: Tensor; golden: ReadonlyMap<string, Tensor>; boxes: readonly Box[]; model: Size },
  { file, float32_error: errors }: DenseGolden,
): void {
  const stored = (what: string) => boxes.map((_, i) => [...golden.get(`post.${i}.${what}`)!.data]);
  const [want, scores, quirks] = [stored("keypoints"), stored("scores"), stored("bbox")];
  for (const [i, box] of boxes.entries()) {
    const { center, scale } = cropPlaceOf(box, model);
    const f32 = Math.fround;
    const corner = center.map((x, axis) => f32(f32(scale[axis]! + x) - 1));
    assert.deepEqual([...center, ...corner], quirks[i], `${file} box ${i}`);
  }
  const peaks = (heatmaps: Tensor) => atOnce(peaksOf(heatmaps, boxes, model));
  const places = (heatmaps: Tensor) => peaks(heatmaps).map((own) => own.flatMap(({ x, y }) => [x, y]));

  // The library's own heatmaps give its own places and scores, to the bit.
  const theirs = golden.get("heatmaps")!;
  assert.deepEqual(places(theirs), want);
  assert.deepEqual(
    peaks(theirs).map((own) => own.map(({ score }) => score)),
    scores,
  );
  // Ours give those within 1e-3 pixel, or as far as places move when theirs change by f32's error: on paraboloids that are nearly
  // flat, by pixels.
  const error = errors?.heatmaps?.max_abs_f32_vs_f64 ?? 1e-6;
  const moved = want.map(({ length }) => new Float64Array(length));
  for (let seed = 1; seed <= 8; seed++) {
    const data = theirs.data.map((x, i) => x + error * Math.sin(i * seed * seed + seed));
    for (const [i, own] of places({ ...theirs, data }).entries())
      for (const [k, x] of own.entries()) moved[i]![k] = Math.max(moved[i]![k]!, Math.abs(x - want[i]![k]!));
  }
  let loose = 0;
  for (const [i, own] of places(got).entries())
    for (const [k, x] of own.entries()) {
      const most = Math.max(1e-3, 4 * moved[i]![k]!);
      assert.ok(Math.abs(x - want[i]![k]!) <= most, `${file} ${i}.${k}: ${x} should be ${want[i]![k]}`);
      loose += Number(most > 1e-3);
    }
  t.diagnostic(`${file}: ${loose} of ${want.flat().length} coordinates may differ by more than 1e-3 pixel`);
}

for (const { root, skip, folders } of DENSE_ROOTS) {
  if (skip) test(`poses of ${root}`, { skip }, () => undefined);
  for (const folder of folders.filter(isPose)) {
    for (const backend of ["wasm", "reference"] as const) {
      test(`${folder} on ${backend} is what its library computes`, (t) =>
        compareStages(
          folder,
          { backend },
          {
            post(model, got, golden, entry) {
              const { post } = entry;
              if (!post) return;
              const [height, width] = model.config.imageSize;
              const boxes = boxesOf(post.call);
              compareKeypoints(t, { got: got.heatmaps as Tensor, golden, boxes, model: { width, height } }, entry);
            },
          },
        ));
    }
  }
}

// Crops by the library's processors.
for (const { root, skip } of DENSE_ROOTS.slice(1)) {
  const folder = join(root, "image-processors");
  test(`crops are those of VitPoseImageProcessor in ${folder}`, { skip }, async () => {
    const { pipelines, photos } = JSON.parse(readFileSync(join(folder, "photos.json"), "utf8"));
    const entry = pipelines.find(({ pipeline }: { pipeline: string }) => pipeline === "vitpose");
    const golden = goldenOf(folder, "photos.safetensors");
    const { height, width } = entry.config.size;
    for (const processor of ["pillow", "torchvision"] as const) {
      const preprocessing = parsePreprocessing(entry.config, {}, [height, width], { processor });
      for (const { photos: keys, backends } of entry.results) {
        const all: number[] = [];
        const { tensors, float32_sha256 } = backends[processor === "pillow" ? "pil" : "torchvision"];
        for (const [i, key] of keys.entries()) {
          const photo = photos.find(({ key: own }: { key: string }) => own === key);
          const image = {
            width: photo.width,
            height: photo.height,
            data: Uint8Array.from(golden.get(`decoded.${key}`)!.data),
          };
          const boxes = entry.arguments.boxes[i].map(boxOf);
          for (const crop of cropsOf(toSeen(image, { ...preprocessing, boxes }))) {
            assert.deepEqual(
              Float32Array.from(crop.data),
              golden.get(tensors[all.length / (3 * height * width)])!.data,
              `${processor} ${key}`,
            );
            all.push(...valuesOfSeen(crop, preprocessing));
          }
        }
        const bytes = new Uint8Array(Float32Array.from(all).buffer);
        assert.equal(createHash("sha256").update(bytes).digest("hex"), float32_sha256, processor);
      }
    }
  });
}

const POSES = DENSE_ROOTS[0]!.folders.filter(isPose);
const PLUS = "tests/fixtures/dense/hf-vitpose-plus";
const photoOf = (file: string) => join("tests/fixtures/image", file);

/** Boxes of the photos' results. */
const peopleOf = (width: number, height: number): Box[] =>
  [
    [0, 0, width, height],
    [0.3 * width, -2.5, 0.5 * width, 0.8 * height],
    [0.6 * width, 0.4 * height, 0.7 * width, 0.3 * height],
  ].map(boxOf);

test("places of peaks are the library's in narrow maps, of steep peaks, and without a value above 0", () => {
  assert.equal(POSES.length, 2);
  for (const folder of POSES) {
    const golden = goldenOf(folder, "peaks.safetensors");
    const boxes = [boxOf([41.25, 15.6, 53.05, 138.01]), boxOf([84.43, 72.21, 150.12, 35.74])];
    const found = atOnce(peaksOf(golden.get("heatmaps")!, boxes, { width: 24, height: 32 }));
    assert.deepEqual(
      found.flat().flatMap(({ x, y }) => [x, y]),
      [...golden.get("keypoints")!.data],
    );
  }
});

// From JPEG files, of which one is turned by its EXIF orientation 6 and one mirrored by 8 of XMP, one is gray.
for (const folder of POSES) {
  test(`${basename(folder)} gives its library's poses on photos`, async (t) => {
    using model = await load(folder, { backend: "wasm" });
    const dataset = model.config.experts ? 1 : undefined;
    const golden = goldenOf(folder, "photos.safetensors");
    const files = ["rgb-420.jpg", "exif-6.jpg", "xmp-8.jpg", "gray.jpg"];
    assert.equal(golden.size, 2 * files.length);
    const sizes = await Promise.all(files.map(async (file) => (await model.preprocess(photoOf(file))).geometry.photo));
    const boxes = sizes.map(({ width, height }) => peopleOf(width, height));
    const all = await model.pose(files.map(photoOf), { boxes, dataset });
    let flat = 0;
    for (const [i, file] of files.entries()) {
      assert.deepEqual(await model.pose(photoOf(file), { boxes: boxes[i]!, dataset }), all[i]);
      const [whole] = await model.pose(photoOf(file), { dataset });
      assert.deepEqual(whole, all[i]![0], "without boxes it is the whole photo");
      const of = (key: string) => golden.get(`${file}.${key}`)!;
      assert.deepEqual(of("scores").dims, [3, 4]);
      for (const [j, { box, probability, keypoints }] of all[i]!.entries()) {
        assert.deepEqual(box, boxes[i]![j]);
        assert.deepEqual(
          keypoints.map(({ name }) => name),
          ["Nose", "L_Eye", "R_Eye", "L_Ear"],
        );
        const scores = of("scores").data.subarray(4 * j, 4 * j + 4);
        assert.ok(Math.abs(probability - scores.reduce((a, b) => a + b) / 4) < 1e-4);
        const peaks = keypoints.map((point) => ({ x: point.x, y: point.y, score: point.probability }));
        const want = { keypoints: of("keypoints").data.subarray(8 * j, 8 * j + 8), scores };
        flat += comparePeaks(peaks, want, cropPlaceOf(box, { width: 24, height: 32 }), 1e-3);
      }
    }
    t.diagnostic(`${flat} of 48 keypoints are on paraboloids too flat to compare`);
    assert.ok(flat <= 2);
  });
}

test("a crop's geometry says where its pixels are on the photo", async () => {
  const size = { width: 90, height: 70 };
  // Values rise evenly to the right in red and down in green, so that a pixel says where it was read.
  const data = new Uint8Array(3 * size.width * size.height);
  for (let y = 0; y < size.height; y++)
    for (let x = 0; x < size.width; x++) data.set([2 * x, 3 * y, 0], 3 * (y * size.width + x));
  const config = { image_processor_type: "VitPoseImageProcessor", size: { height: 32, width: 24 } };
  const preprocessing = parsePreprocessing(config, {}, [32, 24]);
  const [crop] = cropsOf(
    toSeen({ ...size, data }, { ...preprocessing, boxes: [{ xmin: 30, ymin: 20, xmax: 60, ymax: 50 }] }),
  );
  const { geometry } = crop!;
  assert.deepEqual(geometry.photo, size);
  assert.deepEqual(geometry.model, { width: 24, height: 32 });
  for (const [x, y] of [
    [0, 0],
    [7, 3],
    [23, 31],
    [12, 20],
  ] as const) {
    const [red, green] = crop!.data.subarray(3 * (24 * y + x)) as unknown as [number, number];
    const [u, v] = toModel(geometry, [red / 2 + 0.5, green / 3 + 0.5]);
    // A byte is half a pixel of the photo to each side, and a crop's pixel is 1.6 of these.
    assert.ok(Math.abs(u - x - 0.5) < 0.2 && Math.abs(v - y - 0.5) < 0.2, `${x}, ${y} is at ${u}, ${v}`);
  }
});

test("boxes and data sets that say nothing are refused in one sentence", async () => {
  using model = await load(PLUS, { backend: "wasm" });
  const photo = photoOf("rgb-420.jpg");
  const { width, height } = (await model.preprocess(photo)).geometry.photo;
  const box = { xmin: 1, ymin: 2, xmax: 20, ymax: 20 };
  const rejects = (options: object, message: RegExp) =>
    assert.rejects(model.pose(photo, options), (error: Error) => {
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\.\s/);
      return true;
    });
  const count = "a photo must have from 1 to 1000 boxes, or none given for the whole of it";
  await rejects({ boxes: [] }, new RegExp(`^boxes: ${count}; got 0$`));
  await rejects({ boxes: Array(10_000).fill(box) }, new RegExp(`^boxes: ${count}; got 10000$`));
  await rejects(
    { boxes: [box, { ...box, xmin: Number.NaN }] },
    /^boxes: box 1 must have finite xmin, .*; got NaN, 2, 20, 20$/,
  );
  await rejects({ boxes: [{ ...box, ymax: Infinity }] }, /^boxes: box 0 must have finite /);
  await rejects({ boxes: [[1, 2, 3, 4]] }, /^pose: boxes must be a list of boxes for one image; got lists, 1 of them$/);
  await rejects({ boxes: ["1 2 3 4"] }, /^boxes: box 0 must have finite .*; got , , , $/);
  await rejects({ boxes: [null] }, /^boxes: box 0 must have finite /);
  await rejects({ boxes: box }, /^pose: boxes must be a list of boxes for one image; got object$/);
  await rejects(
    { boxes: [{ ...box, xmax: 1 }] },
    /^boxes: box 0 must have its xmax and ymax above .*; got 1, 2, 1, 20$/,
  );
  const off = { xmin: width, ymin: 0, xmax: width + 9, ymax: 9 };
  const on = new RegExp(`^boxes: box 0 must lie on the photo of ${width}×${height}, at least in part; got `);
  await rejects({ boxes: [off] }, on);
  await rejects({ boxes: [{ xmin: -9, ymin: -9, xmax: -1, ymax: 9 }] }, on);
  await rejects({ dataset: 3 }, /^pose: dataset must be a whole number from 0 to 2; got 3$/);
  await rejects({ dataset: 0.5 }, /^pose: dataset must be a whole number from 0 to 2; got 0.5$/);
  await assert.rejects(model.pose([photo, photo], { boxes: [box] }), {
    name: "TypeError",
    message: "pose: boxes must be a list for each of 2 images, of boxes each; got boxes, 1 of them",
  });
  assert.deepEqual(await model.pose([], { boxes: [] }), []);

  // A photo with bad boxes fails alone.
  await assert.rejects(
    model.pose([photo, photo, photo], { boxes: [[box], [off], [box, box]] }),
    (error: AggregateError) => {
      assert.equal(error.errors.length, 1);
      assert.match((error.errors[0] as Error).message, on);
      const { results } = error as unknown as { results: unknown[][] };
      assert.deepEqual(
        results.map((poses) => poses?.length),
        [1, undefined, 2],
      );
      return true;
    },
  );

  using classic = await load("tests/fixtures/dense/hf-vitpose-classic", { backend: "wasm" });
  await assert.rejects(classic.pose(photo, { dataset: 0 }), {
    message: "pose: dataset must be left out, as this checkpoint has no experts; got 0",
  });
  const pixelValues = { dims: [1, 3, 32, 24], data: new Float32Array(3 * 32 * 24) };
  const outputs = ["heatmaps"] as const;
  const forward = (inputs: object) => model.forward({ pixelValues, ...inputs }, { outputs });
  await assert.rejects(forward({ datasetIndex: { dims: [1], data: [3] } }), {
    message: "forward: datasetIndex must be from 0 to 2; got 3",
  });
  await assert.rejects(forward({ datasetIndex: { dims: [2], data: [0, 1] } }), {
    message: "forward: datasetIndex must be [1]; got [2] with 2 values",
  });
  await assert.rejects(forward({ flipPairs: { dims: [1, 2], data: [0, 4] } }), {
    message: "forward: flipPairs must be from 0 to 3; got 4",
  });
});

test("many boxes of a photo pass in batches, each as if it were alone", async () => {
  using model = await load(PLUS, { backend: "wasm" });
  const photo = photoOf("rgb-420.jpg");
  const boxes = Array.from({ length: 37 }, (_, i) => boxOf([i % 9, i % 7, 12 + (i % 5), 11 + (i % 4)]));
  const poses = await model.pose(photo, { boxes });
  assert.equal(poses.length, 37);
  for (const i of [0, 15, 16, 36]) {
    const [alone] = await model.pose(photo, { boxes: [boxes[i]!] });
    assert.deepEqual(poses[i], alone);
  }
});

test("inspect counts the work of a pose as PyTorch's FlopCounterMode, and tells of the head and its experts", () => {
  const cli = fileURLToPath(new URL("../src/cli.js", import.meta.url));
  const inspect = (folder: string, ...more: string[]) =>
    spawnSync(process.execPath, [cli, "inspect", "--model", folder, ...more], { encoding: "utf8" }).stdout;
  // FlopCounterMode leaves out the attention's products of 12 tokens, 20 columns and 3 blocks on a processor, and counts all
  // experts, of which two are not computed here: 6 columns each, of 40 hidden ones.
  const attention = 3 * 2 * 2 * 12 ** 2 * 20;
  for (const [name, flop] of [
    ["hf-vitpose-classic", 433_152 + attention],
    ["hf-vitpose-plus", 633_600 + attention - 3 * 2 * 12 * 2 * 6 * 40],
  ] as const) {
    const { gflop } = JSON.parse(inspect(join("tests/fixtures/dense", name), "--json"));
    assert.equal(Math.round(1e9 * gflop), flop, name);
  }
  const lines = inspect(PLUS);
  assert.match(lines, /^ {2}head +heatmaps of 4 keypoints by a simple decoder, with experts for 3 data sets$/m);
  assert.match(
    lines,
    /^ {2}preprocessing +a box, grown to the shape of 32×24 and by a quarter, cut out at that size; times/m,
  );
});

test("a head that is missing, of another shape or of other settings is one sentence", async () => {
  const read = (name: string) => readFileSync(join(PLUS, name));
  const config = JSON.parse(read("config.json").toString());
  const weights = read("model.safetensors");
  const rejects = (change: object, message: RegExp) =>
    assert.rejects(load({ config: { ...config, ...change }, weights, preprocessor: undefined }), { message });
  const backbone = (change: object) => ({ backbone_config: { ...config.backbone_config, ...change } });
  await rejects({ use_simple_decoder: false }, /^load: "use_simple_decoder" of "weights" must be true, .*; got false$/);
  await rejects({ scale_factor: 17 }, /^load: "scale_factor" of "weights" must be at most 16; got 17$/);
  await rejects({ id2label: { 0: "a" } }, /^load: "id2label" of "weights" must be the names of 4 keypoints; got 1$/);
  await rejects({ edges: [[0, 4]] }, /^load: "edges" of "weights" must be pairs of its 4 keypoints; got \[\[0,4\]\]$/);
  await rejects(backbone({ num_experts: 2 }), /^load: "num_experts" and "part_features" .*; got 2 of 6 for 3 of 6$/);
  await rejects(backbone({ part_features: 5 }), /^load: "num_experts" and "part_features" .*; got 3 of 5 for 3 of 6$/);
  await rejects(backbone({ image_size: [28, 24] }), /^load: "image_size" .* as without; got 28×24 in patches of 8×8$/);
  await rejects(backbone({ out_indices: [4] }), /^load: "out_indices" of "backbone_config of weights" must be /);
  await assert.rejects(load(PLUS, { imageSize: [64, 48] }), {
    message: /^load: the positions of ".*" are not resampled, so imageSize must be 32×24; got 64,48$/,
  });
  await assert.rejects(load(PLUS, { patchSize: 4 }), {
    message: "load: patchSize needs patches of one image's pixels, without a border; this checkpoint has none",
  });
});
