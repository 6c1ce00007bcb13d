/** transformers' ViTPose and ViTPose+: what config.json says of the backbone, which has a model_type of its own, and of the head. */
import { type HeatmapsConfig, observeHeatmaps } from "../../heads/heatmaps.js";
import { excerpt } from "../../json.js";
import type { Config } from "../config.js";
import { isRecord, type Json, reader } from "../json.js";
import type { Facts } from "../observe.js";
import { stagesOf } from "./dpt.js";

/** Settings of the backbone, by default those of VitPoseConfig. */
export function poseBackbone(name: string, file: Json): Json {
  if (!isRecord(file.backbone_config)) return { out_indices: [4] };
  const nested = file.backbone_config;
  reader(`backbone_config of ${name}`, nested).choice("model_type", "vitpose_backbone", { vitpose_backbone: true });
  return nested;
}

/** Zeros on each side of VitPoseBackbonePatchEmbeddings' images. */
const PADDING = 2;

/** Most that a map is enlarged by, and experts of a block. */
const MAX_FACTOR = 16;
const MAX_EXPERTS = 64;

/** Reads the head and the experts, whose sizes the tensors tell. */
export function poseOf(
  { name, file, seen, tensors }: Facts,
  backbone: Json,
  {
    depth,
    imageSize,
    patchSize,
  }: { depth: number; imageSize: readonly [number, number]; patchSize: readonly [number, number] },
): Partial<Config> & { readonly heatmaps: HeatmapsConfig } {
  const read = reader(name, file);
  const ofBackbone = `backbone_config of ${name}`;
  const inner = reader(ofBackbone, backbone);
  const told = observeHeatmaps((tensor) => tensors.get(tensor)?.shape);
  if (!told)
    throw new Error(`load: "${name}" must have the head of vitpose; it has no "head.conv.weight" of a convolution`);
  // The library's table of positions is of a grid without the padding.
  if (
    imageSize.some((side, i) => Math.floor((side + 2 * PADDING) / patchSize[i]!) !== Math.floor(side / patchSize[i]!))
  )
    throw new Error(
      `load: "image_size" of "${ofBackbone}" must have as many patches with ${PADDING} pixels around it as without; got ${imageSize.join("×")} in patches of ${patchSize.join("×")}`,
    );
  read.same("use_simple_decoder", told.channels === undefined, true);
  const factor = read.count("scale_factor", 4);
  if (factor > MAX_FACTOR) {
    throw new Error(`load: "scale_factor" of "${name}" must be at most ${MAX_FACTOR}; got ${factor}`);
  }
  const labels = isRecord(file.id2label) ? Object.keys(file.id2label).length : told.keypoints;
  if (labels !== told.keypoints) {
    throw new Error(`load: "id2label" of "${name}" must be the names of ${told.keypoints} keypoints; got ${labels}`);
  }
  const experts = inner.count("num_experts", 1);
  const part = inner.whole("part_features", 256);
  if (experts !== Math.max(seen.experts.count, 1) || (experts > 1 && part !== seen.experts.width)) {
    const found = `${experts} of ${part} for ${seen.experts.count} of ${seen.experts.width}`;
    throw new Error(
      `load: "num_experts" and "part_features" of "${ofBackbone}" must be those of its tensors; got ${found}`,
    );
  }
  if (experts > MAX_EXPERTS) {
    throw new Error(`load: "num_experts" of "${ofBackbone}" must be at most ${MAX_EXPERTS}; got ${experts}`);
  }
  return {
    patchPadding: PADDING,
    fixedSize: true,
    ...(experts > 1 && { experts }),
    heatmaps: {
      blocks: stagesOf(ofBackbone, backbone, depth).map((stage) => stage - 1),
      keypoints: told.keypoints,
      decoder: told.channels === undefined ? { factor } : { channels: told.channels },
      edges: edgesOf(name, file, told.keypoints),
    },
  };
}

/** Pairs of keypoints that the original's files join. */
function edgesOf(name: string, { edges }: Json, keypoints: number): HeatmapsConfig["edges"] {
  if (edges === undefined || edges === null) return undefined;
  const isKeypoint = (x: unknown) => Number.isInteger(x) && (x as number) >= 0 && (x as number) < keypoints;
  const isEdge = (edge: unknown): edge is [number, number] =>
    Array.isArray(edge) && edge.length === 2 && edge.every(isKeypoint);
  if (Array.isArray(edges) && edges.length <= keypoints * keypoints && edges.every(isEdge)) return edges;
  throw new Error(`load: "edges" of "${name}" must be pairs of its ${keypoints} keypoints; got ${excerpt(edges)}`);
}
