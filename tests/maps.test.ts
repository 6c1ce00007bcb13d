/** Maps in other sizes and transposed convolutions, against PyTorch (tests/fixtures/maps/make.py). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Backend } from "../src/backend.js";
import { createReferenceBackend } from "../src/backends/reference.js";
import { createWasmBackend } from "../src/backends/wasm/index.js";
import { atOnce } from "../src/image/slices.js";
import { transposedRows } from "../src/plans.js";
import { bestClasses, resizeBicubic } from "../src/tasks/maps.js";
import { assertClose, noise } from "./backend.cases.js";

const golden = JSON.parse(readFileSync("tests/fixtures/maps/maps.json", "utf8")) as {
  interpolate: readonly {
    readonly mode: "bilinear" | "bicubic";
    readonly aligned: boolean;
    readonly from: readonly [number, number];
    readonly to: readonly [number, number];
    readonly x: readonly number[];
    readonly y: readonly number[];
  }[];
  transposed: readonly {
    readonly kernel: number;
    readonly stride: number;
    readonly from: readonly [number, number];
    readonly inputs: number;
    readonly outputs: number;
    readonly x: readonly number[];
    readonly weight: readonly number[];
    readonly bias: readonly number[];
    readonly y: readonly number[];
  }[];
};

const BACKENDS: Readonly<Record<string, () => Promise<Backend>>> = {
  reference: async () => createReferenceBackend(),
  wasm: () => createWasmBackend(),
};

/** [C, pixels] to [pixels, C], or back. */
function turned(values: ArrayLike<number>, rows: number): Float32Array {
  const cols = values.length / rows;
  return Float32Array.from({ length: values.length }, (_, i) => values[(i % rows) * cols + Math.floor(i / rows)]!);
}

for (const [name, create] of Object.entries(BACKENDS)) {
  test(`resizeMap on ${name} is torch.nn.functional.interpolate`, async () => {
    const b = await create();
    for (const { mode, aligned, from, to, x, y } of golden.interpolate) {
      if (mode !== "bilinear") continue;
      const input = b.createTensor(from[0] * from[1], 2, turned(x, 2));
      const out = b.createTensor(to[0] * to[1], 2);
      const sizes = { height: from[0], width: from[1], outHeight: to[0], outWidth: to[1] };
      b.resizeMap(out, input, { ...sizes, aligned });
      assertClose(await b.read(out), turned(y, 2), 1e-6, `${from} to ${to}, ${aligned}`);
    }
  });

  test(`convolveTransposed on ${name} is torch.nn.functional.conv_transpose2d`, async () => {
    const b = await create();
    for (const { kernel, stride, from, inputs, outputs, x, weight, bias, y } of golden.transposed) {
      const [height, width] = from;
      const linear = b.createLinear(stride * stride * outputs, (kernel / stride) ** 2 * inputs);
      const rows = transposedRows({ outputs, channels: inputs, kernel, stride })(Float32Array.from(weight));
      const biases = Float32Array.from({ length: linear.outputs }, (_, i) => bias[i % outputs]!);
      b.store({ linear, part: "weight", row: 0 }, "F32", new Uint8Array(rows.buffer));
      b.store({ linear, part: "bias", row: 0 }, "F32", new Uint8Array(biases.buffer));
      const input = b.createTensor(height * width, inputs, turned(x, inputs));
      const out = b.createTensor(height * width * stride * stride, outputs);
      b.convolveTransposed(out, input, linear, { height, width, kernel, stride });
      assertClose(await b.read(out), turned(y, outputs), 3e-5, `${kernel} by ${stride}`);
    }
  });
}

test("resizeBicubic is torch.nn.functional.interpolate", () => {
  for (const { mode, from, to, x, y } of golden.interpolate) {
    if (mode !== "bicubic") continue;
    const [own, large] = [from, to].map(([height, width]) => ({ width, height })) as [Size, Size];
    for (const plane of [0, 1]) {
      const area = own.width * own.height;
      const map = Float32Array.from(x.slice(plane * area, (plane + 1) * area));
      const want = Float32Array.from(y.slice(plane * large.width * large.height).slice(0, large.width * large.height));
      assertClose(atOnce(resizeBicubic(map, own, large)), want, 1e-6, `${from} to ${to}`);
    }
  }
});

interface Size {
  readonly width: number;
  readonly height: number;
}

test("bestClasses finds what every score, interpolated, finds", () => {
  for (const [classes, own, large] of [
    [1, { width: 3, height: 2 }, { width: 7, height: 5 }],
    [4, { width: 5, height: 4 }, { width: 33, height: 29 }],
    [300, { width: 6, height: 7 }, { width: 13, height: 3 }],
    [9, { width: 8, height: 1 }, { width: 2, height: 6 }],
  ] as const) {
    const scores = noise(classes * own.width * own.height, classes);
    const { labels, regions } = atOnce(bestClasses(scores, classes, own, large));
    assert.equal(labels.constructor, classes > 256 ? Uint16Array : Uint8Array);
    const at = (c: number, x: number, y: number) => scores[(c * own.height + y) * own.width + x]!;
    const between = (i: number, n: number, m: number) => {
      const place = Math.max(((i + 0.5) * n) / m - 0.5, 0);
      const low = Math.floor(place);
      return [low, Math.min(low + 1, n - 1), place - low] as const;
    };
    for (let y = 0; y < large.height; y++)
      for (let x = 0; x < large.width; x++) {
        const [x0, x1, u] = between(x, own.width, large.width);
        const [y0, y1, v] = between(y, own.height, large.height);
        const all = Array.from(
          { length: classes },
          (_, c) =>
            (at(c, x0, y0) * (1 - u) + at(c, x1, y0) * u) * (1 - v) + (at(c, x0, y1) * (1 - u) + at(c, x1, y1) * u) * v,
        );
        const label = labels[y * large.width + x]!;
        assert.ok(all[label]! >= Math.max(...all) - 1e-6, `${classes} classes, ${x}, ${y}`);
      }
    const total = regions.reduce((sum, { area }) => sum + area, 0);
    assert.equal(total, large.width * large.height);
    for (const { probability } of regions) assert.ok(probability > 0 && probability <= 1 + 1e-6, `${probability}`);
    for (const [i, { area }] of regions.entries())
      assert.ok(i === 0 || area <= regions[i - 1]!.area, "the largest first");
  }
});

test("a map of 12 million pixels is made in slices of a few milliseconds, beside four lines", () => {
  const slices = resizeBicubic(noise(518 * 686), { width: 686, height: 518 }, { width: 4000, height: 3000 });
  let count = 1;
  let step = slices.next();
  for (; !step.done; step = slices.next()) count++;
  assert.ok(count > 80, `${count} slices of ${12e6 / count} pixels`);
  assert.equal(step.value.length, 12e6);
});
