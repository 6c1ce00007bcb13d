/** The convolutional stem of a hybrid (Dosovitskiy et al. 2021, section 3.1), or all of a BiT, and patches of its last map. */
import type { Backend, Linear, Tensor as Matrix } from "../backend.js";
import type { Call } from "./call.js";
import type { DrawnValues } from "./inputs.js";
import type { Tensor } from "./outputs.js";
import { type Pixels, pixelsOf } from "./pixels.js";
import type { Reader } from "./reader.js";
import { type FeatureMap, planes, type ResNet, type ResNetConfig, runResNet } from "./resnet.js";

/** Runs the stem, whose maps readers read; of a BiT they are the hidden states. */
export function runStem(
  backend: Backend,
  resnet: ResNet,
  config: { readonly resnet: ResNetConfig | undefined; readonly depth: number },
  values: Tensor | DrawnValues,
  { wants, outputs }: Call,
  readers: readonly Reader[],
): FeatureMap {
  const images = values.dims[0]!;
  const { x, ...size } = pixelsOf(backend, values);
  const states = config.depth === 0 && wants("hiddenStates");
  if (states) outputs.hiddenStates = [];
  let index = 0;
  return runResNet(backend, resnet, config.resnet!, x, size, (map) => {
    for (const reader of readers) reader.map?.(index, map, images);
    index++;
    if (states) outputs.hiddenStates!.push(planes(backend, map, images));
  });
}

/** Patches of the stem's last map, often of one pixel, times the patch embedding. Returns [B·N, D]. */
export function patchEmbedMap(
  backend: Backend,
  patchEmbed: Linear,
  {
    width,
    patchSize,
    stride,
  }: { readonly width: number; readonly patchSize: readonly [number, number]; readonly stride: number },
  map: FeatureMap,
  [rows, columns]: readonly [number, number],
  images: number,
): Matrix {
  const x = backend.createTensor(images * rows * columns, width);
  const kernel = patchSize[0] / stride;
  if (kernel === 1) backend.linear(x, map.x, patchEmbed);
  else {
    const size = { height: map.height, width: map.width, top: 0, left: 0, outHeight: rows, outWidth: columns };
    backend.convolve(x, map.x, patchEmbed, { ...size, kernel, stride: kernel });
  }
  return x;
}

/** Patches that overlap, times the patch embedding: a convolution of the image, whose pixels are rows then. Returns [B·N, D]. */
export function patchEmbedOverlapping(
  backend: Backend,
  patchEmbed: Linear,
  {
    patchSize: [stride],
    overlapping,
  }: {
    readonly patchSize: readonly [number, number];
    readonly overlapping?: { readonly kernel: number; readonly padding: number };
  },
  { x: planes, height, width }: Pixels,
  rows: number,
): Matrix {
  const { kernel, padding } = overlapping!;
  const [outHeight, outWidth] = [Math.floor(height / stride), Math.floor(width / stride)];
  const images = rows / (outHeight * outWidth);
  const channels = planes.rows / images;
  const pixels = backend.createTensor(images * height * width, channels);
  backend.patchify(pixels, planes, { height, width, patchHeight: 1, patchWidth: 1 });
  const x = backend.createTensor(rows, patchEmbed.outputs);
  const places = { height, width, kernel, stride, top: padding, left: padding, outHeight, outWidth };
  backend.convolve(x, pixels, patchEmbed, places);
  return x;
}
