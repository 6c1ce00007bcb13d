/** A call of the model: checks what is given and asked, and runs the towers that it takes. */
import type { Backend } from "../backend.js";
import { similarities, toUnits } from "../heads/contrastive.js";
import { startDpt } from "../heads/dpt.js";
import { flippedBack, startHeatmaps } from "../heads/heatmaps.js";
import { runHeads } from "../heads/index.js";
import { type Prompting, runMaskDecoder } from "../heads/mask-decoder.js";
import { compareBoxes, queriesOf } from "../heads/patch-boxes.js";
import { joiningOf } from "../heads/query-masks.js";
import { runNeck } from "../heads/sam.js";
import { startTextMasks } from "../heads/text-masks.js";
import {
  arrived,
  type Call,
  type Inputs,
  type Integers,
  needs,
  OUTPUT_NAMES,
  type OutputName,
  type Outputs,
  type Pending,
  type Tensor,
} from "../vit/outputs.js";
import { gridOf } from "../vit/places.js";
import { planes } from "../vit/resnet.js";
import { runText } from "../vit/text.js";
import { encodeImages, type ImageBatch } from "../vit/vit.js";
import { concatenated, padTogether, passes } from "./batches.js";
import type { ModelConfig, Weights } from "./model.js";

export interface ForwardOptions {
  /** Blocks, from 0, to which hidden states and attentions are limited: others are neither kept nor read. */
  readonly blocks?: readonly number[];
  /** Images of other sizes than the config's are taken, and position embeddings resampled as the checkpoint's library does. */
  readonly interpolatePositions?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Runs images and texts through the model. It resolves when all ops have been called, and the next call's may follow; what
 * they give arrives later.
 * @param wanted what to compute; nothing else is read back.
 * @throws RangeError if an input has not the shape that it must have, or the checkpoint lacks what is wanted.
 */
export async function forward(
  backend: Backend,
  weights: Weights,
  config: ModelConfig,
  inputs: Inputs,
  wanted: readonly OutputName[],
  options: ForwardOptions = {},
): Promise<{ readonly outputs: Promise<Partial<Outputs>> }> {
  checkWanted(config, wanted);
  checkBlocks(config, wanted, options.blocks);
  const asked = new Set<OutputName>(wanted);
  const queries = comparesBoxes(config, wanted) ? checkQueries(config, inputs, wanted) : undefined;
  if (queries) asked.add("classEmbeds").add("logitShift").add("logitScale");
  if (queries === "inputIds") asked.add("textEmbeds");
  if (queries === "queryPixelValues") asked.add("queryEmbeds");
  if (asked.has("targetPredBoxes")) asked.add("predBoxes");
  if (asked.has("logitsPerImage") || asked.has("logitsPerText")) asked.add("imageFeatures").add("textEmbeds");
  if (asked.has("imageEmbeds") && !config.patchBoxes) asked.add("imageFeatures");
  if (asked.has("textEmbeds")) asked.add("textFeatures");
  const wants = (name: OutputName) => asked.has(name);
  const pairs = inputs.flipPairs && flipPairsOf(config, inputs.flipPairs);
  const some = (tower: "image" | "text" | "query" | "prompt") => [...asked].some((name) => needs(name, tower));
  const prompts = some("prompt") ? promptsOf(config, inputs) : undefined;

  /**
   * Calls the ops of all images of an input.
   * @param conditions features of what masks are made of: one for each image, or all for each.
   */
  async function runAll(name: ImagesName, wants: (name: OutputName) => boolean, conditions?: Conditions) {
    const all: Pending[] = [];
    // Masks of queries are large, and those that hide patches an image's own, as the texts are that masks are of.
    const alone = Boolean(weights.queryMasks ?? conditions ?? config.sam);
    const batches = imagesOf(config, inputs, name, options.interpolatePositions ?? false);
    for (const batch of batches.flatMap((batch) =>
      passes(backend, config, batch, { attentions: wants("attentions"), alone }),
    )) {
      const outputs: Pending = {};
      // Each image of a model that takes prompts is a pass of its own.
      const own = {
        prompting: prompts?.[all.length],
        conditions: conditions && (conditions.each ? rowOf(conditions.features, all.length) : conditions.features),
      };
      await runImages(backend, weights, config, batch, { wants, outputs, ...options }, own);
      all.push(outputs);
    }
    return all;
  }

  /** Calls the ops of prompts for embeddings that are given. */
  async function runPrompts({ data, dims }: Tensor): Promise<Pending[]> {
    const size = data.length / dims[0]!;
    const all: Pending[] = [];
    for (const [i, prompting] of prompts!.entries()) {
      const outputs: Pending = {};
      const embedding = data.subarray(i * size, (i + 1) * size);
      const call = { wants, outputs, ...options };
      await runMaskDecoder(backend, weights.sam!.decoder!, config.sam!, embedding, prompting, config.imageSize, call);
      all.push(outputs);
    }
    return all;
  }

  const given = prompts && inputs.imageEmbeddings;
  if (given && some("image")) {
    const names = wanted.filter((name) => needs(name, "image")).join(", ");
    throw new RangeError(`forward: outputs of images need pixelValues in the place of imageEmbeddings; got ${names}`);
  }
  const conditions = asksConditions(config, wanted) ? await conditionsOf() : undefined;
  const seesImages = some("image") || prompts !== undefined;
  const images = given ? await runPrompts(given) : seesImages ? await runAll("pixelValues", wants, conditions) : [];
  const ofQuery = new Set<OutputName>(QUERY_OUTPUTS);
  if (wants("queryImageEmbeds")) ofQuery.add("imageEmbeds");
  const seen = some("query") ? await runAll("queryPixelValues", (name) => ofQuery.has(name)) : [];
  const texts: Pending[] = [];
  if (some("text")) {
    for (const text of textsOf(config, inputs)) {
      const outputs: Pending = {};
      await runText(backend, weights.text!, config.text!, text, { wants, outputs, ...options });
      texts.push(outputs);
    }
  }

  /** Features of what masks are made of, which the decoder is told. */
  async function conditionsOf(): Promise<Conditions> {
    const name = checkConditions(config, inputs);
    if (name === "conditionalEmbeddings") return { features: inputs.conditionalEmbeddings!, each: false };
    if (name === "conditionalPixelValues") {
      const all = await runAll("conditionalPixelValues", (name) => name === "imageFeatures");
      return { features: concatenated(await Promise.all(all.map(arrived))).imageFeatures!, each: true };
    }
    const all: Pending[] = [];
    for (const text of textsOf(config, inputs)) {
      const outputs: Pending = {};
      await runText(backend, weights.text!, config.text!, text, { wants: () => false, outputs, ...options });
      all.push(outputs);
    }
    return { features: concatenated(await Promise.all(all.map(arrived))).textFeatures!, each: true };
  }

  async function finish(): Promise<Partial<Outputs>> {
    const [ofImages, ofTexts, ofQueries] = await Promise.all(
      [images, texts, seen].map((all) => Promise.all(all.map(arrived))),
    );
    const outputs: Partial<Outputs> = {
      ...(config.naflex ? padTogether(ofImages!, inputs.pixelValues?.dims[1] ?? 0) : concatenated(ofImages!)),
      ...padTogether(ofTexts!, inputs.inputIds?.dims[1] ?? 0),
    };
    if (outputs.textFeatures) outputs.textEmbeds = toUnits(outputs.textFeatures);
    if (wants("logitsPerImage") || wants("logitsPerText")) {
      const { scale, bias } = weights.similarity!;
      const [a, b] = [toUnits(outputs.imageFeatures!), outputs.textEmbeds!];
      outputs.logitsPerImage = similarities(a, b, scale, bias);
      outputs.logitsPerText = similarities(b, a, scale, bias);
    }
    if (outputs.imageFeatures && !config.patchBoxes) outputs.imageEmbeds = toUnits(outputs.imageFeatures);
    if (conditions) outputs.conditionalEmbeddings = conditions.features;
    if (outputs.heatmaps && pairs) outputs.heatmaps = flippedBack(outputs.heatmaps, pairs);
    if (outputs.predBoxes) outputs.targetPredBoxes = outputs.predBoxes;
    if (seen.length > 0) Object.assign(outputs, queryOutputs(concatenated(ofQueries!)));
    if (queries) Object.assign(outputs, compared(inputs, queries, outputs));
    return Object.fromEntries(wanted.map((name) => [name, outputs[name]]));
  }
  return { outputs: finish() };
}

/** Inputs that are images. */
type ImagesName = "pixelValues" | "queryPixelValues" | "conditionalPixelValues";

/** Features of what masks are made of, [prompts, D]: one for each image, or all for each. */
interface Conditions {
  readonly features: Tensor;
  readonly each: boolean;
}

const rowOf = ({ dims, data }: Tensor, row: number): Tensor => {
  const width = dims[1]!;
  return { dims: [1, width], data: data.subarray(row * width, (row + 1) * width) };
};

const asksConditions = ({ textMasks }: ModelConfig, wanted: readonly OutputName[]): boolean =>
  textMasks !== undefined &&
  wanted.some((name) => name === "logits" || name === "conditionalEmbeddings" || name === "decoderHiddenStates");

/**
 * The input that says what masks are made of.
 * @throws RangeError if there is none or several, or not one for each image.
 */
function checkConditions({ features }: ModelConfig, inputs: Inputs) {
  const names = ["inputIds", "conditionalPixelValues", "conditionalEmbeddings"] as const;
  const given = names.filter((name) => inputs[name] !== undefined);
  const [name] = given;
  if (name === undefined || given.length > 1) {
    throw new RangeError(`forward: masks are told by one of ${names.join(", ")}; got ${given.join(" and ") || "none"}`);
  }
  if (name === "conditionalEmbeddings") {
    checkEmbeds(name, "prompts", inputs.conditionalEmbeddings!, features);
    return name;
  }
  const [images, count] = [inputs.pixelValues?.dims?.[0], inputs[name]?.dims?.[0]];
  if (images !== count) {
    throw new RangeError(`forward: ${name} must have one for each image; got ${count} for ${images}`);
  }
  return name;
}

/** Outputs of query images, from which the patch is chosen that stands for each. */
const QUERY_OUTPUTS: readonly OutputName[] = ["classEmbeds", "predBoxes", "objectnessLogits"];

/** The same by the names that they have beside those of the images that are looked at. */
function queryOutputs(outputs: Partial<Outputs>): Partial<Outputs> {
  return {
    queryEmbeds: queriesOf(outputs as Outputs),
    queryPredBoxes: outputs.predBoxes,
    queryImageEmbeds: outputs.imageEmbeds,
  };
}

/** Inputs that say what is looked for. */
type Queries = "inputIds" | "queryPixelValues" | "queryEmbeds";

/** Tells whether boxes are to be compared with queries: embeddings alone are given as they are. */
const comparesBoxes = ({ patchBoxes }: ModelConfig, wanted: readonly OutputName[]): boolean =>
  patchBoxes !== undefined && wanted.some((name) => name === "logits" || name === "classEmbeds");

/**
 * The input that says what is looked for; undefined where nothing has to be.
 * @throws RangeError if there is none, or not one for each image.
 */
function checkQueries({ features }: ModelConfig, inputs: Inputs, wanted: readonly OutputName[]): Queries | undefined {
  const given = (["inputIds", "queryPixelValues", "queryEmbeds"] as const).filter((name) => inputs[name] !== undefined);
  const [queries] = given;
  if (given.length > 1 || (queries === undefined && wanted.includes("logits"))) {
    throw new RangeError(
      `forward: boxes are compared with one of inputIds, queryPixelValues and queryEmbeds; got ${given.join(" and ") || "none"}`,
    );
  }
  const images = inputs.pixelValues?.dims?.[0];
  const count = queries && inputs[queries]?.dims?.[0];
  if (queries === "queryEmbeds") checkEmbeds(queries, "queries", inputs.queryEmbeds!, features);
  if (queries === "queryEmbeds" || images === undefined || count === undefined) return queries;
  const [whole, rule] =
    queries === "inputIds"
      ? [count % images === 0, "as many texts for each image"]
      : [count === images, "an image for each"];
  if (!whole) throw new RangeError(`forward: ${queries} must have ${rule}; got ${count} for ${images}`);
  return queries;
}

/** Scores of boxes and queries, and what both are compared by. */
function compared(inputs: Inputs, queries: Queries, outputs: Partial<Outputs>): Partial<Outputs> {
  const images = outputs.classEmbeds!.dims[0]!;
  const made = outputs as Outputs;
  if (queries === "queryEmbeds") return compareBoxes(made, inputs.queryEmbeds!);
  const rows = queries === "inputIds" ? made.textEmbeds : made.queryEmbeds;
  const [count, width] = rows.dims as [number, number];
  const embeds = { dims: [images, count / images, width], data: rows.data };
  if (queries === "queryPixelValues") return compareBoxes(made, embeds);
  const { dims, data } = inputs.inputIds!;
  // A text whose first token is 0 is none: it fills up the texts of an image that has fewer.
  const padding = Array.from({ length: count }, (_, text) => Number(data[text * dims[1]!]) === 0);
  return { ...compareBoxes(made, embeds, padding), textEmbeds: embeds };
}

function checkEmbeds(name: string, rows: string, embeds: Tensor, width: number): void {
  const { dims } = embeds;
  if (!Array.isArray(dims) || dims.length !== 2 || !(dims[0] > 0) || dims[1] !== width) {
    throw new RangeError(`forward: ${name} must be [${rows}, ${width}]; got [${dims?.join(", ")}]`);
  }
  checkData(name, embeds);
}

/** Calls the ops of images; the values of what is wanted arrive later. */
async function runImages(
  backend: Backend,
  weights: Weights,
  config: ModelConfig,
  batch: ImageBatch,
  call: Call,
  { prompting, conditions }: { readonly prompting: Prompting | undefined; readonly conditions: Tensor | undefined },
): Promise<void> {
  const mark = backend.mark();
  try {
    const dense = startDpt(backend, weights, config, call) ?? startHeatmaps(backend, weights, config, call);
    const masks = conditions && startTextMasks(backend, weights, config, call);
    const encoded = await encodeImages(backend, weights, config, batch, call, {
      ...{ reader: dense?.reader ?? masks?.reader, joining: joiningOf(backend, weights, config) },
    });
    dense?.finish(encoded);
    if (conditions) await masks?.finish(encoded, conditions);
    if (prompting || call.wants("imageEmbeddings")) {
      const map = runNeck(backend, weights.sam!, encoded.z, encoded.grid);
      if (call.wants("imageEmbeddings")) call.outputs.imageEmbeddings = planes(backend, map, encoded.images);
      if (prompting) {
        await runMaskDecoder(backend, weights.sam!.decoder!, config.sam!, map.x, prompting, config.imageSize, call);
      }
    }
    await runHeads(backend, weights, config, encoded, call);
  } finally {
    backend.release(mark);
  }
}

/** Outputs of any detector, and of those that compare boxes with queries. */
const BOXES: readonly OutputName[] = ["predBoxes"];
const COMPARED: readonly OutputName[] = [
  ...(["objectnessLogits", "classEmbeds", "logitShift", "logitScale", "targetPredBoxes"] as const),
];

function checkWanted(config: ModelConfig, wanted: readonly OutputName[]): void {
  const lacks = (name: string, what: string) =>
    new RangeError(`forward: ${name} needs a checkpoint with ${what}; this one has none`);
  for (const name of wanted) {
    if (!OUTPUT_NAMES.includes(name)) {
      throw new RangeError(`forward: outputs must be among ${OUTPUT_NAMES.join(", ")}; got ${JSON.stringify(name)}`);
    }
    if (needs(name, "text") && !config.text) throw lacks(name, "a text tower");
    if (BOXES.includes(name) && !config.patchBoxes && !config.tokenBoxes) throw lacks(name, "boxes");
    const compared = COMPARED.includes(name) || needs(name, "query");
    if (compared && !config.patchBoxes) throw lacks(name, "boxes that are compared with queries");
  }
  if (wanted.includes("objectnessLogits") && !config.patchBoxes!.objectness) {
    throw lacks("objectnessLogits", "an objectness head");
  }
  if (wanted.includes("pooled") && config.pooled === "none") throw lacks("pooled", "a pooler");
  const kind = config.dpt?.head.kind;
  if (wanted.includes("predictedDepth") && kind !== "depth") throw lacks("predictedDepth", "a depth head");
  for (const name of ["reassembled", "fused"] as const) {
    if (wanted.includes(name) && !config.dpt) throw lacks(name, "a dense head");
  }
  for (const name of ["conditionalEmbeddings", "decoderHiddenStates"] as const) {
    if (wanted.includes(name) && !config.textMasks) throw lacks(name, "masks of what texts say");
  }
  for (const name of ["masksQueriesLogits", "classQueriesLogits"] as const) {
    if (wanted.includes(name) && !config.queryMasks) throw lacks(name, "masks of queries");
  }
  if (wanted.includes("heatmaps") && !config.heatmaps) throw lacks("heatmaps", "heatmaps of keypoints");
  if (wanted.includes("featureMaps") && !config.dpt?.featureMaps && !config.heatmaps) {
    throw lacks("featureMaps", "a dense head on a backbone");
  }
  const boxes = config.patchBoxes ?? config.tokenBoxes;
  if (
    wanted.includes("logits") &&
    config.classes === 0 &&
    !config.headless &&
    kind !== "segmentation" &&
    !boxes &&
    !config.textMasks
  ) {
    throw new RangeError("forward: logits need a checkpoint with a classifier; this one has none");
  }
  for (const name of ["clsLogits", "distillationLogits"] as const) {
    if (wanted.includes(name) && config.pooling !== "distilled") throw lacks(name, "two classifiers");
  }
  for (const name of ["imageFeatures", "imageEmbeds"] as const) {
    const ofPatches = name === "imageEmbeds" && config.patchBoxes;
    if (wanted.includes(name) && config.features === 0 && !ofPatches) {
      throw lacks(name, "features that images and texts share");
    }
  }
  if (wanted.includes("poolAttention") && config.pooling !== "attention") {
    throw lacks("poolAttention", "attention pooling");
  }
  for (const name of ["imageEmbeddings", "promptEmbeddings", "predMasks", "iouScores"] as const) {
    const has = name === "imageEmbeddings" ? config.sam : config.sam?.decoder;
    if (wanted.includes(name) && !has) throw lacks(name, "masks by prompts");
  }
  if (wanted.includes("attentions") && config.windows) {
    throw new RangeError(
      "forward: attentions need blocks that attend to all tokens; those of this checkpoint have windows",
    );
  }
  if (config.depth === 0) {
    for (const name of ["patchEmbedding", "attentions"] as const) {
      if (wanted.includes(name)) throw lacks(name, "a transformer");
    }
  }
}

/** Every tower whose lists are asked for must have all of the blocks. */
function checkBlocks(config: ModelConfig, wanted: readonly OutputName[], blocks: readonly number[] | undefined): void {
  if (blocks === undefined) return;
  const lists = wanted.filter((name) => /states$|attentions$/i.test(name));
  for (const name of lists) {
    const depth = needs(name, "text") ? config.text!.depth : config.depth;
    const whole = Array.isArray(blocks) && blocks.length > 0 && blocks.every(Number.isSafeInteger);
    if (!whole || Math.min(...blocks) < 0 || Math.max(...blocks) >= depth) {
      throw new RangeError(
        `forward: there are ${depth} blocks, so blocks must be a list of numbers below that, from 0 on; got ${JSON.stringify(blocks)?.slice(0, 60)}`,
      );
    }
  }
}

/** Images of a call: all at once, or one by one where each has a grid of its own. */
function imagesOf(config: ModelConfig, inputs: Inputs, name: ImagesName, interpolate: boolean): ImageBatch[] {
  const { [name]: pixelValues } = inputs;
  if (!Array.isArray(pixelValues?.dims)) {
    throw new TypeError(`forward: inputs must be { ${name}: { dims, data } }; got no dims`);
  }
  if (config.naflex) return sequencesOf(config, inputs, pixelValues!);
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

/** Images of a call by the data sets whose experts they go through: neighbors of one together. */
function byDataset({ experts }: ModelConfig, { datasetIndex }: Inputs, pixels: Tensor): ImageBatch[] {
  if (datasetIndex === undefined) return [{ pixels }];
  if (!experts) throw new RangeError("forward: datasetIndex needs a checkpoint with experts; this one has none");
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

/** Keypoints that are each other's mirror images. */
function flipPairsOf({ heatmaps }: ModelConfig, flipPairs: Integers): [number, number][] {
  if (!heatmaps) throw new RangeError("forward: flipPairs needs a checkpoint with heatmaps; this one has none");
  const { keypoints } = heatmaps;
  const flat = integersOf("flipPairs", flipPairs, [flipPairs.dims?.[0] ?? 0, 2]);
  const bad = flat.find((i) => !(Number.isSafeInteger(i) && i >= 0 && i < keypoints));
  if (bad !== undefined) throw new RangeError(`forward: flipPairs must be from 0 to ${keypoints - 1}; got ${bad}`);
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!]);
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

/** Most objects that are asked for at once: their masks are 256 MB at 256 × 256. */
const MAX_OBJECTS = 1000;

/** Most points of an object. */
const MAX_POINTS = 1000;

/**
 * Prompts of each image.
 * @throws RangeError if there are none, or not of one shape.
 */
function promptsOf({ sam }: ModelConfig, inputs: Inputs): Prompting[] {
  const { inputPoints, inputLabels, inputBoxes, inputMasks, imageEmbeddings, pixelValues } = inputs;
  if ((imageEmbeddings === undefined) === (pixelValues === undefined)) {
    const got = imageEmbeddings ? "both" : "neither";
    throw new RangeError(`forward: prompts are of pixelValues or of imageEmbeddings; got ${got}`);
  }
  const { channels, grid } = sam!;
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

function checkShape(name: string, tensor: Tensor, dims: readonly number[]): void {
  const got = Array.isArray(tensor.dims) ? tensor.dims : [];
  if (got.length !== dims.length || dims.some((n, i) => n !== got[i])) {
    throw new RangeError(`forward: ${name} must be [${dims.join(", ")}]; got [${got.join(", ")}]`);
  }
  checkData(name, tensor);
}

/** The same of finite numbers. */
function checkNumbers(name: string, tensor: Tensor, dims: readonly number[]): void {
  checkShape(name, tensor, dims);
  const bad = tensor.data.findIndex((x) => !Number.isFinite(x));
  if (bad >= 0) throw new RangeError(`forward: ${name} must be finite numbers; got ${tensor.data[bad]} at ${bad}`);
}

function textsOf({ text }: ModelConfig, { inputIds, attentionMask }: Inputs) {
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

function integersOf(name: string, given: Integers | undefined, dims: readonly number[]): number[] {
  const fits = given?.dims.length === dims.length && dims.every((n, i) => given.dims[i] === n);
  const count = dims.reduce((product, n) => product * n, 1);
  if (!fits || given.data.length !== count) {
    const got = given ? `[${given.dims.join(", ")}] with ${given.data.length} values` : "nothing";
    throw new RangeError(`forward: ${name} must be [${dims.join(", ")}]; got ${got}`);
  }
  return Array.from(given.data, Number);
}

function checkData(name: string, { dims, data }: Tensor): void {
  const count = dims.reduce((product, n) => product * n, 1);
  if (!(data instanceof Float32Array) || data.length !== count) {
    const got = data instanceof Float32Array ? data.length : typeof data;
    throw new RangeError(`forward: ${name} of [${dims.join(", ")}] must have ${count} floats; got ${got}`);
  }
}
