// Resizing and preprocessing against torchvision and transformers' default processors: tests/fixtures/image (torchvision.py
// there) and, where it is beside the repository, ../shared/goldens-torchvision.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { openImage, parsePreprocessing, toPixelValues, toSeen } from "../src/image/index.js";
import { interpolateValues } from "../src/image/owlv2.js";
import { patchesOf } from "../src/image/preprocess.js";
import type { Raster } from "../src/image/resize.js";
import { atOnce } from "../src/image/slices.js";
import { resizeBytes, resizeValues, type Samples, type TorchvisionFilter } from "../src/image/torchvision.js";
import { readBytes } from "./tensors.js";

const fixtures = "tests/fixtures/image";
const shared = "../shared/goldens-torchvision";
const skip = existsSync(shared) ? false : `${shared} is absent: its cases are not compared`;
const CHANNELS = { L: 1, RGB: 3, RGBA: 4 } as const;
const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");

/** The memory of samples. */
const bytesOf = ({ data }: Samples<Uint8Array | Float32Array>) =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

interface ResizeCase {
  name: string;
  input: string;
  input_width: number;
  input_height: number;
  mode: keyof typeof CHANNELS;
  width: number;
  height: number;
  filter: TorchvisionFilter;
  antialias: boolean;
  dtype: "u8" | "f32";
  output: string;
}

for (const folder of [shared]) {
  test(`resize: torchvision's bytes and floats, cases of ${folder}`, { skip: folder === shared && skip }, () => {
    const cases: ResizeCase[] = JSON.parse(readFileSync(`${folder}/resize.json`, "utf8")).cases;
    const tensor = readBytes(`${folder}/resize.safetensors`);
    for (const c of cases) {
      const image: Raster = {
        data: tensor(c.input),
        width: c.input_width,
        height: c.input_height,
        channels: CHANNELS[c.mode],
      };
      const { width, height, filter, antialias } = c;
      const options = { width, height, filter, antialias };
      const values = () =>
        antialias ? resizeValues(image, 1 / 255, options) : interpolateValues(image, 1 / 255, options);
      const result = c.dtype === "u8" ? atOnce(resizeBytes(image, options)) : atOnce(values());
      assert.ok(same(bytesOf(result), tensor(c.output)), c.name);
    }
  });
}

interface Pipelines {
  pipelines: Record<string, { class: string; settings: Record<string, unknown> }>;
  photos: { file: string; rgb_sha256: string; results: Record<string, ProcessorResult> }[];
}

interface ProcessorResult {
  shape: number[];
  float32_sha256: string;
  u8_sha256?: string;
  reference_differs?: [number, number];
  sample: string;
  sample_step: number;
}

test("processors: pixel values of 14 photos through 28 of transformers' processors, to the bit", { skip }, async () => {
  const { pipelines, photos }: Pipelines = JSON.parse(readFileSync(`${shared}/processors.json`, "utf8"));
  let compared = 0;
  for (const { file, rgb_sha256, results } of photos) {
    const image = await openImage(`../shared/images/${file}`);
    assert.equal(sha256(image.data), rgb_sha256, file);
    for (const [name, result] of Object.entries(results)) {
      const { class: type, settings } = pipelines[name]!;
      const given = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== null));
      const preprocessing = parsePreprocessing({ ...given, image_processor_type: type }, undefined, [224, 224], {
        processor: "torchvision",
      });
      const seen = toSeen(image, preprocessing);
      const { width, height } = seen;
      if (result.u8_sha256) assert.equal(sha256(seen.data as Uint8Array), result.u8_sha256, `${file}, ${name}: levels`);
      let values = toPixelValues(seen.data, { ...preprocessing, width, height });
      if (name === "siglip2-naflex") {
        const padded = new Float32Array(result.shape[0]! * result.shape[1]!);
        padded.set(patchesOf(values, seen, 16).pixelValues.data);
        values = padded;
      } else assert.deepEqual([3, height, width], result.shape, `${file}, ${name}`);
      assert.equal(sha256(new Uint8Array(values.buffer)), result.float32_sha256, `${file}, ${name}: values`);
      compared++;
    }
  }
  assert.equal(compared, 389);
});
