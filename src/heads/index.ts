/** Heads: what is made of what the encoder leaves. Those on pooled vectors are vectors.ts; each other is a file, and a row here. */
import type { VitConfig, VitWeights } from "../vit/vit.js";
import type { Dpt, DptConfig } from "./dpt.js";
import type { Head } from "./head.js";
import type { Heatmaps, HeatmapsConfig } from "./heatmaps.js";
import type { Matting, MattingConfig } from "./matting.js";
import type { PatchBoxes, PatchBoxesConfig } from "./patch-boxes.js";
import type { ProbeConfig, ProbeWeights } from "./probe.js";
import type { QueryMasks, QueryMasksConfig } from "./query-masks.js";
import type { Reconstruction, ReconstructionConfig } from "./reconstruction.js";
import type { Sam, SamConfig } from "./sam-weights.js";
import type { TextMasks, TextMasksConfig } from "./text-masks.js";
import type { TokenBoxes, TokenBoxesConfig } from "./token-boxes.js";
import type { Upernet, UpernetConfig } from "./upernet.js";
import type { VectorsConfig, VectorsWeights } from "./vectors.js";

export interface HeadsConfig extends VectorsConfig, ProbeConfig {
  readonly dpt: DptConfig | undefined;
  /** Classes of pixels by four levels (BEiT); none unless given. */
  readonly upernet?: UpernetConfig;
  /** Heatmaps of keypoints (ViTPose); none unless given. */
  readonly heatmaps?: HeatmapsConfig;
  /** Boxes of patches, which are compared with queries (OWL-ViT). */
  readonly patchBoxes: PatchBoxesConfig | undefined;
  /** Boxes of detection tokens, which have classes (YOLOS). */
  readonly tokenBoxes: TokenBoxesConfig | undefined;
  /** Masks of queries, each with a class (EoMT). */
  readonly queryMasks: QueryMasksConfig | undefined;
  /** Masks of what texts say (CLIPSeg). */
  readonly textMasks: TextMasksConfig | undefined;
  /** Masks by prompts (SAM). */
  readonly sam: SamConfig | undefined;
  /** Pictures of hidden patches (MAE); none unless given. */
  readonly reconstruction?: ReconstructionConfig;
  /** Maps of a ViTDet, and an alpha map (ViTMatte); none unless given. */
  readonly matting?: MattingConfig;
}

export interface HeadsWeights extends VectorsWeights, ProbeWeights {
  readonly dpt: Dpt | undefined;
  readonly upernet: Upernet | undefined;
  readonly heatmaps: Heatmaps | undefined;
  readonly patchBoxes: PatchBoxes | undefined;
  readonly tokenBoxes: TokenBoxes | undefined;
  readonly queryMasks: QueryMasks | undefined;
  readonly textMasks: TextMasks | undefined;
  readonly sam: Sam | undefined;
  readonly reconstruction: Reconstruction | undefined;
  readonly matting: Matting | undefined;
}

export type HeadName = Exclude<keyof HeadsWeights, keyof VectorsWeights>;

/** A head of a model, whichever it is. */
export type AnyHead = Head<HeadsConfig & VitConfig, HeadsWeights & VitWeights, object, unknown>;

/** Heads by their places in a config and among weights. A checkpoint that has none imports none. */
const HEADS: Readonly<Record<HeadName, () => Promise<AnyHead>>> = {
  dpt: async () => (await import("./dpt.js")).dpt,
  upernet: async () => (await import("./upernet.js")).upernet,
  heatmaps: async () => (await import("./heatmaps.js")).heatmaps,
  patchBoxes: async () => (await import("./patch-boxes.js")).patchBoxes,
  tokenBoxes: async () => (await import("./token-boxes.js")).tokenBoxes,
  queryMasks: async () => (await import("./query-masks.js")).queryMasks,
  textMasks: async () => (await import("./text-masks.js")).textMasks,
  sam: async () => (await import("./sam.js")).sam,
  reconstruction: async () => (await import("./reconstruction.js")).reconstruction,
  matting: async () => (await import("./matting.js")).matting,
  probe: async () => (await import("./probe.js")).probe,
};

/** The heads that a config has, or of which there are weights. */
export type Heads = ReadonlyMap<HeadName, AnyHead>;

/** The weights of a model without those of its heads: a call of these runs the towers alone. */
export const withoutHeads = <Weights extends HeadsWeights>(weights: Weights): Weights => ({
  ...weights,
  ...(Object.fromEntries(Object.keys(HEADS).map((name) => [name, undefined])) as Record<HeadName, undefined>),
});

export async function importHeads(parts: Readonly<Partial<Record<HeadName, unknown>>>): Promise<Heads> {
  const names = (Object.keys(HEADS) as HeadName[]).filter((name) => parts[name] !== undefined);
  return new Map(await Promise.all(names.map(async (name) => [name, await HEADS[name]()] as const)));
}
