/**
 * Masks of what a text or an image says (CLIPSeg, Lüddecke & Ecker 2022): the tokens of a few blocks, the last first, go through
 * a narrow decoder that is told what to look for by FiLM, and become a map of logits by transposed convolutions.
 */
import type { Backend, Linear, Tensor as Matrix } from "../backend.js";
import type { Planned, Planner } from "../planned.js";
import { convolutionRows, source, transposedPlan } from "../plans.js";
import { type Block, type EncoderConfig, encode } from "../vit/encoder.js";
import { type Call, type Tensor, tensorOf } from "../vit/outputs.js";
import { type FeatureMap, windowOf } from "../vit/resnet.js";
import type { Encoded, Reader } from "../vit/vit.js";

export interface TextMasksConfig {
  /** Blocks that are read behind, from 0; the last of them goes into the decoder first. */
  readonly levels: readonly number[];
  /** The decoder, a block a level, whose norms are of sums. */
  readonly decoder: EncoderConfig;
  /** The level, from 0 in the decoder's order, before which it is told what to look for. */
  readonly conditional: number;
  /** Strides of the transposed convolutions; before two of them there is a convolution of 3×3. */
  readonly strides: readonly number[];
}

export interface TextMasks {
  /** Features that are shared with texts → a factor, and a term, for each channel (FiLM, Perez et al. 2018). */
  readonly factor: Linear;
  readonly term: Linear;
  /** D → channels, for each level in the decoder's order. */
  readonly reduces: readonly Linear[];
  readonly blocks: readonly Block[];
  readonly convolution: Linear | undefined;
  readonly transposed: readonly Linear[];
}

export interface TextMasksNames {
  readonly factor: string;
  readonly term: string;
  /** Prefixes with "#". */
  readonly reduces: string;
  readonly transposed: string;
}

/** Names of the transposed convolutions, and of what is before them: one layer, or five in turn. */
function stagesOf({ transposed }: TextMasksNames, exists: (layer: string) => boolean) {
  const complex = exists(`${transposed}.0`);
  return {
    convolution: complex ? `${transposed}.0` : undefined,
    transposed: complex ? [`${transposed}.2`, `${transposed}.4`] : [transposed],
  };
}

/** Strides of the transposed convolutions, as their tensors tell them. */
export function stridesOf(
  names: TextMasksNames,
  shapeOf: (layer: string) => readonly number[] | undefined,
): readonly number[] {
  return stagesOf(names, (layer) => shapeOf(layer) !== undefined).transposed.map((layer) => shapeOf(layer)?.[3] ?? 0);
}

/** @param widths columns of the image tower's tokens, and of the features that are shared with texts. */
export function planTextMasks(
  planner: Planner,
  names: TextMasksNames,
  { levels, decoder, strides }: TextMasksConfig,
  widths: { readonly tokens: number; readonly features: number },
  blocks: readonly Planned<Block>[],
): Planned<TextMasks> {
  const { has, weightOf, biasOf } = planner;
  const { width } = decoder;
  const stages = stagesOf(names, (layer) => has(weightOf(layer)));
  return {
    factor: planner.linear([names.factor], width, widths.features),
    term: planner.linear([names.term], width, widths.features),
    reduces: levels.map((_, i) => planner.linear([names.reduces.replace("#", String(i))], width, widths.tokens)),
    blocks,
    convolution:
      stages.convolution === undefined
        ? undefined
        : {
            place: "linear",
            ...{ outputs: width, inputs: 9 * width },
            weight: [
              source(weightOf(stages.convolution), [width, width, 3, 3], width, {
                arrange: convolutionRows({ outputs: width, channels: width, kernel: 3 }),
              }),
            ],
            bias: [source(biasOf(stages.convolution), [width], width)],
          },
    transposed: stages.transposed.map((name, i) => {
      const channels = i === 0 ? width : width >> 1;
      const last = i === stages.transposed.length - 1;
      const plan = transposedPlan(planner, name, { outputs: last ? 1 : width >> 1, channels, stride: strides[i]! });
      // One number a pixel, of a few channels: integers would save nothing and cost digits of every logit.
      return last ? { ...plan, exact: true } : plan;
    }),
  };
}

/** A pass of the decoder, over one image. */
export interface TextMasksPass {
  /** Reads the levels while the encoder runs. */
  readonly reader: Reader;
  /**
   * Gives logits, [prompts, H, W], and decoderHiddenStates, [prompts, tokens, channels] behind each block.
   * @param prompts features of what is looked for, not normalized, [prompts, features].
   */
  finish(encoded: Encoded, prompts: Tensor): Promise<void>;
}

/** Begins a pass, if any output needs one. */
export function startTextMasks(
  backend: Backend,
  { textMasks: weights }: { readonly textMasks: TextMasks | undefined },
  {
    textMasks: config,
    prefixTokens,
  }: { readonly textMasks: TextMasksConfig | undefined; readonly prefixTokens: number },
  { wants, outputs, signal }: Call,
): TextMasksPass | undefined {
  if (!weights || !config || !(wants("logits") || wants("decoderHiddenStates"))) return undefined;
  const { levels, decoder, conditional, strides } = config;
  const reduced: Matrix[] = [];

  const reader: Reader = {
    blocks: [...new Set(levels)],
    tokens(block, { z }) {
      for (const [i, level] of levels.entries()) {
        if (level !== block) continue;
        const place = levels.length - 1 - i;
        reduced[place] = backend.createTensor(z.rows, decoder.width);
        backend.linear(reduced[place]!, z, weights.reduces[place]!);
      }
    },
    map() {},
  };

  /** x · factor + term, each a number for a channel. */
  function film(x: Matrix, prompt: Matrix): void {
    const [factor, term, product] = [1, 1, x.rows].map((rows) => backend.createTensor(rows, x.cols)) as [
      Matrix,
      Matrix,
      Matrix,
    ];
    backend.linear(factor, prompt, weights!.factor);
    backend.linear(term, prompt, weights!.term);
    // A filter of one pixel, and positions of sequences of one token.
    const column = { height: x.rows, width: 1, kernel: 1, stride: 1, top: 0, left: 0, outHeight: x.rows, outWidth: 1 };
    backend.convolveDepthwise(product, x, factor, column);
    backend.assembleTokens(x, undefined, product, term);
  }

  /** Logits of a map of tokens, [H·W, 1]. */
  function enlarged(x: Matrix, [rows, columns]: readonly [number, number]): FeatureMap {
    let map: FeatureMap = { x, height: rows, width: columns };
    const { convolution, transposed } = weights!;
    if (convolution) {
      const out = backend.createTensor(x.rows, convolution.outputs);
      backend.convolve(out, x, convolution, windowOf(map, 3, 1, "symmetric"), { activation: "relu" });
      map = { ...map, x: out };
    }
    for (const [i, layer] of transposed.entries()) {
      const stride = strides[i]!;
      const { height, width } = map;
      const out = backend.createTensor(height * width * stride * stride, layer.outputs / stride ** 2);
      const activation = i === transposed.length - 1 ? undefined : "relu";
      backend.convolveTransposed(out, map.x, layer, { height, width, kernel: stride, stride }, { activation });
      map = { x: out, height: stride * height, width: stride * width };
    }
    return map;
  }

  async function finish({ tokens, grid }: Encoded, prompts: Tensor): Promise<void> {
    const [count, features] = prompts.dims as [number, number];
    const scale = strides.reduce((product, stride) => product * stride, 1);
    const [height, width] = [scale * grid[0], scale * grid[1]];
    const states: Promise<Float32Array>[][] = levels.map(() => []);
    const logits: Promise<Float32Array>[] = [];
    for (let i = 0; i < count; i++) {
      const mark = backend.mark();
      try {
        const rows = prompts.data.subarray(i * features, (i + 1) * features);
        const prompt = backend.createTensor(1, features, rows);
        const x = backend.createTensor(tokens, decoder.width);
        for (const [level, block] of weights!.blocks.entries()) {
          const own = reduced[level]!;
          // The first level as it is; the others are added.
          if (level === 0) backend.assembleTokens(x, undefined, own, undefined);
          else {
            const before = backend.createTensor(tokens, decoder.width);
            backend.assembleTokens(before, undefined, x, own);
            backend.assembleTokens(x, undefined, before, undefined);
          }
          if (level === conditional) film(x, prompt);
          await encode(backend, { ...decoder, postNorm: "sum" }, [block], x, { images: 1, tokens }, {}, { signal });
          if (wants("decoderHiddenStates")) states[level]!.push(backend.read(x));
        }
        if (!wants("logits")) continue;
        const patches = backend.createTensor(grid[0] * grid[1], decoder.width);
        backend.readout(patches, x, { tokens, prefix: prefixTokens, readout: "ignore" });
        logits.push(backend.read(enlarged(patches, grid).x));
      } finally {
        backend.release(mark);
      }
    }
    if (wants("logits")) outputs.logits = tensorOf(joined(logits), [count, height, width]);
    if (wants("decoderHiddenStates")) {
      outputs.decoderHiddenStates = states.map((all) => tensorOf(joined(all), [count, tokens, decoder.width]));
    }
  }
  return { reader, finish };
}

/** Values of all prompts, one's behind the other's. */
async function joined(parts: readonly Promise<Float32Array>[]): Promise<Float32Array> {
  const values = await Promise.all(parts);
  const all = new Float32Array(values.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of values) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
