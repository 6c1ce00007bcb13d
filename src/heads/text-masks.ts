/**
 * Masks of what a text or an image says (CLIPSeg, Lüddecke & Ecker 2022): the tokens of a few blocks, the last first, go through
 * a narrow decoder that is told what to look for by FiLM, and become a map of logits by transposed convolutions.
 */
import type { Backend, Linear, Tensor as Matrix } from "../backend.js";
import type { Planned, Planner } from "../planned.js";
import { convolutionRows, source, transposedPlan } from "../plans.js";
import { type Call, tensorOf } from "../vit/call.js";
import { type Block, type EncoderConfig, encode } from "../vit/encoder.js";
import { checkRows, type Inputs } from "../vit/inputs.js";
import type { OutputName, Tensor } from "../vit/outputs.js";
import type { Encoded, Reader } from "../vit/reader.js";
import { type FeatureMap, windowOf } from "../vit/resnet.js";
import type { Head, HeadPass } from "./head.js";

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
function planTextMasks(
  planner: Planner,
  names: TextMasksNames,
  { levels, decoder, strides }: TextMasksConfig,
  widths: { readonly tokens: number; readonly features: number },
  blocks: readonly Planned<Block>[],
): Planned<TextMasks> {
  const { has, weightOf, biasOf } = planner;
  const { width } = decoder;
  const stages = stagesOf(names, (layer) => has(weightOf(layer)));
  const linear = (name: string, inputs: number) => planner.linear([name], width, inputs, { biased: true });
  return {
    factor: linear(names.factor, widths.features),
    term: linear(names.term, widths.features),
    reduces: levels.map((_, i) => linear(names.reduces.replace("#", String(i)), widths.tokens)),
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

/** Config of a model that may have the head. */
interface Config {
  readonly textMasks: TextMasksConfig | undefined;
  readonly width: number;
  readonly features: number;
  readonly prefixTokens: number;
}

/**
 * Reads the levels of one image while the encoder runs, and decodes them: logits, [prompts, H, W], and decoderHiddenStates, [prompts,
 * tokens, channels] behind each block.
 * @param prompts features of what is looked for, not normalized, [prompts, features].
 */
function passOf(
  backend: Backend,
  weights: TextMasks,
  { textMasks, prefixTokens }: Config,
  { wants, outputs, signal }: Call,
  prompts: Tensor,
): HeadPass {
  const { levels, decoder, conditional, strides } = textMasks!;
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
  };

  /** x · factor + term, each a number for a channel. */
  function film(x: Matrix, prompt: Matrix): void {
    const [factor, term, product] = [1, 1, x.rows].map((rows) => backend.createTensor(rows, x.cols)) as [
      Matrix,
      Matrix,
      Matrix,
    ];
    backend.linear(factor, prompt, weights.factor);
    backend.linear(term, prompt, weights.term);
    // A filter of one pixel, and positions of sequences of one token.
    const column = { height: x.rows, width: 1, kernel: 1, stride: 1, top: 0, left: 0, outHeight: x.rows, outWidth: 1 };
    backend.convolveDepthwise(product, x, factor, column);
    backend.assembleTokens(x, undefined, product, term);
  }

  /** Logits of a map of tokens, [H·W, 1]. */
  function enlarged(x: Matrix, [rows, columns]: readonly [number, number]): FeatureMap {
    let map: FeatureMap = { x, height: rows, width: columns };
    const { convolution, transposed } = weights;
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

  async function run({ tokens, grid }: Encoded): Promise<void> {
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
        for (const [level, block] of weights.blocks.entries()) {
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
  return { reader, run };
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

/** Inputs that say what masks are made of. */
const CONDITIONS = ["inputIds", "conditionalPixelValues", "conditionalEmbeddings"] as const;

/** Outputs that are made of them. */
const CONDITIONED: readonly OutputName[] = ["logits", "conditionalEmbeddings", "decoderHiddenStates"];

/**
 * The input that says what masks are made of.
 * @throws RangeError if there is none or several, or not one for each image.
 */
function checkConditions(inputs: Inputs, features: number): (typeof CONDITIONS)[number] {
  const given = CONDITIONS.filter((name) => inputs[name] !== undefined);
  const [name] = given;
  if (name === undefined || given.length > 1) {
    const got = given.join(" and ") || "none";
    throw new RangeError(`forward: masks are told by one of ${CONDITIONS.join(", ")}; got ${got}`);
  }
  if (name === "conditionalEmbeddings") {
    checkRows(name, "prompts", inputs.conditionalEmbeddings!, features);
    return name;
  }
  const [images, count] = [inputs.pixelValues?.dims?.[0], inputs[name]?.dims?.[0]];
  if (images !== count) {
    throw new RangeError(`forward: ${name} must have one for each image; got ${count} for ${images}`);
  }
  return name;
}

const rowOf = ({ dims, data }: Tensor, row: number): Tensor => {
  const width = dims[1]!;
  return { dims: [1, width], data: data.subarray(row * width, (row + 1) * width) };
};

/** Takes inputIds, conditionalPixelValues or conditionalEmbeddings; gives logits, conditionalEmbeddings and decoderHiddenStates. */
export const textMasks: Head<Config, { readonly textMasks: TextMasks | undefined }, TextMasks, TextMasksNames> = {
  plan(planner, { textMasks, width, features }, { names, blocks }) {
    const own = blocks(textMasks!.decoder, textMasks!.levels.length);
    return planTextMasks(planner, names, textMasks!, { tokens: width, features }, own);
  },
  begin({ weights, config }, inputs, wanted) {
    if (!CONDITIONED.some((name) => wanted.includes(name))) return undefined;
    const condition = checkConditions(inputs, config.features);
    // All for each image where they are given, else one for each.
    let features = inputs.conditionalEmbeddings!;
    return {
      alone: true,
      async before({ texts, images }) {
        if (condition === "inputIds") features = (await (await texts())()).textFeatures!;
        if (condition === "conditionalPixelValues") {
          const arrive = await images(condition, (name) => name === "imageFeatures");
          features = (await arrive()).imageFeatures!;
        }
      },
      pass(backend, call, image) {
        if (!call.wants("logits") && !call.wants("decoderHiddenStates")) return undefined;
        const prompts = condition === "conditionalEmbeddings" ? features : rowOf(features, image);
        return passOf(backend, weights.textMasks!, config, call, prompts);
      },
      finish: () => ({ conditionalEmbeddings: features }),
    };
  },
};
