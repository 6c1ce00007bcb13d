/** From a checkpoint's tensors and its JSON file to a Config. */

import { importHeads } from "../heads/index.js";
import { excerpt } from "../json.js";
import { faultOfKeys, type KeyRules, straysOf, type Watched, watch } from "../keys.js";
import { ACTIVATIONS } from "../numerics/activations.js";
import { faultOfPlaces, ownGrid } from "../vit/places.js";
import { type Config, type ConfigOverrides, type LayoutName, QUANTIZED, type Shapes } from "./config.js";
import { fromBigTransfer, fromFlax, fromTorchvision } from "./families/bare.js";
import {
  OPENCLIP_KEYS,
  OPENCLIP_TEXT,
  OPENCLIP_VISION,
  TIMM_ARGUMENTS,
  TIMM_KEYS,
  TRANSFORMERS,
  TRANSFORMERS_KEYS,
} from "./families/keys.js";
import { EPS_RANGE, isEps, isRecord, type Json, positive, reader } from "./json.js";
import { type Facts, findLayout, type Known, observe, type Seen } from "./observe.js";

/** Reads the JSON file beside tensors of a layout. */
type Read = (facts: Facts) => Omit<Config, "layout"> | Promise<Omit<Config, "layout">>;

const importTransformers = () => import("./families/transformers.js");
const transformers = async (): Promise<Read> => (await importTransformers()).fromTransformers;
const openClip = async (): Promise<Read> => (await import("./families/openclip.js")).fromOpenClip;

/** Readers of the libraries, each imported for a checkpoint of its own. */
const READERS: Readonly<Record<LayoutName, () => Promise<Read>>> = {
  huggingface: transformers,
  dinov3: transformers,
  eomt: transformers,
  eomt_dinov3: transformers,
  clip: transformers,
  clipseg: transformers,
  owlvit: transformers,
  owlv2: transformers,
  blip: transformers,
  aimv2: transformers,
  tips: transformers,
  radio: transformers,
  timm: async () => (await import("./families/timm.js")).readTimm,
  torchvision: async () => fromTorchvision,
  openclip: openClip,
  "openclip-timm": openClip,
  flax: async () => fromFlax,
  bit: async () => fromBigTransfer,
  sam: transformers,
  vitdet: transformers,
};

/** Sizes that are changed at load. */
export interface AtLoad {
  readonly imageSize?: readonly [number, number];
  readonly patchSize?: readonly [number, number];
}

/**
 * Reads the config of the checkpoint `name`.
 * @returns strays as well: keys of the file that its library does not know, so that they say nothing.
 * @throws Error: one sentence, that names the closest layout where the tensors are of none.
 */
export async function parseConfig(
  name: string,
  json: unknown,
  tensors: Shapes,
  overrides: ConfigOverrides = {},
): Promise<Known & { readonly labels: readonly string[]; readonly strays: readonly string[] }> {
  if (json !== undefined && !isRecord(json)) {
    throw new TypeError(`load: config must be an object, config.json parsed; got ${excerpt(json, 60)}`);
  }
  const top = watch(json ?? {}, WATCHED);
  const { file } = top;
  const quantized = isRecord(file.quantization_config) ? file.quantization_config : QUANTIZED;
  if (quantized.quant_method !== QUANTIZED.quant_method || quantized.version !== QUANTIZED.version) {
    const found = `${excerpt(quantized.quant_method)}, version ${excerpt(quantized.version)}`;
    throw new Error(
      `load: "${name}" must be quantized by "${QUANTIZED.quant_method}", version ${QUANTIZED.version}; got ${found}`,
    );
  }
  const { text: ofText, ...stated } = checkOverrides(overrides);
  if (file.model_type !== undefined) (await importTransformers()).checkFamily(name, file);
  const named = findLayout(tensors);
  if (!named) throw (await import("./strangers.js")).strangersError(name, tensors, file);
  const seen = observe(named, tensors);
  const layout = named.layout.name;
  const read = await (await READERS[layout]())({ name, file, seen, named, tensors, stated });
  // Attention pooling has the encoder's heads, unless its library says otherwise.
  const poolHeads = read.poolHeads === read.heads ? (stated.heads ?? read.heads) : read.poolHeads;
  if (ofText && !read.text) {
    throw new RangeError(`load: config.text needs a text tower; "${name}" has none`);
  }
  const text = read.text && { ...read.text, heads: ofText?.heads ?? read.text.heads };
  const matryoshka = reader(name, file).numbers("matryoshka_dimensions", [], "a list of positive integers", positive);
  const config: Config = { ...read, layout, poolHeads, text, ...stated, ...(matryoshka.length > 0 && { matryoshka }) };
  check(name, config, seen, tensors.size);
  const labels = await labelsOf(file, config, Math.max(seen.classes, seen.boxClasses - 1, classesOf(config)));
  return { config, named, heads: await importHeads(config), labels, strays: checkKeys(name, top, layout) };
}

/** Objects of the files of each library, by their paths, with the rules of their keys. */
const KEYS: Readonly<Partial<Record<LayoutName, readonly (readonly [path: string, rules: KeyRules])[]>>> = {
  ...byLayouts(
    [
      "huggingface",
      "dinov3",
      "eomt",
      "eomt_dinov3",
      "clip",
      "clipseg",
      "owlvit",
      "owlv2",
      "blip",
      "aimv2",
      "tips",
      "radio",
      "sam",
      "vitdet",
    ],
    [
      ["", TRANSFORMERS_KEYS],
      ["backbone_config", TRANSFORMERS_KEYS],
      ["vision_config", TRANSFORMERS_KEYS],
      ["text_config", TRANSFORMERS_KEYS],
      ["vision_config_dict", TRANSFORMERS_KEYS],
      ["text_config_dict", TRANSFORMERS_KEYS],
      ["prompt_encoder_config", TRANSFORMERS_KEYS],
      ["mask_decoder_config", TRANSFORMERS_KEYS],
    ],
  ),
  timm: [
    ["", TIMM_KEYS],
    ["model_args", TIMM_ARGUMENTS],
  ],
  ...byLayouts(
    ["openclip", "openclip-timm"],
    [
      ["model_cfg", OPENCLIP_KEYS],
      ["model_cfg.vision_cfg", OPENCLIP_VISION],
      ["model_cfg.text_cfg", OPENCLIP_TEXT],
    ],
  ),
};

/** All names in these paths. */
const WATCHED = [...new Set(Object.values(KEYS).flatMap((rows) => rows.flatMap(([path]) => path.split("."))))];

function byLayouts<Rules>(names: readonly LayoutName[], rules: Rules): Partial<Record<LayoutName, Rules>> {
  return Object.fromEntries(names.map((name) => [name, rules]));
}

/**
 * Keys that the library does not know, by their paths.
 * @throws Error for a key that is not read and would change numbers.
 */
function checkKeys(name: string, top: Watched, layout: LayoutName): string[] {
  return (KEYS[layout] ?? []).flatMap(([path, rules]) => {
    const parts = path === "" ? [] : path.split(".");
    const at = parts.reduce<Watched | undefined>((object, part) => object?.within(part), top);
    if (!at) return [];
    const what = path === "" ? `"${name}"` : `"${path}" of "${name}"`;
    const strays = straysOf(at, rules);
    const newer = rules === TRANSFORMERS_KEYS ? faultOfNewer(what, top, at, strays) : undefined;
    const fault = faultOfKeys(what, at, rules) ?? newer;
    if (fault !== undefined) throw new Error(`load: ${fault}`);
    return strays.map((key) => [...parts, key].join("."));
  });
}

/** A clause about a stray that switches something on, in a file of a version of transformers that is not known here. */
function faultOfNewer(what: string, { object: whole }: Watched, { object }: Watched, strays: readonly string[]) {
  const { transformers_version: version } = whole;
  const [, major, minor] = /^(\d{1,4})\.(\d{1,4})/.exec(typeof version === "string" ? version : "") ?? [];
  const [ours, minorOurs] = TRANSFORMERS;
  const newer = Number(major) > ours || (Number(major) === ours && Number(minor) > minorOurs);
  const on = newer ? strays.find((key) => object[key] !== false && object[key] !== 0) : undefined;
  if (on === undefined) return undefined;
  const rule = `is not known of transformers up to ${TRANSFORMERS.join(".")}, and ${excerpt(version, 20)} wrote the file`;
  return `${excerpt(on)} of ${what} ${rule}; got ${excerpt(object[on])}`;
}

/** Activations of MLPs. */
const HIDDEN: readonly string[] = Object.entries(ACTIVATIONS).flatMap(([name, row]) =>
  row.hiddenAct.length > 0 ? [name] : [],
);

/** Rules of the overrides. */
const OVERRIDES: Readonly<Record<keyof ConfigOverrides, readonly [rule: string, holds: (x: unknown) => boolean]>> = {
  heads: ["a positive integer", positive],
  eps: [`a number from ${EPS_RANGE[0]} to ${EPS_RANGE[1]}`, isEps],
  activation: [HIDDEN.join(", ").replace(/, (?=\w+$)/, " or "), (x) => HIDDEN.includes(x as string)],
  imageSize: ["[height, width]", (x) => Array.isArray(x) && x.length === 2 && x.every(positive)],
  pooling: ["token or mean", (x) => x === "token" || x === "mean"],
  text: [
    "{ heads }, a positive integer",
    (x) =>
      isRecord(x) && Object.keys(x).every((key) => key === "heads") && (x.heads === undefined || positive(x.heads)),
  ],
  classes: ["0, which leaves the classifier out", (x) => x === 0],
};

/** Those that are given. */
function checkOverrides(overrides: ConfigOverrides): ConfigOverrides {
  const stated = Object.entries(overrides).filter(([, value]) => value !== undefined);
  for (const [name, value] of stated) {
    const entry = Object.entries(OVERRIDES).find(([known]) => known === name)?.[1];
    if (!entry) {
      throw new RangeError(`load: config takes ${Object.keys(OVERRIDES).join(", ")}; got ${excerpt(name)}`);
    }
    const [rule, holds] = entry;
    if (!holds(value)) throw new RangeError(`load: config.${name} must be ${rule}; got ${excerpt(value)}`);
  }
  return Object.fromEntries(stated);
}

/** Most classes, each of which has a label; ImageNet-21k has 21,843. */
const MAX_CLASSES = 2 ** 20;

/** Most layers of a tower, and units of a ResNet: the deepest that are published have 48 and 50. */
const MAX_DEPTH = 1024;

/** Most tokens of a text: towers take 64 to 248, and scores are made of every pair. */
const MAX_TEXT_TOKENS = 4096;

/** Most pixels and patches of an image that a model takes, 4096×4096 in patches of 16×16. */
const MAX_PIXELS = 2 ** 24;
const MAX_PATCHES = 2 ** 16;

/** Compares the numbers of a config with the tensors, or bounds them, before anything is made of their size. */
function check(name: string, config: Config, seen: Seen, tensors: number): void {
  for (const { width, depth, heads } of [config, ...(config.text ? [config.text] : [])]) {
    // Each layer has tensors of its own; without this bound a lying config takes all memory for their names.
    if (depth > tensors) {
      throw new Error(`load: "${name}" is of depth ${depth}, but it has ${tensors} tensors`);
    }
    if (depth > MAX_DEPTH) throw new Error(`load: "${name}" must have at most ${MAX_DEPTH} layers; got ${depth}`);
    if (!Number.isSafeInteger(heads) || heads < 1 || width % heads !== 0) {
      throw new Error(`load: width ${width} of "${name}" must be a multiple of its heads; got ${heads} heads`);
    }
  }
  const { width, heads, poolHeads, rotary, classes, text, resnet, pooling } = config;
  if (pooling === "attention" && width % poolHeads !== 0) {
    throw new Error(`load: width ${width} of "${name}" must be a multiple of its pool's heads; got ${poolHeads} heads`);
  }
  if (rotary && (width / heads) % (rotary.kind === "mixed" ? 2 : 4) !== 0) {
    const found = `${width / heads} of ${width} and ${heads} heads`;
    throw new Error(
      `load: heads of "${name}" turn by rotary positions, so they must have pairs of columns; got ${found}`,
    );
  }
  // A head that is missing is named with the other tensors.
  if (classes > 0 && seen.classes > 0 && classes !== seen.classes) {
    throw new Error(`load: "${name}" has ${classes} classes by its config, but its head has ${seen.classes}`);
  }
  const boxClasses = config.tokenBoxes && config.tokenBoxes.classes + 1;
  if (boxClasses !== undefined && seen.boxClasses > 0 && boxClasses !== seen.boxClasses) {
    throw new Error(
      `load: boxes of "${name}" have ${boxClasses} classes by its config, that of nothing among them, but its head has ${seen.boxClasses}`,
    );
  }
  for (const classes of [classesOf(config), seen.classes, seen.boxClasses]) {
    if (classes <= MAX_CLASSES) continue;
    throw new Error(`load: "${name}" must have at most ${MAX_CLASSES} classes; got ${classes}`);
  }
  if (text && text.length > MAX_TEXT_TOKENS) {
    throw new Error(`load: texts of "${name}" must have at most ${MAX_TEXT_TOKENS} tokens; got ${text.length}`);
  }
  const units = resnet?.units.reduce((sum, n) => sum + n, 0) ?? 0;
  if (units > MAX_DEPTH) throw new Error(`load: "${name}" must have at most ${MAX_DEPTH} units; got ${units}`);
  const fault = faultOfSizes(name, config);
  if (fault !== undefined) throw new Error(fault);
}

/** Classes that are scored, of images, of their pixels or of boxes, or keypoints. */
export const classesOf = ({ classes, dpt, tokenBoxes, queryMasks, heatmaps, upernet }: Config): number =>
  dpt?.head.kind === "segmentation"
    ? dpt.head.classes
    : (tokenBoxes?.classes ?? queryMasks?.classes ?? upernet?.classes ?? heatmaps?.keypoints ?? classes);

/** Bounds what images and patches of these sizes take: a message if it is too much. */
export function faultOfSizes(name: string, config: Config): string | undefined {
  const { imageSize, patchSize, depth } = config;
  const found = `${imageSize.join("×")} in patches of ${patchSize.join("×")}`;
  if ([0, 1].some((axis) => !(imageSize[axis]! >= patchSize[axis]!))) {
    return `load: images of "${name}" must be at least a patch of ${patchSize.join("×")} in size; got ${imageSize.join("×")}`;
  }
  if (![...imageSize, ...patchSize].every(positive)) {
    return `load: images and patches of "${name}" must be of whole pixels; got ${found}`;
  }
  if (imageSize[0] * imageSize[1] > MAX_PIXELS) {
    return `load: images of "${name}" must have at most ${MAX_PIXELS} pixels; got ${imageSize.join("×")}`;
  }
  if (depth === 0) return undefined;
  const grid = ownGrid(config);
  if (grid[0] * grid[1] > MAX_PATCHES) {
    return `load: images of "${name}" must have at most ${MAX_PATCHES} patches; got ${found}`;
  }
  return faultOfPlaces(`load: images of "${name}"`, config, grid);
}

/**
 * id2label of transformers; label_names of timm, whose 1000 classes are ImageNet-1k's, as torchvision's; else LABEL_i, as
 * transformers.
 * @param outputs of the head that there is.
 */
async function labelsOf(file: Json, config: Config, outputs: number): Promise<readonly string[]> {
  const { layout } = config;
  const classes = classesOf(config);
  const id2label = isRecord(file.id2label) ? file.id2label : {};
  const listed = file.label_names ?? (file.pretrained_cfg as Json | undefined)?.label_names;
  const imagenet = ["timm", "torchvision", "flax", "bit"].includes(layout) && classes === 1000;
  const names: readonly unknown[] = Array.isArray(listed)
    ? listed
    : imagenet
      ? (await import("./imagenet1k.js")).IMAGENET_1K
      : [];
  return Array.from({ length: Math.min(classes, outputs) }, (_, i) => {
    const label = id2label[i] ?? names[i];
    return typeof label === "string" || typeof label === "number" ? String(label) : `LABEL_${i}`;
  });
}
