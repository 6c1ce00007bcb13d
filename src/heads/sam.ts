/**
 * Masks by prompts (SAM, Kirillov et al. 2023): a neck makes of the encoder's tokens the embedding of an image, and a decoder
 * makes of that and of points and boxes masks, as often as one asks.
 */
import type { Backend, Tensor as Matrix } from "../backend.js";
import type { Call } from "../vit/call.js";
import { checkNumbers, checkShape, type Inputs, integersOf } from "../vit/inputs.js";
import type { OutputName, Tensor } from "../vit/outputs.js";
import { type FeatureMap, planes, windowOf } from "../vit/resnet.js";
import type { Head, HeadCall } from "./head.js";
import { type Prompting, runMaskDecoder } from "./mask-decoder.js";
import { planSam, type Sam, type SamConfig } from "./sam-weights.js";

/** The embedding of images, [B·N, channels]: a convolution of 1×1 and one of 3×3, with norms of channels. */
function runNeck(backend: Backend, { neck }: Sam, z: Matrix, grid: readonly [number, number]): FeatureMap {
  const map = { height: grid[0], width: grid[1] };
  const x = backend.createTensor(z.rows, neck.conv2.outputs);
  const mark = backend.mark();
  const between = backend.createTensor(z.rows, neck.conv1.outputs);
  backend.linear(between, z, neck.conv1);
  backend.layerNorm(between, between, neck.norm1);
  backend.convolve(x, between, neck.conv2, windowOf(map, 3, 1, "symmetric"));
  backend.layerNorm(x, x, neck.norm2);
  backend.release(mark);
  return { x, ...map };
}

/** Most objects that are asked for at once: their masks are 256 MB at 256 × 256. */
const MAX_OBJECTS = 1000;

/** Most points of an object. */
const MAX_POINTS = 1000;

/**
 * Prompts of each image.
 * @throws RangeError if there are none, or not of one shape.
 */
function promptsOf({ channels, grid }: SamConfig, inputs: Inputs): Prompting[] {
  const { inputPoints, inputLabels, inputBoxes, inputMasks, imageEmbeddings, pixelValues } = inputs;
  if ((imageEmbeddings === undefined) === (pixelValues === undefined)) {
    const got = imageEmbeddings ? "both" : "neither";
    throw new RangeError(`forward: prompts are of pixelValues or of imageEmbeddings; got ${got}`);
  }
  const images = (imageEmbeddings ?? pixelValues)!.dims?.[0] ?? 0;
  if (imageEmbeddings) checkShape("imageEmbeddings", imageEmbeddings, [images, channels, ...grid]);
  const given = inputPoints ?? inputBoxes;
  if (!given) throw new RangeError("forward: masks need a prompt, inputPoints or inputBoxes; got neither");
  const objects = given.dims?.[1] ?? 0;
  const points = inputPoints?.dims?.[2] ?? 0;
  if (!(images >= 1) || !(objects >= 1 && objects <= MAX_OBJECTS)) {
    throw new RangeError(`forward: prompts must be of 1 to ${MAX_OBJECTS} objects of each image; got ${objects}`);
  }
  if (inputPoints && !(points >= 1 && points <= MAX_POINTS)) {
    throw new RangeError(`forward: an object must have 1 to ${MAX_POINTS} points; got ${points}`);
  }
  if (inputPoints) checkNumbers("inputPoints", inputPoints, [images, objects, points, 2]);
  if (inputBoxes) checkNumbers("inputBoxes", inputBoxes, [images, objects, 4]);
  if (inputLabels && !inputPoints) throw new RangeError("forward: inputLabels are of inputPoints; got none");
  const labels = inputLabels ? integersOf("inputLabels", inputLabels, [images, objects, points]) : undefined;
  const bad = labels?.find((label) => ![1, 0, -1, -10].includes(label));
  if (bad !== undefined) throw new RangeError(`forward: inputLabels must be 1, 0, -1 or -10; got ${bad}`);
  const masks = inputMasks?.dims?.[0] === 1 ? 1 : images;
  if (inputMasks) checkNumbers("inputMasks", inputMasks, [masks, 1, 4 * grid[0], 4 * grid[1]]);
  const part = <T extends { subarray(from: number, to: number): T }>(data: T, size: number, i: number) =>
    data.subarray(i * size, (i + 1) * size);
  return Array.from({ length: images }, (_, i) => ({
    objects,
    points: inputPoints && {
      count: points,
      xy: part(inputPoints.data, objects * points * 2, i),
      labels: labels?.slice(i * objects * points, (i + 1) * objects * points) ?? new Array(objects * points).fill(1),
    },
    boxes: inputBoxes && part(inputBoxes.data, objects * 4, i),
    mask: inputMasks && part(inputMasks.data, 16 * grid[0] * grid[1], i % masks),
    several: inputs.multimaskOutput ?? true,
  }));
}

/** Config of a model that may have the head. */
interface Config {
  readonly sam: SamConfig | undefined;
  readonly width: number;
  readonly imageSize: readonly [number, number];
}

/** Outputs of prompts: what else is asked for takes images. */
const PROMPTED: readonly OutputName[] = ["promptEmbeddings", "predMasks", "iouScores"];

/**
 * Takes inputPoints, inputLabels, inputBoxes, inputMasks and multimaskOutput, and imageEmbeddings in the place of pixelValues; gives
 * imageEmbeddings, promptEmbeddings, predMasks and iouScores.
 */
export const sam: Head<Config, { readonly sam: Sam | undefined }, Sam> = {
  plan: (planner, { sam, width }, { prefix }) => planSam(planner, sam!, prefix, width),
  // Of the neck: masks take what is asked for.
  costs({ sam, width }, grid) {
    const { channels } = sam!;
    return { products: grid[0] * grid[1] * channels * (width + 9 * channels), elements: 0 };
  },
  begin({ weights, config }, inputs, wanted) {
    const asks = wanted.some((name) => PROMPTED.includes(name));
    const prompts = asks ? promptsOf(config.sam!, inputs) : undefined;
    const given = prompts && inputs.imageEmbeddings;
    const others = wanted.filter((name) => !PROMPTED.includes(name));
    if (given && others.length > 0) {
      throw new RangeError(
        `forward: outputs of images need pixelValues in the place of imageEmbeddings; got ${others.join(", ")}`,
      );
    }

    /** Masks of an image's prompts. */
    const decode: Decode = (backend, call, image, embedding) =>
      runMaskDecoder(backend, weights.sam!.decoder!, config.sam!, embedding, prompts![image]!, config.imageSize, call);

    return {
      alone: true,
      embedded: given && embeddedOf(given, decode),
      pass: (backend, call, image) => ({
        async run({ z, grid, images }) {
          if (!prompts && !call.wants("imageEmbeddings")) return;
          const map = runNeck(backend, weights.sam!, z, grid);
          if (call.wants("imageEmbeddings")) call.outputs.imageEmbeddings = planes(backend, map, images);
          if (prompts) await decode(backend, call, image, map.x);
        },
      }),
    };
  },
};

type Decode = (backend: Backend, call: Call, image: number, embedding: Matrix | Float32Array) => Promise<void>;

/** Images whose embeddings are given, [B, C, rows, columns]. */
function embeddedOf({ data, dims }: Tensor, decode: Decode): HeadCall["embedded"] {
  const images = dims[0]!;
  const size = data.length / images;
  return {
    images,
    run: (backend, call, image) => decode(backend, call, image, data.subarray(image * size, (image + 1) * size)),
  };
}
