/**
 * What every backend must do, at sizes that run each tiled loop with no whole tile, exactly one, and more with a
 * remainder (tiles have 4 or 6 rows and 8 columns, vectors 4 elements, attention blocks 24 rows). The expected values are
 * the reference backend's; what anchors that one are the golden activations of other programs (tests/golden.test.ts).
 * A backend's own test file says only how to make one.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Activation,
  type Backend,
  type ConvolveOptions,
  type DType,
  ELEMENT_BYTES,
  type Linear,
  type Precision,
  type Tensor,
} from "../src/backend.js";
import { createReferenceBackend } from "../src/backends/reference.js";
import { ACTIVATIONS } from "../src/numerics/activations.js";

export interface Skip {
  readonly reason: string;
  readonly tests: readonly string[];
}

/** Deterministic values in [-1, 1): the same on every machine and in every run. */
export function noise(count: number, seed = 1): Float32Array {
  return Float32Array.from({ length: count }, () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 31 - 1;
  });
}

/** Fails with the place and the two values of the largest difference; NaN never passes. */
export function assertClose(got: Float32Array, want: Float32Array, tolerance: number, what = ""): void {
  assert.equal(got.length, want.length, `${what} length`);
  let worst = 0;
  for (let i = 0; i < want.length; i++) {
    if (!(Math.abs(got[i]! - want[i]!) <= Math.abs(got[worst]! - want[worst]!))) worst = i;
  }
  const difference = Math.abs(got[worst]! - want[worst]!);
  assert.ok(
    difference <= tolerance,
    `${what} maxdiff ${difference.toExponential(2)} > ${tolerance.toExponential(2)} at [${worst}]: want ${want[worst]}, got ${got[worst]}`,
  );
}

/** Little-endian bytes of values in a checkpoint's element type. */
function encode(dtype: DType, values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * ELEMENT_BYTES[dtype]);
  const view = new DataView(bytes.buffer);
  const put: Record<DType, (at: number, x: number) => void> = {
    F64: (at, x) => view.setFloat64(at, x, true),
    F32: (at, x) => view.setFloat32(at, x, true),
    F16: (at, x) => view.setUint16(at, x, true),
    BF16: (at, x) => view.setUint16(at, x, true),
    I64: (at, x) => view.setBigInt64(at, BigInt(x), true),
    I32: (at, x) => view.setInt32(at, x, true),
    I16: (at, x) => view.setInt16(at, x, true),
    I8: (at, x) => view.setInt8(at, x),
    U8: (at, x) => view.setUint8(at, x),
    BOOL: (at, x) => view.setUint8(at, x),
  };
  for (const [i, x] of values.entries()) put[dtype](i * ELEMENT_BYTES[dtype], x);
  return bytes;
}

/** Of every row, also those to come. */
const activations = Object.keys(ACTIVATIONS) as Activation[];

/** Of a 2×2 map, a pixel outside of it. */
const windowOf = (kernel: number, out: number) => ({
  ...{ height: 2, width: 2, kernel, stride: 1 },
  ...{ top: 1, left: 1, outHeight: out, outWidth: out },
});

const f32 = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

export function runBackendCases(options: {
  create: () => Promise<Backend>;
  /** Largest difference, as a part of the largest expected magnitude. */
  tolerance: number;
  /** Where products are not of f32, or round in another place: instead of `tolerance`, or of the same bits for int8. */
  tolerances?: { readonly f16?: number; readonly rescaled?: number; readonly int8?: number };
  skip?: readonly Skip[];
  /** Names of the cases to run, all unless given. */
  only?: RegExp;
}): void {
  const { tolerance, tolerances = {} } = options;
  const reference = createReferenceBackend();
  let shared: Promise<Backend> | undefined;
  const backend = () => (shared ??= options.create());

  function define(name: string, run: (b: Backend) => Promise<void>): void {
    if (options.only && !options.only.test(name)) return;
    const skipped = options.skip?.find((s) => s.tests.includes(name));
    test(name, { skip: skipped?.reason }, async () => run(await backend()));
  }

  function matches(name: string, run: (b: Backend) => Promise<Float32Array>, most = tolerance): void {
    define(name, async (b) => {
      const want = await run(reference);
      const magnitude = want.reduce((max, x) => Math.max(max, Math.abs(x)), 1e-30);
      assertClose(await run(b), want, most * magnitude);
    });
  }

  /** The same bits, unless the backend's int8 has a tolerance. */
  function equals(name: string, run: (b: Backend) => Promise<Float32Array>): void {
    if (tolerances.int8 !== undefined) matches(name, run, tolerances.int8);
    else define(`${name}: the same bits`, async (b) => assert.deepEqual(await run(b), await run(reference)));
  }

  function linearOf(b: Backend, outputs: number, inputs: number, seed: number, precision?: Precision): Linear {
    const linear = b.createLinear(outputs, inputs, precision);
    const weight = noise(outputs * inputs, seed).map((w) => w / Math.sqrt(inputs));
    b.store({ linear, part: "weight", row: 0 }, "F32", f32(weight));
    b.store({ linear, part: "bias", row: 0 }, "F32", f32(noise(outputs, seed + 1)));
    return linear;
  }

  /** Runs `use` on tensors that are freed afterwards. */
  async function during<T>(b: Backend, use: () => Promise<T>): Promise<T> {
    const mark = b.mark();
    try {
      return await use();
    } finally {
      b.release(mark);
    }
  }

  const sizes = [
    [1, 1, 1],
    [3, 5, 7],
    [4, 16, 8],
    [5, 4, 9],
    [6, 3, 8],
    [7, 33, 17],
    [13, 8, 31],
    [25, 1030, 10],
    [197, 192, 576],
    [250, 1601, 9],
  ] as const;
  for (const [rows, inputs, outputs] of sizes) {
    for (const epilogue of [{}, { accumulate: true }, ...activations.map((activation) => ({ activation }))] as const) {
      matches(`linear ${rows}×${inputs} → ${outputs} ${JSON.stringify(epilogue)}`, (b) =>
        during(b, async () => {
          const out = b.createTensor(rows, outputs, noise(rows * outputs, 2));
          const x = b.createTensor(rows, inputs, noise(rows * inputs, 3));
          b.linear(out, x, linearOf(b, outputs, inputs, 4), epilogue);
          return b.read(out);
        }),
      );
    }
  }

  // Out is wider by less than a panel of outputs, or by more.
  for (const precision of ["f32", "f16", "int8"] as const) {
    for (const [rows, outputs, column, cols] of [
      [5, 6, 0, 6],
      [5, 3, 8, 24],
      [7, 18, 0, 24],
      [7, 8, 16, 24],
      [9, 11, 8, 20],
      [197, 64, 192, 256],
    ] as const) {
      matches(
        `linear to ${outputs} columns from ${column} on of ${rows}×${cols} in ${precision}`,
        (b) =>
          during(b, async () => {
            const out = b.createTensor(rows, cols, noise(rows * cols, 2));
            const x = b.createTensor(rows, 40, noise(rows * 40, 3));
            b.linear(out, x, linearOf(b, outputs, 40, 4, precision), { accumulate: true, column });
            return b.read(out);
          }),
        precision === "f16" ? tolerances.rescaled : tolerance,
      );
    }
  }

  for (const [rows, inputs, outputs] of sizes) {
    matches(`linear ${rows}×${inputs} → ${outputs} of normalized rows`, (b) =>
      during(b, async () => {
        const out = b.createTensor(rows, outputs, noise(rows * outputs, 2));
        const x = b.createTensor(rows, inputs, noise(rows * inputs, 3));
        const scale = b.createTensor(1, inputs, noise(inputs, 5));
        const shift = b.createTensor(1, inputs, noise(inputs, 6));
        b.linear(out, x, linearOf(b, outputs, inputs, 4), { norm: { scale, shift, eps: 1e-3 }, accumulate: true });
        return b.read(out);
      }),
    );
    matches(`linear ${rows}×${inputs} → ${outputs} of rows normalized by RMSNorm`, (b) =>
      during(b, async () => {
        const out = b.createTensor(rows, outputs);
        const x = b.createTensor(rows, inputs, noise(rows * inputs, 3));
        const scale = b.createTensor(1, inputs, noise(inputs, 5));
        b.linear(out, x, linearOf(b, outputs, inputs, 4), { norm: { scale, shift: undefined, eps: 1e-3 } });
        return b.read(out);
      }),
    );
    for (const rms of [false, true]) {
      matches(
        `linear ${rows}×${inputs} → ${outputs} in int8 of rows normalized${rms ? " by RMSNorm" : ""}`,
        (b) =>
          during(b, async () => {
            const out = b.createTensor(rows, outputs, noise(rows * outputs, 2));
            const x = b.createTensor(rows, inputs, noise(rows * inputs, 3));
            const scale = b.createTensor(1, inputs, noise(inputs, 5));
            const shift = rms ? undefined : b.createTensor(1, inputs, noise(inputs, 6));
            const norm = { scale, shift, eps: 1e-3 };
            b.linear(out, x, linearOf(b, outputs, inputs, 4, "int8"), { norm, accumulate: true });
            return b.read(out);
          }),
        // The last bit of a normalized value may decide how it rounds: one in 127, of one of them.
        0.02,
      );
    }
    for (const precision of ["f32", "f16"] as const) {
      matches(
        `rescale ${outputs}×${inputs} in ${precision}`,
        (b) => during(b, () => rescaled(b, precision)),
        precision === "f16" ? tolerances.rescaled : tolerance,
      );
    }
    equals(`rescale ${outputs}×${inputs} in int8`, (b) => during(b, () => rescaled(b, "int8")));
    async function rescaled(b: Backend, precision: Precision): Promise<Float32Array> {
      const linear = linearOf(b, outputs, inputs, 4, precision);
      b.rescale(linear, noise(outputs, 26));
      const out = b.createTensor(rows, outputs);
      b.linear(out, b.createTensor(rows, inputs, noise(rows * inputs, 3)), linear);
      return b.read(out);
    }
    matches(
      `linear ${rows}×${inputs} → ${outputs} in f16`,
      (b) =>
        during(b, async () => {
          const out = b.createTensor(rows, outputs);
          const x = b.createTensor(rows, inputs, noise(rows * inputs, 3));
          b.linear(out, x, linearOf(b, outputs, inputs, 4, "f16"), { activation: "gelu" });
          return b.read(out);
        }),
      tolerances.f16,
    );
    for (const options of [{}, { accumulate: true }, { activation: "relu" }] as const) {
      equals(`linear ${rows}×${inputs} → ${outputs} in int8 ${JSON.stringify(options)}`, (b) =>
        during(b, async () => {
          const out = b.createTensor(rows, outputs, noise(rows * outputs, 2));
          // Rows of different sizes, one of zeros.
          const values = noise(rows * inputs, 3).map((v, i) => v * (Math.floor(i / inputs) % 3) * 10);
          b.linear(out, b.createTensor(rows, inputs, values), linearOf(b, outputs, inputs, 4, "int8"), options);
          return b.read(out);
        }),
      );
    }
  }

  for (const precision of ["f32", "f16", "int8"] as const) {
    const stored = (b: Backend) =>
      during(b, async () => {
        const [rows, inputs, outputs] = [5, 13, 19];
        const linear = b.createLinear(outputs, inputs, precision);
        const integers = Int8Array.from(noise(outputs * inputs, 23), (v) => Math.floor(v * 64));
        const scales = noise(outputs, 24).map((v) => v * v + 0.01);
        for (const [row, end] of [
          [0, 3],
          [3, 19],
        ] as const) {
          const bytes = new Uint8Array(integers.slice(row * inputs, end * inputs).buffer);
          b.store({ linear, part: "weight", row, scales: scales.slice(row, end) }, "I8", bytes);
        }
        const out = b.createTensor(rows, outputs);
        b.linear(out, b.createTensor(rows, inputs, noise(rows * inputs, 25)), linear);
        return b.read(out);
      });
    const most = precision === "f16" ? tolerances.f16 : tolerance;
    matches(`a weight stored as integers with scales, in ${precision}`, stored, most);
  }

  matches("activations over their whole range", (b) =>
    during(b, async () => {
      const x = b.createTensor(
        4001,
        1,
        Float32Array.from({ length: 4001 }, (_, i) => (i - 2000) / 100),
      );
      const identity = b.createLinear(1, 1);
      b.store({ linear: identity, part: "weight", row: 0 }, "F32", f32(Float32Array.of(1)));
      const rows: Float32Array[] = [];
      for (const activation of activations) {
        const out = b.createTensor(4001, 1);
        b.linear(out, x, identity, { activation });
        rows.push(await b.read(out));
      }
      return Float32Array.from(rows.flatMap((r) => [...r]));
    }),
  );

  for (const [tokens, heads, d, images] of [
    [1, 1, 1, 1],
    [2, 3, 5, 1],
    [5, 2, 8, 2],
    [8, 1, 12, 1],
    [17, 3, 10, 3],
    [25, 2, 64, 1],
    [50, 1, 33, 1],
    [197, 3, 64, 1],
  ] as const) {
    const run = (b: Backend, maps: boolean) =>
      during(b, async () => {
        const qkv = b.createTensor(images * tokens, 3 * heads * d, noise(images * tokens * 3 * heads * d, 7));
        const out = b.createTensor(images * tokens, heads * d);
        const probabilities = maps ? b.createTensor(images * heads * tokens, tokens) : undefined;
        b.attention(out, qkv, { heads, tokens, probabilities });
        return b.read(probabilities ?? out);
      });
    for (const rows of new Set([tokens, heads * tokens])) {
      matches(`attention ${images}×${tokens} tokens, ${heads} heads of ${d}, bias of ${rows} rows`, (b) =>
        during(b, async () => {
          const qkv = b.createTensor(images * tokens, 3 * heads * d, noise(images * tokens * 3 * heads * d, 7));
          // A key behind the query is hidden here and there, never the query's own.
          const values = noise(rows * tokens, 27).map((v, i) => {
            const [query, key] = [Math.floor(i / tokens) % tokens, i % tokens];
            return key > query && v > 0 ? Number.NEGATIVE_INFINITY : 4 * v;
          });
          const out = b.createTensor(images * tokens, heads * d);
          const probabilities = b.createTensor(images * heads * tokens, tokens);
          b.attention(out, qkv, { heads, tokens, bias: b.createTensor(rows, tokens, values), probabilities });
          return Float32Array.from([...(await b.read(out)), ...(await b.read(probabilities))]);
        }),
      );
    }
    matches(`attention ${images}×${tokens} tokens, ${heads} heads of ${d}`, (b) => run(b, false));
    matches(`attention ${images}×${tokens} tokens, ${heads} heads of ${d}: probabilities`, (b) => run(b, true));
  }

  // Queries of their own: one or several, fewer and more than keys, the same for every image or not.
  for (const [images, queries, tokens, heads, d] of [
    [1, 1, 1, 1, 1],
    [3, 1, 7, 2, 5],
    [2, 4, 9, 3, 8],
    [2, 25, 3, 2, 12],
    [1, 23, 50, 1, 33],
    [2, 1, 197, 3, 64],
    [1, 26, 24, 2, 20],
  ] as const) {
    for (const shared of new Set([false, images > 1])) {
      const whose = shared ? "of all images" : "of each image";
      matches(`attention of ${queries} queries ${whose} to ${images}×${tokens} tokens, ${heads} heads of ${d}`, (b) =>
        during(b, async () => {
          const width = heads * d;
          const rows = shared ? queries : images * queries;
          const q = b.createTensor(rows, width, noise(rows * width, 41));
          const k = b.createTensor(images * tokens, width, noise(images * tokens * width, 42));
          const v = b.createTensor(images * tokens, width, noise(images * tokens * width, 43));
          const out = b.createTensor(images * queries, width);
          b.attention(out, { q, k, v }, { heads, tokens });
          const alone = await b.read(out);
          const probabilities = b.createTensor(images * heads * queries, tokens);
          const biases = [queries, heads * queries].map((n, i) =>
            // Every third key is hidden, never the first.
            b.createTensor(
              n,
              tokens,
              noise(n * tokens, 44 + i).map((x, at) => (at % tokens && at % 3 === 0 ? Number.NEGATIVE_INFINITY : x)),
            ),
          );
          const results = [...alone];
          for (const bias of biases) {
            b.attention(out, { q, k, v }, { heads, tokens, bias, probabilities });
            results.push(...(await b.read(out)), ...(await b.read(probabilities)));
          }
          return Float32Array.from(results);
        }),
      );
    }
  }

  // Products of integers: scores that differ in their last bits may round a probability the other way, by a 255th of the largest.
  // The keys of several parts are rounded by the largest so far, and GPUs multiply floats.
  const roundingOf = (tokens: number) => (tolerances.int8 !== undefined ? 0.25 : tokens > 640 ? 0.05 : 1.1 / 255);
  for (const [images, tokens, heads, d] of [
    [1, 1, 1, 1],
    [2, 3, 2, 2],
    [1, 5, 2, 8],
    [3, 17, 3, 10],
    [1, 25, 2, 64],
    [1, 97, 2, 12],
    [1, 197, 1, 64],
    [1, 641, 1, 4],
  ] as const) {
    for (const hidden of [false, true]) {
      const what = `${images}×${tokens} tokens, ${heads} heads of ${d}${hidden ? ", a bias, probabilities" : ""}`;
      matches(
        `attention of integers, ${what}`,
        (b) =>
          during(b, async () => {
            const cols = heads * d;
            const qkv = b.createTensor(
              images * tokens,
              3 * cols,
              noise(images * tokens * 3 * cols, 71).map((x) => 4 * x),
            );
            const out = b.createTensor(images * tokens, cols);
            if (!hidden) {
              b.attention(out, qkv, { heads, tokens, integers: true });
              return b.read(out);
            }
            const values = noise(tokens * tokens, 72).map((x, at) =>
              at % tokens > at / tokens ? Number.NEGATIVE_INFINITY : x,
            );
            const [bias, probabilities] = [
              b.createTensor(tokens, tokens, values),
              b.createTensor(images * heads * tokens, tokens),
            ];
            b.attention(out, qkv, { heads, tokens, bias, probabilities, integers: true });
            return Float32Array.from([...(await b.read(out)), ...(await b.read(probabilities))]);
          }),
        roundingOf(tokens),
      );
    }
  }

  // Keys of several parts (assembly/attention.ts), of which the first, or all but the first, may be hidden.
  for (const [queries, tokens, d] of [
    [25, 641, 8],
    [3, 1300, 5],
    [1, 2600, 64],
  ] as const) {
    for (const [hidden, first, last] of [
      ["no key", 0, 0],
      ["the first keys", 0, 600],
      ["all keys but the first", 1, tokens],
    ] as const) {
      matches(`attention of ${queries} queries to ${tokens} tokens, ${hidden} hidden`, (b) =>
        during(b, async () => {
          const q = b.createTensor(queries, 2 * d, noise(queries * 2 * d, 61));
          const [k, v] = [62, 63].map((seed) => b.createTensor(tokens, 2 * d, noise(tokens * 2 * d, seed)));
          // Later keys have larger scores, so that the maximum grows from part to part.
          const values = noise(queries * tokens, 64).map((x, at) => {
            const key = at % tokens;
            return key >= first && key < last ? Number.NEGATIVE_INFINITY : x + key / 100;
          });
          const out = b.createTensor(queries, 2 * d);
          b.attention(out, { q, k: k!, v: v! }, { heads: 2, tokens, bias: b.createTensor(queries, tokens, values) });
          return b.read(out);
        }),
      );
    }
  }

  // Grids of one line, one column and one token, that fill no vector and no block of queries or keys.
  for (const [images, height, width, heads, d] of [
    [1, 1, 1, 1, 1],
    [2, 1, 5, 2, 3],
    [3, 6, 1, 1, 8],
    [2, 3, 3, 3, 5],
    [5, 7, 7, 2, 16],
    [1, 14, 14, 3, 10],
    [1, 9, 17, 1, 64],
    [1, 19, 37, 1, 6],
  ] as const) {
    const tokens = height * width;
    const cols = heads * d;
    const label = `attention with decomposed positions of ${images}×${height}×${width}, ${heads} heads of ${d}`;
    const tables = (b: Backend) => ({
      ...{ height, width },
      down: b.createTensor(2 * height - 1, d, noise((2 * height - 1) * d, 51)),
      across: b.createTensor(2 * width - 1, d, noise((2 * width - 1) * d, 52)),
    });
    matches(label, (b) =>
      during(b, async () => {
        const qkv = b.createTensor(images * tokens, 3 * cols, noise(images * tokens * 3 * cols, 7));
        const out = b.createTensor(images * tokens, cols);
        b.attention(out, qkv, { heads, tokens, decomposed: tables(b) });
        return b.read(out);
      }),
    );
    matches(`${label}, of matrices apart, beside a bias`, (b) =>
      during(b, async () => {
        const rows = images * tokens;
        const [q, k, v] = [53, 54, 55].map((seed) => b.createTensor(rows, cols, noise(rows * cols, seed)));
        const bias = b.createTensor(heads * tokens, tokens, noise(heads * tokens * tokens, 56));
        const out = b.createTensor(rows, cols);
        const probabilities = b.createTensor(images * heads * tokens, tokens);
        const shape = { heads, tokens, bias, probabilities, decomposed: tables(b) };
        b.attention(out, { q: q!, k: k!, v: v! }, shape);
        return Float32Array.from([...(await b.read(out)), ...(await b.read(probabilities))]);
      }),
    );
  }

  // Windows that fit, that do not, that are larger than the map, and of one pixel.
  for (const [images, height, width, window, channels] of [
    [1, 1, 1, 1, 1],
    [2, 4, 6, 2, 5],
    [1, 8, 8, 3, 9],
    [2, 5, 7, 4, 12],
    [3, 2, 3, 5, 3],
    [1, 20, 17, 14, 24],
  ] as const) {
    const label = `${images}×${height}×${width}×${channels}, windows of ${window}×${window}`;
    const [down, across] = [Math.ceil(height / window), Math.ceil(width / window)];
    const rows = images * down * across * window * window;
    const map = { height, width, window: [window, window] } as const;
    define(`toWindows and fromWindows ${label}`, async (b) => {
      const run = (b: Backend) =>
        during(b, async () => {
          const pixels = images * height * width;
          const x = b.createTensor(pixels, channels, noise(pixels * channels, 57));
          const outside = b.createTensor(1, channels, noise(channels, 58));
          const windows = b.createTensor(rows, channels);
          b.toWindows(windows, x, outside, map);
          const back = b.createTensor(pixels, channels);
          b.fromWindows(back, windows, map);
          return [await b.read(windows), await b.read(back), await b.read(x)] as const;
        });
      const [windows, back, x] = await run(b);
      assert.deepEqual(windows, (await run(reference))[0]);
      assert.deepEqual(back, x);
    });
  }

  // Windows that are no squares, turned before or behind the zeros that fill them; all of a window's pixels beside each other.
  for (const [images, height, width, window, by, padded, channels] of [
    [1, 4, 6, [2, 3], [1, 1], true, 5],
    [2, 5, 7, [4, 3], [2, 1], true, 12],
    [2, 5, 7, [4, 3], [2, 1], false, 12],
    [3, 9, 2, [4, 2], [3, 0], false, 1],
    [1, 14, 13, [7, 7], [3, 3], true, 33],
  ] as const) {
    const [down, across] = [Math.ceil(height / window[0]), Math.ceil(width / window[1])];
    const of = padded ? ([down * window[0], across * window[1]] as const) : ([height, width] as const);
    const map = { height, width, window, shift: { by, of } };
    const label = `${images}×${height}×${width}×${channels}, windows of ${window.join("×")}, by ${by.join("×")} of ${of.join("×")}`;
    define(`toWindows and fromWindows ${label}`, async (b) => {
      const run = (b: Backend) =>
        during(b, async () => {
          const [pixels, area] = [images * height * width, window[0] * window[1]];
          const count = images * down * across;
          const x = b.createTensor(pixels, channels, noise(pixels * channels, 57));
          const outside = b.createTensor(1, channels, noise(channels, 58));
          const windows = b.createTensor(count * area, channels);
          b.toWindows(windows, x, outside, map);
          const back = b.createTensor(pixels, channels);
          b.fromWindows(back, windows, map);
          const beside = b.createTensor(count, area * channels);
          b.toWindows(beside, x, outside, map);
          return [await b.read(windows), await b.read(back), await b.read(x), await b.read(beside)] as const;
        });
      const [windows, back, x, beside] = await run(b);
      assert.deepEqual(windows, (await run(reference))[0]);
      assert.deepEqual(back, x);
      assert.deepEqual(beside, windows);
    });
  }

  // Maps of one window, of a line and a column of them, and several; biases of their four kinds.
  for (const [maps, down, across, tokens, heads, d] of [
    [1, 1, 1, 4, 2, 3],
    [2, 1, 3, 9, 1, 8],
    [1, 4, 1, 6, 3, 5],
    [2, 3, 2, 49, 2, 32],
  ] as const) {
    matches(`attention of ${maps} maps of ${down}×${across} windows of ${tokens} tokens, ${heads} heads of ${d}`, (b) =>
      during(b, async () => {
        const images = maps * down * across;
        const [rows, kinds] = [images * tokens, 4 * heads * tokens];
        const qkv = b.createTensor(rows, 3 * heads * d, noise(rows * 3 * heads * d, 7));
        const bias = b.createTensor(kinds, tokens, noise(kinds * tokens, 59));
        const out = b.createTensor(rows, heads * d);
        const probabilities = b.createTensor(images * heads * tokens, tokens);
        b.attention(out, qkv, { heads, tokens, bias, windows: { down, across }, probabilities });
        return Float32Array.from([...(await b.read(out)), ...(await b.read(probabilities))]);
      }),
    );
  }

  define("attention of q, k and v apart is that of one matrix: the same bits", async (b) => {
    const [images, tokens, heads, d] = [2, 27, 3, 10];
    const width = heads * d;
    const mark = b.mark();
    const parts = [46, 47, 48].map((seed) => noise(images * tokens * width, seed));
    const [q, k, v] = parts.map((x) => b.createTensor(images * tokens, width, x)) as [Tensor, Tensor, Tensor];
    const rows = Float32Array.from({ length: images * tokens * 3 * width }, (_, i) => {
      const [row, col] = [Math.floor(i / (3 * width)), i % (3 * width)];
      return parts[Math.floor(col / width)]![row * width + (col % width)]!;
    });
    const qkv = b.createTensor(images * tokens, 3 * width, rows);
    const [a, c] = [b.createTensor(images * tokens, width), b.createTensor(images * tokens, width)];
    b.attention(a, { q, k, v }, { heads, tokens });
    b.attention(c, qkv, { heads, tokens });
    assert.deepEqual(await b.read(a), await b.read(c));
    b.release(mark);
  });

  // Of floats and of rounded ones another key may have the largest of such scores.
  const exact = tolerances.int8 === undefined;
  for (const [integers, scores, most] of [
    [false, 1000, 60] as const,
    ...(exact ? [[true, 100_000, 600] as const] : []),
  ]) {
    matches(
      `attention${integers ? " of integers" : ""}: scores of ±${scores} neither overflow nor vanish`,
      (b) =>
        during(b, async () => {
          const qkv = b.createTensor(
            9,
            12,
            noise(108, 5).map((x) => x * most),
          );
          const out = b.createTensor(9, 4);
          b.attention(out, qkv, { heads: 1, tokens: 9, integers });
          return b.read(out);
        }),
      integers ? roundingOf(9) : tolerance,
    );
  }

  for (const [rows, width] of [
    [1, 1],
    [2, 3],
    [3, 4],
    [5, 31],
    [7, 36],
    [197, 192],
  ] as const) {
    matches(`layerNorm ${rows}×${width}, mean 100 times the deviation`, (b) =>
      during(b, async () => {
        const x = b.createTensor(
          rows,
          width,
          noise(rows * width, 8).map((v) => v + 100),
        );
        const scale = b.createTensor(1, width, noise(width, 9));
        const shift = b.createTensor(1, width, noise(width, 10));
        b.layerNorm(x, x, { scale, shift, eps: 1e-6 });
        return b.read(x);
      }),
    );
  }

  for (const [rows, width] of [
    [1, 1],
    [3, 6],
    [18, 37],
    [50, 192],
  ] as const) {
    for (const [name, rms] of [
      ["layerNorm", false],
      ["RMSNorm", true],
    ] as const) {
      matches(`${name} ${rows}×${width}, added to out`, (b) =>
        during(b, async () => {
          const out = b.createTensor(rows, width, noise(rows * width, 28));
          const x = b.createTensor(rows, width, noise(rows * width, 8));
          const scale = b.createTensor(1, width, noise(width, 9));
          const shift = rms ? undefined : b.createTensor(1, width, noise(width, 10));
          b.layerNorm(out, x, { scale, shift, eps: 1e-3 }, { accumulate: true });
          return Float32Array.from([...(await b.read(out)), ...(await b.read(x))]);
        }),
      );
      for (const activation of activations) {
        matches(`${name} ${rows}×${width}, then ${activation}`, (b) =>
          during(b, async () => {
            const x = b.createTensor(rows, width, noise(rows * width, 8));
            const scale = b.createTensor(1, width, noise(width, 9));
            const shift = rms ? undefined : b.createTensor(1, width, noise(width, 10));
            b.layerNorm(x, x, { scale, shift, eps: 1e-3 }, { activation });
            return b.read(x);
          }),
        );
      }
    }
    matches(`swiglu ${rows}×${width}`, (b) =>
      during(b, async () => {
        const x = b.createTensor(
          rows,
          2 * width,
          noise(rows * 2 * width, 29).map((v) => 20 * v),
        );
        const out = b.createTensor(rows, width);
        b.swiglu(out, x);
        return b.read(out);
      }),
    );
  }

  for (const [images, tokens, heads, d] of [
    [1, 1, 1, 2],
    [2, 5, 3, 4],
    [1, 17, 2, 6],
    [3, 9, 2, 12],
    [2, 50, 3, 20],
    [1, 197, 3, 64],
  ] as const) {
    for (const pairs of ["interleaved", "halves"] as const) {
      for (const cols of new Set([d, heads * d])) {
        matches(`rope ${images}×${tokens} tokens, ${heads} heads of ${d}, ${pairs}, tables of ${cols}`, (b) =>
          during(b, async () => {
            const qkv = b.createTensor(images * tokens, 3 * heads * d, noise(images * tokens * 3 * heads * d, 30));
            const cos = b.createTensor(tokens, cols, noise(tokens * cols, 31));
            const sin = b.createTensor(tokens, cols, noise(tokens * cols, 32));
            b.rope(qkv, cos, sin, { heads, pairs });
            return b.read(qkv);
          }),
        );
      }
    }
  }

  for (const [height, width, heads] of [
    [1, 1, 1],
    [2, 3, 2],
    [5, 4, 3],
    [14, 14, 12],
  ] as const) {
    matches(`relativePositions of ${height}×${width} patches and ${heads} heads`, (b) =>
      during(b, async () => {
        const rows = (2 * height - 1) * (2 * width - 1) + 3;
        const tokens = height * width + 1;
        const out = b.createTensor(heads * tokens, tokens);
        b.relativePositions(out, b.createTensor(rows, heads, noise(rows * heads, 33)), { height, width });
        return b.read(out);
      }),
    );
    matches(`relativePositions of windows of ${height}×${width} and ${heads} heads, shifted and not`, (b) =>
      during(b, async () => {
        const rows = (2 * height - 1) * (2 * width - 1);
        const tokens = height * width;
        const table = b.createTensor(rows, heads, noise(rows * heads, 33));
        const all: Float32Array[] = [];
        for (const by of [undefined, [0, 0], [Math.floor(height / 2), width - 1], [height - 1, 0]] as const) {
          const out = b.createTensor((by ? 4 : 1) * heads * tokens, tokens);
          b.relativePositions(out, table, { height, width, shifted: by && { by, penalty: -100 } });
          all.push(await b.read(out));
        }
        return Float32Array.from(all.flatMap((biases) => [...biases]));
      }),
    );
  }

  // Kernels that do not overlap, that do twice and thrice; channels that fill no vector; several images.
  for (const [images, height, width, channels, outputs, kernel, stride] of [
    [1, 1, 1, 1, 1, 1, 1],
    [2, 3, 2, 3, 5, 2, 2],
    [1, 4, 5, 9, 6, 4, 4],
    [1, 1, 1, 2, 3, 4, 2],
    [2, 5, 3, 4, 9, 4, 2],
    [1, 6, 7, 5, 8, 3, 1],
    [1, 3, 4, 6, 2, 9, 3],
    [1, 14, 13, 33, 20, 4, 2],
    [1, 3, 5, 260, 3, 4, 2],
  ] as const) {
    const label = `${images}×${height}×${width}×${channels} → ${outputs}, ${kernel}×${kernel} by ${stride}`;
    const taps = kernel / stride;
    const run = (b: Backend, precision: Precision, activation?: Activation) =>
      during(b, async () => {
        const linear = linearOf(b, stride * stride * outputs, taps * taps * channels, 4, precision);
        const rows = images * height * width;
        const x = b.createTensor(rows, channels, noise(rows * channels, 37));
        const out = b.createTensor(rows * stride * stride, outputs);
        b.convolveTransposed(out, x, linear, { height, width, kernel, stride }, { activation });
        return b.read(out);
      });
    matches(`convolveTransposed ${label}`, (b) => run(b, "f32"));
    matches(`convolveTransposed ${label}, then relu`, (b) => run(b, "f32", "relu"));
    matches(`convolveTransposed ${label} in f16`, (b) => run(b, "f16"), tolerances.f16);
    equals(`convolveTransposed ${label} in int8`, (b) => run(b, "int8"));
  }

  // Channels that fill no vector, windows that are mostly outside, strides, several images.
  for (const [images, height, width, channels, kernel, stride, top, left] of [
    [1, 1, 1, 1, 3, 1, 1, 1],
    [2, 3, 2, 5, 3, 1, 1, 1],
    [1, 7, 9, 8, 3, 2, 0, 1],
    [3, 4, 5, 13, 2, 1, 0, 0],
    [1, 12, 11, 24, 5, 1, 2, 2],
    [1, 33, 17, 67, 3, 1, 1, 1],
  ] as const) {
    const outHeight = Math.floor((height + top - 1) / stride) + 1;
    const outWidth = Math.floor((width + left - 1) / stride) + 1;
    matches(`convolveDepthwise ${images}×${height}×${width}×${channels}, ${kernel}×${kernel} by ${stride}`, (b) =>
      during(b, async () => {
        const rows = images * height * width;
        const x = b.createTensor(rows, channels, noise(rows * channels, 41));
        const filters = b.createTensor(kernel * kernel, channels, noise(kernel * kernel * channels, 42));
        const out = b.createTensor(images * outHeight * outWidth, channels);
        b.convolveDepthwise(out, x, filters, { height, width, kernel, stride, top, left, outHeight, outWidth });
        return b.read(out);
      }),
    );
  }

  // Tiles of 4 and 6 rows, panels of 8 columns, more rows than are multiplied at once.
  for (const [images, rows, columns, d] of [
    [1, 1, 1, 1],
    [2, 3, 5, 6],
    [3, 7, 8, 9],
    [1, 25, 9, 64],
    [2, 13, 33, 35],
    [1, 2000, 11, 10],
  ] as const) {
    matches(`matmul ${images} times ${rows}×${d} and ${columns}×${d}`, (b) =>
      during(b, async () => {
        const x = b.createTensor(images * rows, d, noise(images * rows * d, 43));
        const y = b.createTensor(images * columns, d, noise(images * columns * d, 44));
        const out = b.createTensor(images * rows, columns);
        b.matmul(out, x, y);
        return b.read(out);
      }),
    );
  }

  // Larger, smaller, the same; sides of one pixel; parts of the rows.
  for (const [images, height, width, outHeight, outWidth, channels, first, count] of [
    [1, 1, 1, 1, 1, 1, 0, 1],
    [1, 1, 1, 3, 4, 2, 0, 3],
    [2, 3, 4, 6, 8, 5, 0, 6],
    [1, 5, 7, 5, 7, 8, 1, 3],
    [2, 7, 5, 3, 1, 9, 1, 2],
    [1, 37, 19, 74, 266, 3, 13, 31],
    [3, 4, 2, 9, 13, 12, 8, 1],
  ] as const) {
    for (const aligned of [false, true]) {
      for (const accumulate of [false, true]) {
        const kind = `${aligned ? "corners" : "edges"} aligned${accumulate ? ", added to out" : ""}`;
        matches(`resizeMap ${images}×${height}×${width}×${channels} to ${outHeight}×${outWidth}, ${kind}`, (b) =>
          during(b, async () => {
            const x = b.createTensor(images * height * width, channels, noise(images * height * width * channels, 38));
            const rows = images * count * outWidth;
            const out = b.createTensor(rows, channels, noise(rows * channels, 39));
            const sizes = { height, width, outHeight, outWidth };
            b.resizeMap(out, x, { ...sizes, aligned, accumulate, rows: { first, count } });
            return b.read(out);
          }),
        );
      }
    }
  }

  for (const [images, tokens, prefix, width] of [
    [1, 2, 1, 1],
    [2, 5, 1, 6],
    [3, 10, 5, 9],
    [1, 197, 1, 24],
  ] as const) {
    for (const readout of ["ignore", "add", "concatenate"] as const) {
      matches(`readout of ${images}×${tokens}×${width}, ${prefix} before the patches: ${readout}`, (b) =>
        during(b, async () => {
          const x = b.createTensor(images * tokens, width, noise(images * tokens * width, 40));
          const out = b.createTensor(images * (tokens - prefix), readout === "concatenate" ? 2 * width : width);
          b.readout(out, x, { tokens, prefix, readout });
          return b.read(out);
        }),
      );
    }
  }

  // Kernels of 1, 2, 3, 7; padding that is even, odd and none; maps smaller than the window.
  for (const [images, height, width, channels, outputs, kernel, stride, top, left] of [
    [1, 1, 1, 1, 1, 1, 1, 0, 0],
    [2, 5, 4, 3, 9, 1, 2, 0, 0],
    [1, 2, 3, 5, 8, 3, 1, 1, 1],
    [2, 7, 9, 4, 10, 3, 2, 0, 1],
    [1, 12, 13, 3, 16, 7, 2, 2, 3],
    [3, 6, 8, 12, 7, 2, 2, 0, 0],
    [5, 1, 1, 12, 7, 2, 1, 0, 0],
    [1, 28, 28, 33, 20, 3, 1, 1, 1],
    // Windows of so many inputs that they are multiplied in parts, of whole pixels.
    [2, 4, 5, 96, 9, 3, 1, 1, 1],
    [1, 16, 17, 192, 5, 3, 1, 0, 1],
  ] as const) {
    const outHeight = Math.floor((height + top - 1) / stride) + 1;
    const outWidth = Math.floor((width + left - 1) / stride) + 1;
    const window = { height, width, kernel, stride, top, left, outHeight, outWidth };
    const label = `${images}×${height}×${width}×${channels} → ${outputs}, ${kernel}×${kernel} by ${stride}`;
    const run = (b: Backend, precision: Precision, options: ConvolveOptions) =>
      during(b, async () => {
        const linear = linearOf(b, outputs, kernel * kernel * channels, 4, precision);
        const size = images * height * width * channels;
        const x = b.createTensor(images * height * width, channels, noise(size, 34));
        const rows = images * outHeight * outWidth;
        const out = b.createTensor(rows, outputs, noise(rows * outputs, 35));
        b.convolve(out, x, linear, window, options);
        return b.read(out);
      });
    for (const options of [
      {},
      { accumulate: true },
      { relu: true, activation: "relu" },
      { relu: true, accumulate: true },
    ] as const) {
      matches(`convolve ${label} ${JSON.stringify(options)}`, (b) => run(b, "f32", options));
    }
    matches(`convolve ${label} in f16`, (b) => run(b, "f16", { relu: true }), tolerances.f16);
    equals(`convolve ${label} in int8`, (b) => run(b, "int8", { accumulate: true }));
    equals(`convolve ${label} in int8 of positive values`, (b) => run(b, "int8", { relu: true }));
    for (const fill of [0, Number.NEGATIVE_INFINITY]) {
      define(`maxPool ${label} in ${fill}`, async (b) => {
        const pooled = (b: Backend) =>
          during(b, async () => {
            const size = images * height * width * channels;
            // Negative, so that what is outside shows.
            const x = b.createTensor(
              images * height * width,
              channels,
              noise(size, 36).map((v) => v - 1),
            );
            const out = b.createTensor(images * outHeight * outWidth, channels);
            b.maxPool(out, x, window, fill);
            return b.read(out);
          });
        assert.deepEqual(await pooled(b), await pooled(reference));
      });
    }
  }

  for (const [images, pixels, channels, groups] of [
    [1, 1, 2, 1],
    [2, 5, 6, 3],
    [1, 65, 12, 4],
    [3, 130, 10, 10],
    [1, 784, 64, 32],
  ] as const) {
    for (const options of [{}, { activation: "relu" }, { accumulate: true, activation: "relu" }] as const) {
      matches(`groupNorm ${images}×${pixels}×${channels} in ${groups} groups ${JSON.stringify(options)}`, (b) =>
        during(b, async () => {
          const size = images * pixels * channels;
          // Means far from 0, another one for each channel.
          const values = noise(size, 37).map((v, i) => v + 30 + (i % channels));
          const x = b.createTensor(images * pixels, channels, values);
          const out = b.createTensor(images * pixels, channels, noise(size, 38));
          const scale = b.createTensor(1, channels, noise(channels, 39));
          const shift = b.createTensor(1, channels, noise(channels, 40));
          b.groupNorm(out, x, { scale, shift, eps: 1e-5 }, { groups, pixels, ...options });
          return b.read(out);
        }),
      );
    }
  }

  for (const [rows, heads, d] of [
    [1, 1, 1],
    [3, 2, 5],
    [17, 3, 16],
  ] as const) {
    for (const cols of new Set([d, heads * d])) {
      matches(`qkNorm ${rows} tokens, ${heads} heads of ${d}, scales of ${cols} columns`, (b) =>
        during(b, async () => {
          const qkv = b.createTensor(rows, 3 * heads * d, noise(rows * 3 * heads * d, 18));
          const norm = (seed: number) => ({
            scale: b.createTensor(1, cols, noise(cols, seed)),
            shift: b.createTensor(1, cols, noise(cols, seed + 1)),
            eps: 1e-6,
          });
          b.qkNorm(qkv, heads, norm(19), norm(21));
          return b.read(qkv);
        }),
      );
    }
  }

  for (const [images, channels, height, width, patchHeight, patchWidth] of [
    [1, 1, 1, 1, 1, 1],
    [2, 3, 6, 10, 3, 5],
    [1, 3, 17, 23, 4, 7],
    [3, 3, 32, 32, 16, 16],
  ] as const) {
    matches(`patchify ${images}×${channels}×${height}×${width} by ${patchHeight}×${patchWidth}`, (b) =>
      during(b, async () => {
        const pixels = b.createTensor(images * channels, height * width, noise(images * channels * height * width, 11));
        const count = Math.floor(height / patchHeight) * Math.floor(width / patchWidth);
        const out = b.createTensor(images * count, channels * patchHeight * patchWidth);
        b.patchify(out, pixels, { height, width, patchHeight, patchWidth });
        return b.read(out);
      }),
    );
  }

  for (const [images, prefixRows, patches, width] of [
    [1, 1, 1, 1],
    [2, 0, 5, 6],
    [3, 2, 9, 13],
  ] as const) {
    matches(`assembleTokens ${images}×(${prefixRows}+${patches})×${width}`, (b) =>
      during(b, async () => {
        const prefix = prefixRows ? b.createTensor(prefixRows, width, noise(prefixRows * width, 12)) : undefined;
        const positions = b.createTensor(prefixRows + patches, width, noise((prefixRows + patches) * width, 13));
        const x = b.createTensor(images * patches, width, noise(images * patches * width, 14));
        const out = b.createTensor(images * (prefixRows + patches), width);
        b.assembleTokens(out, prefix, x, positions);
        return b.read(out);
      }),
    );
  }

  for (const prefixRows of [0, 2]) {
    matches(`assembleTokens of ${prefixRows ? 3 : 1} images without positions, ${prefixRows} rows before`, (b) =>
      during(b, async () => {
        const [patches, width] = [9, 13];
        const images = prefixRows ? 3 : 1;
        const prefix = prefixRows ? b.createTensor(prefixRows, width, noise(prefixRows * width, 12)) : undefined;
        const x = b.createTensor(images * patches, width, noise(images * patches * width, 14));
        const out = b.createTensor(images * (prefixRows + patches), width);
        b.assembleTokens(out, prefix, x, undefined);
        return b.read(out);
      }),
    );
  }

  for (const [images, tokens, width, first, count] of [
    [1, 1, 1, 0, 1],
    [2, 5, 7, 1, 4],
    [3, 17, 12, 2, 1],
  ] as const) {
    matches(`pool rows ${first} to ${first + count - 1} of ${images}×${tokens}×${width}`, (b) =>
      during(b, async () => {
        const x = b.createTensor(images * tokens, width, noise(images * tokens * width, 15));
        const out = b.createTensor(images, width);
        b.pool(out, x, { tokens, first, count });
        return b.read(out);
      }),
    );
  }

  // Bit patterns for the two half formats: zero, one, -2, the least subnormal, the largest finite.
  const stored: readonly [DType, readonly number[]][] = [
    ["F64", [0, 1 / 3, -1e30, 7]],
    ["F32", [0, 1 / 3, -1e30, 7]],
    ["F16", [0x0000, 0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000, 0x03ff]],
    ["BF16", [0x0000, 0x3f80, 0xc000, 0x0001, 0x7f7f, 0x8000, 0x3eab]],
    ["I64", [0, -5, 2 ** 40]],
    ["I32", [0, -5, 2 ** 30 + 1]],
    ["I16", [0, -32768, 32767]],
    ["I8", [0, -128, 127]],
    ["U8", [0, 255, 1]],
    ["BOOL", [0, 1, 1]],
  ];
  for (const [dtype, values] of stored) {
    define(`store widens ${dtype} exactly, in rows, out of order`, async (b) => {
      for (const width of [1, 3, 9]) {
        const x = b.createTensor(7, width);
        const cell = (row: number, i: number) => values[(row * width + i) % values.length]!;
        const rows = (first: number, count: number) =>
          encode(
            dtype,
            Array.from({ length: count * width }, (_, i) => cell(first, i)),
          );
        const r = reference.createTensor(7, width);
        for (const [first, count] of [
          [4, 3],
          [0, 1],
          [1, 3],
        ] as const) {
          b.store({ tensor: x, row: first }, dtype, rows(first, count));
          reference.store({ tensor: r, row: first }, dtype, rows(first, count));
        }
        assert.deepEqual(await b.read(x), await reference.read(r));
      }
    });
  }

  /** Every 16-bit pattern below `count`, in order. */
  const patterns = (count: number) => new Uint8Array(Uint16Array.from({ length: count }, (_, i) => i).buffer);
  define("store refuses what is not finite, and names the first such element", async (b) => {
    const mark = b.mark();
    for (const [dtype, infinity] of [
      ["F16", 0x7c00],
      ["BF16", 0x7f80],
    ] as const) {
      const x = b.createTensor(1, infinity + 1);
      assert.equal(b.store({ tensor: x, row: 0 }, dtype, patterns(infinity + 1)), infinity, dtype);
      assert.equal(b.store({ tensor: b.createTensor(1, infinity), row: 0 }, dtype, patterns(infinity)), -1, dtype);
    }
    const doubles = (...values: number[]) => new Uint8Array(Float64Array.from(values).buffer);
    const x = b.createTensor(1, 3);
    assert.equal(b.store({ tensor: x, row: 0 }, "F64", doubles(1, 3e38, -3e38)), -1);
    assert.equal(b.store({ tensor: x, row: 0 }, "F64", doubles(1, 3e38, 1e39)), 2, "infinite once it is f32");
    assert.equal((await b.read(x))[0], 1);
    const half = b.createLinear(1, 3, "f16");
    assert.equal(b.store({ linear: half, part: "weight", row: 0 }, "F64", doubles(1, 65504, 65519)), -1);
    assert.equal(b.store({ linear: half, part: "weight", row: 0 }, "F64", doubles(1, -65520, 1)), 1, "beyond f16");
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (let at = 0; at < 35; at++) {
        const values = Float32Array.from({ length: 35 }, (_, i) => (i === at ? bad : (-1) ** i * 3.4e38));
        assert.equal(b.store({ tensor: b.createTensor(5, 7), row: 0 }, "F32", f32(values)), at);
      }
    }
    b.release(mark);
  });

  define("store packs a weight that comes in pieces as it packs it whole", async (b) => {
    const [outputs, inputs] = [21, 10];
    const weight = noise(outputs * inputs, 16);
    const x = b.createTensor(5, inputs, noise(5 * inputs, 17));
    const results: Float32Array[] = [];
    for (const pieces of [[21], [1, 2, 7, 11], [10, 11], [4, 4, 4, 4, 5]]) {
      const linear = b.createLinear(outputs, inputs);
      let row = 0;
      for (const count of pieces) {
        const piece = f32(weight.slice(row * inputs, (row + count) * inputs));
        const staged = b.stage(piece.length);
        staged.set(piece);
        b.store({ linear, part: "weight", row }, "F32", staged);
        row += count;
      }
      const out = b.createTensor(5, outputs);
      b.linear(out, x, linear);
      results.push(await b.read(out));
    }
    for (const result of results) assert.deepEqual(result, results[0]);
  });

  define("memory: activations are reused after release", async (b) => {
    const before = b.memory;
    const mark = b.mark();
    b.createTensor(100, 100);
    b.release(mark);
    const after = b.memory;
    for (let i = 0; i < 100; i++) {
      const again = b.mark();
      b.createTensor(100, 100);
      b.release(again);
    }
    assert.equal(before.weights, after.weights);
    assert.deepEqual(b.memory, after);
  });

  const refusals: readonly [string, RegExp, (b: Backend, t: (rows: number, cols: number) => Tensor) => void][] = [
    [
      "linear into a tensor of the wrong shape",
      /^linear: x is 5×3, so out must be 5×2; got 5×4$/,
      (b, t) => b.linear(t(5, 4), t(5, 3), b.createLinear(2, 3)),
    ],
    [
      "linear of the wrong width",
      /^linear: the weight is 2×3, so x must have 3 columns; got 5×4$/,
      (b, t) => b.linear(t(5, 2), t(5, 4), b.createLinear(2, 3)),
    ],
    [
      "linear to columns that are not there",
      /^linear: x is 5×3, so out must have 5 rows and at least 10 columns for 2 outputs from column 8 on; got 5×9$/,
      (b, t) => b.linear(t(5, 9), t(5, 3), b.createLinear(2, 3), { accumulate: true, column: 8 }),
    ],
    [
      "linear to columns between panels",
      /^linear: column must be a multiple of 8, from 0 on; got 4$/,
      (b, t) => b.linear(t(5, 9), t(5, 3), b.createLinear(2, 3), { accumulate: true, column: 4 }),
    ],
    [
      "linear in the place of columns",
      /^linear: column needs accumulate; got none$/,
      (b, t) => b.linear(t(5, 9), t(5, 3), b.createLinear(2, 3), { column: 0 }),
    ],
    [
      "attention of heads that do not divide",
      /^attention: with 5 tokens and 2 heads qkv must have a multiple of 5 rows and of 6 columns; got 5×9$/,
      (b, t) => b.attention(t(5, 3), t(5, 9), { heads: 2, tokens: 5 }),
    ],
    [
      "attention to values of other tokens",
      /^attention: k is 6×4, so v must be 6×4; got 5×4$/,
      (b, t) => b.attention(t(2, 4), { q: t(2, 4), k: t(6, 4), v: t(5, 4) }, { heads: 2, tokens: 3 }),
    ],
    [
      "attention of queries of another number",
      /^attention: out is 4×4, so q must be 2×4; got 3×4$/,
      (b, t) => b.attention(t(4, 4), { q: t(3, 4), k: t(6, 4), v: t(6, 4) }, { heads: 2, tokens: 3 }),
    ],
    [
      "attention of several queries with another bias",
      /^attention: there are 2 queries of 3 tokens and 2 heads, so bias must be 4×3; got 3×3$/,
      (b, t) => b.attention(t(4, 4), { q: t(2, 4), k: t(6, 4), v: t(6, 4) }, { heads: 2, tokens: 3, bias: t(3, 3) }),
    ],
    [
      "layerNorm with another width",
      /^layerNorm: x is 2×4, so scale must be 1×4; got 1×3$/,
      (b, t) => b.layerNorm(t(2, 4), t(2, 4), { scale: t(1, 3), shift: t(1, 4), eps: 0 }),
    ],
    [
      "swiglu without a value for each gate",
      /^swiglu: x must have a gate for each value; got 2×3$/,
      (b, t) => b.swiglu(t(2, 1), t(2, 3)),
    ],
    [
      "rope of another head",
      /^rope: qkv is 4×12 of 1 heads, so cos must have 4 or 4 columns and rows that divide 4; got 4×2$/,
      (b, t) => b.rope(t(4, 12), t(4, 2), t(4, 2), { heads: 1, pairs: "halves" }),
    ],
    [
      "attention with decomposed positions of another grid",
      /^attention: decomposed positions are of 2×2 tokens, so there must be as many queries and keys; got 3 and 3$/,
      (b, t) =>
        b.attention(t(3, 4), t(3, 12), {
          ...{ heads: 2, tokens: 3 },
          decomposed: { height: 2, width: 2, down: t(3, 2), across: t(3, 2) },
        }),
    ],
    [
      "attention with another table of positions",
      /^attention: the grid is 2×2 and heads have 2 columns, so across must be 3×2; got 2×2$/,
      (b, t) =>
        b.attention(t(4, 4), t(4, 12), {
          ...{ heads: 2, tokens: 4 },
          decomposed: { height: 2, width: 2, down: t(3, 2), across: t(2, 2) },
        }),
    ],
    [
      "windows of another map",
      /^toWindows: the map is 6×1 of 1×2 windows of 2×2 pixels, so the windows must be 8×1; got 6×1$/,
      (b, t) => b.toWindows(t(6, 1), t(6, 1), t(1, 1), { height: 2, width: 3, window: [2, 2] }),
    ],
    [
      "layerNorm with an activation and accumulate",
      /^layerNorm: an activation excludes accumulate; got gelu and accumulate$/,
      (b, t) =>
        b.layerNorm(
          t(1, 2),
          t(1, 2),
          { scale: t(1, 2), shift: t(1, 2), eps: 0 },
          { activation: "gelu", accumulate: true },
        ),
    ],
    [
      "attention with another bias",
      /^attention: there are 3 tokens and 2 heads, so bias must be 6×3; got 5×3$/,
      (b, t) => b.attention(t(3, 4), t(3, 12), { heads: 2, tokens: 3, bias: t(5, 3) }),
    ],
    [
      "attention of windows that are no whole maps",
      /^attention: images are 2×2 windows of maps, so there must be a multiple of them, and a bias; got 3$/,
      (b, t) =>
        b.attention(t(6, 4), t(6, 12), { heads: 2, tokens: 2, bias: t(16, 2), windows: { down: 2, across: 2 } }),
    ],
    [
      "attention with a bias of one kind of windows",
      /^attention: there are 2 tokens and 2 heads, so bias must be 16×2; got 4×2$/,
      (b, t) => b.attention(t(8, 4), t(8, 12), { heads: 2, tokens: 2, bias: t(4, 2), windows: { down: 2, across: 2 } }),
    ],
    [
      "relativePositions shifted by a window",
      /^relativePositions: the grid is 2×2, shifted, so it must be by fewer lines and columns; got 0 and 2$/,
      (b, t) => b.relativePositions(t(48, 4), t(9, 3), { height: 2, width: 2, shifted: { by: [0, 2], penalty: -1 } }),
    ],
    [
      "toWindows of a map that is turned by more than it has",
      /^toWindows: .* so shifts must be below a period from 2×3 to 2×4; got 0×3 of 2×3$/,
      (b, t) =>
        b.toWindows(t(8, 1), t(6, 1), t(1, 1), {
          ...{ height: 2, width: 3, window: [2, 2], shift: { by: [0, 3], of: [2, 3] } },
        }),
    ],
    [
      "relativePositions of another grid",
      /^relativePositions: the grid is 2×2, so table must be 12×3; got 11×3$/,
      (b, t) => b.relativePositions(t(15, 5), t(11, 3), { height: 2, width: 2 }),
    ],
    [
      "convolve of another kernel",
      /^convolve: the window is 3×3 of 2 channels, so weights must have 18 inputs; got 8$/,
      (b, t) => b.convolve(t(4, 1), t(4, 2), b.createLinear(1, 8), windowOf(3, 2)),
    ],
    [
      "convolve with a window beside the map",
      /^convolve: each window of 3×3 must have a pixel of the 2×2 map; got 4×4 windows, stride 1, from -1, -1 on$/,
      (b, t) => b.convolve(t(16, 1), t(4, 2), b.createLinear(1, 18), windowOf(3, 4)),
    ],
    [
      "convolve with an activation of a sum",
      /^convolve: an activation excludes accumulate; got relu and accumulate$/,
      (b, t) =>
        b.convolve(t(4, 1), t(4, 2), b.createLinear(1, 18), windowOf(3, 2), { activation: "relu", accumulate: true }),
    ],
    [
      "convolveTransposed by a stride that does not divide the kernel",
      /^convolveTransposed: the kernel must be a multiple of the stride, and larger by an even number; got 3 and 2$/,
      (b, t) =>
        b.convolveTransposed(t(4, 1), t(1, 2), b.createLinear(4, 2), { height: 1, width: 1, kernel: 3, stride: 2 }),
    ],
    [
      "convolveTransposed of other weights",
      /^convolveTransposed: the kernel is 2×2 by 2 and x has 2 channels, so weights must have 2 inputs and a multiple of 4 outputs; got 2 and 3$/,
      (b, t) =>
        b.convolveTransposed(t(4, 1), t(1, 2), b.createLinear(3, 2), { height: 1, width: 1, kernel: 2, stride: 2 }),
    ],
    [
      "convolveTransposed into another map",
      /^convolveTransposed: maps are 2×1 and the kernel is 2×2 by 2, so out must be 8×1; got 4×1$/,
      (b, t) =>
        b.convolveTransposed(t(4, 1), t(2, 2), b.createLinear(4, 2), { height: 2, width: 1, kernel: 2, stride: 2 }),
    ],
    [
      "resizeMap to more rows than there are",
      /^resizeMap: rows must be of 4; got 2 from 3 on$/,
      (b, t) =>
        b.resizeMap(t(8, 1), t(4, 1), {
          ...{ height: 2, width: 2, outHeight: 4, outWidth: 4, aligned: true },
          rows: { first: 3, count: 2 },
        }),
    ],
    [
      "resizeMap into another map",
      /^resizeMap: 1 maps become 3 rows of 3 pixels, so out must be 9×1; got 8×1$/,
      (b, t) => b.resizeMap(t(8, 1), t(4, 1), { height: 2, width: 2, outHeight: 3, outWidth: 3, aligned: false }),
    ],
    [
      "convolveDepthwise by filters of other channels",
      /^convolveDepthwise: the window is 3×3 of 2 channels, so filters must be 9×2; got 9×3$/,
      (b, t) => b.convolveDepthwise(t(4, 2), t(4, 2), t(9, 3), windowOf(3, 2)),
    ],
    [
      "matmul of other columns",
      /^matmul: x is 4×2, so y must have 2 columns; got 3×3$/,
      (b, t) => b.matmul(t(4, 3), t(4, 2), t(3, 3)),
    ],
    [
      "matmul of images that do not come out",
      /^matmul: out has 3 columns, so y must have as many rows for each image of x; got 5×2 and 6×2$/,
      (b, t) => b.matmul(t(5, 3), t(5, 2), t(6, 2)),
    ],
    [
      "readout of a token that is not there",
      /^readout: to add the first token there must be one before the patches; got none$/,
      (b, t) => b.readout(t(4, 1), t(4, 1), { tokens: 4, prefix: 0, readout: "add" }),
    ],
    [
      "readout into another map",
      /^readout: x is 4×3 of 2 tokens, so out must be 2×6; got 2×3$/,
      (b, t) => b.readout(t(2, 3), t(4, 3), { tokens: 2, prefix: 1, readout: "concatenate" }),
    ],
    [
      "maxPool into another map",
      /^maxPool: maps are 2×2, so out must be 4×2; got 3×2$/,
      (b, t) => b.maxPool(t(3, 2), t(4, 2), windowOf(3, 2), 0),
    ],
    [
      "groupNorm of groups that do not divide",
      /^groupNorm: with 2 pixels an image and 2 groups x must have multiples of them; got 2×3$/,
      (b, t) => b.groupNorm(t(2, 3), t(2, 3), { scale: t(1, 3), shift: t(1, 3), eps: 0 }, { groups: 2, pixels: 2 }),
    ],
    [
      "rescale by factors of another number",
      /^rescale: the layer has 2 outputs, so factors must have as many elements; got 3$/,
      (b) => b.rescale(b.createLinear(2, 3), new Float32Array(3)),
    ],
    [
      "store of half a row",
      /^store: the target is 3×2, so bytes from row 1 on must be at most 2 whole rows of 2 F32; got 12 bytes$/,
      (b, t) => b.store({ tensor: t(3, 2), row: 1 }, "F32", new Uint8Array(12)),
    ],
    [
      "pool behind the last token",
      /^pool: x is 4×3, which does not hold rows 1 to 4 of images of 4 tokens$/,
      (b, t) => b.pool(t(1, 3), t(4, 3), { tokens: 4, first: 1, count: 4 }),
    ],
  ];
  for (const [name, message, run] of refusals) {
    define(`refuses ${name}`, async (b) => {
      assert.throws(() => run(b, (rows, cols) => b.createTensor(rows, cols)), { name: "RangeError", message });
    });
  }

  define("throws after dispose", async () => {
    const b = await options.create();
    b.dispose();
    assert.throws(() => {
      const x = b.createTensor(1, 1, Float32Array.of(1));
      b.linear(b.createTensor(1, 1), x, b.createLinear(1, 1));
    }, /the backend was disposed of/);
  });
}
