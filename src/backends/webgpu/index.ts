/** The WebGPU backend: maps the contract's ops to shaders, keeps weights and activations in buffers. */
import type {
  Activation,
  AttentionShape,
  Backend,
  ConvolveOptions,
  Decomposed,
  LayerNormOptions,
  Linear,
  Norm,
  Precision,
  Sampling,
  Tensor,
  Window,
  Windows,
} from "../../backend.js";
import {
  checkAssembleTokens,
  checkAttention,
  checkConvolve,
  checkConvolveDepthwise,
  checkConvolveTransposed,
  checkData,
  checkDraw,
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
} from "../shapes.js";
import type { Gpu } from "./device.js";
import { createRecorder, type Storage } from "./recorder.js";
import { groupsFor, type Shader, THREADS } from "./shader.js";
import { attention, blockOf, positionProducts } from "./shaders/attention.js";
import { type GemmVariant, gemm, TILES } from "./shaders/gemm.js";
import { groupNorm } from "./shaders/groupnorm.js";
import {
  convolveDepthwise,
  fromWindows,
  interleave,
  matmul,
  readout as readoutShader,
  resizeMap,
  toWindows,
} from "./shaders/maps.js";
import { norm as normShader } from "./shaders/norm.js";
import { quantize } from "./shaders/quantize.js";
import { rope } from "./shaders/rope.js";
import { sampleColumns, sampleRows } from "./shaders/sample.js";
import { assembleTokens, maxPool, patchify, pool, relativePositions, swiglu } from "./shaders/tokens.js";
import {
  bytesOf,
  type GpuLinear,
  type GpuTensor,
  padRows,
  storeColumns,
  storeRows,
  upTo4,
  WEIGHT_BYTES,
} from "./weights.js";

/** Parts of a device that are used although it has more: so that each variant is tested where it can be. */
export interface WebgpuOptions {
  readonly half?: boolean;
  readonly subgroups?: boolean;
  readonly packedDot?: boolean;
}

export interface WebgpuBackend extends Backend {
  /** Features that a precision runs with, in words. */
  describe(precision: Precision): string;
}

/** A large product has at least so many tiles of 64 × 64: a few for each core of a large GPU. */
const MANY_TILES = 512;

export function createWebgpuBackend(gpu: Gpu, options: WebgpuOptions = {}): WebgpuBackend {
  const { device } = gpu;
  const half = gpu.half && options.half !== false;
  const subgroups = gpu.subgroups && options.subgroups !== false;
  const packedDot = gpu.packedDot && options.packedDot !== false;
  const recorder = createRecorder(device);
  const {
    maxStorageBufferBindingSize: maxBufferBytes,
    maxComputeWorkgroupStorageSize: workgroupBytes,
    maxTextureDimension2D,
  } = device.limits;

  /**
   * Activations: a stack whose places keep their buffers, so that the same calls get the same buffers, and with them the
   * bind groups that they had.
   */
  const places: { storage: Storage; bytes: number }[] = [];
  let top = 0;
  let marks = 0;
  let weights = 0;
  /** Results that live within one op. */
  const scratch = new Map<string, GpuTensor>();

  function allocate(bytes: number): Storage {
    if (bytes > maxBufferBytes) {
      throw new RangeError(
        `webgpu: a matrix must fit ${maxBufferBytes.toLocaleString("en-US")} bytes, which this device binds at once; got ${bytes.toLocaleString("en-US")}`,
      );
    }
    return recorder.allocate(bytes);
  }

  /** Memory that lives on before the first mark, until it is released after it. */
  function take(bytes: number, fresh = false): Storage {
    if (marks === 0) {
      weights += bytes;
      return allocate(bytes);
    }
    const place = places[top];
    if (!place || place.bytes < bytes || fresh) {
      const storage = allocate(bytes);
      if (place) recorder.free(place.storage);
      places[top] = { storage, bytes };
    }
    return places[top++]!.storage;
  }

  function scratchOf(name: string, rows: number, cols: number): GpuTensor {
    const stride = upTo4(cols);
    const known = scratch.get(name);
    const bytes = rows * stride * 4;
    if (known && known.storage.bytes >= bytes) return { ...known, rows, cols, stride };
    const x = { rows, cols, stride, storage: allocate(bytes) };
    if (known) recorder.free(known.storage);
    scratch.set(name, x);
    return x;
  }

  /** The sampling that `draw` has last been given, whose taps and values are on the device. */
  let sampled: Sampling | undefined;
  const numbersOf = ({ columns, rows, values }: Sampling) =>
    Object.entries({
      ...{ columnFirst: columns.first, columnWeights: columns.weights },
      ...{ rowFirst: rows.first, rowWeights: rows.weights, values },
    });

  const own = (x: Tensor) => x as GpuTensor;
  const at = (x: Tensor) => own(x).storage;

  /** A thread for each element of `out`. */
  const overElements = (out: GpuTensor) => groupsFor(Math.ceil((out.rows * out.stride) / THREADS));

  function runElementwise(shader: Shader, out: Tensor, reads: readonly Tensor[], params: Record<string, number>): void {
    const { rows, cols, stride } = own(out);
    const storages = [...reads.map(at), at(out)];
    recorder.run(shader, storages, { rows, cols, outStride: stride, ...params }, overElements(own(out)));
  }

  /** Norm of `parts` parts of each row, `width` columns from `first` on. */
  function runNorm(
    out: GpuTensor,
    x: GpuTensor,
    { scale, shift, eps }: Norm,
    {
      parts = 1,
      own: perPart = 0,
      width = x.cols,
      first = 0,
      end = out.stride,
      accumulate = false,
      activation,
    }: LayerNormOptions & Partial<Record<"parts" | "own" | "width" | "first" | "end", number>> = {},
  ): void {
    const inPlace = out.storage === x.storage;
    const storages = [...(inPlace ? [] : [x.storage]), at(scale), ...(shift ? [at(shift)] : []), out.storage];
    recorder.run(
      normShader({ shift: shift !== undefined, inPlace, accumulate, activation, subgroups }),
      storages,
      { rows: x.rows, parts, width, first, end, own: perPart, xStride: x.stride, outStride: out.stride, eps },
      groupsFor(x.rows * parts),
    );
  }

  /** The product of `linear`, and of `convolve` with a window. In int8 a norm costs no dispatch of its own. */
  function multiply(
    out: GpuTensor,
    x: GpuTensor,
    { precision, inputs, outputs, weight, columns }: GpuLinear,
    epilogue: Activation | "accumulate" | "none",
    {
      window,
      norm,
      relu = false,
      column = 0,
    }: { readonly window?: Window; readonly norm?: Norm; readonly relu?: boolean; readonly column?: number } = {},
  ): void {
    const { rows } = out;
    const inputs4 = upTo4(inputs) / 4;
    const wide = window && { ...windowParams(window), channels: x.cols };
    let source = x;
    if (norm && precision !== "int8") {
      source = scratchOf("normed", x.rows, x.cols);
      runNorm(source, x, norm);
    }
    let left = source.storage;
    let xStride = x.stride / 4;
    const more: Storage[] = [];
    if (precision === "int8") {
      const integers = scratchOf("integers", rows, inputs4);
      const scales = scratchOf("scales", 1, rows);
      recorder.run(
        quantize({
          rows: window ? "window" : norm ? (norm.shift ? "LayerNorm" : "RMSNorm") : "matrix",
          relu,
          subgroups,
        }),
        [
          x.storage,
          ...(norm ? [at(norm.scale), ...(norm.shift ? [at(norm.shift)] : [])] : []),
          ...[integers.storage, scales.storage],
        ],
        { rows, inputs, inputs4, xStride: x.stride, ...wide, ...(norm ? { eps: norm.eps } : {}) },
        groupsFor(rows),
      );
      left = integers.storage;
      xStride = inputs4;
      more.push(scales.storage);
    }
    const gathered = window && precision !== "int8" ? (x.cols % 4 === 0 ? "window4" : "window") : "matrix";
    const variant: GemmVariant = {
      tile: tileFor(rows, outputs),
      weights: precision,
      half: precision === "f16" && half,
      epilogue,
      rows: gathered,
      relu: relu && gathered !== "matrix",
      packedDot,
    };
    const { rows: high, columns: across } = TILES[variant.tile];
    recorder.run(
      gemm(variant),
      [left, weight, columns, ...more, out.storage],
      {
        ...{ rows, inputs4, xStride, outputs: upTo4(outputs), outStride: out.stride, outFirst: column },
        ...(gathered === "matrix" ? {} : wide),
      },
      [Math.ceil(outputs / across), Math.ceil(rows / high)],
    );
  }

  function runConvolve(
    out: GpuTensor,
    x: GpuTensor,
    weights: Linear,
    window: Window,
    { relu, activation, accumulate }: ConvolveOptions,
  ): void {
    multiply(out, x, weights as GpuLinear, activation ?? (accumulate ? "accumulate" : "none"), { window, relu });
  }

  /** Products of queries with the tables of decomposed positions, which live within an attention. */
  function productsOf(
    queries: GpuTensor,
    { height, width, down, across }: Decomposed,
    { images, heads, d, shared }: { images: number; heads: number; d: number; shared: boolean },
  ): GpuTensor {
    const tokens = height * width;
    const products = scratchOf("positions", images * heads * tokens, height + width);
    runElementwise(positionProducts, products, [queries, down, across], {
      ...{ tokens, heads, d, queryStride: queries.stride, queryRows: shared ? 0 : tokens },
      ...{ height, width, tableStride: own(down).stride },
    });
    return products;
  }

  const windowsParams = (
    { height, width, window }: Windows,
    { down, across, by, of }: ReturnType<typeof checkFromWindows>,
  ) => ({
    ...{ height, width, windowHeight: window[0], windowWidth: window[1], down, across },
    ...{ byLines: by[0], byColumns: by[1], ofLines: of[0], ofColumns: of[1] },
  });

  /** Rows from one head's bias to the next's, and from one kind of windows to the next's; images without kinds are one each. */
  const biasPlaces = (
    bias: GpuTensor,
    { heads, queries, windows }: { heads: number; queries: number; windows: AttentionShape["windows"] },
  ) => ({
    ...{
      biasStride: bias.stride,
      biasHead: bias.rows === queries ? 0 : queries,
      biasKind: windows ? heads * queries : 0,
    },
    ...{ windowsDown: windows?.down ?? 1, windowsAcross: windows?.across ?? 1 },
  });

  const windowParams = ({ height, width, kernel, stride, top, left, outHeight, outWidth }: Window) => ({
    ...{ height, width, kernel, stride },
    ...{ top, left, outHeight, outWidth },
  });

  function draw(pixels: Tensor, image: CanvasImageSource, sampling: Sampling): boolean {
    checkDraw(pixels, sampling);
    const { width, height, columns, rows } = sampling;
    // Rows of a texture are copied in units of 256 bytes.
    const stride = Math.ceil(width / 64) * 64;
    if (Math.max(width, height) > maxTextureDimension2D || height * stride * 4 > maxBufferBytes) return false;
    const [columnFirst, columnWeights, rowFirst, rowWeights, values] = numbersOf(sampling).map(([name, numbers]) => {
      const x = scratchOf(name, 1, numbers.length);
      if (sampling !== sampled) recorder.write(x.storage, 0, bytesOf(numbers));
      return x;
    }) as [GpuTensor, GpuTensor, GpuTensor, GpuTensor, GpuTensor];
    sampled = sampling;
    const picture = scratchOf("picture", height, stride);
    if (!recorder.draw(picture.storage, image, [width, height], stride * 4)) return false;
    // Of the rows only those that the second sum reads.
    const last = rows.first.length - 1;
    const [top, most] = [rows.first[0]!, rows.weights.length / rows.first.length];
    const middle = scratchOf("middle", Math.min(height, rows.first[last]! + most) - top, columns.first.length);
    recorder.run(
      sampleColumns,
      [picture.storage, columnFirst.storage, columnWeights.storage, middle.storage],
      {
        ...{ rows: middle.rows, cols: middle.cols, outStride: middle.stride, stride, top },
        most: columns.weights.length / columns.first.length,
      },
      overElements(middle),
    );
    runElementwise(sampleRows, pixels, [middle, rowFirst, rowWeights, values], {
      ...{ width: middle.cols, stride: middle.stride, top, most },
    });
    return true;
  }

  const backend: WebgpuBackend = {
    name: "webgpu",
    maxBufferBytes,
    get lost() {
      return recorder.failure;
    },
    describe(precision) {
      const features = [
        precision === "f16" && (half ? "products of halves" : "halves widened"),
        precision === "int8" && (packedDot ? "packed products" : "products of single integers"),
        subgroups && "subgroups",
      ].filter(Boolean);
      return [gpu.name, ...features].join(", ");
    },
    get memory() {
      const held = [...places.map(({ bytes }) => bytes), ...[...scratch.values()].map(({ storage }) => storage.bytes)];
      return { weights, activations: held.reduce((sum, bytes) => sum + bytes, 0) };
    },

    createTensor(rows, cols, data) {
      checkSize("createTensor", rows, cols);
      const stride = upTo4(cols);
      const x: GpuTensor = { rows, cols, stride, storage: take(rows * stride * 4) };
      if (data) backend.write(x, data);
      return x;
    },

    createLinear(outputs, inputs, precision = "f32") {
      checkSize("createLinear", outputs, inputs);
      const rows = upTo4(outputs);
      const values = new Float32Array(2 * rows);
      // Of integers the scale is the row's, else 1 until it is rescaled.
      for (let i = 0; i < outputs; i++) values[2 * i] = 1;
      const linear: GpuLinear = {
        ...{ outputs, inputs, precision, values },
        weight: take(rows * upTo4(inputs) * WEIGHT_BYTES[precision], true),
        columns: take(values.byteLength, true),
      };
      storeColumns(recorder, linear);
      return linear;
    },

    stage: (length) => new Uint8Array(length),

    store(target, dtype, bytes) {
      checkStore(target, dtype, bytes);
      return storeRows(recorder, target, dtype, bytes);
    },

    rescale(weights: Linear, factors) {
      checkRescale(weights, factors);
      const linear = weights as GpuLinear;
      for (const [i, factor] of factors.entries()) {
        linear.values[2 * i]! *= factor;
        linear.values[2 * i + 1]! *= factor;
      }
      storeColumns(recorder, linear);
    },

    mark() {
      marks++;
      return top;
    },

    release(mark) {
      marks--;
      top = mark;
    },

    write(x, data) {
      checkData("write", x, data);
      const { cols, stride, storage } = own(x);
      // WGSL has no infinities; what hides a key hides it at -1e30 as well.
      const finite = data.includes(Number.NEGATIVE_INFINITY) ? data.map((v) => Math.max(v, -1e30)) : data;
      recorder.write(storage, 0, bytesOf(padRows(finite, cols, stride)));
    },

    ...("copyExternalImageToTexture" in device.queue && { draw }),

    async read(x) {
      const { rows, cols, stride, storage } = own(x);
      const data = new Float32Array(await recorder.read(storage, rows * stride * 4));
      if (cols === stride) return data;
      const out = new Float32Array(rows * cols);
      for (let row = 0; row < rows; row++) out.set(data.subarray(row * stride, row * stride + cols), row * cols);
      return out;
    },

    patchify(out, pixels, grid) {
      const { channels, gridHeight, gridWidth } = checkPatchify(out, pixels, grid);
      const { width, patchHeight, patchWidth } = grid;
      const params = { channels, width, gridHeight, gridWidth, patchHeight, patchWidth };
      runElementwise(patchify, out, [pixels], { ...params, stride: own(pixels).stride });
    },

    assembleTokens(out, prefix, patches, positions) {
      const images = checkAssembleTokens(out, prefix, patches, positions);
      const shader = assembleTokens({ prefix: prefix !== undefined, positions: positions !== undefined });
      const reads = [patches, prefix, positions].filter((x) => x !== undefined);
      runElementwise(shader, out, reads, { count: prefix?.rows ?? 0, tokens: out.rows / images });
    },

    layerNorm(out, x, norm, options = {}) {
      checkLayerNorm(out, x, norm, options);
      runNorm(own(out), own(x), norm, options);
    },

    swiglu(out, x) {
      checkSwiglu(out, x);
      runElementwise(swiglu, out, [x], { stride: own(x).stride });
    },

    qkNorm(qkv, heads, query, key) {
      const width = checkQkNorm(qkv, heads, query, key);
      for (const [part, norm] of [query, key].entries()) {
        const perHead = norm.scale.cols === width ? 0 : width;
        runNorm(own(qkv), own(qkv), norm, { parts: heads, own: perHead, width, first: part * heads * width, end: 0 });
      }
    },

    linear(out, x, weights, options = {}) {
      checkLinear(out, x, weights, options);
      const { norm, activation, accumulate = false, column } = options;
      const epilogue = activation ?? (accumulate ? "accumulate" : "none");
      multiply(own(out), own(x), weights as GpuLinear, epilogue, { norm, column });
    },

    attention(out, from, shape) {
      const { images, queries, d, shared } = checkAttention(out, from, shape);
      const { heads, tokens, bias, windows, probabilities, decomposed } = shape;
      const block = blockOf(d, workgroupBytes);
      if (!block) {
        throw new RangeError(
          `webgpu: heads must have at most as many columns as fit ${workgroupBytes} bytes of workgroup memory; got ${d}`,
        );
      }
      const apart = "q" in from;
      const parts = apart ? [from.q, from.k, from.v] : [from];
      const strides: Record<string, number> = apart
        ? {
            ...{ queryStride: own(from.q).stride, queryRows: shared ? 0 : queries },
            ...{ keyStride: own(from.k).stride, valueStride: own(from.v).stride },
          }
        : { stride: own(from).stride };
      const positions = decomposed && productsOf(own(parts[0]!), decomposed, { images, heads, d, shared });
      recorder.run(
        attention({
          ...{ apart, d, bias: bias !== undefined, decomposed: decomposed !== undefined },
          ...{ probabilities: probabilities !== undefined, block },
        }),
        [
          ...[...parts, ...(bias ? [bias] : []), ...(positions ? [positions] : []), out].map(at),
          ...(probabilities ? [at(probabilities)] : []),
        ],
        {
          ...{ queries, tokens, heads, outStride: own(out).stride },
          // Powers of 2 are what GPUs have.
          factor: Math.LOG2E / Math.sqrt(d),
          ...strides,
          ...(bias ? biasPlaces(own(bias), { heads, queries, windows }) : {}),
          ...(positions
            ? { positionStride: positions.stride, height: decomposed!.height, width: decomposed!.width }
            : {}),
          ...(probabilities ? { mapStride: own(probabilities).stride } : {}),
        },
        [Math.ceil(queries / block.queries), heads, images],
      );
    },

    rope(qkv, cos, sin, shape) {
      const { d, own: perHead } = checkRope(qkv, cos, sin, shape);
      const { rows, stride } = own(qkv);
      const { heads } = shape;
      recorder.run(
        rope({ halves: shape.pairs === "halves", own: perHead }),
        [at(cos), at(sin), at(qkv)],
        { rows, heads, d, stride, tokens: cos.rows, tableStride: own(cos).stride },
        groupsFor(Math.ceil((rows * heads * d) / THREADS)),
      );
    },

    relativePositions(out, table, grid) {
      const { heads, first } = checkRelativePositions(out, table, grid);
      const { height, width, shifted } = grid;
      const [down, across] = shifted?.by ?? [0, 0];
      runElementwise(relativePositions, out, [table], {
        ...{ stride: own(table).stride, heads, height, width, first },
        ...{ lower: height - down, right: width - across, penalty: shifted?.penalty ?? 0 },
      });
    },

    pool(out, x, rows) {
      checkPool(out, x, rows);
      const { tokens, first, count } = rows;
      runElementwise(pool, out, [x], { tokens, first, count });
    },

    convolve(out, x, weights, window, options = {}) {
      checkConvolve(out, x, weights, window, options);
      runConvolve(own(out), own(x), weights, window, options);
    },

    convolveTransposed(out, x, weights, map, options = {}) {
      const { images, outputs, cut, window } = checkConvolveTransposed(out, x, weights, map);
      const { outHeight, outWidth } = window;
      const wide = scratchOf("windows", images * outHeight * outWidth, weights.outputs);
      runConvolve(wide, own(x), weights, window, options);
      runElementwise(interleave, out, [wide], {
        ...{ outHeight: map.height * map.stride, outWidth: map.width * map.stride, channels: outputs },
        ...{ stride: wide.stride, step: map.stride, windowsDown: outHeight, windowsAcross: outWidth, cut },
      });
    },

    convolveDepthwise(out, x, filters, window) {
      checkConvolveDepthwise(out, x, filters, window);
      runElementwise(convolveDepthwise, out, [x, filters], windowParams(window));
    },

    matmul(out, x, y) {
      const images = checkMatmul(out, x, y);
      runElementwise(matmul, out, [x, y], { high: out.rows / images, inputs4: own(x).stride / 4 });
    },

    resizeMap(out, x, map) {
      const { first, count } = checkResizeMap(out, x, map);
      const { height, width, outHeight, outWidth, aligned, accumulate = false } = map;
      const sizes = { height, width, outHeight, outWidth, first, count };
      runElementwise(resizeMap({ aligned, accumulate }), out, [x], sizes);
    },

    readout(out, x, { tokens, prefix, readout }) {
      checkReadout(out, x, { tokens, prefix, readout });
      runElementwise(readoutShader(readout), out, [x], { tokens, prefix, width: x.cols, stride: own(x).stride });
    },

    toWindows(out, x, outside, map) {
      const params = windowsParams(map, checkToWindows(out, x, outside, map));
      runElementwise(toWindows, out, [x, outside], { ...params, stride: own(x).stride, channels: x.cols });
    },

    fromWindows(out, x, map) {
      runElementwise(fromWindows, out, [x], windowsParams(map, checkFromWindows(out, x, map)));
    },

    groupNorm(out, x, norm, options) {
      const images = checkGroupNorm(out, x, norm, options);
      const { groups, pixels, activation, accumulate = false } = options;
      const { cols, stride, storage } = own(x);
      const inPlace = at(out) === storage;
      recorder.run(
        groupNorm({ relu: activation === "relu", accumulate, inPlace, subgroups }),
        [...(inPlace ? [] : [storage]), at(norm.scale), at(norm.shift!), at(out)],
        { images, pixels, cols, stride, groups, eps: norm.eps },
        groupsFor(images * groups),
      );
    },

    maxPool(out, x, window, fill) {
      checkMaxPool(out, x, window);
      const filled = fill !== Number.NEGATIVE_INFINITY;
      runElementwise(maxPool({ filled }), out, [x], { ...windowParams(window), ...(filled ? { fill } : {}) });
    },

    dispose() {
      recorder.dispose();
    },
  };
  return backend;
}

function tileFor(rows: number, columns: number): GemmVariant["tile"] {
  if (rows <= TILES.thin.rows) return "thin";
  const { rows: high, columns: across } = TILES.large;
  return Math.ceil(rows / high) * Math.ceil(columns / across) >= MANY_TILES ? "large" : "small";
}
