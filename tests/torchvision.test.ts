// Resizing and preprocessing against torchvision and transformers' default processors: tests/fixtures/image (torchvision.py
// there) and, where it is beside the repository, ../shared/goldens-torchvision.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { openImage, type Processor, parsePreprocessing, toPixelValues, toRgb, toSeen } from "../src/image/index.js";
import { interpolateValues, resizeBlurred } from "../src/image/owlv2.js";
import { patchesOf, type SeenImage } from "../src/image/preprocess.js";
import { crop, type Raster } from "../src/image/resize.js";
import { atOnce } from "../src/image/slices.js";
import {
  resizeBytes,
  resizeValues,
  type Samples,
  type TorchvisionFilter,
  type TorchvisionOptions,
} from "../src/image/torchvision.js";
import { turning } from "../src/image/upright.js";
import { load } from "../src/index.js";
import { sha256 } from "./pillow.js";
import { readBytes, readShapes } from "./tensors.js";

const fixtures = "tests/fixtures/image/torchvision";
const shared = "../shared/goldens-torchvision";
const skip = existsSync(shared) ? false : `${shared} is absent: its cases are not compared`;
const CHANNELS = { L: 1, RGB: 3, RGBA: 4 } as const;
const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;
/** The memory of samples. */
const bytesOf = ({ data }: { data: Samples<Uint8Array | Float32Array>["data"] }) =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

interface ResizeCase {
  input: string;
  width: number;
  height: number;
  filter: TorchvisionFilter;
  antialias: boolean;
  dtype: "u8" | "f32";
}

const resized = (
  image: Raster,
  { dtype, ...options }: Omit<ResizeCase, "input">,
): Samples<Uint8Array | Float32Array> => {
  if (dtype === "u8") return atOnce(resizeBytes(image, options));
  const interpolates = options.filter === "bilinear" && !options.antialias;
  if (interpolates) return atOnce(interpolateValues(image, 1 / 255, { ...options, pad: false }));
  return atOnce(resizeValues(image, 1 / 255, options));
};

interface Fixtures {
  resizes: (ResizeCase & { sha256: string })[];
  processors: {
    library: Processor;
    config: Record<string, unknown>;
    input: string;
    shape: number[];
    sha256: string;
  }[];
  white_sha256: string;
}
const { resizes, processors, white_sha256 }: Fixtures = JSON.parse(readFileSync(`${fixtures}.json`, "utf8"));
const pictures = readBytes(`${fixtures}.safetensors`);
const shapes = readShapes(`${fixtures}.safetensors`);

function picture(name: string): Raster {
  const [height, width, channels] = shapes(name) as [number, number, 1 | 3 | 4];
  return { data: pictures(name), width, height, channels };
}

test("resize: torchvision's bytes and floats, cases of tests/fixtures", () => {
  for (const { input, sha256: expected, ...options } of resizes) {
    const result = resized(picture(input), options);
    const name = `${input} to ${JSON.stringify(options)}`;
    assert.deepEqual([result.width, result.height], [options.width, options.height], name);
    assert.equal(sha256(bytesOf(result)), expected, name);
  }
});

test(`resize: torchvision's bytes and floats, cases of ${shared}`, { skip }, () => {
  type Case = ResizeCase & { name: string; output: string; mode: keyof typeof CHANNELS } & Record<
      "input_width" | "input_height",
      number
    >;
  const { cases }: { cases: Case[] } = JSON.parse(readFileSync(`${shared}/resize.json`, "utf8"));
  const tensor = readBytes(`${shared}/resize.safetensors`);
  for (const { name, input, input_width, input_height, mode, output, ...options } of cases) {
    const image = { data: tensor(input), width: input_width, height: input_height, channels: CHANNELS[mode] };
    assert.ok(same(bytesOf(resized(image, options)), tensor(output)), name);
  }
});

const OPTIONS: readonly TorchvisionOptions[] = [
  { width: 31, height: 40, filter: "bicubic" },
  { width: 71, height: 90, filter: "bilinear" },
  { width: 90, height: 71, filter: "bilinear", antialias: false },
  { width: 20, height: 203, filter: "lanczos" },
  { width: 71, height: 203, filter: "bicubic" },
  { width: 50, height: 60, filter: "nearest-exact" },
];

test("resize: a window of torchvision's result, and an image that is turned meanwhile", () => {
  const [width, height] = [71, 203];
  for (const channels of [1, 3, 4] as const) {
    const data = Uint8Array.from({ length: channels * width * height }, (_, i) => (i * 7919 * (i % 13)) >> 5);
    for (let orientation = 1; orientation <= 8; orientation++) {
      const image: Raster = { data, width, height, channels, orientation };
      const turned: Raster = { ...atOnce(turning({ ...image, orientation })), channels };
      for (const options of OPTIONS) {
        const name = `${channels} channels turned ${orientation} to ${JSON.stringify(options)}`;
        const whole = atOnce(resizeBytes(turned, options));
        const window = {
          left: options.width >> 2,
          top: options.height >> 1,
          width: (options.width >> 1) + 1,
          height: (options.height >> 2) + 1,
        };
        const { data: part } = crop({ ...whole, channels }, window);
        assert.ok(same(atOnce(resizeBytes(image, options)).data, whole.data), name);
        assert.ok(same(atOnce(resizeBytes(image, { ...options, window })).data, part), `${name}, window`);
        if (options.filter === "lanczos" || options.antialias === false) continue;
        const values = atOnce(resizeValues(turned, 1 / 255, options)).data;
        const some = atOnce(resizeValues(image, 1 / 255, { ...options, window })).data;
        for (let y = 0; y < window.height; y++) {
          const from = ((y + window.top) * options.width + window.left) * channels;
          const row = some.subarray(y * window.width * channels, (y + 1) * window.width * channels);
          assert.deepEqual(row, values.subarray(from, from + row.length), `${name}, values, row ${y}`);
        }
      }
    }
  }
});

test("resize: rows that are wider than a band, and a picture that is cut into many", () => {
  for (const [width, height] of [
    [50_000, 3],
    [700, 301],
  ] as const) {
    const data = Uint8Array.from({ length: 3 * width * height }, (_, i) => (i * 7919 * (i % 13)) >> 5);
    const image: Raster = { data, width, height, channels: 3 };
    for (const make of [
      (raster: Raster, to: number) => atOnce(resizeBytes(raster, { width: 90, height: to, filter: "bicubic" })),
      (raster: Raster, to: number) => atOnce(resizeValues(raster, 1, { width: 90, height: to, filter: "bicubic" })),
    ]) {
      const whole = make(image, height);
      for (let y = 0; y < height; y++) {
        const row = make(crop(image, { left: 0, top: y, width, height: 1 }), 1);
        assert.deepEqual(whole.data.subarray(270 * y, 270 * (y + 1)), row.data, `${width}×${height}, row ${y}`);
      }
    }
  }
});

test("resize: torchvision's work is done in slices, and refused where its result or itself is too large", () => {
  const image: Raster = { data: new Uint8Array(3 * 3000 * 2000), width: 3000, height: 2000, channels: 3 };
  for (const work of [
    resizeBytes(image, { width: 224, height: 224, filter: "bicubic" }),
    resizeValues(image, 1, { width: 224, height: 224, filter: "bilinear" }),
    resizeBlurred(image, 1, { width: 224, height: 224, pad: true }),
  ] as const) {
    let slices = 0;
    while (!work.next().done) slices++;
    assert.ok(slices > 50, `${slices} slices`);
  }
  const refused = (image: Raster, options: TorchvisionOptions, message: RegExp) => {
    assert.throws(() => atOnce(resizeBytes(image, options)), { name: "RangeError", message });
    assert.throws(() => atOnce(resizeValues(image, 1, options)), { name: "RangeError", message });
  };
  refused(image, { width: 0, height: 9, filter: "bicubic" }, /^resize: width must be an integer of at least 1; got 0$/);
  const thin: Raster = { data: new Uint8Array(3_000_000), width: 1, height: 1_000_000, channels: 3 };
  refused(
    thin,
    { width: 224, height: 224_000_000, filter: "bicubic" },
    /^resize: an image of 1×1000000 would become 224×224000000, and the limit is 178,956,970 pixels$/,
  );
  refused(
    thin,
    { width: 224, height: 224, filter: "bicubic" },
    /^resize: an image of 1×1000000 takes at most 80 MB to resize; got [\d,]+$/,
  );
});

/** Pixel values of a picture as transformers gives them, and their shape. */
function valuesOf(seen: SeenImage, preprocessing: ReturnType<typeof parsePreprocessing>): [Float32Array, number[]] {
  const { width, height } = seen;
  const values = toPixelValues(seen.data, { ...preprocessing, width, height });
  if (preprocessing.resize.mode !== "patches") return [values, [3, height, width]];
  const { patch, most } = preprocessing.resize;
  const padded = new Float32Array(3 * patch * patch * most);
  padded.set(patchesOf(values, seen, patch).pixelValues.data);
  return [padded, [most, 3 * patch * patch]];
}

const torchvision = (preprocessor: object) =>
  parsePreprocessing(preprocessor, undefined, [224, 224], { processor: "torchvision" });

test("processors: pixel values as transformers has them, cases of tests/fixtures", async () => {
  for (const { library, config, input, shape, sha256: expected } of processors) {
    const preprocessing = parsePreprocessing(config, undefined, [224, 224], { processor: library });
    const image = await openImage(picture(input), { alpha: preprocessing.alpha });
    const [values, found] = valuesOf(toSeen(image, preprocessing), preprocessing);
    const name = `${input}, ${library}, ${JSON.stringify(config)}`;
    assert.deepEqual(found, shape, name);
    assert.equal(sha256(new Uint8Array(values.buffer)), expected, name);
  }
});

test("processors: pixel values of 14 photos through 28 of transformers' processors, to the bit", { skip }, async () => {
  interface Result {
    shape: number[];
    float32_sha256: string;
    u8_sha256?: string;
  }
  interface Goldens {
    pipelines: Record<string, { class: string; settings: Record<string, unknown> }>;
    photos: { file: string; rgb_sha256: string; results: Record<string, Result> }[];
  }
  const { pipelines, photos }: Goldens = JSON.parse(readFileSync(`${shared}/processors.json`, "utf8"));
  let compared = 0;
  for (const { file, rgb_sha256, results } of photos) {
    const image = await openImage(`../shared/images/${file}`);
    assert.equal(sha256(image.data), rgb_sha256, file);
    for (const [name, result] of Object.entries(results)) {
      const { class: type, settings } = pipelines[name]!;
      const preprocessing = torchvision({ ...settings, image_processor_type: type });
      const seen = toSeen(image, preprocessing);
      if (result.u8_sha256) assert.equal(sha256(bytesOf(seen)), result.u8_sha256, `${file}, ${name}: levels`);
      const [values, shape] = valuesOf(seen, preprocessing);
      assert.deepEqual(shape, result.shape, `${file}, ${name}`);
      assert.equal(sha256(new Uint8Array(values.buffer)), result.float32_sha256, `${file}, ${name}: values`);
      compared++;
    }
  }
  // 14 × 28 but for a size of OWLv2 and 3 large photos.
  assert.equal(compared, 389);
});

test("alpha: every colour over every alpha is laid on white as transformers does it", async () => {
  const rgba = Uint8Array.from({ length: 4 * 256 * 256 }, (_, i) => (i % 4 === 3 ? (i >> 2) & 255 : i >> 10));
  const image = { data: rgba, width: 256, height: 256 };
  assert.equal(sha256((await openImage(image, { alpha: "white" })).data), white_sha256);
  const dropped = Uint8Array.from({ length: 3 * 256 * 256 }, (_, i) => Math.floor(i / 3) >> 8);
  assert.deepEqual((await openImage(image)).data, dropped);
});

test("processor: what torchvision's processors do not do is refused in one sentence", () => {
  const refused = (preprocessor: object, message: RegExp) =>
    assert.throws(() => torchvision(preprocessor), { name: "RangeError", message });
  refused({ resample: 4 }, /^preprocessing: resample must be a number from 0 to 3 for torchvision, .*; got 4$/);
  const dinov3 = { image_processor_type: "DINOv3ViTImageProcessor" };
  refused(
    { ...dinov3, do_rescale: false },
    /do_rescale must be true for torchvision's DINOv3ViTImageProcessor; got false$/,
  );
  refused({ ...dinov3, resample: 1 }, /resample must be 0, 2 or 3 for torchvision's DINOv3ViTImageProcessor; got 1$/);
  const yolos = { image_processor_type: "YolosImageProcessor" };
  refused(
    { ...yolos, size: { height: 9 } },
    /size must be a shortest_edge and a longest_edge, or a height and a width; got \{"height":9/,
  );
  refused(
    { ...yolos, pad_size: { height: 9, width: 9 } },
    /pad_size must be left out where images are padded to the largest; got \{"height":9/,
  );
  const { resize } = torchvision({ ...yolos, size: { height: 9, width: 12 }, pad_size: null });
  assert.deepEqual(resize, { mode: "exact", width: 12, height: 9 });
  const dpt = { image_processor_type: "DPTImageProcessor" };
  refused({ ...dpt, do_pad: 1 }, /do_pad must be true or false; got 1$/);
  refused({ ...dpt, do_pad: true }, /size_divisor must be a number where do_pad is true; got undefined$/);
  refused({ ...dpt, do_pad: true, size_divisor: 0 }, /size_divisor must be a whole number above 0; got 0$/);
  refused({ ...dpt, do_pad: true, size_divisor: 5000 }, /size_divisor must be at most 4096; got 5000$/);
  refused({ ...dpt, do_center_crop: true }, /do_center_crop must be false for DPTImageProcessor; got true$/);
  refused({ ...dpt, ensure_multiple_of: 1.5 }, /ensure_multiple_of must be a whole number above 0; got 1\.5$/);
  assert.throws(
    () => parsePreprocessing({ image_processor_type: "Owlv2ImageProcessor", do_rescale: false }, undefined, [960, 960]),
    /^RangeError: preprocessing: do_rescale must be true for Owlv2ImageProcessor; got false$/,
  );
  assert.throws(
    () => parsePreprocessing({ image_processor_type: "Owlv2ImageProcessor", resample: 0 }, undefined, [960, 960]),
    /^RangeError: preprocessing: resample must not be 0 for Owlv2ImageProcessor, .*; got 0$/,
  );
  assert.throws(
    () => parsePreprocessing(undefined, { architecture: "vit" }, [224, 224], { processor: "torchvision" }),
    /^RangeError: preprocessing: processor must be "pillow" where no preprocessor_config\.json .*; got "torchvision"$/,
  );
  const pixel = { data: new Uint8Array(3 * 2000), width: 2000, height: 1 };
  assert.throws(
    () => toSeen(pixel, torchvision({ ...yolos, size: { shortest_edge: 20, longest_edge: 30 } })),
    /^RangeError: preprocessing: an image of 2000×1 would be resized to 16×0$/,
  );
  assert.throws(
    () => toSeen(pixel, torchvision({ do_resize: false, size: 20 })),
    /^RangeError: preprocessing: an image that is neither resized nor cropped must be 20×20; got 2000×1$/,
  );
  assert.throws(
    () => toSeen(pixel, torchvision({ image_processor_type: "Owlv2ImageProcessor", size: 1 })),
    /^RangeError: resize: an image of 2000×2000 is smaller than its blur of \d+×\d+$/,
  );
  assert.throws(
    () =>
      toSeen({ ...pixel, width: 1, height: 2000 * 7 }, torchvision({ image_processor_type: "Owlv2ImageProcessor" })),
    /^RangeError: resize: an image of 1×14000 would be padded to 196,000,000 pixels, and the limit is 178,956,970$/,
  );
});

test("load: a model's pixels by the option processor, of one image and of a list", async () => {
  const folder = "tests/fixtures/checkpoints/hf-clip";
  const preprocessor = JSON.parse(readFileSync(`${folder}/preprocessor_config.json`, "utf8"));
  const preprocessing = torchvision(preprocessor);
  const image = picture("transparent");
  const seen = toSeen(await openImage(image, { alpha: "white" }), preprocessing);
  using model = await load(folder, { processor: "torchvision", backend: "wasm", threads: 1 });
  using pillow = await load(folder, { backend: "wasm", threads: 1 });
  const pixels = await model.preprocess([image, image, image]);
  const expected = valuesOf(seen, preprocessing)[0];
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(pixels.data.subarray(i * expected.length, (i + 1) * expected.length), expected);
    assert.deepEqual(pixels.geometry[i], seen.geometry);
  }
  assert.deepEqual(
    await model.preprocessBytes(image),
    toRgb(await openImage(image, { alpha: "white" }), preprocessing).data,
  );
  assert.notDeepEqual((await pillow.preprocess(image)).data, expected);
  await assert.rejects(load(folder, { processor: "PIL" as "pillow" }), {
    name: "RangeError",
    message: 'load: processor must be pillow or torchvision; got "PIL"',
  });
});

test("load: DINOv3's processor on torchvision gives values, and no bytes", async () => {
  const folder = "tests/fixtures/checkpoints/hf-dinov3";
  const config = JSON.parse(readFileSync(`${folder}/config.json`, "utf8"));
  const { image_size: side } = config as { image_size: number };
  const preprocessor = { image_processor_type: "DINOv3ViTImageProcessor", size: { height: side, width: side } };
  const weights = readFileSync(`${folder}/model.safetensors`);
  using model = await load(
    { config, weights, preprocessor },
    { processor: "torchvision", backend: "wasm", threads: 1 },
  );
  const image = picture("46x31");
  const preprocessing = torchvision(preprocessor);
  const [expected, shape] = valuesOf(toSeen(await openImage(image), preprocessing), preprocessing);
  const { data, dims } = await model.preprocess([image, image]);
  assert.deepEqual(dims, [2, ...shape]);
  assert.deepEqual(data.subarray(expected.length), expected);
  const features = await model.embed(image);
  assert.ok(features.every(Number.isFinite));
  const message = "preprocessBytes: the processor of this model resizes values between 0 and 1, and has no bytes";
  await assert.rejects(model.preprocessBytes(image), { name: "RangeError", message });
  assert.throws(
    () => toRgb({ data: image.data as Uint8Array, width: 46, height: 31 }, preprocessing),
    /^RangeError: toRgb: /,
  );
});
