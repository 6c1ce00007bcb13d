// Resizing against Pillow, both orders of the passes: 62 cases of ../shared/goldens-image and those of tests/fixtures/image.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { type Raster, type ResizeOptions, resize } from "../src/image/resize.js";

interface Case {
  name: string;
  input: string;
  input_width: number;
  input_height: number;
  mode: "RGB" | "L" | "RGBA";
  width: number;
  height: number;
  filter: ResizeOptions["filter"];
  box: [number, number, number, number] | null;
  output: string;
  output_pillow13: string | null;
}

/** Tensors of a safetensors file of bytes. */
function readTensors(path: string): (name: string) => Uint8Array {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, 8 + length));
  return (name) => {
    const [begin, end] = header[name].data_offsets;
    return new Uint8Array(file.subarray(8 + length + begin, 8 + length + end));
  };
}

const shared = "../shared/goldens-image";
const skip = existsSync(shared) ? false : `${shared} is absent: the full set of Pillow's results is not compared`;
const CHANNELS = { L: 1, RGB: 3, RGBA: 4 } as const;

for (const folder of [shared]) {
  test(`resize: Pillow's bytes, both orders, ${folder}`, { skip: folder === shared && skip }, () => {
    const { cases } = JSON.parse(readFileSync(`${folder}/resize.json`, "utf8")) as { cases: Case[] };
    const tensor = readTensors(`${folder}/resize.safetensors`);
    for (const c of cases) {
      const image: Raster = {
        data: tensor(c.input),
        width: c.input_width,
        height: c.input_height,
        channels: CHANNELS[c.mode],
      };
      const options = { width: c.width, height: c.height, filter: c.filter, box: c.box ?? undefined };
      const outputs = { pillow12: c.output, pillow13: c.output_pillow13 ?? c.output };
      for (const order of ["pillow12", "pillow13"] as const) {
        const result = resize(image, { ...options, order });
        assert.deepEqual([result.width, result.height, result.channels], [c.width, c.height, image.channels], c.name);
        assert.ok(Buffer.compare(result.data, tensor(outputs[order])) === 0, `${c.name}, ${order}`);
      }
    }
  });
}
