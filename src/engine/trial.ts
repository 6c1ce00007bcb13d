/** A GPU's trial: the first block of a model, on its own weights, on both backends. Drivers compute wrong, and small models wait. */
import type { Backend, Precision } from "../backend.js";
import { forward } from "../forward/forward.js";
import type { ModelConfig, Weights } from "../forward/model.js";
import { withoutHeads } from "../heads/index.js";
import type { DrawnValues, Inputs } from "../vit/inputs.js";

/** A model on a backend; of its blocks there may be fewer than its config says. */
export interface Placed {
  readonly backend: Backend;
  readonly weights: Weights;
}

/**
 * Largest difference of the tokens behind the first block, as a part of their largest magnitude: some hundred times that of a
 * GPU that computes right, far below that of one that does not.
 */
const TOLERANCES: Record<Precision, number> = { f32: 1e-3, f16: 2e-2, int8: 2e-2 };

/** The best of so many passes counts, or of those that begin within the time. */
const PASSES = 5;
const MOST_MS = 30;

/** Tokens behind the first blocks, of noise. */
export async function tokensOf(
  { backend, weights }: Placed,
  config: ModelConfig,
  blocks: number,
): Promise<Float32Array> {
  const first = { ...withoutHeads(weights), ...firstBlocks(weights, blocks) };
  const { outputs } = await forward(backend, first, config, noise(config), ["lastHiddenState"]);
  return (await outputs).lastHiddenState!.data;
}

/** The first blocks; of an encoder in stages those of the first stage, whose map no other stage follows. */
function firstBlocks({ blocks, stages }: Weights, count: number): Pick<Weights, "blocks" | "stages"> {
  const [stage] = stages ?? [];
  return {
    blocks: blocks.slice(0, count),
    ...(stage && { stages: [{ blocks: stage.blocks.slice(0, count), merging: undefined }] }),
  };
}

/** Decides whether a GPU is preferred to SIMD, and says why. */
export async function compare(
  gpu: Placed,
  simd: Placed,
  config: ModelConfig,
  precision: Precision,
): Promise<{ readonly preferred: boolean; readonly reason: string }> {
  const [found, expected] = [await tokensOf(gpu, config, 1), await tokensOf(simd, config, 1)];
  const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const limit = TOLERANCES[precision] * largest;
  const wrong = found.findIndex((x, i) => !(Math.abs(x - expected[i]!) <= limit));
  if (wrong >= 0) {
    const values = `${found[wrong]}, not ${expected[wrong]}`;
    return {
      preferred: false,
      reason: `the GPU failed its self-test: element ${wrong} of the first block is ${values}`,
    };
  }
  const depth = gpu.weights.blocks.length;
  // Halves may overflow in a later block.
  if (!(await tokensOf(gpu, config, depth)).every(Number.isFinite)) {
    return { preferred: false, reason: "the GPU failed its self-test: not all tokens of the last block are finite" };
  }
  const onGpu = await timeOf(() => tokensOf(gpu, config, depth));
  const [none, one] = [await timeOf(() => tokensOf(simd, config, 0)), await timeOf(() => tokensOf(simd, config, 1))];
  const onSimd = none + Math.max(0, one - none) * depth;
  const times = `${milliseconds(onGpu)} ms an image on the GPU, ${milliseconds(onSimd)} on SIMD`;
  const preferred = onGpu < onSimd;
  return { preferred, reason: `${preferred ? "faster" : "the GPU is slower"}: ${times}` };
}

/** Tells whether a GPU makes the same pixel values of a picture as the processor, to the bit. */
export async function drawsAlike(backend: Backend, { dims, image, sampling, data }: DrawnValues): Promise<boolean> {
  const [, channels, height, width] = dims as [number, number, number, number];
  const mark = backend.mark();
  try {
    const pixels = backend.createTensor(channels, height * width);
    if (!backend.draw?.(pixels, image, sampling)) return false;
    return (await backend.read(pixels)).every((value, i) => value === data[i]);
  } finally {
    backend.release(mark);
  }
}

const milliseconds = (time: number) => (time < 10 ? time.toFixed(1) : String(Math.round(time)));

async function timeOf(run: () => Promise<unknown>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  const begin = performance.now();
  for (let pass = 0; pass < PASSES && performance.now() - begin < MOST_MS; pass++) {
    const start = performance.now();
    await run();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}

/** An image, or a sequence of patches, of values like those of normalized pixels. */
function noise({ naflex, inputChannels, imageSize, patchSize, video }: ModelConfig): Inputs {
  const side = 16;
  const dims = naflex
    ? [1, side * side, inputChannels * patchSize[0] * patchSize[1]]
    : [1, ...(video ? [video.frames] : []), inputChannels, ...imageSize];
  let seed = 1;
  const data = Float32Array.from({ length: dims.reduce((product, n) => product * n, 1) }, () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 30 - 2;
  });
  const pixelValues = { dims, data };
  return naflex ? { pixelValues, spatialShapes: { dims: [1, 2], data: [side, side] } } : { pixelValues };
}
