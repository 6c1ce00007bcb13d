/**
 * SAM's mask decoder (Kirillov et al. 2023, appendix A, figure 14): tokens of the prompts and cells of the image's embedding read
 * each other in turn, then the cells are enlarged fourfold, and each mask's token says how its mask is made of them.
 */
import type { Activation, Backend, Tensor as Matrix } from "../backend.js";
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

/**
 * Masks of the objects of an image, one object after the other: predMasks, iouScores, promptEmbeddings.
 * @param embedding [N, C]
 * @param imageSize of the model: height and width.
 */
export function runMaskDecoder(
  backend: Backend,
  weights: MaskDecoder,
  { decoder, grid }: SamConfig,
  embedding: Matrix,
  prompting: Prompting,
  imageSize: readonly [number, number],
  { wants, outputs, signal }: Call,
): void {
  const { heads, activation, masks } = decoder!;
  const { prompt } = weights;
  const { objects, several } = prompting;
  const { rows: cells, cols: channels } = embedding;
  const [height, width] = [4 * grid[0], 4 * grid[1]];
  const kept = several ? Array.from({ length: masks - 1 }, (_, i) => i + 1) : [0];
  const { tokens, count } = embedPrompts(prompt, prompting, imageSize);
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
  if (!wants("predMasks") && !wants("iouScores")) return;
  const made = Array.from({ length: objects }, (_, object) => {
    signal?.throwIfAborted();
    const mark = backend.mark();
    const decoded = decode(tokens.subarray(object * count * channels, (object + 1) * count * channels));
    backend.release(mark);
    return decoded;
  });
  if (wants("predMasks")) {
    const all = Promise.all(made.map(({ pixels, weights }) => masksOf(pixels, weights))).then(joined);
    outputs.predMasks = tensorOf(all, [1, objects, kept.length, height, width]);
  }
  if (wants("iouScores")) {
    const all = Promise.all(made.map(({ scores }) => scores)).then(joined);
    outputs.iouScores = tensorOf(all, [1, objects, kept.length]);
  }

  /** a + b */
  function sum(a: Matrix, b: Matrix): Matrix {
    const out = backend.createTensor(a.rows, a.cols);
    backend.assembleTokens(out, undefined, a, b);
    return out;
  }

  /** out = A(q, k, v), or out += that. */
  function attend(
    out: Matrix,
    layers: CrossAttention,
    { q, k, v }: { readonly q: Matrix; readonly k: Matrix; readonly v: Matrix },
    accumulate = true,
  ): void {
    const mark = backend.mark();
    const into = (layer: CrossAttention["q"], x: Matrix) => {
      const y = backend.createTensor(x.rows, layer.outputs);
      backend.linear(y, x, layer);
      return y;
    };
    const parts = { q: into(layers.q, q), k: into(layers.k, k), v: into(layers.v, v) };
    const inner = backend.createTensor(q.rows, layers.v.outputs);
    backend.attention(inner, parts, { heads, tokens: k.rows });
    backend.linear(out, inner, layers.out, { accumulate });
    backend.release(mark);
  }

  /** The pixels of an object's masks, [16·N, C/8], what each mask takes of their channels, and its quality. */
  function decode(prompts: Float32Array) {
    const rows = 1 + masks + count;
    const data = new Float32Array(rows * channels);
    data.set(weights.qualityToken);
    data.set(weights.maskTokens, channels);
    data.set(prompts, (1 + masks) * channels);
    const first = backend.createTensor(rows, channels, data);
    const x = backend.createTensor(rows, channels, data);
    const map = sum(embedding, beneath);

    for (const [i, block] of weights.blocks.entries()) {
      const mark = backend.mark();
      // The first has no positions, which its tokens are, and nothing is added to.
      const own = i === 0 ? x : sum(x, first);
      attend(x, block.self, { q: own, k: own, v: x }, i > 0);
      backend.layerNorm(x, x, block.norm1);

      const placed = sum(map, prompt.cells);
      attend(x, block.toImage, { q: sum(x, first), k: placed, v: map });
      backend.layerNorm(x, x, block.norm2);

      const hidden = backend.createTensor(rows, block.fc1.outputs);
      backend.linear(hidden, x, block.fc1, { activation });
      backend.linear(x, hidden, block.fc2, { accumulate: true });
      backend.layerNorm(x, x, block.norm3);

      attend(map, block.toTokens, { q: placed, k: sum(x, first), v: x });
      backend.layerNorm(map, map, block.norm4);
      backend.release(mark);
    }
    attend(x, weights.toImage, { q: sum(x, first), k: sum(map, prompt.cells), v: map });
    backend.layerNorm(x, x, weights.norm);

    const sizes = { height: grid[0], width: grid[1], kernel: 2, stride: 2 };
    const { upscale1, upscale2, upscaleNorm } = weights;
    const double = backend.createTensor(4 * cells, upscale1.outputs / 4);
    backend.convolveTransposed(double, map, upscale1, sizes);
    backend.layerNorm(double, double, upscaleNorm, { activation: "gelu" });
    const pixels = backend.createTensor(16 * cells, upscale2.outputs / 4);
    const doubled = { ...sizes, height: 2 * grid[0], width: 2 * grid[1] };
    backend.convolveTransposed(pixels, double, upscale2, doubled, { activation: "gelu" });

    /** A row of what layers make of all tokens, which are few. */
    const rowOf = (layers: MaskDecoder["quality"], row: number) => {
      const all = runMlp(backend, layers, x, "relu");
      return backend.read(all).then((values) => values.slice(row * all.cols, (row + 1) * all.cols));
    };
    return {
      pixels: wants("predMasks") ? backend.read(pixels) : Promise.resolve(new Float32Array(0)),
      weights: Promise.all(kept.map((mask) => rowOf(weights.hypernetworks[mask]!, 1 + mask))),
      scores: rowOf(weights.quality, 0).then((all) => Float32Array.from(kept, (mask) => all[mask]!)),
    };
  }
}

/** Scores of masks, [masks, pixels]: products of each pixel's channels with each mask's weights. */
async function masksOf(
  pixels: Promise<Float32Array>,
  weights: Promise<readonly Float32Array[]>,
): Promise<Float32Array> {
  const [data, all] = await Promise.all([pixels, weights]);
  const width = all[0]!.length;
  const area = data.length / width;
  const out = new Float32Array(all.length * area);
  for (const [mask, row] of all.entries())
    for (let i = 0; i < area; i++) {
      let sum = 0;
      for (let c = 0; c < width; c++) sum += row[c]! * data[i * width + c]!;
      out[mask * area + i] = sum;
    }
  return out;
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
