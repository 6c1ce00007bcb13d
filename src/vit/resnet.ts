/**
 * ResNetV2 (He et al. 2016) with GroupNorm and standardized weights: BiT (Kolesnikov et al. 2020), with which the paper
 * compares, and the stem of its hybrids (section 3.1), where the norm comes after the convolution.
 */
import type { Backend, Linear, Tensor as Matrix, Norm, Window } from "../backend.js";
import { tensorOf } from "./call.js";
import type { Tensor } from "./outputs.js";

/** As in TensorFlow, where what is odd goes behind; the same on both sides, whatever the stride; or none. */
export type Padding = "same" | "symmetric" | "valid";

/** A ResNetV2 (He et al. 2016, Kolesnikov et al. 2020): the stem of a hybrid, or BiT. */
export interface ResNetConfig {
  /** Units of each stage; none for a stem alone. */
  readonly units: readonly number[];
  /** Channels of the first convolution, then of each stage's output; units are four times narrower inside. */
  readonly channels: readonly number[];
  /** Groups of GroupNorm. */
  readonly groups: number;
  /** BiT: norm and ReLU before each convolution, and one norm after the last stage. */
  readonly preActivation: boolean;
  readonly padding: Padding;
  /** The same of the first max pool, and what lies around its map: 0 or -Infinity. */
  readonly poolPadding: Padding;
  readonly poolFill: number;
  /** hiddenStates begin with the map before the first pool (timm), or behind it. */
  readonly statesBeforePool: boolean;
}

/** Filters, and how they stand. */
export interface Convolution {
  readonly weights: Linear;
  readonly kernel: number;
  readonly stride: number;
}

/** A bottleneck: 1×1, 3×3, 1×1. */
export interface Unit {
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

  /** x + f(x), where f normalizes before each of its convolutions, and the shortcut reads what the first one does. */
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

  /** relu(x + f(x)), where f normalizes after each of its convolutions. */
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

/** [B·H·W, C] to [B, C, H, W]. */
export function planes(backend: Backend, { x, height, width }: FeatureMap, images: number): Promise<Tensor> {
  const [channels, area] = [x.cols, height * width];
  const values = backend.read(x).then((rows) => {
    const data = new Float32Array(rows.length);
    for (let image = 0; image < images; image++)
      for (let i = 0; i < area; i++)
        for (let c = 0; c < channels; c++)
          data[(image * channels + c) * area + i] = rows[(image * area + i) * channels + c]!;
    return data;
  });
  return tensorOf(values, [images, channels, height, width]);
}

/** The windows of a convolution or pool. */
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
