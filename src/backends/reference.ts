/**
 * The reference backend: one plain loop per formula, sums in f64, results rounded to f32. It is the oracle of the other
 * backends' tests, the place to read what an op means, and slow: seconds for an image of ViT-B.
 */
import {
  type Attended,
  type Backend,
  type Decomposed,
  type DType,
  ELEMENT_BYTES,
  type Linear,
  type Norm,
  type Pair,
  type Tensor,
} from "../backend.js";
import { ACTIVATIONS, sigmoid } from "../numerics/activations.js";
import { ACTIVATION_RANGE, quantizeRow, roundToEven, WEIGHT_RANGE } from "../numerics/quantize.js";
import {
  checkAssembleTokens,
  checkAttention,
  checkConvolve,
  checkConvolveDepthwise,
  checkConvolveTransposed,
  checkData,
  checkFromWindows,
  checkGroupNorm,
  checkLayerNorm,
  checkLinear,
  checkMatmul,
  checkMaxPool,
  checkPatchify,
  checkPool,
  checkQkNorm,
  checkReadout,
  checkRelativePositions,
  checkRescale,
  checkResizeMap,
  checkRope,
  checkSize,
  checkStore,
  checkSwiglu,
  checkToWindows,
} from "./shapes.js";

/** Row-major. */
interface Matrix extends Tensor {
  readonly data: Float32Array;
}

interface Weights extends Linear {
  /** [outputs, inputs]; integers for int8 */
  readonly weight: Float32Array;
  /** [outputs] */
  readonly bias: Float32Array;
  /** [outputs], of int8 */
  readonly scales: Float32Array;
}

const matrix = (x: Tensor) => x as Matrix;

/** The elements of a checkpoint's tensor, in f64. */
function elements(dtype: DType, bytes: Uint8Array): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const get: Record<DType, (at: number) => number> = {
    F64: (at) => view.getFloat64(at, true),
    F32: (at) => view.getFloat32(at, true),
    F16: (at) => half(view.getUint16(at, true)),
    BF16: (at) => brain(view.getUint16(at, true)),
    I64: (at) => Number(view.getBigInt64(at, true)),
    I32: (at) => view.getInt32(at, true),
    I16: (at) => view.getInt16(at, true),
    I8: (at) => view.getInt8(at),
    U8: (at) => view.getUint8(at),
    BOOL: (at) => view.getUint8(at),
  };
  const size = ELEMENT_BYTES[dtype];
  return Float64Array.from({ length: bytes.length / size }, (_, i) => get[dtype](i * size));
}

/** IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
  return exponent ? sign * (1 + fraction / 1024) * 2 ** (exponent - 15) : sign * fraction * 2 ** -24;
}

const word = new DataView(new ArrayBuffer(4));

/** bfloat16: the upper half of an f32. */
function brain(bits: number): number {
  word.setUint32(0, bits << 16);
  return word.getFloat32(0);
}

/** Nearest number with 10 fraction bits, ties to even; the least subnormal is 2^-24 (IEEE 754 binary16). */
function toHalf(x: number): number {
  const step = 2 ** Math.max(-24, Math.floor(Math.log2(Math.abs(x) || 1)) - 10);
  return roundToEven(x / step) * step;
}

const f32 = Math.fround;

/** A row as integers times a scale. */
function quantize(row: Float32Array, range: readonly [number, number]): { integers: Float32Array; scale: number } {
  const integers = new Float32Array(row.length);
  return { integers, scale: quantizeRow(integers, row, range) };
}

/** Rows as quantized, multiplied out. */
const rounded = (rows: readonly Float32Array[], range: readonly [number, number]): Float32Array[] =>
  rows.map((row) => {
    const { integers, scale } = quantize(row, range);
    return integers.map((x) => x * scale);
  });

/** Pixels of all windows, window by window: the image, the line and the column. */
function* pixelsOf(images: number, down: number, across: number, [height, width]: Pair) {
  for (let image = 0; image < images; image++)
    for (let top = 0; top < down * height; top += height)
      for (let left = 0; left < across * width; left += width)
        for (let y = top; y < top + height; y++) for (let u = left; u < left + width; u++) yield [image, y, u] as const;
}

/** Kind of a window: in the middle of a map, or at the end of a line (1), of a column (2), of both. */
const kindOf = (window: number, { down, across }: { down: number; across: number }): number =>
  2 * Number(Math.floor(window / across) % down === down - 1) + Number(window % across === across - 1);

/** A norm of all heads, or the head's own. */
function normOf(norm: Norm, head: number, d: number): Norm {
  const part = (x: Tensor): Matrix => {
    const { data } = matrix(x);
    return { rows: 1, cols: d, data: data.length === d ? data : data.subarray(head * d, (head + 1) * d) };
  };
  return { ...norm, scale: part(norm.scale), shift: norm.shift && part(norm.shift) };
}

/** Queries, keys and values: columns of matrices, from `first` on. */
function partsOf(from: Attended, width: number) {
  if ("q" in from) {
    const whole = (x: Tensor) => ({ ...matrix(x), first: 0 });
    return { q: whole(from.q), k: whole(from.k), v: whole(from.v) };
  }
  const columns = (first: number) => ({ ...matrix(from), first });
  return { q: columns(0), k: columns(width), v: columns(2 * width) };
}

/** Norm of x[at … at+width-1], added to `plus`, into the same place of out. */
function normalize(
  out: Float32Array,
  x: Float32Array,
  at: number,
  width: number,
  norm: Norm,
  plus?: Float32Array,
): void {
  const scale = matrix(norm.scale).data;
  const shift = norm.shift && matrix(norm.shift).data;
  let mean = 0;
  if (shift) for (let i = 0; i < width; i++) mean += x[at + i]! / width;
  let variance = 0;
  for (let i = 0; i < width; i++) variance += (x[at + i]! - mean) ** 2 / width;
  for (let i = 0; i < width; i++) {
    const y = ((x[at + i]! - mean) / Math.sqrt(variance + norm.eps)) * scale[i]! + (shift?.[i] ?? 0);
    out[at + i] = y + (plus?.[at + i] ?? 0);
  }
}

/** Rows of a weight from `row` on; with `scales` they are integers. */
function storeWeight(
  { weight, scales, inputs, precision }: Weights,
  row: number,
  rows: Float32Array,
  given?: Float32Array,
): void {
  for (let at = 0; at < rows.length; at += inputs, row++) {
    const values = rows.subarray(at, at + inputs);
    const scale = given?.[at / inputs];
    if (precision === "int8") {
      const { integers, scale: own } =
        scale === undefined ? quantize(values, WEIGHT_RANGE) : { integers: values, scale };
      weight.set(integers, row * inputs);
      scales[row] = own;
    } else {
      const product = scale === undefined ? values : values.map((x) => x * scale);
      weight.set(precision === "f16" ? product.map(toHalf) : product, row * inputs);
    }
  }
}

export function createReferenceBackend(): Backend {
  let weights = 0;
  let activations = 0;
  let peak = 0;
  let marks = 0;
  let disposed = false;

  function take(floats: number): Float32Array {
    if (disposed) throw new Error("reference: the backend was disposed of; create another");
    if (marks === 0) weights += floats * 4;
    else activations += floats * 4;
    peak = Math.max(peak, activations);
    return new Float32Array(floats);
  }

  return {
    name: "reference",
    get memory() {
      return { weights, activations: peak };
    },

    createTensor(rows, cols, data) {
      checkSize("createTensor", rows, cols);
      const x: Matrix = { rows, cols, data: take(rows * cols) };
      if (data) this.write(x, data);
      return x;
    },

    createLinear(outputs, inputs, precision = "f32") {
      checkSize("createLinear", outputs, inputs);
      const [weight, bias, scales] = [take(outputs * inputs), take(outputs), take(outputs)];
      return { outputs, inputs, precision, weight, bias, scales } as Weights;
    },

    stage: (length) => new Uint8Array(length),

    store(target, dtype, bytes) {
      checkStore(target, dtype, bytes);
      const x = Float32Array.from(elements(dtype, bytes));
      const half = "linear" in target && target.part === "weight" && target.linear.precision === "f16";
      const bad = x.findIndex((value) => !Number.isFinite(value) || (half && Math.abs(toHalf(value)) > 65504));
      if (bad >= 0) return bad;
      if ("tensor" in target) matrix(target.tensor).data.set(x, target.row * target.tensor.cols);
      else if (target.part === "bias") (target.linear as Weights).bias.set(x, target.row);
      else storeWeight(target.linear as Weights, target.row, x, target.scales);
      return -1;
    },

    rescale(weights, factors) {
      checkRescale(weights, factors);
      const { weight, bias, scales, inputs, precision } = weights as Weights;
      factors.forEach((factor, row) => {
        bias[row]! *= factor;
        if (precision === "int8") scales[row]! *= factor;
        else {
          for (let i = row * inputs; i < (row + 1) * inputs; i++) {
            const product = f32(weight[i]! * factor);
            weight[i] = precision === "f16" ? toHalf(product) : product;
          }
        }
      });
    },

    mark() {
      marks++;
      return activations;
    },

    release(mark) {
      marks--;
      activations = mark;
    },

    write(x, data) {
      checkData("write", x, data);
      matrix(x).data.set(data);
    },

    read: async (x) => matrix(x).data.slice(),

    patchify(out, pixels, grid) {
      const { images, channels, gridHeight, gridWidth } = checkPatchify(out, pixels, grid);
      const { height, width, patchHeight, patchWidth } = grid;
      const o = matrix(out).data;
      const p = matrix(pixels).data;
      let i = 0;
      for (let image = 0; image < images; image++)
        for (let gy = 0; gy < gridHeight; gy++)
          for (let gx = 0; gx < gridWidth; gx++)
            for (let c = 0; c < channels; c++)
              for (let y = 0; y < patchHeight; y++)
                for (let x = 0; x < patchWidth; x++)
                  o[i++] = p[((image * channels + c) * height + gy * patchHeight + y) * width + gx * patchWidth + x]!;
    },

    assembleTokens(out, prefix, patches, positions) {
      const images = checkAssembleTokens(out, prefix, patches, positions);
      const count = prefix?.rows ?? 0;
      const width = out.cols;
      const tokens = out.rows / images;
      const o = matrix(out).data;
      const p = positions && matrix(positions).data;
      for (let image = 0; image < images; image++)
        for (let row = 0; row < tokens; row++)
          for (let i = 0; i < width; i++) {
            const token =
              prefix && row < count
                ? matrix(prefix).data[row * width + i]!
                : matrix(patches).data[(image * (tokens - count) + row - count) * width + i]!;
            o[(image * tokens + row) * width + i] = token + (p?.[row * width + i] ?? 0);
          }
    },

    layerNorm(out, x, norm, options = {}) {
      checkLayerNorm(out, x, norm, options);
      const o = matrix(out).data;
      const plus = options.accumulate ? o : undefined;
      for (let row = 0; row < x.rows; row++) normalize(o, matrix(x).data, row * x.cols, x.cols, norm, plus);
      if (options.activation) for (const [i, y] of o.entries()) o[i] = ACTIVATIONS[options.activation].of(y);
    },

    swiglu(out, x) {
      checkSwiglu(out, x);
      const { cols, data } = matrix(x);
      const width = cols / 2;
      for (let row = 0; row < x.rows; row++)
        for (let i = 0; i < width; i++) {
          const gate = data[row * cols + i]!;
          matrix(out).data[row * width + i] = gate * sigmoid(gate) * data[row * cols + width + i]!;
        }
    },

    qkNorm(qkv, heads, query, key) {
      const d = checkQkNorm(qkv, heads, query, key);
      const { rows, cols, data } = matrix(qkv);
      for (let row = 0; row < rows; row++)
        for (let h = 0; h < heads; h++) {
          normalize(data, data, row * cols + h * d, d, normOf(query, h, d));
          normalize(data, data, row * cols + (heads + h) * d, d, normOf(key, h, d));
        }
    },

    linear(out, x, weights, options = {}) {
      checkLinear(out, x, weights, options);
      const { norm, activation, accumulate, column = 0 } = options;
      const { outputs, inputs, precision, weight, bias, scales } = weights as Weights;
      const activate = activation ? ACTIVATIONS[activation].of : (y: number) => y;
      const o = matrix(out).data;
      for (let row = 0; row < x.rows; row++) {
        const given = matrix(x).data.slice(row * inputs, (row + 1) * inputs);
        if (norm) normalize(given, given, 0, inputs, norm);
        const { integers: a, scale } =
          precision === "int8" ? quantize(given, ACTIVATION_RANGE) : { integers: given, scale: 1 };
        for (let n = 0; n < outputs; n++) {
          let sum = 0;
          for (let k = 0; k < inputs; k++) sum += a[k]! * weight[n * inputs + k]!;
          const y = precision === "int8" ? f32(f32(sum) * f32(scale * scales[n]!)) + bias[n]! : sum + bias[n]!;
          const at = row * out.cols + column + n;
          o[at] = accumulate ? o[at]! + (precision === "int8" ? f32(y) : y) : activate(y);
        }
      }
    },

    attention(out, qkv, shape) {
      const { images, queries, d, shared } = checkAttention(out, qkv, shape);
      const { heads, tokens, bias, windows, decomposed, integers } = shape;
      const { q, k, v } = partsOf(qkv, heads * d);
      const o = matrix(out).data;
      const p = new Float64Array(tokens);
      /** Rows of a head, from `first` on. */
      const rowsOf = (part: typeof q, first: number, count: number, h: number) =>
        Array.from({ length: count }, (_, i) => {
          const at = (first + i) * part.cols + part.first + h * d;
          return part.data.slice(at, at + d);
        });
      /** A query's product with the rows of both tables that its place and the key's tell. */
      function positions(
        { height, width, down, across }: Decomposed,
        i: number,
        j: number,
        query: Float32Array,
      ): number {
        const line = Math.floor(i / width) - Math.floor(j / width) + height - 1;
        const column = (i % width) - (j % width) + width - 1;
        let dot = 0;
        for (let e = 0; e < d; e++) {
          dot += query[e]! * (matrix(down).data[line * d + e]! + matrix(across).data[column * d + e]!);
        }
        return dot;
      }
      for (let image = 0; image < images; image++)
        for (let h = 0; h < heads; h++) {
          const [queryRows, keyRows] = [
            rowsOf(q, shared ? 0 : image * queries, queries, h),
            rowsOf(k, image * tokens, tokens, h),
          ];
          const valueRows = rowsOf(v, image * tokens, tokens, h);
          const columns = Array.from({ length: d }, (_, e) => Float32Array.from(valueRows, (row) => row[e]!));
          const means = columns.map((column) => (integers ? column.reduce((sum, x) => sum + x, 0) / tokens : 0));
          const centered = columns.map((column, e) => column.map((x) => x - means[e]!));
          const [a, b, c] = integers
            ? [rounded(queryRows, ACTIVATION_RANGE), rounded(keyRows, WEIGHT_RANGE), rounded(centered, WEIGHT_RANGE)]
            : [queryRows, keyRows, columns];
          for (let i = 0; i < queries; i++) {
            const kind = windows ? kindOf(image, windows) : 0;
            let max = -Infinity;
            for (let j = 0; j < tokens; j++) {
              let dot = 0;
              for (let e = 0; e < d; e++) dot += a[i]![e]! * b[j]![e]!;
              const row = bias?.rows === queries ? i : (kind * heads + h) * queries + i;
              p[j] = dot / Math.sqrt(d) + (bias ? matrix(bias).data[row * tokens + j]! : 0);
              if (decomposed) p[j]! += positions(decomposed, i, j, queryRows[i]!);
              max = Math.max(max, p[j]!);
            }
            let sum = 0;
            for (let j = 0; j < tokens; j++) sum += p[j] = Math.exp(p[j]! - max);
            for (let j = 0; j < tokens; j++) p[j] = (integers ? roundToEven(255 * p[j]!) / 255 : p[j]!) / sum;
            for (let e = 0; e < d; e++) {
              let value = 0;
              for (let j = 0; j < tokens; j++) value += p[j]! * c[e]![j]!;
              o[(image * queries + i) * heads * d + h * d + e] = value + means[e]!;
            }
            if (shape.probabilities)
              matrix(shape.probabilities).data.set(p, ((image * heads + h) * queries + i) * tokens);
          }
        }
    },

    rope(qkv, cos, sin, shape) {
      const { d, own } = checkRope(qkv, cos, sin, shape);
      const { rows, cols, data } = matrix(qkv);
      const [c, s] = [matrix(cos), matrix(sin)];
      const partner = (i: number) => (shape.pairs === "interleaved" ? i ^ 1 : (i + d / 2) % d);
      for (let row = 0; row < rows; row++)
        for (let h = 0; h < 2 * shape.heads; h++) {
          const at = row * cols + h * d;
          const turn = (row % c.rows) * c.cols + (own ? (h % shape.heads) * d : 0);
          const x = data.slice(at, at + d);
          for (let i = 0; i < d; i++) data[at + i] = x[i]! * c.data[turn + i]! + x[partner(i)]! * s.data[turn + i]!;
        }
    },

    relativePositions(out, table, grid) {
      const { heads, first, kinds } = checkRelativePositions(out, table, grid);
      const { height, width, shifted } = grid;
      const tokens = first + height * width;
      const [y, x] = [
        (token: number) => Math.floor((token - first) / width),
        (token: number) => (token - first) % width,
      ];
      /** Tells whether a window of this kind ends the map, and a shift has brought one token, not the other, from its beginning. */
      const apart = (kind: number, q: number, k: number): boolean => {
        const [down, across] = shifted!.by;
        const lines = (token: number) => y(token) >= height - down;
        const columns = (token: number) => x(token) >= width - across;
        return (kind >= 2 && lines(q) !== lines(k)) || (kind % 2 === 1 && columns(q) !== columns(k));
      };
      let i = 0;
      for (let kind = 0; kind < kinds; kind++)
        for (let h = 0; h < heads; h++)
          for (let q = 0; q < tokens; q++)
            for (let k = 0; k < tokens; k++) {
              let row = (y(q) - y(k) + height - 1) * (2 * width - 1) + x(q) - x(k) + width - 1;
              if (k < first) row = table.rows - 2;
              if (q < first) row = k < first ? table.rows - 1 : table.rows - 3;
              const penalty = shifted && apart(kind, q, k) ? shifted.penalty : 0;
              matrix(out).data[i++] = matrix(table).data[row * heads + h]! + penalty;
            }
    },

    pool(out, x, { tokens, first, count }) {
      const images = checkPool(out, x, { tokens, first, count });
      const { cols, data } = matrix(x);
      for (let image = 0; image < images; image++)
        for (let i = 0; i < cols; i++) {
          let sum = 0;
          for (let row = first; row < first + count; row++) sum += data[(image * tokens + row) * cols + i]!;
          matrix(out).data[image * cols + i] = sum / count;
        }
    },

    convolve(out, x, weights, window, { relu, activation, accumulate } = {}) {
      const images = checkConvolve(out, x, weights, window, { activation, accumulate });
      const { height, width, kernel, stride, top, left, outHeight, outWidth } = window;
      const { cols } = x;
      const data = relu ? matrix(x).data.map((v) => Math.max(v, 0)) : matrix(x).data;
      const rows = new Float32Array(images * outHeight * outWidth * weights.inputs);
      let i = 0;
      for (let image = 0; image < images; image++)
        for (let oy = 0; oy < outHeight; oy++)
          for (let ox = 0; ox < outWidth; ox++)
            for (let ky = 0; ky < kernel; ky++)
              for (let kx = 0; kx < kernel; kx++, i += cols) {
                const [iy, ix] = [oy * stride + ky - top, ox * stride + kx - left];
                if (iy < 0 || iy >= height || ix < 0 || ix >= width) continue;
                const at = ((image * height + iy) * width + ix) * cols;
                rows.set(data.subarray(at, at + cols), i);
              }
      const patches: Matrix = { rows: images * outHeight * outWidth, cols: weights.inputs, data: rows };
      this.linear(out, patches, weights, { activation, accumulate });
    },

    convolveTransposed(out, x, weights, map, { activation } = {}) {
      const { images, outputs, cut, window } = checkConvolveTransposed(out, x, weights, map);
      const { stride } = map;
      const { outHeight, outWidth } = window;
      const rows = images * outHeight * outWidth;
      const wide: Matrix = { rows, cols: weights.outputs, data: new Float32Array(rows * weights.outputs) };
      this.convolve(wide, x, weights, window, { activation });
      const [height, width] = [map.height * stride, map.width * stride];
      let i = 0;
      for (let image = 0; image < images; image++)
        for (let y = 0; y < height; y++)
          for (let x = 0; x < width; x++, i += outputs) {
            const [v, u] = [y + cut, x + cut];
            const row = (image * outHeight + Math.floor(v / stride)) * outWidth + Math.floor(u / stride);
            const at = row * weights.outputs + ((v % stride) * stride + (u % stride)) * outputs;
            matrix(out).data.set(wide.data.subarray(at, at + outputs), i);
          }
    },

    convolveDepthwise(out, x, filters, window) {
      const images = checkConvolveDepthwise(out, x, filters, window);
      const { height, width, kernel, stride, top, left, outHeight, outWidth } = window;
      const { cols, data } = matrix(x);
      const w = matrix(filters).data;
      let i = 0;
      for (let image = 0; image < images; image++)
        for (let oy = 0; oy < outHeight; oy++)
          for (let ox = 0; ox < outWidth; ox++)
            for (let c = 0; c < cols; c++) {
              let sum = 0;
              for (let ky = 0; ky < kernel; ky++)
                for (let kx = 0; kx < kernel; kx++) {
                  const [iy, ix] = [oy * stride + ky - top, ox * stride + kx - left];
                  if (iy < 0 || iy >= height || ix < 0 || ix >= width) continue;
                  sum += data[((image * height + iy) * width + ix) * cols + c]! * w[(ky * kernel + kx) * cols + c]!;
                }
              matrix(out).data[i++] = sum;
            }
    },

    matmul(out, x, y) {
      const images = checkMatmul(out, x, y);
      const [rows, columns] = [out.rows / images, out.cols];
      const [a, b, o] = [matrix(x).data, matrix(y).data, matrix(out).data];
      const d = x.cols;
      for (let i = 0; i < out.rows; i++)
        for (let j = 0; j < columns; j++) {
          const own = (Math.floor(i / rows) * columns + j) * d;
          let sum = 0;
          for (let k = 0; k < d; k++) sum += a[i * d + k]! * b[own + k]!;
          o[i * columns + j] = sum;
        }
    },

    resizeMap(out, x, map) {
      const { images, first, count } = checkResizeMap(out, x, map);
      const { height, width, outHeight, outWidth, aligned, accumulate } = map;
      const { cols, data } = matrix(x);
      const o = matrix(out).data;
      /** The two pixels that one is between, and how far it is from the first. */
      function between(i: number, from: number, to: number): [number, number, number] {
        const at = aligned ? (to > 1 ? (i * (from - 1)) / (to - 1) : 0) : Math.max(((i + 0.5) * from) / to - 0.5, 0);
        const low = Math.min(Math.floor(at), from - 1);
        return [low, Math.min(low + 1, from - 1), at - low];
      }
      let i = 0;
      for (let image = 0; image < images; image++)
        for (let oy = first; oy < first + count; oy++)
          for (let ox = 0; ox < outWidth; ox++) {
            const [y0, y1, v] = between(oy, height, outHeight);
            const [x0, x1, u] = between(ox, width, outWidth);
            for (let c = 0; c < cols; c++, i++) {
              const at = (y: number, x: number) => data[((image * height + y) * width + x) * cols + c]!;
              const above = at(y0, x0) * (1 - u) + at(y0, x1) * u;
              const below = at(y1, x0) * (1 - u) + at(y1, x1) * u;
              o[i] = above * (1 - v) + below * v + (accumulate ? o[i]! : 0);
            }
          }
    },

    readout(out, x, { tokens, prefix, readout }) {
      const images = checkReadout(out, x, { tokens, prefix, readout });
      const { cols, data } = matrix(x);
      const o = matrix(out).data;
      let i = 0;
      for (let image = 0; image < images; image++)
        for (let token = prefix; token < tokens; token++) {
          const [own, first] = [image * tokens + token, image * tokens];
          for (let c = 0; c < cols; c++)
            o[i++] = data[own * cols + c]! + (readout === "add" ? data[first * cols + c]! : 0);
          if (readout === "concatenate") for (let c = 0; c < cols; c++) o[i++] = data[first * cols + c]!;
        }
    },

    toWindows(out, x, outside, map) {
      const { images, down, across, by, of } = checkToWindows(out, x, outside, map);
      const { height, width } = map;
      const { cols, data } = matrix(x);
      let i = 0;
      for (const [image, y, u] of pixelsOf(images, down, across, map.window)) {
        const [line, column] = [(y + by[0]) % of[0], (u + by[1]) % of[1]];
        const row = ((image * height + line) * width + column) * cols;
        const inside = y < of[0] && u < of[1] && line < height && column < width;
        matrix(out).data.set(inside ? data.subarray(row, row + cols) : matrix(outside).data, i);
        i += cols;
      }
    },

    fromWindows(out, x, map) {
      const { images, down, across, by, of } = checkFromWindows(out, x, map);
      const { height, width } = map;
      const { cols, data } = matrix(x);
      let i = 0;
      for (const [image, y, u] of pixelsOf(images, down, across, map.window)) {
        const [line, column] = [(y + by[0]) % of[0], (u + by[1]) % of[1]];
        const inside = y < of[0] && u < of[1] && line < height && column < width;
        const row = ((image * height + line) * width + column) * cols;
        if (inside) matrix(out).data.set(data.subarray(i, i + cols), row);
        i += cols;
      }
    },

    groupNorm(out, x, norm, { groups, pixels, activation, accumulate }) {
      const images = checkGroupNorm(out, x, norm, { groups, pixels, activation, accumulate });
      const { cols, data } = matrix(x);
      const [scale, shift, o] = [matrix(norm.scale).data, matrix(norm.shift!).data, matrix(out).data];
      const size = cols / groups;
      for (let image = 0; image < images; image++)
        for (let group = 0; group < groups; group++) {
          const at = (pixel: number, c: number) => (image * pixels + pixel) * cols + group * size + c;
          let mean = 0;
          for (let p = 0; p < pixels; p++) for (let c = 0; c < size; c++) mean += data[at(p, c)]!;
          mean /= pixels * size;
          let variance = 0;
          for (let p = 0; p < pixels; p++) for (let c = 0; c < size; c++) variance += (data[at(p, c)]! - mean) ** 2;
          const deviation = Math.sqrt(variance / (pixels * size) + norm.eps);
          for (let p = 0; p < pixels; p++)
            for (let c = 0; c < size; c++) {
              const channel = group * size + c;
              const i = at(p, c);
              let y = ((data[i]! - mean) / deviation) * scale[channel]! + shift[channel]!;
              if (accumulate) y += o[i]!;
              o[i] = activation === "relu" ? Math.max(0, y) : y;
            }
        }
    },

    maxPool(out, x, window, fill) {
      const images = checkMaxPool(out, x, window);
      const { height, width, kernel, stride, top, left, outHeight, outWidth } = window;
      const { cols, data } = matrix(x);
      let i = 0;
      for (let image = 0; image < images; image++)
        for (let oy = 0; oy < outHeight; oy++)
          for (let ox = 0; ox < outWidth; ox++)
            for (let c = 0; c < cols; c++) {
              let most = -Infinity;
              for (let ky = 0; ky < kernel; ky++)
                for (let kx = 0; kx < kernel; kx++) {
                  const [iy, ix] = [oy * stride + ky - top, ox * stride + kx - left];
                  const inside = iy >= 0 && iy < height && ix >= 0 && ix < width;
                  most = Math.max(most, inside ? data[((image * height + iy) * width + ix) * cols + c]! : fill);
                }
              matrix(out).data[i++] = most;
            }
    },

    dispose() {
      disposed = true;
    },
  };
}
