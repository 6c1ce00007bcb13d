/** Outputs and inputs by their names: what makes each, and what a checkpoint must have for it. */
import type { Heads } from "../heads/index.js";
import { checkData, type Inputs } from "../vit/inputs.js";
import type { OutputName } from "../vit/outputs.js";
import type { ModelConfig } from "./model.js";

/** A tower that makes an output: of images, of texts, or both of them; or a head, of other images than these. */
type Maker = "image" | "text" | "both" | "head";

/** A part of a model, to continue "needs a checkpoint with", and whether it is there. */
type Part = readonly [what: string, has: (config: ModelConfig) => unknown];

const transformer: Part = ["a transformer", ({ depth }) => depth > 0];
const texts: Part = ["a text tower", ({ text }) => text];
const distilled: Part = ["two classifiers", ({ pooling }) => pooling === "distilled"];
const shared: Part = ["features that images and texts share", ({ features }) => features > 0];
const dense: Part = ["a dense head", ({ dpt }) => dpt];
const ofQueries: Part = ["masks of queries", ({ queryMasks }) => queryMasks];
const ofTexts: Part = ["masks of what texts say", ({ textMasks }) => textMasks];
const boxes: Part = ["boxes", ({ patchBoxes, tokenBoxes }) => patchBoxes ?? tokenBoxes];
const compared: Part = ["boxes that are compared with queries", ({ patchBoxes }) => patchBoxes];
const heatmaps: Part = ["heatmaps of keypoints", ({ heatmaps }) => heatmaps];
const hidden: Part = ["pictures of hidden patches", ({ reconstruction }) => reconstruction];
const decoded: Part = ["a decoder of hidden patches", ({ reconstruction }) => reconstruction?.decoder];
const matted: Part = ["an alpha map", ({ matting }) => matting?.decoder];
const prompted: Part = ["masks by prompts", ({ sam }) => sam?.decoder];

const OUTPUTS: Readonly<Record<OutputName, readonly [made: Maker, of?: Part]>> = {
  logits: ["image"],
  clsLogits: ["image", distilled],
  distillationLogits: ["image", distilled],
  lastHiddenState: ["image"],
  pooled: ["image", ["a pooler", ({ pooled }) => pooled !== "none"]],
  preLogits: ["image"],
  patchEmbedding: ["image", transformer],
  patchFilters: ["image"],
  positionEmbeddings: ["image", transformer],
  hiddenStates: ["image"],
  attentions: ["image", transformer],
  queries: ["image", transformer],
  keys: ["image", transformer],
  poolAttention: ["image", ["attention pooling", ({ pooling }) => pooling === "attention"]],
  predictedDepth: ["image", ["a depth head", ({ dpt }) => dpt?.head.kind === "depth"]],
  heatmaps: ["image", heatmaps],
  featureMaps: [
    "image",
    [
      "a dense head on a backbone",
      ({ dpt, heatmaps, upernet, matting }) => dpt?.featureMaps || heatmaps || upernet || matting,
    ],
  ],
  reassembled: ["image", dense],
  fused: ["image", dense],
  masksQueriesLogits: ["image", ofQueries],
  classQueriesLogits: ["image", ofQueries],
  conditionalEmbeddings: ["image", ofTexts],
  decoderHiddenStates: ["image", ofTexts],
  imageFeatures: ["image", shared],
  imageEmbeds: ["image", [shared[0], ({ features, patchBoxes }) => features > 0 || patchBoxes]],
  textLastHiddenState: ["text", texts],
  textPooled: ["text", texts],
  textHiddenStates: ["text", texts],
  textAttentions: ["text", texts],
  textFeatures: ["text", texts],
  textEmbeds: ["text", texts],
  logitsPerImage: ["both", texts],
  logitsPerText: ["both", texts],
  predBoxes: ["image", boxes],
  objectnessLogits: ["image", compared],
  classEmbeds: ["image", compared],
  logitShift: ["image", compared],
  logitScale: ["image", compared],
  targetPredBoxes: ["image", compared],
  queryEmbeds: ["head", compared],
  queryPredBoxes: ["head", compared],
  queryImageEmbeds: ["head", compared],
  imageEmbeddings: ["image", [prompted[0], ({ sam }) => sam]],
  promptEmbeddings: ["image", prompted],
  predMasks: ["image", prompted],
  iouScores: ["image", prompted],
  reconstruction: [
    "image",
    ["pixels of each token", (config) => config.reconstruction && !config.reconstruction.decoder],
  ],
  mask: ["image", decoded],
  idsRestore: ["image", decoded],
  alphas: ["image", matted],
};

export const OUTPUT_NAMES = Object.keys(OUTPUTS) as readonly OutputName[];

/** Tells whether an output needs this tower. */
export const needs = (name: OutputName, tower: "image" | "text"): boolean =>
  OUTPUTS[name][0] === tower || OUTPUTS[name][0] === "both";

/**
 * Compares what is asked for with what there is.
 * @throws RangeError for an output that is none, or that the checkpoint has no part for.
 */
export function checkWanted(config: ModelConfig, wanted: readonly OutputName[]): void {
  for (const name of wanted) {
    if (!OUTPUT_NAMES.includes(name)) {
      throw new RangeError(`forward: outputs must be among ${OUTPUT_NAMES.join(", ")}; got ${JSON.stringify(name)}`);
    }
    const [what, has] = OUTPUTS[name][1] ?? [];
    if (has && !has(config)) throw lacks(name, what!);
  }
  if (wanted.includes("objectnessLogits") && !config.patchBoxes!.objectness) {
    throw lacks("objectnessLogits", "an objectness head");
  }
  if (wanted.includes("logits") && !hasLogits(config)) {
    throw new RangeError("forward: logits need a checkpoint with a classifier; this one has none");
  }
  const scores = wanted.find((name) => name === "attentions" || name === "queries" || name === "keys");
  if (
    scores &&
    (config.windows || (config.hierarchy && (scores !== "attentions" || config.hierarchy.rules === "hiera")))
  ) {
    throw new RangeError(
      `forward: ${scores} need blocks that attend to all tokens; those of this checkpoint have windows`,
    );
  }
}

/** Tells whether there are classes of images or their pixels, boxes that are classified, or masks of what is said. */
const hasLogits = ({
  classes,
  headless,
  dpt,
  patchBoxes,
  tokenBoxes,
  textMasks,
  upernet,
  reconstruction,
}: ModelConfig) =>
  reconstruction?.decoder !== undefined ||
  classes > 0 ||
  headless ||
  dpt?.head.kind === "segmentation" ||
  [patchBoxes, tokenBoxes, textMasks, upernet].some((head) => head !== undefined);

/** Outputs of what the last block leaves. */
const OF_HIDDEN_STATE: readonly OutputName[] = [
  ...(["lastHiddenState", "logits", "clsLogits", "distillationLogits", "preLogits", "pooled"] as const),
  ...(["poolAttention", "imageFeatures", "imageEmbeds", "logitsPerImage", "logitsPerText"] as const),
];

/** @throws RangeError if the heads read more than tokens of the last block, or these are not of the model's width. */
export function checkHiddenState(
  config: ModelConfig,
  heads: Heads,
  { hiddenState, pixelValues }: Inputs,
  wanted: readonly OutputName[],
): void {
  if (pixelValues) throw new RangeError("forward: hiddenState takes the place of pixelValues; got both");
  if (![...heads.values()].every((head) => head.readsVectors?.(config))) {
    throw new RangeError("forward: hiddenState needs heads that read the last block alone; this checkpoint has others");
  }
  const other = wanted.find((name) => needs(name, "image") && !OF_HIDDEN_STATE.includes(name));
  if (other) {
    throw new RangeError(`forward: of hiddenState outputs may be ${OF_HIDDEN_STATE.join(", ")}; got ${other}`);
  }
  const { prefixTokens } = config;
  const width = config.resnet && config.depth === 0 ? config.resnet.channels.at(-1)! : config.width;
  const [images = 0, tokens = 0, cols] = hiddenState!.dims ?? [];
  if (hiddenState!.dims?.length !== 3 || !(images > 0 && tokens > prefixTokens) || cols !== width) {
    const rule = `[images, tokens, ${width}], more than ${prefixTokens} tokens`;
    throw new RangeError(`forward: hiddenState must be ${rule}; got [${hiddenState!.dims?.join(", ")}]`);
  }
  checkData("hiddenState", hiddenState!);
}

/** Every tower whose lists are asked for must have all of the blocks. */
export function checkBlocks(
  config: ModelConfig,
  wanted: readonly OutputName[],
  blocks: readonly number[] | undefined,
): void {
  if (blocks === undefined) return;
  const lists = wanted.filter((name) => /states$|attentions$|^queries$|^keys$/i.test(name));
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

/** Inputs that only some checkpoints take. */
const INPUTS: Readonly<Partial<Record<keyof Inputs, Part>>> = {
  datasetIndex: ["experts", ({ experts }) => experts],
  flipPairs: heatmaps,
  queryPixelValues: compared,
  queryEmbeds: compared,
  inputPoints: prompted,
  inputLabels: prompted,
  inputBoxes: prompted,
  inputMasks: prompted,
  imageEmbeddings: prompted,
  multimaskOutput: prompted,
  conditionalPixelValues: ofTexts,
  conditionalEmbeddings: ofTexts,
  noise: hidden,
  boolMaskedPos: hidden,
};

/** @throws RangeError for an input that the checkpoint has no part for. */
export function checkInputs(config: ModelConfig, inputs: Inputs): void {
  for (const [name, [what, has]] of Object.entries(INPUTS)) {
    if (inputs[name as keyof Inputs] !== undefined && !has(config)) throw lacks(name, what);
  }
}

const lacks = (name: string, what: string) =>
  new RangeError(`forward: ${name} needs a checkpoint with ${what}; this one has none`);
