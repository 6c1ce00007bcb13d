// Resizing against Pillow, with both orders of the passes: the cases of tests/fixtures/image (make.py there) and, where
// it is beside the repository, the 62 of ../shared/goldens-image.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { crop, type Raster, type ResizeOptions, resize, resizingFramed } from "../src/image/resize.js";
import { atOnce } from "../src/image/slices.js";
import { nearestSamples } from "../src/image/taps.js";
import { turning } from "../src/image/upright.js";
import { readBytes } from "./tensors.js";

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

const fixtures = "tests/fixtures/image";
const shared = "../shared/goldens-image";
const skip = existsSync(shared) ? false : `${shared} is absent: its 62 cases are not compared with Pillow`;
const CHANNELS = { L: 1, RGB: 3, RGBA: 4 } as const;

for (const folder of [fixtures, shared]) {
  test(`resize: Pillow's bytes, both orders, cases of ${folder}`, { skip: folder === shared && skip }, () => {
    const file = JSON.parse(readFileSync(`${folder}/resize.json`, "utf8"));
    const cases: Case[] = Array.isArray(file) ? file : file.cases;
    const tensor = readBytes(`${folder}/resize.safetensors`);
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

        // A window is that part of the whole result.
        const window = {
          left: c.width >> 2,
          top: c.height >> 1,
          width: (c.width >> 1) + 1,
          height: (c.height >> 2) + 1,
        };
        const part = resize(image, { ...options, order, window });
        assert.deepEqual(part, crop(result, window), `${c.name}, ${order}, window`);
      }
    }
  });
}

test("resize: Pillow's bytes of pictures that are very tall or wide, turned, a window of each", () => {
  interface Strip extends Required<Raster> {
    out: [number, number];
    filter: ResizeOptions["filter"];
    window: { left: number; top: number; width: number; height: number };
    sha256: string;
  }
  const { strips } = JSON.parse(readFileSync(`${fixtures}/rules.json`, "utf8")) as { strips: Strip[] };
  for (const { out, filter, window, sha256, ...image } of strips) {
    const data = Uint8Array.from(
      { length: image.width * image.height * image.channels },
      (_, i) => (i * 7919 * (i % 13)) / 32,
    );
    const result = resize({ ...image, data }, { width: out[0], height: out[1], filter, window });
    assert.equal(
      createHash("sha256").update(result.data).digest("hex"),
      sha256,
      JSON.stringify({ ...image, out, filter }),
    );
  }
});

test("resize: nearest samples of long axes are those of adding up one by one", () => {
  for (const [size, from, to, out] of [
    [1000, 0, 1000, 7],
    [3, 0, 3, 100_003],
    [7, 0.3, 6.1, 300_000],
    [999_983, 0, 999_983, 131_071],
    [5, 1.1, 1.2, 77_777],
    [2 ** 20, 0, 2 ** 20, 3 * 2 ** 15],
  ] as const) {
    const scale = Math.fround(to - from) / out;
    const all: number[] = [];
    for (let i = 0, position = from + 0.5 * scale; i < out; i++, position += scale) {
      all.push(Math.min(size - 1, Math.trunc(position)));
    }
    for (const share of [0, 0.1, 0.5, 0.77, 1]) {
      const start = Math.floor(share * (out - 5));
      const samples = nearestSamples({ size, from, to, out, start, count: 5 });
      assert.deepEqual([...samples], all.slice(start, start + 5), `${size} to ${out} from ${start}`);
    }
  }
});

test("resize: a window of a result that no memory could hold takes the time of the window", () => {
  const image: Raster = {
    data: Uint8Array.from({ length: 3 * 1000 }, (_, i) => i),
    width: 1,
    height: 1000,
    channels: 3,
  };
  const window = { left: 2 ** 50, top: 2 ** 52, width: 3, height: 2 };
  for (const filter of ["nearest", "box", "bilinear", "bicubic", "lanczos"] as const) {
    const { data } = resize(image, { width: 2 ** 51, height: 2 ** 53 - 1, filter, window });
    assert.deepEqual([...data.slice(0, 3)], [...data.slice(9, 12)]);
    // The middle of the source, between two of its rows. Nearest adds up 2^52 roundings, as Pillow does, and is elsewhere.
    const isMiddle = [499, 500].some((y) => Math.abs(data[0]! - ((3 * y) & 255)) <= 2);
    assert.ok(filter === "nearest" || isMiddle, `${filter}: ${data[0]}`);
  }
});

test("resize: rows do not depend on each other, however the source is cut into bands", () => {
  const [width, height] = [700, 301];
  const data = Uint8Array.from({ length: 3 * width * height }, (_, i) => (i * 7919 * (i % 13)) >> 5);
  const image: Raster = { data, width, height, channels: 3 };
  const whole = resize(image, { width: 90, height, filter: "lanczos" });
  for (let y = 0; y < height; y++) {
    const row = crop(image, { left: 0, top: y, width, height: 1 });
    const expected = resize(row, { width: 90, height: 1, filter: "lanczos" }).data;
    assert.deepEqual(crop(whole, { left: 0, top: y, width: 90, height: 1 }).data, expected, `row ${y}`);
  }
});

test("resize: an image that is turned meanwhile is one that was turned before", () => {
  const [width, height] = [71, 203];
  for (const channels of [1, 3, 4] as const) {
    const data = Uint8Array.from({ length: channels * width * height }, (_, i) => (i * 7919 * (i % 13)) >> 5);
    for (let orientation = 1; orientation <= 8; orientation++) {
      const image = { data, width, height, channels, orientation };
      const turned = { ...atOnce(turning(image)), channels };
      const [uprightWidth, uprightHeight] = orientation < 5 ? [width, height] : [height, width];
      assert.deepEqual([turned.width, turned.height], [uprightWidth, uprightHeight]);
      for (const options of [
        { width: 31, height: 40, filter: "bicubic" },
        { width: uprightWidth, height: 90, filter: "bilinear" },
        { width: 20, height: uprightHeight, filter: "lanczos" },
        { width: uprightWidth, height: uprightHeight, filter: "box" },
        { width: 50, height: 60, filter: "nearest" },
      ] as const) {
        assert.deepEqual(resize(image, options), resize(turned, options), `${channels}, ${orientation}`);
      }
    }
  }
});

test("resize: wrong arguments are refused in one sentence", () => {
  const image: Raster = { data: new Uint8Array(12), width: 2, height: 2, channels: 3 };
  const good: ResizeOptions = { width: 4, height: 4, filter: "bicubic" };
  const refused = (changes: Partial<ResizeOptions>, message: RegExp, raster = image) =>
    assert.throws(() => resize(raster, { ...good, ...changes }), { name: "RangeError", message });
  refused({ width: 0 }, /^resize: width must be an integer of at least 1 and less than 2\^53; got 0$/);
  refused({ height: 2.5 }, /^resize: height must be .*; got 2\.5$/);
  refused({ filter: "cubic" as "bicubic" }, /^resize: filter must be nearest, box, .*; got "cubic"$/);
  refused({ box: [0, 0, 3, 2] }, /^resize: box must lie inside 2×2 and not be empty; got \[0,0,3,2\]$/);
  refused({ box: [1, 0, 1, 2] }, /^resize: box must lie/);
  refused(
    { window: { left: 2, top: 0, width: 3, height: 1 } },
    /^resize: window must lie inside 4×4; got 3×1 at \(2, 0\)$/,
  );
  refused({}, /^resize: an image of 2×2×3 needs 12 bytes; got 11$/, { ...image, data: new Uint8Array(11) });
  refused({}, /^resize: an image has 1, 3 or 4 channels; got 2$/, { ...image, channels: 2 as 3 });
});

test("an image in a white frame is resized as a copy with the white around it, whatever its shape", () => {
  const filters = ["nearest", "bilinear", "bicubic", "lanczos"] as const;
  for (const [i, [width, height]] of [
    [7, 5],
    [40, 3],
    [1, 64],
    [90, 31],
    [31, 90],
    [16, 16],
    [300, 2],
  ].entries() as Iterable<[number, [number, number]]>) {
    const side = Math.max(width, height);
    const frame = { width: side, height: side, left: (side - width) >> 1, top: (side - height) >> 1 };
    for (const orientation of [1, 2, 6]) {
      const lies = orientation === 6;
      const data = Uint8Array.from({ length: 3 * width * height }, (_, k) => (k * k * 31 + k * 7 + i * 13) % 251);
      const stored = { data, width: lies ? height : width, height: lies ? width : height, orientation };
      const upright = atOnce(turning({ ...stored, channels: 3 }));
      const copy = new Uint8Array(3 * side * side).fill(255);
      for (let y = 0; y < height; y++) {
        const row = upright.data.subarray(3 * y * width, 3 * (y + 1) * width);
        copy.set(row, 3 * ((y + frame.top) * side + frame.left));
      }
      const whole: Raster = { data: copy, width: side, height: side, channels: 3 };
      for (const filter of filters) {
        for (const out of [16, 23, side]) {
          const window = { left: out >> 2, top: out >> 3, width: (out >> 1) + 1, height: (out >> 1) + 2 };
          for (const part of [window, { left: 0, top: 0, width: out, height: out }]) {
            const options = { width: out, height: out, filter, window: part };
            const got = atOnce(resizingFramed(stored, frame, options));
            const what = `${width}×${height}, ${orientation}, ${filter} to ${out}`;
            assert.deepEqual(got, resize(whole, options), what);
          }
        }
      }
    }
  }
});
