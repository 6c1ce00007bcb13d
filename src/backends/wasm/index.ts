/** The WASM SIMD backend: maps the contract's ops to the kernels in assembly/, packs weights, lays out memory. */
import {
  type Activation,
  type Attended,
  type Backend,
  type DType,
  ELEMENT_BYTES,
  type Linear,
  type Precision,
  type Tensor,
  type Window,
  type Windows,
} from "../../backend.js";
import { assets } from "../../platform/assets.js";
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
} from "../shapes.js";
import { align, createHeap, type Heap, takePages } from "./heap.js";
import { instantiate } from "./instance.js";
import type { Kernels } from "./jobs.gen.js";
import { activations } from "./kernels.gen.js";
import { type Build, type CompiledKernels, compileKernels, givenKernels, type KernelSource } from "./kernels.js";
import { alone, lanesFor, type Pool, poolOf, threadsFor } from "./threads.js";
import { FLOAT_TILES, fastestTiles, INTEGER_TILES, PRECISIONS, type Tiles, tileOf } from "./tile.js";
import { isWideKnown, wideKernels } from "./wide.js";

/** Rows of whole 8-column panels at `at`, `stride` bytes apart. */
interface WasmTensor extends Tensor {
  readonly at: number;
  readonly stride: number;
}

/** Panels of 8 outputs at `at`, see assembly/gemm.ts, half.ts and int8.ts. */
interface WasmLinear extends Linear {
  readonly at: number;
  /** Bytes of a panel. */
  readonly panel: number;
}

/** Codes of assembly/widen.ts. */
const DTYPE_CODES: Record<DType, number> = {
  F64: 0,
  F32: 1,
  F16: 2,
  BF16: 3,
  I64: 4,
  I32: 5,
  I16: 6,
  I8: 7,
  U8: 8,
  BOOL: 8,
};

/** Numbers of the kernels that assembly/activations.js lists; 0 is none. */
const ACTIVATIONS: Record<Activation, number> = activations;

/** Largest of binary16 and binary32; widened infinities and NaN of the former are beyond. */
const LARGEST_HALF = 65504;
/** The last float that rounds to it: beyond, an f16 weight would become infinite. */
const ROUNDS_TO_HALF = 65519.99609375;
const LARGEST_FLOAT = (2 - 2 ** -23) * 2 ** 127;

/** Address of a tensor, 0 for none. */
const addressOf = (x: Tensor | undefined): number => (x as WasmTensor | undefined)?.at ?? 0;

/** Places of queries, keys and values: matrices of their own, or `width` columns each of one. */
function partsOf(from: Attended, width: number): Record<"q" | "k" | "v", { at: number; stride: number }> {
  if ("q" in from) return from as Record<"q" | "k" | "v", WasmTensor>;
  const { at, stride } = from as WasmTensor;
  return { q: { at, stride }, k: { at: at + width * 4, stride }, v: { at: at + 2 * width * 4, stride } };
}

/** Bytes that a thread takes of a memory that it joins, besides room for as many activations as were taken before. */
const LEAST_SHARE = 1 << 20;

/** Columns up to which numbers are read one by one: 1 of 65,268 rows took 5.8 ms by views. */
const NARROW = 16;

const padded = (cols: number) => Math.ceil(cols / 8) * 8;

/** 64 bytes more than a row needs, and never a multiple of 4096: rows of a tile then lie in different cache sets. */
function strideOf(cols: number): number {
  const stride = align(padded(cols) * 4) + 64;
  return stride % 4096 === 0 ? stride + 64 : stride;
}

export interface WasmOptions {
  /** The build of the kernels; by default relaxed where the engine validates it. */
  readonly build?: Build;
  /** Tiles of the products; by default what is fastest here. */
  readonly tiles?: Tiles;
  /** Precision of all linear layers, if they have one. */
  readonly precision?: Precision;
  /** 256-bit vectors, see wide.ts: never, where they can be had, or by default where they are known to be right. */
  readonly wide?: boolean;
  /** Threads to run ops on; "auto" takes what there is. */
  readonly threads?: "auto" | number;
  /** Kernels that take the place of those in the code. */
  readonly wasm?: KernelSource;
}

/** How a backend of these kernels runs. */
interface Running {
  readonly build: Build;
  readonly tiles: Tiles;
  /** Threads that ops run on: those asked for, or one where they cannot be had. */
  readonly threads: number;
  /** Resolves when the threads run (until then, ops run on one); rejects if they could not be started. */
  readonly started: Promise<void>;
  /** Undefined where the memory cannot be shared. */
  readonly shared: SharedKernels | undefined;
  /** The kernels that linear layers of a precision run on, in words. */
  describe(precision: Precision): string;
}

/** Kernels and their memory, to be sent to threads that compute by themselves on the weights there (joinWasmBackend). */
export interface SharedKernels {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly build: Build;
  readonly tiles: Tiles;
  /** How many threads may. */
  readonly threads: number;
  /** Bytes of activations that passes have taken so far. */
  readonly activations: number;
}

export interface WasmBackend extends Backend, Running {}

/** Compiles and instantiates the kernels on a memory of their own. */
export async function createWasmBackend(options: WasmOptions = {}): Promise<WasmBackend> {
  const { threads = 1, wasm = assets.kernels } = options;
  const given = wasm && (await givenKernels(wasm));
  const { count, reason: fewer } = given && !given.shared ? alone(threads) : threadsFor(threads);
  const shared = given?.shared ?? count > 1;
  const pool = poolOf(count);
  try {
    return await createOn(pool, shared, given, options, fewer);
  } catch (error) {
    pool.dispose();
    throw error;
  }
}

/** @param fewer why the threads of the pool are not as many as were asked for. */
async function createOn(
  pool: Pool,
  shared: boolean,
  given: CompiledKernels | undefined,
  options: WasmOptions,
  fewer: string | undefined,
): Promise<WasmBackend> {
  const { threads = 1, build: wanted } = options;
  const asked = options.wide ?? (!given && !wanted && isWideKnown());
  const wide = asked ? await wideKernels(shared, given) : undefined;
  const compiled = wide && "module" in wide ? wide : (given ?? (await compileKernels({ shared, build: wanted }))!);
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 65536, shared });
  const { build, module } = compiled;
  const chosen = options.tiles;
  const tilesNow = chosen ? () => chosen : await fastestTiles(compiled, options.precision);
  const stalled = () => {
    throw pool.lost();
  };
  const { kernels, base } = await instantiate(module, memory, { threads: pool.threads, stalled });
  pool.join(module, memory, kernels.lostWord());
  const running = () => (pool.failure ? 1 : pool.threads);
  const backend: WasmBackend = backendOn(kernels, memory, createHeap(memory, base), {
    build,
    get tiles() {
      return tilesNow();
    },
    get threads() {
      return running();
    },
    started: pool.started,
    get shared() {
      if (running() === 1) return undefined;
      const { activations } = backend.memory;
      return { module, memory, build, tiles: tilesNow(), threads: lanesFor(threads), activations };
    },
    describe(precision) {
      const { integer, float } = tilesNow();
      const tile = precision === "int8" ? INTEGER_TILES[integer] : FLOAT_TILES[float];
      const simd = build === "relaxed" ? "relaxed SIMD" : "SIMD";
      const lacking = [
        options.wide && wide && "reason" in wide ? wide.reason : undefined,
        fewer,
        pool.failure?.message,
      ];
      const why = lacking.filter((reason) => reason !== undefined);
      return [`${compiled.wide ? "256-bit " : ""}${simd}, ${tile} tiles`, ...why].join("; ");
    },
    dispose: () => pool.dispose(),
  });
  return backend;
}
/** A backend of one thread on the memory of another, with whose weights it computes; its activations are its own. */
export async function joinWasmBackend(shared: SharedKernels): Promise<WasmBackend> {
  const { module, memory, build, tiles, activations } = shared;
  const { begin, end } = takePages(memory, LEAST_SHARE + activations);
  const { kernels, base } = await instantiate(module, memory, { words: begin });
  return backendOn(kernels, memory, createHeap(memory, base, end), {
    ...{ build, tiles, threads: 1, started: Promise.resolve(), shared: undefined },
    describe: () => "a thread of its own",
    dispose() {},
  });
}

/** Ops on kernels whose memory has this stack. */
function backendOn(
  kernels: Kernels,
  memory: WebAssembly.Memory,
  heap: Heap,
  running: Running & { dispose(): void },
): WasmBackend {
  let weights = 0;
  let marks = 0;

  function push(bytes: number): number {
    const at = heap.push(bytes);
    if (marks === 0) weights = heap.used;
    return at;
  }

  /** Cuts a map into windows, or makes it of them where there is no row for what is outside. */
  function runWindows(
    map: WasmTensor,
    windows: WasmTensor,
    { height, width, window }: Windows,
    { images, by, of }: ReturnType<typeof checkFromWindows>,
    outside: number,
  ): void {
    // Behind each other, or beside each other.
    const pixelStride = windows.cols === map.cols ? windows.stride : 4 * map.cols;
    kernels.windows({
      images,
      height,
      width,
      windowHeight: window[0],
      windowWidth: window[1],
      byLines: by[0],
      byColumns: by[1],
      ofLines: of[0],
      ofColumns: of[1],
      map: map.at,
      mapStride: map.stride,
      channels: map.cols,
      windows: windows.at,
      windowStride: windows.cols === map.cols ? window[0] * window[1] * windows.stride : windows.stride,
      pixelStride,
      outside,
    });
  }

  const backend: WasmBackend = {
    name: "wasm",
    build: running.build,
    get tiles() {
      return running.tiles;
    },
    get threads() {
      return running.threads;
    },
    started: running.started,
    get shared() {
      return running.shared;
    },
    describe: running.describe,
    get memory() {
      return { weights, activations: Math.max(0, heap.peak - weights) };
    },

    createTensor(rows, cols, data) {
      checkSize("createTensor", rows, cols);
      const stride = strideOf(cols);
      const x: WasmTensor = { rows, cols, at: push(rows * stride), stride };
      if (data) backend.write(x, data);
      return x;
    },

    createLinear(outputs, inputs, precision = "f32") {
      checkSize("createLinear", outputs, inputs);
      const panel = kernels.weightPanelBytes(PRECISIONS[precision], inputs);
      const bytes = (padded(outputs) / 8) * panel;
      const at = push(bytes);
      for (let bias = at; bias < at + bytes; bias += panel) heap.u8.fill(0, bias, bias + 64);
      // Outputs that fill up the last panel give zeros, also where they are added to columns of a wider matrix.
      if (outputs % 8 !== 0) heap.u8.fill(0, at + bytes - panel, at + bytes);
      return { outputs, inputs, precision, at, panel } as WasmLinear;
    },

    stage(length) {
      const at = heap.scratch(length + 16);
      return heap.u8.subarray(at, at + length);
    },

    store(target, dtype, bytes) {
      const rows = checkStore(target, dtype, bytes);
      if (bytes.buffer !== memory.buffer) {
        const staged = backend.stage(bytes.length);
        staged.set(bytes);
        bytes = staged;
      }
      const count = bytes.length / ELEMENT_BYTES[dtype];
      const from = bytes.byteOffset;
      const given = "linear" in target && target.part === "weight" ? target.scales : undefined;
      // Behind what was staged: the same in f32, then the scales.
      const x = dtype === "F32" ? from : align(from + bytes.length + 16);
      const scales = align(x + count * 4 + 16);
      heap.scratch(scales + (given?.byteLength ?? 0) - heap.top);
      kernels.widen(x, from, count, DTYPE_CODES[dtype]);
      const halved = "linear" in target && target.part === "weight" && target.linear.precision === "f16";
      const bad = kernels.firstBeyond(
        x,
        count,
        dtype === "F16" ? LARGEST_HALF : halved ? ROUNDS_TO_HALF : LARGEST_FLOAT,
      );
      if (bad >= 0) return bad;
      if ("tensor" in target) {
        const tensor = target.tensor as WasmTensor;
        for (let row = 0; row < rows; row++) {
          const at = x + row * tensor.cols * 4;
          heap.u8.copyWithin(tensor.at + (target.row + row) * tensor.stride, at, at + tensor.cols * 4);
        }
        return -1;
      }
      const { at, inputs, panel, precision } = target.linear as WasmLinear;
      if (target.part === "weight") {
        if (given) heap.f32.set(given, scales / 4);
        if (given && precision !== "int8") kernels.scaleRows(x, rows, inputs, scales);
        const code = PRECISIONS[precision];
        const { row } = target;
        kernels.storeWeight({ precision: code, w: at, k: inputs, row, x, rows, scales: given ? scales : 0 });
        return -1;
      }
      for (let i = 0; i < rows; i++) {
        const row = target.row + i;
        heap.f32[(at + (row >> 3) * panel) / 4 + (row & 7)] = heap.f32[x / 4 + i]!;
      }
      return -1;
    },

    rescale(weights, factors) {
      checkRescale(weights, factors);
      const { at, inputs, outputs, precision } = weights as WasmLinear;
      const panels = padded(outputs) / 8;
      const scratch = heap.scratch(panels * 32);
      heap.f32.fill(1, scratch / 4, scratch / 4 + panels * 8).set(factors, scratch / 4);
      kernels.rescale(PRECISIONS[precision], at, inputs, panels, scratch);
    },

    mark() {
      marks++;
      return heap.top;
    },

    release(mark) {
      marks--;
      heap.popTo(mark);
    },

    write(x, data) {
      checkData("write", x, data);
      const { rows, cols, at, stride } = x as WasmTensor;
      for (let row = 0; row < rows; row++) {
        heap.f32.set(data.subarray(row * cols, (row + 1) * cols), (at + row * stride) / 4);
      }
    },

    async read(x) {
      const { rows, cols, at, stride } = x as WasmTensor;
      const data = new Float32Array(rows * cols);
      const { f32 } = heap;
      for (let row = 0; row < rows; row++) {
        const from = (at + row * stride) / 4;
        // A view costs as much as a few dozen numbers.
        if (cols > NARROW) data.set(f32.subarray(from, from + cols), row * cols);
        else for (let i = 0; i < cols; i++) data[row * cols + i] = f32[from + i]!;
      }
      return data;
    },

    patchify(out, pixels, grid) {
      const { images, channels, gridHeight, gridWidth } = checkPatchify(out, pixels, grid);
      const o = out as WasmTensor;
      const p = pixels as WasmTensor;
      kernels.patchify({
        images,
        channels,
        out: o.at,
        outStride: o.stride,
        gridHeight,
        gridWidth,
        patchHeight: grid.patchHeight,
        patchWidth: grid.patchWidth,
        pixels: p.at,
        pixelStride: p.stride,
        width: grid.width,
      });
    },

    assembleTokens(out, prefix, patches, positions) {
      const images = checkAssembleTokens(out, prefix, patches, positions);
      const { at, stride, cols } = out as WasmTensor;
      kernels.assembleTokens({
        images,
        out: at,
        stride,
        padded: padded(cols),
        prefix: addressOf(prefix),
        prefixRows: prefix?.rows ?? 0,
        patches: addressOf(patches),
        patchRows: patches.rows / images,
        positions: addressOf(positions),
      });
    },

    layerNorm(out, x, norm, options = {}) {
      checkLayerNorm(out, x, norm, options);
      const o = out as WasmTensor;
      const { at, stride, rows, cols } = x as WasmTensor;
      kernels.layerNorm({
        out: o.at,
        outStride: o.stride,
        x: at,
        xStride: stride,
        rows,
        width: cols,
        scale: addressOf(norm.scale),
        shift: addressOf(norm.shift),
        eps: norm.eps,
        scratch: options.accumulate ? heap.scratch(kernels.layerNormScratch(cols)) : 0,
        activation: options.activation ? ACTIVATIONS[options.activation] : 0,
      });
    },

    swiglu(out, x) {
      checkSwiglu(out, x);
      const o = out as WasmTensor;
      const { at, stride, rows } = x as WasmTensor;
      kernels.swiglu({ out: o.at, outStride: o.stride, rows, width: o.cols, x: at, xStride: stride });
    },

    qkNorm(qkv, heads, query, key) {
      const d = checkQkNorm(qkv, heads, query, key);
      const { at, stride, rows } = qkv as WasmTensor;
      for (let h = 0; h < 2 * heads; h++) {
        const norm = h < heads ? query : key;
        const x = at + h * d * 4;
        // The head's own, or those of all.
        const own = norm.scale.cols === d ? 0 : (h % heads) * d * 4;
        kernels.layerNorm({
          out: x,
          outStride: stride,
          x,
          xStride: stride,
          rows,
          width: d,
          scale: addressOf(norm.scale) + own,
          shift: norm.shift ? addressOf(norm.shift) + own : 0,
          eps: norm.eps,
          scratch: 0,
          activation: 0,
        });
      }
    },

    linear(out, x, weights, options = {}) {
      checkLinear(out, x, weights, options);
      const { norm, activation, accumulate = false, column = 0 } = options;
      const o = out as WasmTensor;
      const { at, stride, rows, cols } = x as WasmTensor;
      const w = weights as WasmLinear;
      const precision = PRECISIONS[w.precision];
      const tile = tileOf(running.tiles, w.precision);
      kernels.linear({
        precision,
        tile,
        out: o.at + 4 * column,
        outStride: o.stride,
        rows,
        panels: padded(w.outputs) / 8,
        x: at,
        xStride: stride,
        w: w.at,
        k: cols,
        activation: activation ? ACTIVATIONS[activation] : 0,
        scratch: heap.scratch(kernels.linearScratch(precision, tile, rows, cols, 1)),
        accumulate,
        scale: addressOf(norm?.scale),
        shift: addressOf(norm?.shift),
        eps: norm?.eps ?? 0,
      });
    },

    attention(out, from, shape) {
      const { images, queries, d, shared } = checkAttention(out, from, shape);
      const { heads, tokens } = shape;
      const o = out as WasmTensor;
      const { q, k, v } = partsOf(from, heads * d);
      const probabilities = shape.probabilities as WasmTensor | undefined;
      const bias = shape.bias as WasmTensor | undefined;
      const { decomposed, windows } = shape;
      const [down, across] = [decomposed?.down, decomposed?.across] as (WasmTensor | undefined)[];
      kernels.attention({
        tile: running.tiles.float,
        integerTile: running.tiles.integer,
        integers: shape.integers ?? false,
        images,
        queries,
        tokens,
        heads,
        d,
        out: o.at,
        outStride: o.stride,
        q: q.at,
        qStride: q.stride,
        qImage: shared ? 0 : queries * q.stride,
        k: k.at,
        kStride: k.stride,
        v: v.at,
        vStride: v.stride,
        probabilities: probabilities?.at ?? 0,
        probabilityStride: probabilities?.stride ?? 0,
        bias: bias?.at ?? 0,
        biasStride: bias?.stride ?? 0,
        // A bias of all heads is that of each.
        biasHead: bias && bias.rows !== queries ? queries * bias.stride : 0,
        biasKind: bias && windows ? heads * queries * bias.stride : 0,
        windowsDown: windows?.down ?? 0,
        windowsAcross: windows?.across ?? 0,
        down: down?.at ?? 0,
        downStride: down?.stride ?? 0,
        height: decomposed?.height ?? 0,
        across: across?.at ?? 0,
        acrossStride: across?.stride ?? 0,
        width: decomposed?.width ?? 0,
        scratch: heap.scratch(
          kernels.attentionScratch(
            tokens,
            images * heads,
            d,
            decomposed?.height ?? 0,
            decomposed?.width ?? 0,
            probabilities !== undefined,
          ),
        ),
      });
    },

    rope(qkv, cos, sin, shape) {
      const { d, own } = checkRope(qkv, cos, sin, shape);
      const { at, stride, rows } = qkv as WasmTensor;
      const c = cos as WasmTensor;
      kernels.rope({
        x: at,
        stride,
        rows,
        heads: shape.heads,
        d,
        cos: c.at,
        sin: addressOf(sin),
        tableStride: c.stride,
        tokens: c.rows,
        own,
        halves: shape.pairs === "halves",
      });
    },

    relativePositions(out, table, grid) {
      const { heads, first, kinds } = checkRelativePositions(out, table, grid);
      const o = out as WasmTensor;
      const { at, stride } = table as WasmTensor;
      const { height, width, shifted } = grid;
      const [down, across] = shifted?.by ?? [0, 0];
      kernels.relativePositions({
        out: o.at,
        outStride: o.stride,
        table: at,
        tableStride: stride,
        heads,
        height,
        width,
        first,
        kinds,
        lower: height - down,
        right: width - across,
        penalty: shifted?.penalty ?? 0,
      });
    },

    convolve(out, x, weights, window, { relu = false, activation, accumulate = false } = {}) {
      checkConvolve(out, x, weights, window, { activation, accumulate });
      const o = out as WasmTensor;
      const { at, stride, cols } = x as WasmTensor;
      const w = weights as WasmLinear;
      const precision = PRECISIONS[w.precision];
      const tile = tileOf(running.tiles, w.precision);
      kernels.convolve({
        precision,
        tile,
        out: o.at,
        outStride: o.stride,
        rows: o.rows,
        panels: padded(w.outputs) / 8,
        x: at,
        xStride: stride,
        w: w.at,
        k: w.inputs,
        activation: activation ? ACTIVATIONS[activation] : 0,
        scratch: heap.scratch(kernels.linearScratch(precision, tile, o.rows, w.inputs, cols)),
        accumulate,
        channels: cols,
        height: window.height,
        width: window.width,
        outHeight: window.outHeight,
        outWidth: window.outWidth,
        kernel: window.kernel,
        stride: window.stride,
        top: window.top,
        left: window.left,
        relu,
      });
    },

    convolveTransposed(out, x, weights, map, { activation } = {}) {
      const { images, outputs, cut, window } = checkConvolveTransposed(out, x, weights, map);
      const { outHeight: windowsDown, outWidth: windowsAcross } = window;
      const { top } = heap;
      const rows = images * windowsDown * windowsAcross;
      const stride = strideOf(weights.outputs);
      const wide: WasmTensor = { rows, cols: weights.outputs, stride, at: heap.push(rows * stride) };
      backend.convolve(wide, x, weights, window, { activation });
      const o = out as WasmTensor;
      kernels.interleave({
        images,
        stride: map.stride,
        out: o.at,
        outStride: o.stride,
        outHeight: map.height * map.stride,
        outWidth: map.width * map.stride,
        channels: outputs,
        x: wide.at,
        xStride: wide.stride,
        windowsDown,
        windowsAcross,
        cut,
      });
      heap.popTo(top);
    },

    convolveDepthwise(out, x, filters, window) {
      const images = checkConvolveDepthwise(out, x, filters, window);
      const { at: w, stride: wStride } = filters as WasmTensor;
      kernels.convolveDepthwise({ ...windowed(out, x, window, images), w, wStride });
    },

    matmul(out, x, y) {
      const images = checkMatmul(out, x, y);
      const o = out as WasmTensor;
      const a = x as WasmTensor;
      const b = y as WasmTensor;
      const [rows, columns, k] = [x.rows / images, out.cols, x.cols];
      const panels = padded(columns) / 8;
      const { top } = heap;
      const w = heap.push(panels * kernels.weightPanelBytes(PRECISIONS.f32, k));
      const tile = running.tiles.float;
      for (let image = 0; image < images; image++) {
        kernels.packPanels({ w, k, x: b.at + image * columns * b.stride, xStride: b.stride, rows: columns });
        kernels.linear({
          precision: PRECISIONS.f32,
          tile,
          out: o.at + image * rows * o.stride,
          outStride: o.stride,
          rows,
          panels,
          x: a.at + image * rows * a.stride,
          xStride: a.stride,
          w,
          k,
          activation: 0,
          scratch: heap.scratch(kernels.linearScratch(PRECISIONS.f32, tile, rows, k, 1)),
          accumulate: false,
          scale: 0,
          shift: 0,
          eps: 0,
        });
      }
      heap.popTo(top);
    },

    resizeMap(out, x, map) {
      const { images, first, count } = checkResizeMap(out, x, map);
      const o = out as WasmTensor;
      const { at, stride, cols } = x as WasmTensor;
      kernels.resizeMap({
        images,
        channels: cols,
        out: o.at,
        outStride: o.stride,
        outHeight: map.outHeight,
        outWidth: map.outWidth,
        first,
        count,
        x: at,
        xStride: stride,
        height: map.height,
        width: map.width,
        aligned: map.aligned,
        accumulate: map.accumulate ?? false,
      });
    },

    readout(out, x, { tokens, prefix, readout }) {
      const images = checkReadout(out, x, { tokens, prefix, readout });
      const o = out as WasmTensor;
      const { at, stride, cols } = x as WasmTensor;
      kernels.readout({
        images,
        tokens,
        prefix,
        width: cols,
        out: o.at,
        outStride: o.stride,
        x: at,
        xStride: stride,
        add: readout === "add",
        concatenate: readout === "concatenate",
      });
    },

    toWindows(out, x, outside, map) {
      const places = checkToWindows(out, x, outside, map);
      runWindows(x as WasmTensor, out as WasmTensor, map, places, addressOf(outside));
    },

    fromWindows(out, x, map) {
      runWindows(out as WasmTensor, x as WasmTensor, map, checkFromWindows(out, x, map), 0);
    },

    groupNorm(out, x, norm, options) {
      const images = checkGroupNorm(out, x, norm, options);
      const { groups, pixels, activation, accumulate = false } = options;
      const o = out as WasmTensor;
      const { at, stride, cols } = x as WasmTensor;
      kernels.groupNorm({
        images,
        pixels,
        channels: cols,
        groups,
        out: o.at,
        outStride: o.stride,
        x: at,
        xStride: stride,
        scale: addressOf(norm.scale),
        shift: addressOf(norm.shift),
        eps: norm.eps,
        scratch: heap.scratch(kernels.groupNormScratch(pixels, cols)),
        accumulate,
        relu: activation === "relu",
      });
    },

    maxPool(out, x, window, fill) {
      kernels.maxPool({ ...windowed(out, x, window, checkMaxPool(out, x, window)), fill });
    },

    pool(out, x, rows) {
      const images = checkPool(out, x, rows);
      const o = out as WasmTensor;
      const { at, stride } = x as WasmTensor;
      kernels.pool({
        images,
        tokens: rows.tokens,
        first: rows.first,
        count: rows.count,
        out: o.at,
        outStride: o.stride,
        padded: padded(o.cols),
        x: at,
        xStride: stride,
      });
    },

    dispose() {
      // The memory is freed when nothing refers to it: every op goes through `kernels`, and the heap through this object.
      kernels = disposedKernels;
      running.dispose();
    },
  };
  return backend;
}

const disposedKernels = new Proxy({} as Kernels, {
  get() {
    throw new Error("wasm: the backend was disposed of; create another");
  },
});

/** Fields of a job that goes over maps by windows, channel by channel. */
function windowed(out: Tensor, x: Tensor, window: Window, images: number) {
  const [{ at, stride }, from] = [out as WasmTensor, x as WasmTensor];
  const { height, width, kernel, stride: step, top, left, outHeight, outWidth } = window;
  return {
    ...{ images, channels: from.cols, out: at, outStride: stride, outHeight, outWidth },
    ...{ x: from.at, xStride: from.stride, height, width, kernel, stride: step, top, left },
  };
}
