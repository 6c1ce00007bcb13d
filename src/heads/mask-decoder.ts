/**
 * SAM's mask decoder (Kirillov et al. 2023, appendix A, figure 14): tokens of the prompts and cells of the image's embedding read
 * each other in turn, then the cells are enlarged fourfold, and each mask's token says how its mask is made of them.
 */
import type { Activation, Backend, Linear, Tensor as Matrix } from "../backend.js";
import { type Call, tensorOf } from "../vit/call.js";
import { windowOf } from "../vit/resnet.js";
import { runMlp } from "./mlp.js";
import { embedPrompts, type Prompts } from "./prompts.js";
import type { CrossAttention, MaskDecoder, PromptWeights, SamConfig } from "./sam-weights.js";

/** Prompts of an image. */
export interface Prompting extends Prompts {
  /** Scores of a mask of the image, [4·rows, 4·columns], as the decoder gave them before. */
  readonly mask: Float32Array | undefined;
  /** All masks of an ambiguous prompt, or the one that stands for them. */
  readonly several: boolean;
}

/** Results of the decoder that are of an image alone, the same for all of its objects. */
interface Seen {
  /** The map that it begins with, [N, C]. */
  readonly map: Matrix;
  /** Queries of cells, and keys and values for tokens, of the first block: [N, D] each. */
  readonly q: Matrix;
  readonly k: Matrix;
  readonly v: Matrix;
}

/** An embedding that was given, [C, N], and what was made of it. */
interface Kept {
  readonly planes: Float32Array;
  readonly seen: Seen;
}

/**
 * The last image of each model whose embedding was given: people click more than once. Its matrices are made once a model, like its
 * weights; of SAM they are 10 MB, and a fifth of the decoder's work.
 */
const kept = new WeakMap<MaskDecoder, Kept>();

/**
 * Masks of the objects of an image, one object after the other: predMasks, iouScores, promptEmbeddings.
 * @param embedding [N, C], or as it was given: planes [C, N].
 * @param imageSize of the model: height and width.
 */
export async function runMaskDecoder(
  backend: Backend,
  weights: MaskDecoder,
  { decoder, grid, channels }: SamConfig,
  embedding: Matrix | Float32Array,
  prompting: Prompting,
  imageSize: readonly [number, number],
  { wants, outputs, signal }: Call,
): Promise<void> {
  const { heads, activation, masks } = decoder!;
  const { prompt, blocks } = weights;
  const { objects, several } = prompting;
  const cells = grid[0] * grid[1];
  const [height, width] = [4 * grid[0], 4 * grid[1]];
  const made = several ? Array.from({ length: masks - 1 }, (_, i) => i + 1) : [0];
  const { tokens, count } = embedPrompts(prompt, prompting, imageSize);
  const asks = wants("predMasks") || wants("iouScores");
  const known = asks && embedding instanceof Float32Array && !prompting.mask ? remember(embedding) : undefined;
  const mark = backend.mark();
  try {
    const beneath = prompting.mask
      ? embedMask(backend, prompt, prompting.mask, grid, decoder!.promptActivation)
      : prompt.noMask;
    if (wants("promptEmbeddings")) {
      const dense = backend.read(beneath).then((rows) => transposed(rows, channels));
      outputs.promptEmbeddings = [
        tensorOf(Promise.resolve(tokens), [1, objects, count, channels]),
        tensorOf(dense, [1, channels, ...grid]),
      ];
    }
    if (asks) await decodeAll(known ?? see(empty(), beneath));
  } finally {
    backend.release(mark);
  }

  /** Calls the ops of all objects. */
  async function decodeAll(seen: Seen): Promise<void> {
    const [all, qualities]: [Promise<Float32Array>[], Float32Array[]] = [[], []];
    for (let object = 0; object < objects; object++) {
      signal?.throwIfAborted();
      const mark = backend.mark();
      const { x, map } = decode(seen, tokens.subarray(object * count * channels, (object + 1) * count * channels));
      const rows = made.map((mask) => rowOf(weights.hypernetworks[mask]!, x, 1 + mask));
      const quality = await rowOf(weights.quality, x, 0);
      qualities.push(Float32Array.from(made, (mask) => quality[mask]!));
      if (wants("predMasks")) all.push(masksOf(map, await Promise.all(rows)));
      backend.release(mark);
    }
    if (wants("predMasks")) {
      outputs.predMasks = tensorOf(Promise.all(all).then(joined), [1, objects, made.length, height, width]);
    }
    if (wants("iouScores")) {
      outputs.iouScores = tensorOf(Promise.resolve(joined(qualities)), [1, objects, made.length]);
    }
  }

  function empty(): Seen {
    const { toTokens, toImage } = blocks[0]!;
    const inner = (layer: Linear) => backend.createTensor(cells, layer.outputs);
    const map = backend.createTensor(cells, channels);
    return { map, q: inner(toTokens.q), k: inner(toImage.k), v: inner(toImage.v) };
  }

  /** Fills `out` with what is made of the image and a mask beneath it. */
  function see(out: Seen, beneath: Matrix): Seen {
    const { toTokens, toImage } = blocks[0]!;
    const { map, q, k, v } = out;
    const mark = backend.mark();
    const x =
      embedding instanceof Float32Array
        ? backend.createTensor(cells, channels, transposed(embedding, cells))
        : embedding;
    backend.assembleTokens(map, undefined, x, beneath);
    const placed = sum(map, prompt.cells);
    backend.linear(q, placed, toTokens.q);
    backend.linear(k, placed, toImage.k);
    backend.linear(v, map, toImage.v);
    backend.release(mark);
    return out;
  }

  /** The same without a mask, which is not made again for the embedding that it was made of before. */
  function remember(planes: Float32Array): Seen {
    const last = kept.get(weights);
    if (last && isEqual(last.planes, planes)) return last.seen;
    const seen = see(last?.seen ?? empty(), prompt.noMask);
    kept.set(weights, { planes: planes.slice(), seen });
    return seen;
  }

  /** a + b */
  function sum(a: Matrix, b: Matrix): Matrix {
    const out = backend.createTensor(a.rows, a.cols);
    backend.assembleTokens(out, undefined, a, b);
    return out;
  }

  function project(x: Matrix, layer: Linear): Matrix {
    const y = backend.createTensor(x.rows, layer.outputs);
    backend.linear(y, x, layer);
    return y;
  }

  /** out = A(q, k, v), or out += that. */
  function mix(
    out: Matrix,
    layers: CrossAttention,
    parts: { readonly q: Matrix; readonly k: Matrix; readonly v: Matrix },
    accumulate = true,
  ): void {
    const inner = backend.createTensor(out.rows, layers.v.outputs);
    backend.attention(inner, parts, { heads, tokens: parts.k.rows });
    backend.linear(out, inner, layers.out, { accumulate });
  }

  /** The tokens and the map when they have read each other. */
  function decode(seen: Seen, prompts: Float32Array): { readonly x: Matrix; readonly map: Matrix } {
    const rows = 1 + masks + count;
    const data = new Float32Array(rows * channels);
    data.set(weights.qualityToken);
    data.set(weights.maskTokens, channels);
    data.set(prompts, (1 + masks) * channels);
    const first = backend.createTensor(rows, channels, data);
    const x = backend.createTensor(rows, channels, data);
    const map = backend.createTensor(cells, channels);
    backend.assembleTokens(map, undefined, seen.map, undefined);

    for (const [i, { self, toImage, toTokens, ...block }] of blocks.entries()) {
      const mark = backend.mark();
      // The first has no positions, which its tokens are, and nothing is added to.
      const own = i === 0 ? x : sum(x, first);
      const { q, k, v } = self;
      mix(x, self, { q: project(own, q), k: project(own, k), v: project(x, v) }, i > 0);
      backend.layerNorm(x, x, block.norm1);

      const placed = i === 0 ? undefined : sum(map, prompt.cells);
      mix(x, toImage, {
        q: project(sum(x, first), toImage.q),
        k: placed ? project(placed, toImage.k) : seen.k,
        v: placed ? project(map, toImage.v) : seen.v,
      });
      backend.layerNorm(x, x, block.norm2);

      const hidden = backend.createTensor(rows, block.fc1.outputs);
      backend.linear(hidden, x, block.fc1, { activation });
      backend.linear(x, hidden, block.fc2, { accumulate: true });
      backend.layerNorm(x, x, block.norm3);

      mix(map, toTokens, {
        q: placed ? project(placed, toTokens.q) : seen.q,
        k: project(sum(x, first), toTokens.k),
        v: project(x, toTokens.v),
      });
      backend.layerNorm(map, map, block.norm4);
      backend.release(mark);
    }
    const { toImage } = weights;
    const mark = backend.mark();
    mix(x, toImage, {
      q: project(sum(x, first), toImage.q),
      k: project(sum(map, prompt.cells), toImage.k),
      v: project(map, toImage.v),
    });
    backend.layerNorm(x, x, weights.norm);
    backend.release(mark);
    return { x, map };
  }

  /** A row of what layers make of all tokens, which are few. */
  async function rowOf(layers: readonly Linear[], x: Matrix, row: number): Promise<Float32Array> {
    const all = runMlp(backend, layers, x, "relu");
    return (await backend.read(all)).slice(row * all.cols, (row + 1) * all.cols);
  }

  /**
   * Scores of masks, [masks, height, width]: the map is enlarged fourfold, and a pixel's score is the product of its channels and the
   * mask's row. Both transposed convolutions make 2 × 2 pixels of one; those of the last stay beside each other, in a row for each
   * four, so that a product of this and the rows in their places gives the scores.
   */
  function masksOf(map: Matrix, rows: readonly Float32Array[]): Promise<Float32Array> {
    const { upscale1, upscale2, upscaleNorm } = weights;
    const sizes = { height: grid[0], width: grid[1], kernel: 2, stride: 2 };
    const double = backend.createTensor(4 * cells, upscale1.outputs / 4);
    backend.convolveTransposed(double, map, upscale1, sizes);
    backend.layerNorm(double, double, upscaleNorm, { activation: "gelu" });
    const pixels = backend.createTensor(4 * cells, upscale2.outputs);
    backend.linear(pixels, double, upscale2, { activation: "gelu" });

    const places = new Float32Array(4 * rows.length * pixels.cols);
    for (const [mask, row] of rows.entries())
      for (let i = 0; i < 4; i++) places.set(row, (4 * mask + i) * pixels.cols + i * row.length);
    const products = backend.createTensor(pixels.rows, 4 * rows.length);
    backend.matmul(products, pixels, backend.createTensor(products.cols, pixels.cols, places));
    return backend.read(products).then((data) => {
      const out = new Float32Array(rows.length * height * width);
      for (let mask = 0, at = 0; mask < rows.length; mask++)
        for (let y = 0; y < height; y++)
          for (let x = 0; x < width; x++, at++) {
            const pixel = (y >> 1) * (width / 2) + (x >> 1);
            out[at] = data[pixel * products.cols + 4 * mask + 2 * (y & 1) + (x & 1)]!;
          }
      return out;
    });
  }
}

/** Tells whether all numbers are the same, to the bit. */
function isEqual(a: Float32Array, b: Float32Array): boolean {
  if (a.length !== b.length) return false;
  const [x, y] = [a, b].map(({ buffer, byteOffset, length }) => new Int32Array(buffer, byteOffset, length));
  for (let i = 0; i < a.length; i++) if (x![i] !== y![i]) return false;
  return true;
}

/** The embedding of a mask, [N, C]: two convolutions that halve it, and one of single cells. */
function embedMask(
  backend: Backend,
  { mask }: PromptWeights,
  scores: Float32Array,
  [rows, columns]: readonly [number, number],
  activation: Activation,
): Matrix {
  const cells = rows * columns;
  const out = backend.createTensor(cells, mask.conv3.outputs);
  const mark = backend.mark();
  const x = backend.createTensor(16 * cells, 1, scores);
  const half = backend.createTensor(4 * cells, mask.conv1.outputs);
  backend.convolve(half, x, mask.conv1, windowOf({ height: 4 * rows, width: 4 * columns }, 2, 2, "valid"));
  backend.layerNorm(half, half, mask.norm1, { activation });
  const quarter = backend.createTensor(cells, mask.conv2.outputs);
  backend.convolve(quarter, half, mask.conv2, windowOf({ height: 2 * rows, width: 2 * columns }, 2, 2, "valid"));
  backend.layerNorm(quarter, quarter, mask.norm2, { activation });
  backend.linear(out, quarter, mask.conv3);
  backend.release(mark);
  return out;
}

/** [rows, cols] to [cols, rows]. */
function transposed(values: Float32Array, cols: number): Float32Array {
  const rows = values.length / cols;
  const out = new Float32Array(values.length);
  for (let i = 0; i < rows; i++) for (let c = 0; c < cols; c++) out[c * rows + i] = values[i * cols + c]!;
  return out;
}

/** Arrays one behind the other. */
function joined(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
