// Preprocessing against timm, torchvision and transformers: tests/fixtures/image (make.py there) and, where they are
// beside the repository, the 14 photos × 6 pipelines of ../shared/goldens-image and the pixels of the ViT-Ti's golden run.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { decode, openImage, parsePreprocessing, toPixelValues, toRgb } from "../src/image/index.js";
import { sha256 } from "./pillow.js";
import { readBytes } from "./tensors.js";

const fixtures = "tests/fixtures/image";
const shared = "../shared";
const skip = existsSync(shared) ? false : `${shared} is absent: its photos are not compared`;

const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

test("preprocessing: bytes and pixel values of timm's and transformers' transforms", () => {
  interface Case {
    name: string;
    input: string;
    input_width: number;
    input_height: number;
    image_size: [number, number];
    preprocessor: unknown;
    model: unknown;
    output: string;
    values_sha256: string;
  }
  const cases: Case[] = JSON.parse(readFileSync(`${fixtures}/preprocess.json`, "utf8"));
  const tensor = readBytes(`${fixtures}/preprocess.safetensors`);
  for (const c of cases) {
    const preprocessing = parsePreprocessing(c.preprocessor ?? undefined, c.model, c.image_size);
    const { data: bytes } = toRgb(
      { data: tensor(c.input), width: c.input_width, height: c.input_height },
      preprocessing,
    );
    assert.ok(same(bytes, tensor(c.output)), c.name);
    const values = toPixelValues(bytes, preprocessing);
    assert.equal(sha256(new Uint8Array(values.buffer)), c.values_sha256, `${c.name}: pixel values`);
  }
});

test("preprocessing: 14 photos through 6 pipelines, to the byte", { skip }, async () => {
  interface Photo {
    file: string;
    rgb_sha256: string;
    tensors: Record<string, string>;
  }
  const timm = (interpolation: string, short: number) =>
    parsePreprocessing(undefined, { pretrained_cfg: { interpolation, crop_pct: 224 / short } }, [224, 224]);
  const huggingFace = (type: string, size?: unknown) =>
    parsePreprocessing({ image_processor_type: type, size }, undefined, [224, 224]);
  const pipelines = {
    timm_bicubic248_crop224: timm("bicubic", 248),
    torchvision_bilinear256_crop224: timm("bilinear", 256),
    clip_bicubic224_crop224: timm("bicubic", 224),
    dinov2_bicubic256_crop224: timm("bicubic", 256),
    hf_vit_bilinear224x224: huggingFace("ViTImageProcessor"),
    siglip_bicubic224x224: huggingFace("SiglipImageProcessor"),
    hf_clip: huggingFace("CLIPImageProcessor"),
    hf_dinov2: huggingFace("BitImageProcessor", { shortest_edge: 256 }),
  };
  const { photos } = JSON.parse(readFileSync(`${shared}/goldens-image/photos.json`, "utf8")) as { photos: Photo[] };
  const tensor = readBytes(`${shared}/goldens-image/photos.safetensors`);
  let compared = 0;
  for (const { file, rgb_sha256, tensors } of photos) {
    const image = await openImage(`${shared}/images/${file}`);
    assert.equal(sha256(image.data), rgb_sha256, file);
    for (const [name, key] of Object.entries(tensors)) {
      assert.ok(same(toRgb(image, pipelines[name as keyof typeof pipelines]).data, tensor(key)), key);
      compared++;
    }
  }
  // 14 × 6, and 2 + 1 where transformers crops a pixel beside torchvision.
  assert.equal(compared, 87);
});

test("preprocessing: the pixels of the ViT-Ti's golden run", { skip }, async () => {
  const model = `${shared}/models/vit-tiny-patch16-224`;
  const preprocessing = parsePreprocessing(
    undefined,
    JSON.parse(readFileSync(`${model}/timm/config.json`, "utf8")),
    [224, 224],
  );
  const tensor = readBytes(`${model}/golden/blocks.safetensors`);
  const image = await openImage(`${shared}/images/imagenet/n01558993_robin.JPEG`);
  const { data: bytes } = toRgb(image, preprocessing);
  assert.ok(same(bytes, tensor("pixels_u8")));
  assert.ok(same(new Uint8Array(toPixelValues(bytes, preprocessing).buffer), tensor("pixels")));
});

test("preprocessing: pixel values of sizes that are no multiple of anything, into an array that is given", () => {
  const f32 = Math.fround;
  for (const [height, width] of [
    [1, 1],
    [3, 5],
    [7, 9],
  ] as const) {
    const preprocessing = parsePreprocessing(
      { do_resize: false, size: { height, width }, image_mean: [0.1, 0.2, 0.3], image_std: [0.4, 0.5, 0.6] },
      undefined,
      [height, width],
    );
    const area = height * width;
    const bytes = Uint8Array.from({ length: 3 * area }, (_, i) => (i * 2654435761) >>> 24);
    const { rescale, mean, std } = preprocessing;
    const expected = Float32Array.from({ length: 3 * area }, (_, i) => {
      const c = Math.floor(i / area);
      return f32(f32(bytes[3 * (i % area) + c]! * rescale) - f32(mean[c]!)) / f32(std[c]!);
    });
    const out = new Float32Array(3 * area).fill(9);
    assert.equal(toPixelValues(bytes, preprocessing, out), out);
    assert.deepEqual(out, expected, `${height}×${width}`);
  }
});

test("preprocessing: what a checkpoint may say", () => {
  const from = (preprocessor: object) => parsePreprocessing(preprocessor, undefined, [32, 32]);
  const vit = from({ image_processor_type: "ViTImageProcessorFast" });
  assert.deepEqual(vit, {
    processor: "pillow",
    resize: { mode: "exact", width: 224, height: 224 },
    filter: "bilinear",
    width: 224,
    height: 224,
    cropRounding: "down",
    alpha: "drop",
    rescaleFirst: false,
    rescale: 1 / 255,
    mean: [0.5, 0.5, 0.5],
    std: [0.5, 0.5, 0.5],
  });
  // The files of 2021: a number for the size, no rescale factor, sometimes no type.
  const old = {
    do_normalize: true,
    do_resize: true,
    image_mean: [0.5, 0.5, 0.5],
    image_std: [0.5, 0.5, 0.5],
    size: 224,
  };
  assert.deepEqual(from({ ...old, resample: 2 }), vit);
  assert.deepEqual(from({ do_normalize: false, do_rescale: false }).mean, [0, 0, 0]);
  assert.equal(from({ do_rescale: false }).rescale, 1);
  assert.deepEqual(from({ do_resize: false, size: 32 }).resize, { mode: "none", exactly: true });
  assert.deepEqual(from({ do_resize: false, do_center_crop: true, crop_size: 32 }).resize, { mode: "none" });
  for (const name of ["bicubic", "BICUBIC", "PIL.Image.BICUBIC", "Resampling.BICUBIC", "InterpolationMode.BICUBIC"]) {
    assert.equal(from({ resample: name }).filter, "bicubic");
  }
  assert.deepEqual(from({ do_resize: null, do_normalize: null, crop_size: null }), vit);
  // Old timm files have the settings at the top level; without any there are timm's defaults.
  const flat = parsePreprocessing(undefined, { architecture: "vit_tiny", crop_pct: 0.5, mean: [0, 0, 0] }, [32, 32]);
  assert.deepEqual([flat.resize, flat.mean], [{ mode: "shortest", size: 64 }, [0, 0, 0]]);
  assert.deepEqual(parsePreprocessing(undefined, { model_type: "vit" }, [224, 224]), vit);
  const none = parsePreprocessing(undefined, undefined, [224, 224]);
  assert.deepEqual([none.resize, none.filter], [{ mode: "shortest", size: 256 }, "bicubic"]);
});

test("preprocessing: what is not supported is refused in one sentence", async () => {
  const huggingFace = (config: object, message: RegExp) =>
    assert.throws(() => parsePreprocessing(config, undefined, [224, 224]), { name: "RangeError", message });
  huggingFace(
    { image_processor_type: "SegformerImageProcessor" },
    /^preprocessing: image_processor_type must be that of ViT, .*; got "SegformerImageProcessor"$/,
  );
  huggingFace([1], /^preprocessing: preprocessor_config\.json must hold an object; got \[1\]$/);
  huggingFace({ resample: 9 }, /^preprocessing: resample must be a number from 0 to 5 or the name of a filter; got 9$/);
  huggingFace(
    { resample: "cubic" },
    /^preprocessing: resample must be a number from 0 to 5 or the name .*; got "cubic"$/,
  );
  for (const flag of ["do_resize", "do_rescale", "do_normalize", "do_center_crop"]) {
    for (const value of ["false", 1, [true]]) {
      const found = JSON.stringify(value).replace(/[[\]]/g, "\\$&");
      huggingFace({ [flag]: value }, new RegExp(`^preprocessing: ${flag} must be true or false; got ${found}$`));
    }
  }
  for (const [key, value] of Object.entries({ do_pad: true, size_divisor: 32 })) {
    huggingFace(
      { [key]: value },
      new RegExp(`^preprocessing: "${key}" of preprocessor_config\\.json must be .*; got ${value}$`),
    );
  }
  huggingFace(
    { size: { longest_edge: 9 } },
    /^preprocessing: size must be a number, a height and width, or a shortest_edge; got \{"longest_edge":9\}$/,
  );
  huggingFace(
    { size: { shortest_edge: 9 } },
    /^preprocessing: size must be a height and a width where nothing is cropped/,
  );
  huggingFace({ image_mean: [1, 2] }, /^preprocessing: image_mean must be three numbers; got \[1,2\]$/);
  huggingFace({ rescale_factor: 0 }, /^preprocessing: rescale_factor must be a number above 0; got 0$/);
  const timm = (config: object, message: RegExp) =>
    assert.throws(() => parsePreprocessing(undefined, { pretrained_cfg: config }, [224, 224]), {
      name: "RangeError",
      message,
    });
  timm({ interpolation: "random" }, /^preprocessing: interpolation must be one of nearest, .*; got "random"$/);
  timm({ crop_mode: "random" }, /^preprocessing: crop_mode must be one of center, squash, border; got "random"$/);
  timm({ label_offset: 1 }, /^preprocessing: "label_offset" of pretrained_cfg must be 0, .*; got 1$/);
  timm({ crop_pct: 1.5 }, /^preprocessing: crop_pct must be at most 1; got 1\.5$/);

  const image = await decode(new Uint8Array(readFileSync(`${fixtures}/rgb-8.png`)));
  const unresized = parsePreprocessing({ do_resize: false, size: 12 }, undefined, [224, 224]);
  assert.throws(
    () => toRgb(image, unresized),
    /an image that is neither resized nor cropped must be 12×12; got 13×11$/,
  );
  assert.throws(
    () => toPixelValues(new Uint8Array(5), unresized),
    /12×12 RGB has 432 bytes and values; got 5 bytes and 432 values$/,
  );
});
