/** Models with dense heads, which dense.py writes, and the parts of them that are raced. */
import { existsSync, readFileSync } from "node:fs";
import { ROOT } from "./files.js";
import { random } from "./models.js";

interface Part {
  /** Its folder in build/bench. */
  readonly model: string;
  /** Beginning with the model's name and a comma. */
  readonly what: string;
  /** Shapes of the inputs by transformers' names, and integers and coordinates as they are. */
  readonly inputs: Readonly<Record<string, { readonly dims: readonly number[]; readonly data?: readonly number[] }>>;
  readonly outputs: readonly string[];
}

const SAM = "sam-vit-base";
const pixels = (height: number, width: number) => ({ pixel_values: { dims: [1, 3, height, width] } });

/** By the names of their graphs. */
export const PARTS = {
  depth: {
    model: "depth-anything-v2-small",
    what: "Depth Anything V2 Small, 518×518",
    inputs: pixels(518, 518),
    outputs: ["predicted_depth"],
  },
  boxes: {
    model: "owlv2-base-patch32",
    what: "OWLv2 base patch 32, 768×768, 2 texts",
    inputs: { ...pixels(768, 768), input_ids: { dims: [2, 16], data: Array.from({ length: 32 }, (_, i) => i + 1) } },
    outputs: ["logits", "pred_boxes"],
  },
  heatmaps: {
    model: "vitpose-base-simple",
    what: "ViTPose base simple, 256×192",
    inputs: pixels(256, 192),
    outputs: ["heatmaps"],
  },
  stages: {
    model: "swin-tiny-patch4-window7-224",
    what: "Swin-T, 224×224",
    inputs: pixels(224, 224),
    outputs: ["logits"],
  },
  encoder: {
    model: SAM,
    what: "SAM ViT-B encoder, 1024×1024",
    inputs: pixels(1024, 1024),
    outputs: ["image_embeddings"],
  },
  decoder: {
    model: SAM,
    what: "SAM ViT-B decoder, a point",
    inputs: {
      image_embeddings: { dims: [1, 256, 64, 64] },
      input_points: { dims: [1, 1, 1, 2], data: [400, 300] },
      input_labels: { dims: [1, 1, 1], data: [1] },
    },
    outputs: ["pred_masks", "iou_scores"],
  },
} as const satisfies Record<string, Part>;
export type PartName = keyof typeof PARTS;
export const PART_NAMES = Object.keys(PARTS) as PartName[];

/** Names of inputs that are integers. */
const INTEGERS = /ids$|labels$/;

export const partFolder = (part: PartName): string => ROOT + PARTS[part].model;
export const partGraph = (part: PartName): string => `${partFolder(part)}/${part}.onnx`;
const countOf = (part: PartName): string => `${partFolder(part)}/${part}.json`;

/** Tells whether dense.py has written it. */
export const isWritten = (part: PartName): boolean => existsSync(countOf(part)) && existsSync(partGraph(part));

/** Floating-point operations of its products, as torch counts them. */
export const partFlops = (part: PartName): number => JSON.parse(readFileSync(countOf(part), "utf8")).flops;

/** Inputs by transformers' names. */
export const partInputs = (part: PartName) =>
  Object.entries((PARTS[part] as Part).inputs).map(([name, { dims, data }]) => {
    const values = data
      ? Float32Array.from(data)
      : random(
          dims.reduce((product, n) => product * n, 1),
          1,
          1,
        );
    return { name, dims, data: INTEGERS.test(name) ? BigInt64Array.from(data!, BigInt) : values };
  });
