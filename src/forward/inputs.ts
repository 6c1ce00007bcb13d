/** Images and texts of a call as the passes of the towers take them. */

import type { ImagesName } from "../heads/head.js";
import { checkData, type Inputs, integersOf } from "../vit/inputs.js";
import type { Tensor } from "../vit/outputs.js";
import { gridOf } from "../vit/places.js";
import type { Text } from "../vit/text.js";
import { clipImages } from "../vit/video.js";
import type { ImageBatch } from "../vit/vit.js";
import type { ModelConfig } from "./model.js";

/** Images of a call: all at once, or one by one where each has a grid of its own. */
export function imagesOf(config: ModelConfig, inputs: Inputs, name: ImagesName, interpolate: boolean): ImageBatch[] {
  if (inputs.hiddenState && name === "pixelValues") return [{ hiddenState: inputs.hiddenState }];
  const { [name]: pixelValues } = inputs;
  if (!Array.isArray(pixelValues?.dims)) {
    throw new TypeError(`forward: inputs must be { ${name}: { dims, data } }; got no dims`);
  }
  if (config.naflex) return sequencesOf(config, inputs, pixelValues!);
  if (config.video) return clipsOf(config, config.video, pixelValues!);
  const { inputChannels: channels } = config;
  const [height, width] = config.imageSize;
  const { dims } = pixelValues!;
  const whole = dims.length === 4 && dims.every((n) => Number.isSafeInteger(n) && n > 0) && dims[1] === channels;
  const any = (interpolate || config.interpolation.always) && !config.fixedSize;
  const large = whole && gridOf(config, [dims[2]!, dims[3]!]).every((n) => n > 0);
  if (!whole || !large || (!any && (dims[2] !== height || dims[3] !== width))) {
    const rule = any ? `at least ${config.patchSize.join("×")} pixels` : `${height}, ${width}]`;
    const expected = any ? `[images, ${channels}, height, width], ${rule}` : `[images, ${channels}, ${rule}`;
    throw new RangeError(`forward: ${name} must be ${expected}; got [${dims.join(", ")}]`);
  }
  if (!("sampling" in pixelValues!)) checkData(name, pixelValues!);
  return byDataset(config, inputs, pixelValues!);
}

/** Clips of a call, each by itself: one has as many tokens as a batch of images. */
function clipsOf(
  { imageSize, inputChannels, patchSize }: ModelConfig,
  video: NonNullable<ModelConfig["video"]>,
  { dims, data }: Tensor,
): ImageBatch[] {
  const expected = [video.frames, inputChannels, ...imageSize];
  const [clips = 0, ...own] = dims;
  if (!Number.isSafeInteger(clips) || clips < 1 || own.join() !== expected.join()) {
    throw new RangeError(`forward: pixelValues must be [clips, ${expected.join(", ")}]; got [${dims.join(", ")}]`);
  }
  checkData("pixelValues", { dims, data });
  const size = data.length / clips;
  return Array.from({ length: clips }, (_, i) => {
    const clip = { dims: [1, ...own], data: data.subarray(i * size, (i + 1) * size) };
    return { pixels: clipImages(clip, video, patchSize) };
  });
}

/** Images of a call by the data sets whose experts they go through: neighbors of one together. */
function byDataset({ experts = 0 }: ModelConfig, { datasetIndex }: Inputs, pixels: Tensor): ImageBatch[] {
  if (datasetIndex === undefined) return [{ pixels }];
  const images = pixels.dims[0]!;
  const all = datasetIndex.dims?.length === 1 && datasetIndex.dims[0] === 1;
  const indices = integersOf("datasetIndex", datasetIndex, [all ? 1 : images]);
  const bad = indices.find((index) => !(Number.isSafeInteger(index) && index >= 0 && index < experts));
  if (bad !== undefined) {
    throw new RangeError(`forward: datasetIndex must be from 0 to ${experts - 1}; got ${bad}`);
  }
  const batches: ImageBatch[] = [];
  const size = pixels.data.length / images;
  for (let first = 0; first < images; ) {
    const dataset = indices[all ? 0 : first]!;
    let end = first + 1;
    while (end < images && (all || indices[end] === dataset)) end++;
    const data = end - first === images ? pixels.data : pixels.data.subarray(first * size, end * size);
    batches.push({ pixels: { dims: [end - first, ...pixels.dims.slice(1)], data }, dataset });
    first = end;
  }
  return batches;
}

/** Each image's patches without the padding. */
function sequencesOf(
  config: ModelConfig,
  { pixelAttentionMask, spatialShapes }: Inputs,
  pixelValues: Tensor,
): ImageBatch[] {
  const { dims, data } = pixelValues;
  const [images = 0, most = 0, cols = 0] = dims;
  const inputs = 3 * config.patchSize[0] * config.patchSize[1];
  if (dims.length !== 3 || cols !== inputs || images < 1) {
    throw new RangeError(`forward: pixelValues must be [images, patches, ${inputs}]; got [${dims.join(", ")}]`);
  }
  checkData("pixelValues", pixelValues);
  const shapes = integersOf("spatialShapes", spatialShapes, [images, 2]);
  const mask = pixelAttentionMask && integersOf("pixelAttentionMask", pixelAttentionMask, [images, most]);
  return Array.from({ length: images }, (_, i) => {
    const grid = [shapes[2 * i]!, shapes[2 * i + 1]!] as const;
    const count = grid[0] * grid[1];
    const own = mask?.slice(i * most, (i + 1) * most);
    if (grid[0] < 1 || grid[1] < 1 || count > most || own?.some((x, j) => (x !== 0) !== j < count)) {
      throw new RangeError(
        `forward: image ${i} has ${grid.join("×")} patches, so the first ${count} of ${most} must be its own; pixelAttentionMask says otherwise`,
      );
    }
    return { patches: data.subarray(i * most * cols, (i * most + count) * cols), grid };
  });
}

/** Texts of a call, each by itself. */
export function textsOf({ text }: ModelConfig, { inputIds, attentionMask }: Inputs): Text[] {
  if (!Array.isArray(inputIds?.dims))
    throw new TypeError("forward: inputs must have inputIds: { dims, data }; got no dims");
  const [texts = 0, tokens = 0] = inputIds!.dims;
  const { vocabulary, length } = text!;
  if (inputIds!.dims.length !== 2 || texts < 1 || tokens < 1 || tokens > length) {
    throw new RangeError(
      `forward: inputIds must be [texts, tokens] with at most ${length} tokens; got [${inputIds!.dims.join(", ")}]`,
    );
  }
  const ids = integersOf("inputIds", inputIds, [texts, tokens]);
  const bad = ids.findIndex((id) => !(Number.isSafeInteger(id) && id >= 0 && id < vocabulary));
  if (bad >= 0) {
    throw new RangeError(`forward: inputIds must be from 0 to ${vocabulary - 1}; got ${ids[bad]} at ${bad}`);
  }
  const given = attentionMask && integersOf("attentionMask", attentionMask, [texts, tokens]);
  const mask = given ?? (text!.masked === undefined ? undefined : ids.map((id) => Number(id !== text!.masked)));
  return Array.from({ length: texts }, (_, i) => ({
    ids: ids.slice(i * tokens, (i + 1) * tokens),
    mask: mask?.slice(i * tokens, (i + 1) * tokens).map((x) => x !== 0),
  }));
}
