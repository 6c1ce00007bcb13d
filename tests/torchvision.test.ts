// Resizing and preprocessing against torchvision and transformers' default processors: tests/fixtures/image (torchvision.py
// there) and, where it is beside the repository, ../shared/goldens-torchvision.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { interpolateValues } from "../src/image/owlv2.js";
import type { Raster } from "../src/image/resize.js";
import { atOnce } from "../src/image/slices.js";
import { resizeBytes, resizeValues, type Samples, type TorchvisionFilter } from "../src/image/torchvision.js";
import { readBytes } from "./tensors.js";

const fixtures = "tests/fixtures/image";
const shared = "../shared/goldens-torchvision";
const skip = existsSync(shared) ? false : `${shared} is absent: its cases are not compared`;
const CHANNELS = { L: 1, RGB: 3, RGBA: 4 } as const;
const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

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
      const values = () => (antialias ? resizeValues(image, 1 / 255, options) : interpolateValues(image, 1 / 255, options));
      const result = c.dtype === "u8" ? atOnce(resizeBytes(image, options)) : atOnce(values());
      if (!same(bytesOf(result), tensor(c.output))) console.log("BAD", c.name);
    }
  });
}
