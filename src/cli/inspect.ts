/** `vitrail inspect`: what a checkpoint is, from its headers and JSON files; the weights are not read. */

import type { Config } from "../checkpoint/config.js";
import { imageOptions, imageSettings } from "../checkpoint/families/bare.js";
import { scaleOf } from "../checkpoint/plan.js";
import { type Found, openHead, openModel, openSource, readConfig } from "../engine/sources.js";
import { type Preprocessing, parsePreprocessing } from "../image/index.js";
import { assumedProcessor } from "../image/processors.js";
import type { Checkpoint } from "../io/checkpoint.js";
import { excerpt } from "../json.js";
import { ownGrid } from "../vit/places.js";
import { bytesText, grouped, type Invocation, modelName, progressOf, sourceOf } from "./invocation.js";
import { activationBytes, multiplyAdds, tokensOf } from "./sizes.js";

export async function inspect({ args, terminal, signal }: Invocation): Promise<void> {
  const model = modelName(args);
  const { subfolder, base, head: file, ...names } = args.load;
  const near = { ...args.hub, signal, headers: true };
  const opened = await openSource(sourceOf(args), { ...near, subfolder, base });
  const head = file === undefined ? undefined : await openHead(file, near);
  const checkpoint = await openModel(opened, { ...names, head }, { signal, onProgress: progressOf(terminal) });
  await checkpoint.close();
  const { prefix } = checkpoint;
  const { config, named, heads, labels, strays } = await readConfig(checkpoint, { signal });
  const settings = imageSettings(checkpoint.config, config);
  const assumed = assumedProcessor(checkpoint.preprocessor, settings);
  const prepared = parsePreprocessing(checkpoint.preprocessor, settings, config.imageSize, {
    ...imageOptions(config),
    processor: args.load.processor,
  });
  const { doubt } = checkpoint;
  const preprocessing = doubt === undefined ? prepared : { ...prepared, absent: doubt };
  const used = [...checkpoint.tensors.values()].filter(({ name }) => !named.layout.ignored.test(name));
  const scales = new Set(used.map(({ name }) => scaleOf(name)));
  const quantized = used.some(({ name }) => scales.has(name));
  const parameters = used
    .filter(({ name }) => !scales.has(name))
    .reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0);
  const dtypes = [...new Set(used.map(({ dtype }) => dtype))];
  const memory = {
    weights: quantized ? checkpoint.bytes : 4 * parameters,
    activations: activationBytes(config, heads),
  };
  const tokens = tokensOf(config);
  const gflop = (2 * multiplyAdds(config, heads)) / 1e9;

  if (args.json) {
    const { bytes, format, state } = checkpoint;
    const found = { format, state, prefix, strays, assumed };
    terminal.printJson({
      model,
      ...config,
      labels,
      preprocessing,
      parameters,
      dtypes,
      bytes,
      memory,
      gflop,
      tokens,
      ...found,
    });
    return;
  }
  const tower = [...checkpoint.tensors.keys()];
  const rows: Record<string, string> = {
    family: `${config.family}, by ${config.recognizedBy}; tensors named as in ${LIBRARIES[config.layout]}`,
    images: describeImages(config),
    ...(config.resnet ? { convolutions: describeResNet(config.resnet) } : {}),
    ...(config.depth > 0 ? { encoder: describeEncoder(config, tower) } : {}),
    head: config.probe ? describeProbe(config.probe) : describeHead(config),
    ...(config.text ? { texts: describeText(config.text) } : {}),
    labels: describeLabels(labels),
    preprocessing:
      preprocessing.absent ??
      describePreprocessing(preprocessing) + (assumed ? `; no file says so: ${assumed}'s defaults` : ""),
    parameters: `${grouped(parameters)}, stored as ${dtypes.join(", ")} in ${bytesText(checkpoint.bytes)} of ${describeFormat(checkpoint)}`,
    memory: `about ${bytesText(memory.weights)} of weights and ${bytesText(memory.activations)} an image, in ${quantized ? "int8" : "f32"}`,
    work: `${gflop.toPrecision(3)} GFLOP an image${tokens === undefined ? "" : ` of ${grouped(tokens)} tokens`}`,
    ...(prefix ? { prefix: describePrefix(checkpoint) } : {}),
    ...(strays.length > 0 ? { strays: `${describeStrays(strays)}: keys that its library does not know` } : {}),
  };
  const lines = Object.entries(rows).map(([key, text]) => `  ${key.padEnd(14)} ${text}`);
  terminal.print(model, ...lines);
}

const describeFormat = ({ format, state }: Checkpoint): string =>
  state === undefined ? format : `${format}, under ${excerpt(state)}`;

function describePrefix({ prefix, others }: Found): string {
  const left = others === 1 ? "1 tensor without it is" : `${grouped(others)} tensors without it are`;
  return `${excerpt(prefix)} before the names of its tensors${others === 0 ? "" : `; ${left} left out`}`;
}

/** Strays that are shown, and letters of each. */
const MAX_STRAYS = 6;
const MAX_STRAY = 60;

const describeStrays = (strays: readonly string[]): string =>
  [
    ...strays.slice(0, MAX_STRAYS).map((key) => excerpt(key, MAX_STRAY)),
    ...(strays.length > MAX_STRAYS ? ["…"] : []),
  ].join(", ");

/** Height × width, as in configs. */
const sizeText = (size: readonly number[]): string => size.join("×");

function describeImages(config: Config): string {
  const { imageSize, patchSize, prefixTokens, classToken, pooling, depth, interpolation, naflex, video } = config;
  if (depth === 0) return `${sizeText(imageSize)}, or any other size`;
  const [rows, columns] = ownGrid(config);
  const special = [
    ...(classToken ? ["a class token"] : []),
    ...(pooling === "distilled" ? ["a distillation token"] : []),
  ];
  const others = prefixTokens - special.length;
  if (others > 0) special.push(`${others} more ${others === 1 ? "token" : "tokens"}`);
  const extra = special.length > 0 ? ` and ${special.join(", ")}` : "";
  const sizes = naflex ? "; of any shape" : interpolation.always ? "; other sizes too" : "";
  const frames = video ? `${video.frames} frames of ` : "";
  const patch = video ? [video.tubelet, ...patchSize] : patchSize;
  return `${frames}${sizeText(imageSize)}, in ${rows * columns} patches of ${sizeText(patch)}${extra}${sizes}`;
}

/** Libraries by layouts. */
const LIBRARIES: Readonly<Record<Config["layout"], string>> = {
  huggingface: "transformers",
  dinov3: "transformers' DINOv3",
  eomt: "transformers' EoMT",
  eomt_dinov3: "transformers' EoMT on DINOv3",
  clip: "transformers' CLIP",
  clipseg: "transformers' CLIPSeg",
  owlvit: "transformers' OWL-ViT",
  owlv2: "transformers' OWLv2",
  blip: "transformers' BLIP",
  aimv2: "transformers' AIMv2",
  tips: "google-deepmind's TIPS",
  radio: "NVIDIA's RADIO",
  timm: "timm",
  torchvision: "torchvision",
  openclip: "OpenCLIP",
  "openclip-timm": "OpenCLIP with a timm model",
  flax: "google-research's Flax code",
  bit: "google-research's big_transfer",
  sam: "transformers' SAM",
  vitdet: "transformers' ViTDet",
};

const describeResNet = ({ units, channels, preActivation, groups }: NonNullable<Config["resnet"]>): string =>
  `ResNetV2 of ${units.join(", ") || "no"} units, channels ${channels.join(", ")}, ${groups} groups, ` +
  `norm ${preActivation ? "before" : "after"} convolutions`;

const describeStages = ({ stages }: NonNullable<Config["hierarchy"]>): string[] => {
  const all = (of: (stage: (typeof stages)[number]) => number | string) => stages.map(of).join(", ");
  const windows = all(({ window }) => (window ? sizeText(window) : "all"));
  return [
    `in stages of ${all(({ depth }) => depth)} blocks, width ${all(({ width }) => width)}, windows of ${windows}`,
  ];
};

function describeEncoder(config: Config, tensors: readonly string[]): string {
  const { depth, width, heads, mlpWidth, activation, gated, qkvBias, qkNorm, rotary, postNorm, windows, hierarchy } =
    config;
  const has = (part: RegExp) => tensors.some((tensor) => part.test(tensor));
  return [
    `depth ${depth}, width ${width}, heads ${heads}, MLP width ${mlpWidth}`,
    gated ? "SwiGLU" : activation,
    ...(qkvBias ? [] : ["no bias in q, k, v"]),
    ...(qkNorm ? ["norm of queries and keys"] : []),
    ...(rotary ? [`rotary positions (${rotary.kind})`] : []),
    ...(config.relativePositions ? ["relative positions"] : []),
    ...(has(/rel_pos_h$/) ? ["decomposed relative positions"] : []),
    ...(hierarchy ? describeStages(hierarchy) : []),
    ...(windows
      ? [`windows of ${windows.size}×${windows.size} but in blocks ${windows.whole.join(", ") || "none"}`]
      : []),
    ...(has(/(lambda_?1|gamma(_1)?)$/) ? ["LayerScale"] : []),
    ...(postNorm ? ["norm after each part"] : []),
  ].join(", ");
}

const describeText = ({ depth, width, heads, vocabulary, length, causal }: NonNullable<Config["text"]>): string =>
  `depth ${depth}, width ${width}, heads ${heads}, ${grouped(vocabulary)} tokens of which a text has ${length}` +
  (causal ? ", causal" : "");

/** A head in a file of its own, by the vectors that it reads. */
function describeProbe({ layers, reads, unit }: NonNullable<Config["probe"]>): string {
  const vectors =
    typeof reads === "string"
      ? { features: "features that images share with texts", head: "what the checkpoint's own head would read" }[reads]
      : `class tokens of the last ${reads.blocks === 1 ? "block" : `${reads.blocks} blocks`}${reads.mean ? " and mean of the patches" : ""}`;
  const many = layers.length === 1 ? "a layer" : `${layers.length} layers`;
  return `${many} of a file of its own on ${vectors}${unit ? ", of length 1" : ""}, to ${grouped(layers.at(-1)!.outputs)} outputs`;
}

function describeHead(config: Config): string {
  const { pooling, classes, categories, poolerWidth, features, dpt, sam, patchBoxes, tokenBoxes, suffixTokens } =
    config;
  const { heatmaps, experts, queryMasks, textMasks, upernet } = config;
  const pooled = {
    token: "class token",
    tokens: "mean of the class tokens",
    summary: "some of the class tokens, one after the other,",
    pooler: "pooler",
    distilled: "class and distillation token",
    mean: "mean of the patches",
    max: "largest values of the patches",
    "mean+max": "mean and largest values of the patches, halved,",
    "token+mean": "class token and mean of the patches",
    attention: "attention pooling",
    none: "every token",
  }[pooling];
  const shared = features > 0 ? `to ${grouped(features)} features` : "without a classifier";
  if (tokenBoxes) return `${suffixTokens} boxes of ${grouped(tokenBoxes.classes)} classes, or of none`;
  if (patchBoxes) {
    const objectness = patchBoxes.objectness ? ", with objectness" : "";
    return `a box a patch, compared with texts or an image by ${grouped(features)} features${objectness}`;
  }
  if (dpt) {
    const { head } = dpt;
    const what =
      head.kind === "depth" ? `depth${head.metric ? " in metres" : ""}` : `${grouped(head.classes)} classes of pixels`;
    return `${what}, by ${dpt.levels.length} maps fused at ${dpt.width} channels`;
  }
  if (upernet)
    return `${grouped(upernet.classes)} classes of pixels, by ${upernet.blocks.length} maps and means of parts of one`;
  if (sam) {
    const embedding = `an embedding of ${sam.grid.join("×")} cells and ${sam.channels} channels`;
    return sam.decoder ? `masks by points and boxes, by ${embedding}` : `${embedding}, without a decoder`;
  }
  if (textMasks) {
    const { levels, decoder } = textMasks;
    return `masks of what texts say, by ${levels.length} blocks of a decoder at ${decoder.width} channels`;
  }
  if (queryMasks) {
    const { queries, blocks } = queryMasks;
    return `masks of ${queries} queries in ${grouped(queryMasks.classes)} classes, which join the last ${blocks} blocks`;
  }
  if (heatmaps) {
    const decoder = "factor" in heatmaps.decoder ? "simple" : "classic";
    const of = experts ? `, with experts for ${experts} data sets` : "";
    return `heatmaps of ${heatmaps.keypoints} keypoints by a ${decoder} decoder${of}`;
  }
  const classifier = categories ? `to ${grouped(classes)} tags, each by itself` : `to ${grouped(classes)} classes`;
  const head = classes > 0 ? classifier : shared;
  return `${pooled} ${head}${poolerWidth > 0 ? `; pooler of ${poolerWidth} on the class token` : ""}`;
}

function describeLabels(labels: readonly string[]): string {
  if (labels.length === 0) return "none";
  // What parseConfig fills in where the checkpoint names none.
  if (labels[0] === "LABEL_0") return `${grouped(labels.length)}, not named`;
  const first = labels.slice(0, 3).map((label) => JSON.stringify(label));
  return `${grouped(labels.length)}: ${first.join(", ")}${labels.length > 3 ? ", …" : ""}`;
}

function describePreprocessing(preprocessing: Preprocessing): string {
  const { processor, resize, width, height, rescaleFirst, rescale, offset, mean, std, divisor } = preprocessing;
  const filter = processor === "pillow" ? preprocessing.filter : `${preprocessing.filter} of torchvision`;
  const result = sizeText([height, width]);
  const times = rescale === 1 ? [] : [`times ${[1 / 255, Math.fround(1 / 255)].includes(rescale) ? "1/255" : rescale}`];
  const steps = rescaleFirst ? [...times] : [];
  const size = "height" in resize ? sizeText([resize.height, resize.width]) : "";
  if (preprocessing.square) steps.push("laid on a white square");
  if (resize.mode === "shortest") steps.push(`short side to ${resize.size}, ${filter}`);
  if (resize.mode === "longest") steps.push(`long side to ${resize.longest}, ${filter}, zeros to ${result}`);
  if (resize.mode === "exact") steps.push(`resize to ${size}, ${filter}`);
  if (resize.mode === "patches") steps.push(`resize to at most ${resize.most} patches of its shape, ${filter}`);
  if (resize.mode === "contain") steps.push(`resize to fit in ${size}, ${filter}`);
  if (resize.mode === "cover") steps.push(`resize to cover ${size}, ${filter}`);
  if (resize.mode === "bounded") {
    const { shortest, longest, multiple } = resize;
    const multiples = multiple === undefined ? "" : `, multiples of ${multiple}`;
    steps.push(`short side to ${shortest}, long side to ${longest} at most${multiples}, ${filter}`);
  }
  if (resize.mode === "multiples") {
    const shape = resize.keepsShape ? ", of its shape" : "";
    steps.push(`resize to about ${size}${shape}, multiples of ${resize.multiple}, ${filter}`);
  }
  if (resize.mode === "blurred") steps.push(`${resize.pad ? "pad to a square; " : ""}blur; resize to ${size}`);
  const { windows, corner } = preprocessing;
  if (windows) steps.push(`windows of ${result} along the long side`);
  if (corner) steps.push(`in the corner of ${result}`);
  if (resize.mode === "affine")
    steps.push(`a box, grown to the shape of ${size} and by a quarter, cut out at that size`);
  const crops = !windows && ["shortest", "cover", "contain", "none"].includes(resize.mode) && !("whole" in resize);
  if (crops || (resize.mode === "exact" && size !== result)) steps.push(`center ${result}`);
  if (!rescaleFirst) steps.push(...times);
  if (offset) steps.push(`less ${offset}`);
  const same = (x: readonly number[]) => (x.every((value) => value === x[0]) ? `${x[0]}` : x.join(" "));
  steps.push(`mean ${same(mean)}, deviation ${same(std)}`);
  if (preprocessing.bgr) steps.push("blue first");
  if (divisor !== undefined) steps.push(`zeros around it, to multiples of ${divisor}`);
  return steps.join("; ");
}
