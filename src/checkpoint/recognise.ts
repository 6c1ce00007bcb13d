/** From a checkpoint's tensors and its JSON file to a Config. */
import { ACTIVATIONS } from "../numerics/activations.js";
import { type Config, type ConfigOverrides, QUANTISED, type Shapes } from "./config.js";
import { fromBigTransfer, fromFlax, fromTorchvision } from "./families/bare.js";
import { fromOpenClip } from "./families/openclip.js";
import { fromTimm } from "./families/timm.js";
import { fromTransformers } from "./families/transformers.js";
import { isRecord, type Json, positive } from "./json.js";
import type { LayoutName } from "./layouts.js";
import { type Facts, type Named, observe, recogniseLayout } from "./observe.js";

/** Who reads the JSON file beside tensors of a layout. */
const READERS: Readonly<Record<LayoutName, (facts: Facts) => Omit<Config, "layout">>> = {
  huggingface: fromTransformers,
  dinov3: fromTransformers,
  clip: fromTransformers,
  timm: fromTimm,
  torchvision: fromTorchvision,
  openclip: fromOpenClip,
  "openclip-timm": fromOpenClip,
  flax: fromFlax,
  bit: fromBigTransfer,
};

/** What is changed at load. */
export interface AtLoad {
  readonly imageSize?: readonly [number, number];
  readonly patchSize?: readonly [number, number];
}

/**
 * Reads the config of the checkpoint `name`.
 * @throws Error: one sentence, that names the closest layout where the tensors are of none.
 */
export async function parseConfig(
  name: string,
  json: unknown,
  tensors: Shapes,
  overrides: ConfigOverrides = {},
): Promise<{ config: Config; named: Named; labels: readonly string[] }> {
  if (json !== undefined && !isRecord(json)) {
    throw new TypeError(
      `load: config must be an object, config.json parsed; got ${JSON.stringify(json)?.slice(0, 60)}`,
    );
  }
  const file: Json = json ?? {};
  const quantised = isRecord(file.quantization_config) ? file.quantization_config : QUANTISED;
  if (quantised.quant_method !== QUANTISED.quant_method || quantised.version !== QUANTISED.version) {
    const found = `"${quantised.quant_method}", version ${quantised.version}`;
    throw new Error(
      `load: "${name}" must be quantised by "${QUANTISED.quant_method}", version ${QUANTISED.version}; got ${found}`,
    );
  }
  const stated = checkOverrides(overrides);
  const named = recogniseLayout(name, tensors);
  const seen = observe(named, tensors);
  const layout = named.layout.name;
  const read = READERS[layout]({ name, file, seen, named, tensors });
  // Attention pooling has the encoder's heads, unless its library says otherwise.
  const poolHeads = read.poolHeads === read.heads ? (stated.heads ?? read.heads) : read.poolHeads;
  const config: Config = { ...read, layout, poolHeads, ...stated };
  check(name, config, tensors.size);
  return { config, named, labels: await labelsOf(file, config) };
}

/** Activations of MLPs. */
const HIDDEN: readonly string[] = Object.entries(ACTIVATIONS).flatMap(([name, row]) =>
  row.hiddenAct.length > 0 ? [name] : [],
);

/** What each override must be. */
const OVERRIDES: Readonly<Record<keyof ConfigOverrides, readonly [rule: string, holds: (x: unknown) => boolean]>> = {
  heads: ["a positive integer", positive],
  eps: ["a number, at least 0", (x) => typeof x === "number" && x >= 0],
  activation: [HIDDEN.join(", ").replace(/, (?=\w+$)/, " or "), (x) => HIDDEN.includes(x as string)],
  imageSize: ["[height, width]", (x) => Array.isArray(x) && x.length === 2 && x.every(positive)],
  pooling: ["token or mean", (x) => x === "token" || x === "mean"],
  classes: ["0, which leaves the classifier out", (x) => x === 0],
};

/** Those that are given. */
function checkOverrides(overrides: ConfigOverrides): ConfigOverrides {
  const stated = Object.entries(overrides).filter(([, value]) => value !== undefined);
  for (const [name, value] of stated) {
    const entry = Object.entries(OVERRIDES).find(([known]) => known === name)?.[1];
    if (!entry) {
      throw new RangeError(`load: config takes ${Object.keys(OVERRIDES).join(", ")}; got ${JSON.stringify(name)}`);
    }
    const [rule, holds] = entry;
    if (!holds(value)) throw new RangeError(`load: config.${name} must be ${rule}; got ${JSON.stringify(value)}`);
  }
  return Object.fromEntries(stated);
}

function check(name: string, config: Config, tensors: number): void {
  for (const { width, depth, heads } of [config, ...(config.text ? [config.text] : [])]) {
    // Each layer has tensors of its own; without this bound a lying config takes all memory for their names.
    if (depth > tensors) {
      throw new Error(`load: "${name}" is of depth ${depth}, but it has ${tensors} tensors`);
    }
    if (!Number.isSafeInteger(heads) || heads < 1 || width % heads !== 0) {
      throw new Error(`load: width ${width} of "${name}" must be a multiple of its heads; got ${heads} heads`);
    }
  }
  const { imageSize, patchSize } = config;
  for (const axis of [0, 1] as const) {
    if (imageSize[axis] < patchSize[axis]) {
      throw new Error(
        `load: images of "${name}" must be at least a patch of ${patchSize.join("×")} in size; got ${imageSize.join("×")}`,
      );
    }
  }
}

/** id2label of transformers; label_names of timm, whose 1000 classes are ImageNet-1k's, as torchvision's; else LABEL_i, as transformers. */
async function labelsOf(file: Json, { classes, layout }: Config): Promise<readonly string[]> {
  const id2label = isRecord(file.id2label) ? file.id2label : {};
  const listed = file.label_names ?? (file.pretrained_cfg as Json | undefined)?.label_names;
  const imagenet = ["timm", "torchvision", "flax", "bit"].includes(layout) && classes === 1000;
  const names: readonly unknown[] = Array.isArray(listed)
    ? listed
    : imagenet
      ? (await import("./imagenet1k.js")).IMAGENET_1K
      : [];
  return Array.from({ length: classes }, (_, i) => String(id2label[i] ?? names[i] ?? `LABEL_${i}`));
}
