/** Swin and SwinV2, transformers' and timm's: what their JSON files say of stages and windows. */
import type { Pair } from "../../backend.js";
import { excerpt } from "../../json.js";
import type { StageConfig, StagesConfig } from "../../vit/hierarchy.js";
import type { Config } from "../config.js";
import { isRecord, positive, reader } from "../json.js";
import { weightOf } from "../layouts.js";
import { blockAt, depthOf, type Facts, MAX_STAGES, stageAt } from "../observe.js";
import { partOf } from "../stages.js";
import { plain, probabilitiesOf, TIMM_INTERPOLATION } from "./bare.js";

/** Most lines and columns of a window, all of whose pairs of tokens have biases: published are 7 to 24. */
const MAX_WINDOW = 64;

const tooLarge = (name: string, found: unknown) =>
  new Error(`load: "window_size" of "${name}" must be at most ${MAX_WINDOW}; got ${excerpt(found)}`);

/** Sizes of a stage as far as tensors tell them; the side of the window that its tables are of, where it has any. */
interface Told extends Pick<StageConfig, "width" | "depth" | "heads" | "mlpWidth"> {
  readonly side: number | undefined;
}

/** Stages by their tensors: widths double, and biases or factors of cosines have a number for each head. */
function stagesOf({ name, named: { layout, block, blockPrefix }, seen, tensors }: Facts): Told[] {
  const shape = (tensor: string) => tensors.get(tensor)?.shape ?? [];
  const { attentions, mlps } = block!;
  const [{ relativePositions: table = "", cosine = "" }] = attentions;
  const told: Told[] = [];
  for (let i = 0; ; i++) {
    const depth = depthOf(blockPrefix + stageAt(block!, i), block!, tensors);
    if (depth === 0) return told;
    if (i === MAX_STAGES) throw new Error(`load: "${name}" must have at most ${MAX_STAGES} stages; got more`);
    const at = blockPrefix + blockAt(block!, 0, i);
    const [offsets, heads = shape(at + cosine)[0]] = shape(at + table);
    const mlpWidth = shape(at + weightOf(layout, mlps[0].fc2[0]))[1] ?? 0;
    const side = offsets === undefined ? undefined : (Math.sqrt(offsets) + 1) / 2;
    told.push({ width: seen.width * 2 ** i, depth, heads: heads ?? 0, mlpWidth, side });
  }
}

/** Settings that tensors tell as well, a number for each stage. */
function checkLists(name: string, file: Parameters<typeof reader>[1], stages: readonly Told[]): void {
  const read = reader(name, file);
  const lists = { depths: stages.map(({ depth }) => depth), num_heads: stages.map(({ heads }) => heads) };
  for (const [key, told] of Object.entries(lists)) {
    const stated = read.numbers(key, told, "a positive integer for each stage", positive);
    if (stated.join() === told.join()) continue;
    throw new Error(
      `load: "${key}" of "${name}" must be ${told.join(", ")}, as its tensors tell; got ${excerpt(stated)}`,
    );
  }
  read.same("embed_dim", stages[0]!.width);
}

/** The parts of a config that say that the last stage is what heads read. */
const hierarchyOf = (stages: readonly StageConfig[], rest: Omit<StagesConfig, "stages">) => {
  const { width, heads, mlpWidth } = stages.at(-1)!;
  const depth = stages.reduce((sum, stage) => sum + stage.depth, 0);
  return { hierarchy: { stages, ...rest }, width, heads, mlpWidth, depth, poolHeads: heads, relativePositions: false };
};

/** transformers' SwinConfig and Swinv2Config. */
export function swinOf(
  facts: Facts,
  type: "swin" | "swinv2",
  { imageSize, patchSize }: Pick<Config, "imageSize" | "patchSize">,
): Partial<Config> {
  const { name, file } = facts;
  const told = stagesOf(facts);
  checkLists(name, file, told);
  const read = reader(name, file);
  const window = read.count("window_size", told[0]!.side ?? 7);
  const trained = read.numbers(
    "pretrained_window_sizes",
    told.map(() => 0),
    "a whole number for each stage",
    (x) => x === 0 || positive(x),
  );
  read.same("hidden_size", told.at(-1)!.width);
  read.same("use_absolute_embeddings", facts.seen.positions > 0, false);
  if (window > MAX_WINDOW) throw tooLarge(name, window);
  const half = Math.floor(window / 2);
  const stages = told.map(({ side: _, ...sizes }, i): StageConfig => {
    // The second version has the smaller of window and map when it is made, by the image's height.
    const side = Math.floor(Math.floor(imageSize[0] / patchSize[0]) / 2 ** i);
    const size = type === "swinv2" ? Math.min(window, side) : window;
    const by = type === "swinv2" && side <= size ? 0 : half;
    return { ...sizes, window: [size, size], shift: [by, by], ...(trained[i]! > 0 && { trainedWindow: trained[i]! }) };
  });
  return {
    ...hierarchyOf(stages, { penalty: type === "swin" ? -100 : -200, rules: type }),
    postNorm: type === "swinv2" && "branch",
    pooling: "mean",
    gated: false,
    qkNorm: false,
  };
}

/** Window of the training, of those whose names say it: of three stages, and half of it in the fourth. */
const TRAINED = /window(\d{1,3})to\d/;

/** Windows of the architectures whose stages differ. */
const WINDOWS: Readonly<Record<string, readonly number[]>> = {
  swin_s3_tiny_224: [7, 7, 14, 7],
  swin_s3_small_224: [14, 14, 14, 7],
  swin_s3_base_224: [7, 7, 14, 7],
};

/** timm's SwinTransformer and SwinTransformerV2. */
export function fromTimmSwin(facts: Facts, architecture: string): Omit<Config, "layout"> {
  const { name, file, seen } = facts;
  const told = stagesOf(facts);
  const args = isRecord(file.model_args) ? file.model_args : {};
  const what = `model_args of ${name}`;
  const read = reader(what, args);
  checkLists(what, args, told);
  if (architecture === "") throw untold(name);
  const second = architecture.startsWith("swinv2");
  const base = plain(facts);
  const readFile = reader(name, file);
  const classes = readFile.whole("num_classes", read.whole("num_classes", seen.classes));
  const input = (isRecord(file.pretrained_cfg) ? file.pretrained_cfg : {}).input_size;
  const [, height = 224, width = 224] = Array.isArray(input) && input.length === 3 ? (input as number[]) : [];
  const imageSize = read.size("img_size", [height, width]);
  const cr = architecture.startsWith("swinv2_cr");
  const ratios = cr ? ratiosOf(what, args, told.length) : undefined;
  const grid: Pair = [Math.floor(imageSize[0] / seen.patch[0]), Math.floor(imageSize[1] / seen.patch[1])];
  const windows = ratios?.map((ratio) => partOf(grid, ratio)) ?? windowsOf(what, args, architecture, told.length);
  const closed = cr ? closedOf(what, args, architecture, told) : [];
  const always = read.flag("always_partition", false);
  const trained = Number(TRAINED.exec(architecture)?.[1] ?? 0);
  const byName = told.map((_, i) => (i === 3 ? trained / 2 : trained));
  const sizes = read.numbers("pretrained_window_sizes", byName, "a whole number for each stage", Number.isSafeInteger);
  read.same("in_chans", seen.inputChannels);
  read.same("head_dim", undefined);
  const stages = told.map(({ side: _, ...stage }, i): StageConfig => {
    const window = windows[i]!;
    const shift: Pair = [Math.floor(window[0] / 2), Math.floor(window[1] / 2)];
    const more = {
      ...(sizes[i]! > 0 && { trainedWindow: sizes[i]! }),
      ...(cr && { closed: closed[i]!, windowRatio: ratios?.[i] }),
    };
    return { ...stage, window, shift, ...more };
  });
  const strict = read.flag("strict_img_size", true);
  const any = read.flag("dynamic_img_size", false) || !strict;
  const pooling = read.text("global_pool") ?? (readFile.text("global_pool") || "avg");
  const POOLINGS = { avg: "mean", max: "max", avgmax: "mean+max", "": "none" } as const;
  if (!Object.hasOwn(POOLINGS, pooling)) {
    throw new Error(`load: "global_pool" of "${name}" must be avg, max, avgmax or ""; got ${excerpt(pooling)}`);
  }
  return {
    ...base,
    ...hierarchyOf(stages, { penalty: -100, rules: "timm", always }),
    family: architecture,
    recognizedBy: "architecture in config.json",
    imageSize,
    eps: 1e-5,
    postNorm: second && "branch",
    gated: false,
    qkNorm: false,
    pooling: POOLINGS[pooling as keyof typeof POOLINGS],
    norm: cr ? "none" : "tokens",
    interpolation: { ...TIMM_INTERPOLATION, always: any },
    classes,
    probabilities: probabilitiesOf(classes, readFile.text("problem_type") === "multi_label_classification"),
    headless: true,
  };
}

const untold = (name: string) =>
  new Error(`load: "${name}" must have a config.json with its architecture, as its tensors do not tell its windows`);

/** Parts of the grid of patches that windows of a swinv2_cr are; undefined where the file says their sizes. */
function ratiosOf(name: string, args: Facts["file"], count: number): number[] | undefined {
  const { window_ratio: stated = 8, window_size: size } = args;
  if ((size ?? undefined) !== undefined) return undefined;
  const ratios: readonly unknown[] = Array.isArray(stated) ? stated : Array(count).fill(stated);
  if (ratios.length === count && ratios.every(positive)) return ratios as number[];
  throw new Error(
    `load: "window_ratio" of "${name}" must be a positive integer, or one for each of ${count} stages; got ${excerpt(stated)}`,
  );
}

/** Blocks of each stage of a swinv2_cr behind which z is normalized: the last ones, and every sixth of the largest. */
function closedOf(name: string, args: Facts["file"], architecture: string, stages: readonly Told[]): number[][] {
  const read = reader(name, args);
  const period = read.whole("extra_norm_period", /_cr_(huge|giant)_/.test(architecture) ? 6 : 0);
  const each = read.flag("extra_norm_stage", architecture.includes("_ns_"));
  return stages.map(({ depth }, stage) =>
    Array.from({ length: depth }, (_, i) => i).filter(
      (i) => (period > 0 && (i + 1) % period === 0) || (i === depth - 1 && (each || stage === stages.length - 1)),
    ),
  );
}

/** Windows of each stage: of model_args, or of the name. */
function windowsOf(name: string, args: Facts["file"], architecture: string, count: number): readonly Pair[] {
  const byName = Number(/window(?:\d+to)?(\d{1,3})/.exec(architecture)?.[1] ?? 7);
  const { window_size: stated = WINDOWS[architecture] ?? byName } = args;
  // Two numbers are lines and columns, as in timm.
  const all =
    Array.isArray(stated) && !(stated.length === 2 && stated.every(positive)) ? stated : Array(count).fill(stated);
  const pairs = all.map((size) => (Array.isArray(size) ? size : [size, size]));
  const whole = pairs.every((pair): pair is [number, number] => pair.length === 2 && pair.every(positive));
  if (whole && pairs.some((pair) => Math.max(...pair) > MAX_WINDOW)) throw tooLarge(name, stated);
  if (whole && pairs.length === count) return pairs;
  throw new Error(
    `load: "window_size" of "${name}" must be one or two positive integers, or so for each of ${count} stages; got ${excerpt(stated)}`,
  );
}
