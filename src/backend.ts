/**
 * The contract between the model and the machines it runs on.
 *
 * The model asks for *ops* (the functions below); a backend maps each to the *kernels* of its machine and alone decides
 * weight layout, padding and fusion. Backends differ in how, never in what: tests/backend.cases.ts holds the law.
 *
 * Ops run in the order of the calls, perhaps later; {@link Backend.read} waits for everything before it. Shapes are
 * checked here, once per op; the kernels check nothing.
 */
import type { MapResize, OffsetGrid, Pair, Transposed, Window, Windows } from "./maps.js";

export type { MapResize, OffsetGrid, Pair, Transposed, Window, Windows };

/** A matrix of f32, [rows, cols], in the backend's memory. Layout and padding are the backend's business. */
export interface Tensor {
  readonly rows: number;
  readonly cols: number;
}

/**
 * Arithmetic of a linear layer: how it keeps its weight and multiplies.
 * f32: as it is. f16: W rounded to IEEE binary16, arithmetic in f32; GPUs may multiply halves, with sums in f32.
 * int8: rows of W and of x to integers, each row by a scale of its own (docs at {@link Backend.linear}).
 */
export type Precision = "f32" | "f16" | "int8";

/** y = x Wᵀ + b with W: [outputs, inputs] and b: [outputs], in the backend's packed form. */
export interface Linear {
  readonly outputs: number;
  readonly inputs: number;
  readonly precision: Precision;
}

/**
 * Scale and shift of a norm, both [1, width]; eps is added to the variance. Without a shift it is an RMSNorm (Zhang &
 * Sennrich 2019), x / √(mean(x²) + eps) · scale: no mean is taken off.
 */
export interface Norm {
  readonly scale: Tensor;
  readonly shift: Tensor | undefined;
  readonly eps: number;
}

/** Element types of a checkpoint that convert to f32 exactly or with one rounding (F64, I64). */
export type DType = "F64" | "F32" | "F16" | "BF16" | "I64" | "I32" | "I16" | "I8" | "U8" | "BOOL";

/** Bytes of one element. */
export const ELEMENT_BYTES: Record<DType, number> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

/**
 * Place of rows of a checkpoint's tensor: rows `row…` of a weight or a bias (one element a row) or of a tensor. With
 * `scales`, one for each row, the stored weight is I8 in -64…63 and stands for scale·element: what int8 keeps as it is.
 */
export type WeightTarget =
  | { readonly linear: Linear; readonly part: "weight"; readonly row: number; readonly scales?: Float32Array }
  | { readonly linear: Linear; readonly part: "bias"; readonly row: number }
  | { readonly tensor: Tensor; readonly row: number };

/**
 * Function that `linear` applies to its result.
 * gelu: x Φ(x); gelu_tanh: x/2 (1 + tanh(√(2/π)(x + 0.044715 x³))); both as in torch.nn.functional.gelu. quick_gelu:
 * x σ(1.702 x), CLIP's. silu: x σ(x) (Elfwing et al. 2017).
 */
export type Activation = "gelu" | "gelu_tanh" | "quick_gelu" | "silu" | "tanh" | "relu";

/** Steps of `linear` before and after its product. */
export interface LinearOptions {
  /** Layer norm of the rows of x. */
  readonly norm?: Norm;
  readonly activation?: Activation;
  readonly accumulate?: boolean;
  /** First column of a wider out that the outputs are added to, with `accumulate`: a multiple of 8. */
  readonly column?: number;
}

/** Steps of `layerNorm` behind the norm, of which there may be one. */
export type LayerNormOptions = Pick<LinearOptions, "activation" | "accumulate">;

/** Size of an image and of its patches, in pixels. */
export interface PatchGrid {
  readonly height: number;
  readonly width: number;
  readonly patchHeight: number;
  readonly patchWidth: number;
}

/** Steps of `convolve` before and after its product: relu(x) in the place of x, and as in `linear`. */
export interface ConvolveOptions {
  readonly relu?: boolean;
  readonly activation?: Activation;
  readonly accumulate?: boolean;
}

/** Activation of the result of `convolveTransposed`. */
export type TransposedOptions = Pick<ConvolveOptions, "activation">;

/** Treatment of the class token where patch tokens become a map: left out, added to each, or beside each. */
export type Readout = "ignore" | "add" | "concatenate";

/** Options of `groupNorm`: `pixels` are an image's, and GN(x) is added to out before the activation with `accumulate`. */
export interface GroupNormOptions {
  readonly groups: number;
  readonly pixels: number;
  readonly activation?: "relu";
  readonly accumulate?: boolean;
}

/** Weights of the samples of one axis of an image in each of `count` results: those from `first[i]` on `weights[i·most …]` · 2^-22. */
export interface Taps {
  readonly first: Int32Array;
  /** [count, most], filled with zeros. */
  readonly weights: Int32Array;
}

/**
 * From the pixels of an image to pixel values, as Pillow resizes: a sum over columns, rounded to a byte, then one over rows,
 * rounded to a byte, which stands for a value.
 */
export interface Sampling {
  readonly width: number;
  readonly height: number;
  readonly columns: Taps;
  readonly rows: Taps;
  /** [3, 256], of each byte of each channel. */
  readonly values: Float32Array;
}

/** Queries, keys and values: of the same tokens in one matrix, or apart. */
export type Attended = Tensor | { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor };

/**
 * Decomposed relative positions (Li et al. 2022, "MViTv2", eq. 4) of height × width tokens, that are queries and keys: a query's
 * product, without the factor 1/√d, with a row of each table, the same for all heads, is added to its scores.
 */
export interface Decomposed {
  readonly height: number;
  readonly width: number;
  /** Table of lines, [2·height-1, d]: row y-v+height-1 for a query in line y and a key in line v. */
  readonly down: Tensor;
  /** Table of places in a line, [2·width-1, d]. */
  readonly across: Tensor;
}

/** Sizes of an attention, and what goes in and out. `integers`: processors multiply integers, as numerics/quantize.ts says. */
export interface AttentionShape {
  readonly heads: number;
  /** Keys of an image. */
  readonly tokens: number;
  readonly bias?: Tensor;
  /** Images are down × across windows of a map, and `bias` is of four kinds of them (see `relativePositions`). */
  readonly windows?: { readonly down: number; readonly across: number };
  readonly decomposed?: Decomposed;
  readonly probabilities?: Tensor;
  readonly integers?: boolean;
}

/** Two elements of a head that are turned together: i and i xor 1, or i and i + d/2. */
export type Pairs = "interleaved" | "halves";

/** Backends that a user may ask for. */
export type BackendName = "wasm" | "webgpu" | "reference";

export interface Backend {
  readonly name: string;
  /** Why it can compute no more, although nobody disposed of it: a GPU that went away. Every op then throws this. */
  readonly lost?: Error;
  /** Most bytes of a matrix, where that is less than memory has: what a GPU binds at once. */
  readonly maxBufferBytes?: number;
  /** Bytes held by weights now, and the most that activations and scratch have taken. */
  readonly memory: { readonly weights: number; readonly activations: number };

  /** A tensor of `data`, in row-major order, or of undefined content. Freed by a `release` of a mark made before it. */
  createTensor(rows: number, cols: number, data?: Float32Array): Tensor;
  /** A linear layer with zero bias, f32 unless said; its weight must then be stored. */
  createLinear(outputs: number, inputs: number, precision?: Precision): Linear;
  /** A place of `length` bytes to read a part of a checkpoint into; valid until the next call of any method. */
  stage(length: number): Uint8Array;
  /**
   * Converts whole rows of little-endian `bytes` (best: what `stage` gave) into their place. Returns -1, or the index of
   * the first element that is NaN or infinite (for an f16 weight: or beyond its range), and has then stored nothing.
   */
  store(target: WeightTarget, dtype: DType, bytes: Uint8Array): number;
  /**
   * Rows of W and b times factors [outputs]: LayerScale (Touvron et al. 2021), once at load. f16 may round the product again;
   * int8 keeps its integers and multiplies their scales.
   */
  rescale(weights: Linear, factors: Float32Array): void;

  /** Marks the end of what lives on. */
  mark(): number;
  /** Frees every tensor created since `mark`. */
  release(mark: number): void;
  /** Fills a tensor from row-major data. */
  write(x: Tensor, data: Float32Array): void;
  /**
   * Fills pixels [3, H·W] from an image that the backend's machine reads by itself. False, and nothing done, where it cannot;
   * absent where there is no such machine. Colours under a transparent pixel may differ by a level from what a canvas gives.
   */
  draw?(pixels: Tensor, image: CanvasImageSource, sampling: Sampling): boolean;
  /** Row-major copy of a tensor; the only wait. */
  read(x: Tensor): Promise<Float32Array>;

  /**
   * Pixels to patches. pixels: [B·C, H·W]; out: [B·N, C·Ph·Pw], a row's order (channel, y, x) as in Conv2d's weight.
   * Pixels right of or below the last whole patch are dropped, as a convolution without padding does.
   */
  patchify(out: Tensor, pixels: Tensor, grid: PatchGrid): void;
  /**
   * [prefix; patches] + positions, eq. 1. prefix: [p, D], patches: [B·N, D], positions, if there are any: [p+N, D];
   * out: [B·(p+N), D].
   */
  assembleTokens(out: Tensor, prefix: Tensor | undefined, patches: Tensor, positions: Tensor | undefined): void;
  /**
   * Rows to mean 0 and variance 1, then scale and shift, then f, or added to out with `accumulate`. out, x: [rows, width]; out
   * may be x.
   */
  layerNorm(out: Tensor, x: Tensor, norm: Norm, options?: LayerNormOptions): void;
  /**
   * out = f(LN(x) Wᵀ + b), or out += LN(x) Wᵀ + b with `accumulate`; LN is the identity without `norm`.
   * x: [rows, inputs]; out: [rows, outputs], not x, or wider with `column`.
   *
   * int8, all in f32 and rounded to nearest, ties to even: a row w of W is s·q with s = max(max w/63, -min w/64) and
   * q = round(w·(1/s)) in -64…63; a row x is t·a with t = max|x|/127 and a = round(x·(127/max|x|)). An element is
   * (Σ q·a)·(t·s) + b, the sum exact. Rows below 2^-100 count as zero. Backends on processors give the same bits for the same
   * x; GPUs may divide and fuse in their own way, and then differ in the last places, or rarely by one in an integer.
   */
  linear(out: Tensor, x: Tensor, weights: Linear, options?: LinearOptions): void;
  /** out = x yᵀ of each image, in f32. x: [B·n, d]; y: [B·m, d]; out: [B·n, m], neither x nor y. */
  matmul(out: Tensor, x: Tensor, y: Tensor): void;
  /** out = silu(g) ⊙ v of x = [g | v] (SwiGLU, Shazeer 2020), silu(x) = x σ(x). x: [rows, 2F]; out: [rows, F]. */
  swiglu(out: Tensor, x: Tensor): void;
  /**
   * Layer norm of each head's query and key, in place (Henry et al. 2020). qkv as in `attention`; query, key: width d, or with
   * scales of heads·d, each head's own.
   */
  qkNorm(qkv: Tensor, heads: number, query: Norm, key: Norm): void;
  /**
   * softmax(Q Kᵀ / √d + bias) V per image and head, eq. 5 to 7, a head's columns together. Self-attention has all in one matrix
   * qkv, [B·tokens, 3·heads·d] as [q | k | v]; out: [B·tokens, heads·d]. Apart, k and v are [B·tokens, heads·d], out is
   * [B·queries, heads·d], and q as out, or [queries, heads·d], the same for every image. probabilities, if wanted:
   * [B·heads·queries, tokens]. bias, the same for every image: [queries, tokens], or [heads·queries, tokens]; -∞ hides a key,
   * and no row may hide all. `decomposed` adds what {@link Decomposed} says, which takes no matrix of scores.
   */
  attention(out: Tensor, qkv: Attended, shape: AttentionShape): void;
  /**
   * Rotary positions (Su et al. 2021) of queries and keys, in place: x[i]·cos[i] + x[j]·sin[i] for the pair i, j; sin has the
   * sign. qkv as in `attention`; cos, sin: [tokens, d], the same for all heads, or [tokens, heads·d].
   */
  rope(qkv: Tensor, cos: Tensor, sin: Tensor, shape: { readonly heads: number; readonly pairs: Pairs }): void;
  /**
   * Biases of height × width patches by their offsets (Liu et al. 2021, eq. 4). table: [T, heads], T = (2·height-1)(2·width-1), a
   * row for each offset of a query (y, x) from a key (v, u), number (y-v+height-1)(2·width-1) + x-u+width-1; or 3 rows more, for
   * a class token before the patches: class to any, any to class, class to class (Bao et al. 2021, appendix). out:
   * [heads·tokens, tokens]. Of windows that are `shifted` it is [4·heads·tokens, tokens]: for one in the middle, at the end of a
   * line, of a column, of both, where `penalty` is added if a token but not the other is among the last `by` columns, or lines.
   */
  relativePositions(out: Tensor, table: Tensor, grid: OffsetGrid): void;
  /** Mean of rows first … first+count-1 of each image. x: [B·tokens, D]; out: [B, D]. */
  pool(out: Tensor, x: Tensor, rows: { readonly tokens: number; readonly first: number; readonly count: number }): void;

  // Feature maps are [B·height·width, C], a row a pixel, so that a convolution of one pixel is `linear`.

  /**
   * Convolution; outside of the map are zeros. x: [B·H·W, C]; out: [B·outHeight·outWidth, outputs]; W's inputs are
   * kernel·kernel·C in the order (y, x, channel). Arithmetic as in `linear`.
   */
  convolve(out: Tensor, x: Tensor, weights: Linear, window: Window, options?: ConvolveOptions): void;
  /**
   * Transposed convolution (Dumoulin & Visin 2016, chapter 4). x: [B·H·W, C]; out: [B·H·s·W·s, outputs] for stride s. With
   * t = kernel/s taps a side, W is that of a convolution of t × t pixels that makes s·s pixels of out at once: s·s·outputs
   * rows in the order (y, x, output), inputs t·t·C in the order (y, x, channel). Row (u, v, o) and input (i, j, c) are
   * PyTorch's weight[c, o, u + s·(t-1-i), v + s·(t-1-j)], and each row has its bias. Arithmetic as in `linear`.
   */
  convolveTransposed(out: Tensor, x: Tensor, weights: Linear, map: Transposed, options?: TransposedOptions): void;
  /**
   * Depthwise convolution: each channel by a filter of its own; outside of the map are zeros. x: [B·H·W, C];
   * filters: [kernel·kernel, C] in the order (y, x); out: [B·outHeight·outWidth, C]. In f32 in every precision.
   */
  convolveDepthwise(out: Tensor, x: Tensor, filters: Tensor, window: Window): void;
  /**
   * Bilinear interpolation of maps, torch.nn.functional.interpolate without antialias. x: [B·H·W, C]; out:
   * [B·rows·outWidth, C], to which it is added with `accumulate`. Out pixel i reads at i·(n-1)/(m-1) of n pixels that become m
   * where corners are aligned, else at max((i+½)·n/m - ½, 0), and beyond the last pixel that one.
   */
  resizeMap(out: Tensor, x: Tensor, map: MapResize): void;
  /**
   * Patch tokens as a map (Ranftl et al. 2021, section 3.1): rows from `prefix` on of each image's `tokens`, with its first
   * token left out, added, or beside them. x: [B·tokens, D]; out: [B·(tokens-prefix), D], or 2D columns [patch | first].
   */
  readout(
    out: Tensor,
    x: Tensor,
    tokens: { readonly tokens: number; readonly prefix: number; readonly readout: Readout },
  ): void;
  /** GroupNorm (Wu & He 2018): mean and variance of each image over all pixels and a group of channels. out may be x. */
  groupNorm(out: Tensor, x: Tensor, norm: Norm, options: GroupNormOptions): void;
  /**
   * n × m windows of h × w pixels, one after the other, line by line: a window's pixels are rows behind each other, out:
   * [B·n·m·h·w, C], or beside each other, [B·n·m, h·w·C]. Where one is outside of the map it is `outside`, [1, C]. x: [B·H·W, C].
   */
  toWindows(out: Tensor, x: Tensor, outside: Tensor, map: Windows): void;
  /** The map of windows, without what is outside of it. x: [B·n·m·h·w, C]; out: [B·H·W, C]. */
  fromWindows(out: Tensor, x: Tensor, map: Windows): void;
  /** Largest value in a window; outside of the map is `fill`. x: [B·H·W, C]; out: [B·outHeight·outWidth, C]. */
  maxPool(out: Tensor, x: Tensor, window: Window, fill: number): void;

  /** Frees everything; later calls throw. */
  dispose(): void;
}
