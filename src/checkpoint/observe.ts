/** Facts that the tensors of a checkpoint tell by their names and shapes: whose layout it is, its sizes, and which parts it has. */

import type { Heads } from "../heads/index.js";
import type { Config, ConfigOverrides, Shapes } from "./config.js";
import type { Json } from "./json.js";
import {
  type BlockNames,
  biasOf,
  type Layout,
  layouts,
  type ResNetNames,
  scaleOf,
  type TextNames,
  weightOf,
} from "./layouts.js";

/** A checkpoint's layout with the prefixes that its tensors bear. */
export interface Named {
  readonly layout: Layout;
  /** Prefix of the image tower's tensors. */
  readonly prefix: string;
  readonly block: BlockNames | undefined;
  /** Prefix of a block's tensors, before `block.at`: MSN's encoder lacks the prefix in files of transformers 5. */
  readonly blockPrefix: string;
  readonly resnet: (ResNetNames & ResNetNames["at"][number]) | undefined;
  readonly text: TextNames | undefined;
}

/** A checkpoint whose layout and config are known, with the heads that it has. */
export interface Known {
  readonly config: Config;
  readonly named: Named;
  readonly heads: Heads;
}

/** Names of tensors that exist. */
export type Has = (tensor: string) => boolean;

/** Name of the patch embedding: of a stem that is a backbone of its own, what comes behind it. */
export const patchEmbedOf = ({ layout, resnet }: Pick<Named, "layout" | "resnet">): string | undefined =>
  resnet?.patchEmbed ?? layout.patchEmbed;

/** The first of several names that exists, or the first. */
export const choose = (names: readonly string[], exists: (name: string) => boolean): string | undefined =>
  names.find(exists) ?? names[0];

/** A block's names with its number, and that of its stage. */
export const blockAt = (names: BlockNames, i: number, stage = 0): string =>
  stageAt(names, stage) + names.at.replace("#", String(i));

/** Most stages, for each of which all tensors are counted: published encoders have four. */
export const MAX_STAGES = 16;

export const stageAt = ({ stage }: BlockNames, i: number): string => stage?.at.replace("@", String(i)) ?? "";

/** A unit's names with its stage and its place, both from 0. */
export const unitAt = ({ unit, first }: { unit: string; first: number }, stage: number, i: number): string =>
  unit
    .replace("@", String(stage + first))
    .replace("##", String(i + first).padStart(2, "0"))
    .replace("#", String(i + first));

/**
 * The layout of tensors whose names may have a prefix before them: the first whose patch embedding or first convolution they have;
 * undefined where they are of none.
 */
export function findLayout(tensors: Shapes, before = ""): Named | undefined {
  const has: Has = (tensor) => tensors.has(before + tensor);
  for (const layout of layouts) {
    for (const prefix of layout.prefixes) {
      const at = layout.resnet?.at.find(({ stem }) => has(prefix + weightOf(layout, stem)));
      if (!at && !(layout.patchEmbed && has(prefix + weightOf(layout, layout.patchEmbed)))) continue;
      const resnet = at && { ...layout.resnet!, ...at };
      const texts = layout.text?.filter(({ prefix, embedding }) => has(prefix + embedding)) ?? [];
      const text = texts.find(({ prefix, block }) => hasBlock(layout, prefix, block, has)) ?? texts[0];
      for (const blockPrefix of [prefix, ""]) {
        const block = layout.blocks.find((names) => hasBlock(layout, blockPrefix, names, has));
        if (block) return { layout, prefix, block, blockPrefix, resnet, text };
      }
      if (at) return { layout, prefix, block: undefined, blockPrefix: prefix, resnet, text };
    }
  }
  return undefined;
}

/** Tells whether there is a first block by these names. */
export function hasBlock(layout: Layout, prefix: string, names: BlockNames, has: Has): boolean {
  const at = prefix + blockAt(names, 0);
  const norm = names.attentions[0].norm;
  return has(at + scaleOf(layout, norm)) && has(at + weightOf(layout, names.attentions[0].proj));
}

/** Blocks of a tower. */
export function depthOf(prefix: string, names: Pick<BlockNames, "at">, tensors: Shapes): number {
  const [before, after] = (prefix + names.at).split("#") as [string, string];
  let depth = 0;
  for (const tensor of tensors.keys()) {
    if (!tensor.startsWith(before)) continue;
    const index = Number.parseInt(tensor.slice(before.length), 10);
    if (tensor.startsWith(after, before.length + String(index).length)) depth = Math.max(depth, index + 1);
  }
  return depth;
}

/** Units of each stage of a ResNet. */
export function unitsOf(prefix: string, resnet: NonNullable<Named["resnet"]>, layout: Layout, has: Has): number[] {
  const units: number[] = [];
  const exists = (stage: number, unit: number) =>
    has(`${prefix}${unitAt(resnet, stage, unit)}${weightOf(layout, resnet.convolutions[0])}`);
  for (let stage = 0; exists(stage, 0); stage++) {
    let count = 1;
    while (exists(stage, count)) count++;
    units.push(count);
  }
  return units;
}

/** Sizes and parts of the image tower. */
export function observe(named: Named, tensors: Shapes) {
  const { layout, prefix, block, blockPrefix, resnet } = named;
  const has: Has = (tensor) => tensors.has(tensor);
  const shape = (tensor: string) => tensors.get(tensor)?.shape ?? [];
  const names = { weight: (x: string) => weightOf(layout, x), bias: (x: string) => biasOf(layout, x) };

  const patchEmbed = patchEmbedOf(named);
  const patch = patchEmbed ? shape(prefix + names.weight(patchEmbed)) : [];
  // Flax: [height, width, channels, D]; of a linear patch embedding [D, P·P·3].
  const flat = patch.length === 2;
  const side = Math.round(Math.sqrt((patch[1] ?? 0) / 3));
  // Of videos [D, channels, frames, height, width].
  const ofVideos = patch.length === 5;
  const sides = layout.kernels ? patch : patch.slice(ofVideos ? 3 : 2);
  const [patchHeight = 1, patchWidth = 1] = flat ? [side, side] : sides;
  const patchWidthD = layout.kernels ? (patch[3] ?? 0) : (patch[0] ?? 0);

  const convolution = resnet ? shape(names.weight(prefix + resnet.stem)) : patch;
  const units = resnet ? unitsOf(prefix, resnet, layout, has) : [];
  const outputsOf = (name: string) => shape(names.weight(name))[layout.kernels ? 3 : 0] ?? 0;
  const channels = resnet
    ? [
        outputsOf(prefix + resnet.stem),
        ...units.map((_, stage) => outputsOf(prefix + unitAt(resnet, stage, 0) + resnet.convolutions[2])),
      ]
    : [];

  /** Rows of a table of any number of dimensions. */
  const rowsOf = (dims: readonly number[]) =>
    dims.length < 2 ? dims.length : dims.reduce((product, n) => product * n, 1) / dims.at(-1)!;
  const tokens = layout.tokens.map((token) => rowsOf(shape(prefix + token)));
  const suffixTokens = layout.suffix === undefined ? 0 : rowsOf(shape(prefix + layout.suffix));
  const prefixTokens = tokens.reduce((sum, n) => sum + n, suffixTokens);
  const positions = shape(prefix + layout.positions);
  const rows = positions.length === 0 ? 0 : positions.reduce((product, n) => product * n, 1) / positions.at(-1)!;
  // Registers have no row in DINOv2's table, and nothing before the patches has one where a grid alone fits.
  const [classTokens = 0, others = 0] = tokens;
  const positioned = [0, classTokens, classTokens + others, prefixTokens];

  const at = block ? blockPrefix + blockAt(block, 0) : "";
  const attention = block?.attentions[0];
  const mlp = block?.mlps[0];
  const first = mlp?.fc1.find((list) => list.every((fc1) => has(at + names.weight(fc1))));
  const fc2 = mlp && choose(mlp.fc2, (x) => has(at + names.weight(x)));
  const fc2Shape = fc2 ? shape(at + names.weight(fc2)) : [];
  const mlpWidth = (layout.kernels ? fc2Shape[0] : fc2Shape[1]) ?? 0;
  const fc1Shape = first ? shape(at + names.weight(first[0])) : [];
  const outputs = (layout.kernels ? fc1Shape[1] : fc1Shape[0]) ?? 0;
  const qkv = attention?.qkv.find((list) => list.every((part) => has(at + names.weight(part))));
  const query = qkv && shape(at + names.weight(qkv[0]));
  const fused = block?.inProj ?? (qkv?.length === 1 ? qkv[0] : undefined);

  const head = choose(layout.head, (x) => has(names.weight(x)));
  const headShape = head ? shape(names.weight(head)) : [];
  const pooler = layout.pooler ? shape(prefix + names.weight(layout.pooler)) : [];
  const pool = layout.attentionPool;
  const projection = layout.projection && choose(layout.projection, (x) => has(x) || has(names.weight(x)));
  const boxHead = layout.tokenBoxes?.classifier.at(-1);
  const projected = projection ? (has(projection) ? shape(projection)[1] : shape(names.weight(projection))[0]) : 0;
  return {
    width: patchWidthD || (channels.at(-1) ?? 0),
    depth: block ? depthOf(blockPrefix + stageAt(block, 0), block, tensors) : 0,
    /** Flax keeps the heads apart: [D, heads, d]. */
    heads: layout.kernels ? query?.[1] : undefined,
    mlpWidth,
    gated: (first?.length ?? 0) > 1 || outputs === 2 * mlpWidth,
    qkvBias:
      has(at + names.bias(fused ?? qkv?.[0] ?? "")) || (attention?.biases?.some((bias) => has(at + bias)) ?? false),
    qkNorm: attention?.queryNorm !== undefined && has(at + scaleOf(layout, attention.queryNorm)),
    relativePositions: [...tensors.keys()].some((tensor) => tensor.endsWith("relative_position_bias_table")),
    patch: [patchHeight, patchWidth] as [number, number],
    /** Channels of images. */
    inputChannels: (flat ? 3 : convolution[layout.kernels ? 2 : 1]) ?? 3,
    naflex: flat && !layout.flatPatches,
    /** Frames that a patch has pixels of. */
    tubelet: ofVideos ? patch[2]! : 1,
    units,
    channels,
    resnet: resnet !== undefined,
    prefixTokens,
    suffixTokens,
    classToken: classTokens > 0,
    /** Rows of the table, and those of them that are before the grid's. */
    positions: rows,
    positioned,
    distilledHead: layout.distillationHead !== undefined && has(names.weight(layout.distillationHead)),
    norm: has(prefix + scaleOf(layout, layout.norm)),
    pooledNorm: layout.pooledNorm !== undefined && has(prefix + scaleOf(layout, layout.pooledNorm)),
    attentionPool: pool !== undefined && has(prefix + pool.latent),
    // A head without elements takes no bytes, whatever it claims.
    classes: (headShape.includes(0) ? 0 : layout.kernels ? headShape.at(-1) : headShape[0]) ?? 0,
    headInputs: (layout.kernels ? headShape.at(-2) : headShape[1]) ?? 0,
    poolerWidth: pooler[0] ?? 0,
    features: projected ?? 0,
    /** Classes of detection tokens, that of nothing among them. */
    boxClasses: boxHead === undefined ? 0 : (shape(names.weight(boxHead))[0] ?? 0),
    /** Experts of the first block's MLP, and the columns that each of them makes. */
    experts: expertsOf((expert) => shape(names.weight(at + expert)), mlp?.experts),
  };
}

export type Seen = ReturnType<typeof observe>;

/** How many tensors there are by a name with the numbers from 0 on, and the rows of the first. */
function expertsOf(shapeOf: (name: string) => readonly number[], name: string | undefined) {
  const of = (i: number) => shapeOf(name!.replace("#", String(i)));
  let count = 0;
  if (name !== undefined) while (of(count).length > 0) count++;
  return { count, width: count > 0 ? of(0)[0]! : 0 };
}

/** A checkpoint that is being recognized. */
export interface Facts {
  /** Name of the checkpoint, for messages. */
  readonly name: string;
  /** config.json or what its library has instead; empty without. */
  readonly file: Json;
  readonly seen: Seen;
  readonly named: Named;
  readonly tensors: Shapes;
  /** Facts that the user states. */
  readonly stated: ConfigOverrides;
}

/** Sizes of the text tower, if there is one. */
export function observeText({ layout, text }: Named, tensors: Shapes) {
  const embedding = text && tensors.get(text.prefix + text.embedding)?.shape;
  if (!text || !embedding) return undefined;
  const at = text.prefix + blockAt(text.block, 0);
  const [vocabulary = 0, width = 0] = embedding;
  return {
    vocabulary,
    width,
    length: tensors.get(text.prefix + (text.positions ?? ""))?.shape[0] ?? 0,
    depth: depthOf(text.prefix, text.block, tensors),
    mlpWidth: tensors.get(at + weightOf(layout, text.block.mlps[0].fc2[0]))?.shape[1] ?? 0,
  };
}
