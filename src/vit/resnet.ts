/**
 * ResNetV2 (He et al. 2016) with GroupNorm and standardised weights: BiT (Kolesnikov et al. 2020), with which the paper
 * compares, and the stem of its hybrids (section 3.1), where the norm comes after the convolution.
 */
import type { Backend, Linear, Tensor as Matrix, Norm, Window } from "../backend.js";
import { weightOf } from "../checkpoint/layouts.js";
import { type Named, unitAt } from "../checkpoint/observe.js";
import type { Arrange, Planner } from "../checkpoint/plan.js";
import type { Padding, ResNetConfig } from "./config.js";

/** Added to the variance of a filter, and of a group. */
const FILTER_EPS = 1e-8;
const GROUP_EPS = 1e-5;

interface Convolution {
  readonly weights: Linear;
  readonly kernel: number;
  readonly stride: number;
}

/** A bottleneck: 1×1, 3×3, 1×1. */
interface Unit {
  readonly convolutions: readonly [Convolution, Convolution, Convolution];
  readonly norms: readonly [Norm, Norm, Norm];
  readonly shortcut: { readonly convolution: Convolution; readonly norm: Norm | undefined } | undefined;
}

export interface ResNet {
  readonly stem: { readonly convolution: Convolution; readonly norm: Norm | undefined };
  readonly stages: readonly (readonly Unit[])[];
  /** After the last stage of a pre-activation network. */
  readonly norm: Norm | undefined;
}

/** A feature map: [B·height·width, C], a row a pixel. */
export interface FeatureMap {
  readonly x: Matrix;
  readonly height: number;
  readonly width: number;
}

/** Filters of the checkpoint, [O, I, k, k] or Flax's [k, k, I, O], as rows in the order (y, x, channel); standardised if asked. */
export const convolutionRows =
  (
    { outputs, channels, kernel, flax }: { outputs: number; channels: number; kernel: number; flax: boolean },
    standardise = false,
  ): Arrange =>
  (values) => {
    const spots = kernel * kernel;
    const inputs = spots * channels;
    const rows = new Float32Array(values.length);
    for (let o = 0; o < outputs; o++) {
      for (let spot = 0; spot < spots; spot++)
        for (let c = 0; c < channels; c++) {
          const from = flax ? (spot * channels + c) * outputs + o : (o * channels + c) * spots + spot;
          rows[o * inputs + spot * channels + c] = values[from]!;
        }
      if (standardise) standardiseRow(rows.subarray(o * inputs, (o + 1) * inputs));
    }
    return rows;
  };

/** (w - mean) / √(var + ε), over all inputs of a filter (Qiao et al. 2019). */
function standardiseRow(row: Float32Array): void {
  const mean = row.reduce((sum, x) => sum + x, 0) / row.length;
  const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / row.length;
  const scale = 1 / Math.sqrt(variance + FILTER_EPS);
  for (let i = 0; i < row.length; i++) row[i] = (row[i]! - mean) * scale;
}

export function planResNet(
  planner: Planner,
  prefix: string,
  names: NonNullable<Named["resnet"]>,
  config: ResNetConfig,
): { channels: number; weights: () => ResNet } {
  const { layout, has, shapeOf } = planner;
  const flax = layout.kernels === true;

  /** Sizes are what the tensor says; a wrong one shows where the next does not fit. */
  function convolution(name: string, stride: number, channels: number) {
    const shape = shapeOf(weightOf(layout, name)) ?? [];
    const [outputs = 1, kernel = 1] = flax ? [shape[3], shape[0]] : [shape[0], shape[2]];
    const expected = flax ? [kernel, kernel, channels, outputs] : [outputs, channels, kernel, kernel];
    const weights = planner.linear({
      names: [name],
      outputs,
      inputs: kernel * kernel * channels,
      shape: expected,
      arrange: convolutionRows({ outputs, channels, kernel, flax }, true),
      biases: [undefined],
    });
    return { outputs, make: (): Convolution => ({ weights: weights(), kernel, stride }) };
  }
  const norm = (name: string, cols: number) => planner.norm(name, cols, GROUP_EPS, undefined);

  const stem = convolution(prefix + names.stem, 2, 3);
  const stemNorm = config.preActivation ? undefined : norm(prefix + names.stemNorm, stem.outputs);
  let channels = stem.outputs;
  const stages = config.units.map((count, stage) =>
    Array.from({ length: count }, (_, i) => {
      const at = prefix + unitAt(names, stage, i);
      const stride = i === 0 && stage > 0 ? 2 : 1;
      const inputs = channels;
      const convs = names.convolutions.map((name, k) => {
        const made = convolution(at + name, k === 1 ? stride : 1, channels);
        const before = channels;
        channels = made.outputs;
        return { make: made.make, norm: norm(at + names.norms[k]!, config.preActivation ? before : channels) };
      });
      const hasShortcut = has(weightOf(layout, at + names.shortcut));
      const shortcut = hasShortcut ? convolution(at + names.shortcut, stride, inputs) : undefined;
      const shortcutNorm = hasShortcut && !config.preActivation ? norm(at + names.shortcutNorm, channels) : undefined;
      return (): Unit => ({
        convolutions: convs.map(({ make }) => make()) as unknown as Unit["convolutions"],
        norms: convs.map(({ norm }) => norm()) as unknown as Unit["norms"],
        shortcut: shortcut && { convolution: shortcut.make(), norm: shortcutNorm?.() },
      });
    }),
  );
  const last = config.preActivation ? norm(prefix + names.last, channels) : undefined;
  return {
    channels,
    weights: () => ({
      stem: { convolution: stem.make(), norm: stemNorm?.() },
      stages: stages.map((units) => units.map((unit) => unit())),
      norm: last?.(),
    }),
  };
}

/**
 * Runs pixels through stem and stages.
 * @param pixels [B·3, H·W]
 * @param each is given the map after the stem and each stage; the map is overwritten later.
 */
export function runResNet(
  backend: Backend,
  resnet: ResNet,
  config: ResNetConfig,
  pixels: Matrix,
  image: { height: number; width: number },
  each: (map: FeatureMap) => void,
): FeatureMap {
  const { groups, preActivation } = config;
  const images = pixels.rows / 3;
  const relu = { groups, activation: "relu" } as const;
  const pixelsOf = ({ height, width }: FeatureMap) => height * width;

  const rows = backend.createTensor(images * image.height * image.width, 3);
  backend.patchify(rows, pixels, { ...image, patchHeight: 1, patchWidth: 1 });
  let map = convolve({ x: rows, ...image }, resnet.stem.convolution);
  if (resnet.stem.norm) backend.groupNorm(map.x, map.x, resnet.stem.norm, { ...relu, pixels: pixelsOf(map) });
  if (config.statesBeforePool) each(map);
  const window = windowOf(map, 3, 2, config.poolPadding);
  const pooled = backend.createTensor(images * window.outHeight * window.outWidth, map.x.cols);
  backend.maxPool(pooled, map.x, window, config.poolFill);
  map = { x: pooled, height: window.outHeight, width: window.outWidth };
  if (!config.statesBeforePool) each(map);

  for (const units of resnet.stages) {
    for (const unit of units) map = preActivation ? preActivated(unit, map) : postActivated(unit, map);
    each(map);
  }
  if (resnet.norm) backend.groupNorm(map.x, map.x, resnet.norm, { ...relu, pixels: pixelsOf(map) });
  return map;

  /** A map of the size that a convolution of `from` has. */
  function mapFor(from: FeatureMap, { weights, kernel, stride }: Convolution): FeatureMap {
    const { outHeight: height, outWidth: width } = windowOf(from, kernel, stride, config.padding);
    return { x: backend.createTensor(images * height * width, weights.outputs), height, width };
  }

  function convolve(
    from: FeatureMap,
    convolution: Convolution,
    { out = mapFor(from, convolution), accumulate = false } = {},
  ): FeatureMap {
    const { weights, kernel, stride } = convolution;
    if (kernel === 1 && stride === 1) backend.linear(out.x, from.x, weights, { accumulate });
    else backend.convolve(out.x, from.x, weights, windowOf(from, kernel, stride, config.padding), { accumulate });
    return out;
  }

  /** x + f(x), where f normalises before each of its convolutions, and the shortcut reads what the first one does. */
  function preActivated({ convolutions, norms, shortcut }: Unit, x: FeatureMap): FeatureMap {
    const [conv1, conv2, conv3] = convolutions;
    const out = shortcut ? mapFor(x, shortcut.convolution) : x;
    const mark = backend.mark();
    const y = { ...x, x: backend.createTensor(x.x.rows, x.x.cols) };
    backend.groupNorm(y.x, x.x, norms[0], { ...relu, pixels: pixelsOf(x) });
    if (shortcut) convolve(y, shortcut.convolution, { out });
    const inner = convolve(y, conv1);
    backend.groupNorm(inner.x, inner.x, norms[1], { ...relu, pixels: pixelsOf(inner) });
    const narrow = convolve(inner, conv2);
    backend.groupNorm(narrow.x, narrow.x, norms[2], { ...relu, pixels: pixelsOf(narrow) });
    convolve(narrow, conv3, { out, accumulate: true });
    backend.release(mark);
    return out;
  }

  /** relu(x + f(x)), where f normalises after each of its convolutions. */
  function postActivated({ convolutions, norms, shortcut }: Unit, x: FeatureMap): FeatureMap {
    const [conv1, conv2, conv3] = convolutions;
    let out = x;
    if (shortcut) {
      out = convolve(x, shortcut.convolution);
      backend.groupNorm(out.x, out.x, shortcut.norm!, { groups, pixels: pixelsOf(out) });
    }
    const mark = backend.mark();
    const inner = convolve(x, conv1);
    backend.groupNorm(inner.x, inner.x, norms[0], { ...relu, pixels: pixelsOf(inner) });
    const narrow = convolve(inner, conv2);
    backend.groupNorm(narrow.x, narrow.x, norms[1], { ...relu, pixels: pixelsOf(narrow) });
    const y = convolve(narrow, conv3);
    backend.groupNorm(out.x, y.x, norms[2], { ...relu, pixels: pixelsOf(y), accumulate: true });
    backend.release(mark);
    return out;
  }
}

/** Where a window of a convolution or pool stands. */
export function windowOf(
  { height, width }: { height: number; width: number },
  kernel: number,
  stride: number,
  padding: Padding,
): Window {
  const axis = (n: number) => {
    if (padding === "valid") return { before: 0, out: Math.floor((n - kernel) / stride) + 1 };
    if (padding === "symmetric") {
      const before = (kernel - 1) >> 1;
      return { before, out: Math.floor((n + 2 * before - kernel) / stride) + 1 };
    }
    const out = Math.ceil(n / stride);
    return { before: Math.floor(Math.max((out - 1) * stride + kernel - n, 0) / 2), out };
  };
  const [rows, columns] = [axis(height), axis(width)];
  return {
    ...{ height, width, kernel, stride },
    ...{ top: rows.before, left: columns.before, outHeight: rows.out, outWidth: columns.out },
  };
}
