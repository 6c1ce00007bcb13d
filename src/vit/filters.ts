/** Filters by which a model sees pixels first: those of its patches (figure 7, left), or of its convolutional stem. */
import type { Backend, Linear } from "../backend.js";
import { tensorOf } from "./call.js";
import type { Tensor } from "./outputs.js";
import type { ResNet } from "./resnet.js";

/** Inputs of the layer that are asked for at once: 256 of 768 outputs are 0.8 MB. */
const ROWS = 256;

/**
 * Filters, [outputs, C, height, width], as the layer multiplies with them: read off what it makes of each input alone, so that
 * every backend and precision has them, however it packs its weights.
 */
export function filtersOf(
  backend: Backend,
  { patchEmbed, resnet }: { readonly patchEmbed: Linear | undefined; readonly resnet: ResNet | undefined },
  {
    patchSize,
    inputChannels,
    naflex,
  }: { readonly patchSize: readonly [number, number]; readonly inputChannels: number; readonly naflex: boolean },
): Promise<Tensor> {
  const stem = resnet?.stem.convolution;
  const layer = stem ? stem.weights : patchEmbed!;
  const [height, width] = stem ? [stem.kernel, stem.kernel] : patchSize;
  const { inputs, outputs } = layer;
  const area = height * width;
  // A convolution's inputs, and a sequence of patches, have the channels of a pixel together.
  const pixelFirst = stem !== undefined || naflex;
  const channels = stem ? 3 : inputChannels;
  const reads: Promise<Float32Array>[] = [];
  for (let first = 0; first < inputs; first += ROWS) {
    const rows = Math.min(ROWS, inputs - first);
    const mark = backend.mark();
    // The last row is of zeros, which the layer makes its bias of.
    const units = new Float32Array((rows + 1) * inputs);
    for (let i = 0; i < rows; i++) units[i * inputs + first + i] = 1;
    const out = backend.createTensor(rows + 1, outputs);
    backend.linear(out, backend.createTensor(rows + 1, inputs, units), layer);
    reads.push(backend.read(out));
    backend.release(mark);
  }
  const values = Promise.all(reads).then((parts) => {
    const filters = new Float32Array(outputs * inputs);
    for (const [part, made] of parts.entries()) {
      const rows = made.length / outputs - 1;
      const bias = rows * outputs;
      for (let i = 0; i < rows; i++) {
        const input = part * ROWS + i;
        const at = pixelFirst ? (input % channels) * area + Math.floor(input / channels) : input;
        for (let o = 0; o < outputs; o++) filters[o * inputs + at] = made[i * outputs + o]! - made[bias + o]!;
      }
    }
    return filters;
  });
  return tensorOf(values, [outputs, channels, height, width]);
}
