/**
 * npm run families: writes the table of FAMILIES.md, and the counts of lines in ARCHITECTURE.md, from the code and
 * the fixtures. tests/docs.test.ts compares.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { configOf, parametersOf, shapesOf, VARIANTS, type VariantTimes } from "../bench/variants.js";
import { FAMILIES } from "../src/checkpoint/families/transformers.js";
import { parseConfig } from "../src/checkpoint/recognize.js";
import { planWeights } from "../src/checkpoint/weights.js";
import { multiplyAdds } from "../src/cli/sizes.js";
import { gridOf } from "../src/vit/places.js";

/** Folders of checkpoints with goldens: of what all models have, and of dense heads. */
const FIXTURES = ["tests/fixtures/checkpoints", "tests/fixtures/dense"];

interface Row {
  readonly family: string;
  /** Values of model_type. */
  readonly transformers: readonly string[];
  /** How names of timm's architectures begin, or what is in them. */
  readonly timm: readonly string[];
  readonly others: readonly string[];
  readonly tasks: string;
  readonly fixtures: readonly string[];
}

const CLASSES = "classes, features";
const ROWS: readonly Row[] = [
  {
    family: "ViT, DeiT, DeiT III, DINO, MAE, MSN, I-JEPA",
    transformers: ["vit", "deit", "vit_mae", "vit_msn", "ijepa"],
    timm: ["vit_", "deit"],
    others: ["torchvision", "google-research .npz", "DINO's, MAE's and DeiT's own files", "SmilingWolf's taggers"],
    tasks: CLASSES,
    fixtures: [
      ...["hf-vit", "hf-deit-distilled", "timm-vit", "timm-no-pool", "torchvision-vit", "npz-vit"],
      ...["hf-mae-pretraining", "hf-vit-mim"],
    ],
  },
  {
    family: "hybrids: R50, R26, R + ViT",
    transformers: [],
    timm: ["vit_*_r50_*", "vit_*_r26_*", "vit_*_r_*"],
    others: ["google-research .npz"],
    tasks: CLASSES,
    fixtures: ["timm-hybrid"],
  },
  {
    family: "BiT ResNetV2, 50x1 to 152x4",
    transformers: ["bit"],
    timm: ["resnetv2_*_bit"],
    others: ["big_transfer .npz"],
    tasks: CLASSES,
    fixtures: ["timm-bit", "npz-bit"],
  },
  {
    family: "DINOv2, with registers, DINOv3",
    transformers: ["dinov2", "dinov2_with_registers", "dinov3_vit"],
    timm: ["vit_*_dinov2", "vit_*_reg4_dinov2", "vit_*_dinov3"],
    others: [],
    tasks: CLASSES,
    fixtures: ["hf-dinov2-registers", "hf-dinov3"],
  },
  {
    family: "CLIP, MetaCLIP, Chinese-CLIP, AltCLIP, AIMv2, TIPSv2, SigLIP, SigLIP 2 (NaFlex too)",
    transformers: [
      ...["clip", "clip_vision_model", "metaclip_2", "metaclip_2_vision_model"],
      ...[
        "chinese_clip",
        "altclip",
        "aimv2",
        "tipsv2",
        "siglip",
        "siglip_vision_model",
        "siglip2",
        "siglip2_vision_model",
      ],
    ],
    timm: ["vit_*_clip_*", "vit_*_siglip_*"],
    others: [
      "VisionTextDualEncoder of ViT and BERT",
      "OpenCLIP, also with BERT, RoBERTa or XLM-RoBERTa",
      "OpenAI's names",
    ],
    tasks: `${CLASSES}, texts, zero-shot`,
    fixtures: [
      "hf-clip",
      "hf-chinese-clip",
      "hf-aimv2-lit",
      "hf-tips",
      "hf-dual",
      "hf-siglip2-naflex",
      "openclip-vit",
      "openclip-roberta",
    ],
  },
  {
    family: "OWL-ViT, OWLv2",
    transformers: ["owlvit", "owlv2"],
    timm: [],
    others: [],
    tasks: "boxes by texts or an image, texts, features",
    fixtures: ["hf-owlvit", "hf-owlv2"],
  },
  {
    family: "YOLOS",
    transformers: ["yolos"],
    timm: [],
    others: [],
    tasks: "boxes, features",
    fixtures: ["hf-yolos"],
  },
  {
    family: "towers of image-text models: BLIP, BLIP-2, FLAVA, GIT, InternVL, MLCD",
    transformers: [
      ...["blip_vision_model", "blip_2_vision_model", "flava_image_model", "git_vision_model", "internvl_vision"],
      "mlcd_vision_model",
    ],
    timm: [],
    others: [],
    tasks: "features",
    fixtures: ["hf-blip", "hf-blip2", "hf-flava", "hf-git", "hf-internvl", "hf-internvl-qk-norm", "hf-mlcd"],
  },
  {
    family: "Depth Anything, DPT (plain, hybrid, on DINOv2)",
    transformers: ["depth_anything", "dpt"],
    timm: [],
    others: [],
    tasks: "depth, semantic segments, features",
    fixtures: ["hf-depth-anything", "hf-dpt-dinov2", "hf-dpt-segmentation"],
  },
  {
    family: "SAM (ViT-B, L, H, SlimSAM, MedSAM)",
    transformers: ["sam"],
    timm: [],
    others: [],
    tasks: "masks by points and boxes",
    fixtures: ["hf-sam"],
  },
  {
    family: "CLIPSeg",
    transformers: ["clipseg"],
    timm: [],
    others: [],
    tasks: "masks by texts, features, texts, zero-shot",
    fixtures: ["hf-clipseg", "hf-clipseg-refined"],
  },
  {
    family: "EoMT (on DINOv2, DINOv3)",
    transformers: ["eomt", "eomt_dinov3"],
    timm: [],
    others: [],
    tasks: "semantic, instance and panoptic segments, features",
    fixtures: ["hf-eomt", "hf-eomt-dinov3"],
  },
  {
    family: "ViTPose (simple, classic), ViTPose+ (mixture of experts)",
    transformers: ["vitpose"],
    timm: [],
    others: [],
    tasks: "poses, features",
    fixtures: ["hf-vitpose-classic", "hf-vitpose-plus"],
  },
  {
    family: "Swin, SwinV2",
    transformers: ["swin", "swinv2"],
    timm: ["swin_", "swin_s3_", "swinv2_", "swinv2_cr_"],
    others: [],
    tasks: CLASSES,
    fixtures: ["hf-swin", "hf-swinv2", "timm-swin", "timm-swinv2", "timm-swinv2-cr"],
  },
  {
    family: "VideoMAE, ViViT, TimeSformer",
    transformers: ["videomae", "vivit", "timesformer"],
    timm: [],
    others: [],
    tasks: "classes of clips, features",
    fixtures: ["hf-videomae", "hf-videomae-token", "hf-vivit", "hf-timesformer", "hf-timesformer-joint"],
  },
  {
    family: "Hiera",
    transformers: ["hiera"],
    timm: [],
    others: [],
    tasks: CLASSES,
    fixtures: ["hf-hiera"],
  },
  {
    family: "ViTDet, ViTMatte",
    transformers: ["vitdet", "vitmatte"],
    timm: [],
    others: [],
    tasks: "mattes by trimaps; maps, features",
    fixtures: ["hf-vitdet", "hf-vitmatte"],
  },
  {
    family: "Pixio, RADIO",
    transformers: ["pixio", "radio"],
    timm: [],
    others: [],
    tasks: "features",
    fixtures: ["hf-pixio", "hf-radio", "hf-radio-gated"],
  },
  {
    family: "BEiT, BEiT v2, BEiT-3, data2vec",
    transformers: ["beit", "data2vec-vision"],
    timm: ["beit", "beitv2", "beit3"],
    others: [],
    tasks: "classes, semantic segments, features",
    fixtures: ["hf-beit", "hf-beit-segmentation"],
  },
  {
    family: "EVA, EVA-02, AIMv2, PE, RoPE-ViT, FlexiViT",
    transformers: ["aimv2_vision_model"],
    timm: ["eva", "eva02", "aimv2", "vit_pe_*", "vit_*_rope_*", "flexivit"],
    others: ["SmilingWolf's taggers"],
    tasks: CLASSES,
    fixtures: ["timm-eva02", "timm-aimv2", "hf-aimv2", "timm-rope-mixed"],
  },
  {
    family: "parallel blocks, RMSNorm, post-norm",
    transformers: [],
    timm: ["vit_*_18x2_*", "vit_pwee_*", "vit_*_xp_*", "vit_*_rpn_*"],
    others: [],
    tasks: CLASSES,
    fixtures: ["timm-parallel-rms", "timm-parallel-things", "timm-respost"],
  },
];

const libraryOf = (fixture: string): string => {
  const folder = FIXTURES.find((root) => existsSync(join(root, fixture)))!;
  return JSON.parse(readFileSync(join(folder, fixture, "case.json"), "utf8")).library;
};

/** Markdown, without padding. */
export function familyTable(): string {
  const types = ROWS.flatMap(({ transformers }) => transformers).sort();
  assert.deepEqual(types, Object.keys(FAMILIES).sort(), "each model_type has a row");
  const tested = ROWS.flatMap(({ fixtures }) => fixtures).sort();
  const all = FIXTURES.flatMap((root) => readdirSync(root).filter((name) => existsSync(join(root, name, "case.json"))));
  assert.deepEqual(tested, all.sort(), "each fixture has a row");
  const code = (names: readonly string[]) => names.map((name) => `\`${name}\``).join(", ");
  const rows = ROWS.map(({ family, transformers, timm, others, tasks, fixtures }) => {
    const layouts = [
      ...(transformers.length > 0 ? [`transformers ${code(transformers)}`] : []),
      ...(timm.length > 0 ? [`timm ${code(timm)}`] : []),
      ...others,
    ];
    return [family, layouts.join("; "), tasks, [...new Set(fixtures.map(libraryOf))].join(", ")];
  });
  return table(["family", "layouts", "tasks", "tested against"], rows);
}

const table = (header: readonly string[], rows: readonly (readonly string[])[]) =>
  [header, header.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

/** Where a checkpoint becomes a model and a model runs. */
const FOLDERS = ["src/vit", "src/heads", "src/forward", "src/checkpoint"];

/** Files of these folders, their lines, and the first sentence of each. */
export function lineTable(): string {
  const files = FOLDERS.flatMap((folder) =>
    existsSync(folder)
      ? readdirSync(folder, { recursive: true, encoding: "utf8" }).map((file) => join(folder, file))
      : [],
  )
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => file.endsWith(".ts") && !file.endsWith("imagenet1k.ts"));
  const rows = files.map((file) => {
    const text = readFileSync(file, "utf8");
    const head = /^\/\*\*([\s\S]*?)\*\//
      .exec(text)![1]!
      .replace(/\s*\n \* ?/g, " ")
      .trim();
    return [
      `\`${file}\``,
      String(linesOf(text)),
      head
        .split(/(?<!al)[.:] /)[0]!
        .replace(/[.:]$/, "")
        .replaceAll("|", "\\|"),
    ];
  });
  const total = rows.reduce((sum, [, lines]) => sum + Number(lines), 0);
  return table(["file", "lines", "what"], [...rows, ["all", String(total), "without the names of ImageNet's classes"]]);
}

const linesOf = (text: string) => text.trimEnd().split("\n").length;

/** What each family or library added: files of its own, and its constants in src/checkpoint/layouts.ts. */
const ADDED: readonly (readonly [what: string, ...parts: string[]])[] = [
  [
    "transformers: its names, and a row for each of its model types",
    "transformers",
    "checkpoint/families/transformers.ts",
  ],
  [
    "timm: its names, and rules on those of its architectures",
    "timmAttention",
    "timmMlp",
    "timm",
    "checkpoint/families/timm.ts",
  ],
  ["torchvision and google-research: their names", "torchvision", "flax", "checkpoint/families/bare.ts"],
  ["hybrids and BiT", "bit", "vit/resnet.ts", "checkpoint/resnet.ts"],
  ["DINOv3, EVA-02, PE, RoPE-ViT: rotary positions", "dinov3", "vit/rope.ts"],
  ["CLIP and SigLIP: their names, and the text tower", "clipBlock", "clip", "vit/text.ts"],
  ["OpenCLIP and OpenAI's CLIP", "openClipBlock", "openClip", "openClipTimm", "checkpoint/families/openclip.ts"],
  ["other sizes of images and patches", "vit/positions.ts"],
  ["EoMT", "heads/query-masks.ts", "checkpoint/families/eomt.ts"],
  ["UPerNet of BEiT", "heads/upernet.ts", "checkpoint/families/upernet.ts"],
  ["CLIPSeg", "clipseg", "heads/text-masks.ts", "checkpoint/families/clipseg.ts"],
  ["Depth Anything and DPT", "heads/dpt.ts", "checkpoint/families/dpt.ts"],
  [
    "SAM",
    "sam",
    ...["heads/sam.ts", "heads/sam-weights.ts", "heads/prompts.ts", "heads/mask-decoder.ts"],
    ...["checkpoint/families/sam.ts", "tasks/prompts.ts"],
  ],
  [
    "Swin and SwinV2",
    ...[
      "swinBlock",
      "swinInMemory",
      "timmSwin",
      "timmSwinCr",
      "vit/stages.ts",
      "vit/windows.ts",
      "checkpoint/stages.ts",
    ],
    "checkpoint/families/swin.ts",
  ],
  [
    "MAE's decoder and masked image modelling",
    ...["heads/reconstruction.ts", "vit/masking.ts", "checkpoint/families/mae.ts", "pictures/reconstruction.ts"],
  ],
  [
    "VideoMAE, ViViT and TimeSformer",
    ...["timesformerBlock", "vit/video.ts", "vit/divided.ts", "checkpoint/families/video.ts"],
  ],
  [
    "ViTDet and ViTMatte",
    ...["vitdet", "vit/further.ts", "heads/matting.ts", "checkpoint/families/vitdet.ts"],
    ...["image/trimap.ts", "tasks/matte.ts", "tasks/dense/matte.ts", "tasks/trimap.ts"],
  ],
  ["Hiera", "hieraBlock", "vit/query-pool.ts", "checkpoint/families/hiera.ts"],
  [
    "ViTPose and ViTPose+",
    "heads/heatmaps.ts",
    "vit/experts.ts",
    "checkpoint/families/vitpose.ts",
    "image/affine.ts",
    "tasks/pose.ts",
    "tasks/keypoints.ts",
    "tasks/skeleton.ts",
  ],
];

export function addedTable(): string {
  const layouts = readFileSync("src/checkpoint/layouts.ts", "utf8");
  const rows = ADDED.map(([what, ...parts]) => {
    const lines = parts.map((part) => {
      if (part.endsWith(".ts")) return linesOf(readFileSync(`src/${part}`, "utf8"));
      return linesOf(new RegExp(`^const ${part}: \\w+ = \\{\\n[\\s\\S]*?^\\};$`, "m").exec(layouts)![0]);
    });
    return [what, String(lines.reduce((sum, n) => sum + n, 0))];
  });
  return table(["added by", "lines"], rows);
}

/**
 * The paper's table 1, as these families read it: names and shapes of a checkpoint give the config, and the parameters are those of the
 * tensors that it then asks for.
 */
export async function variantTable(): Promise<string> {
  const { cpu, node, date, ms } = JSON.parse(readFileSync("bench/variants.json", "utf8")) as VariantTimes;
  const rows = await Promise.all(
    VARIANTS.map(async (variant) => {
      const shapes = shapesOf(variant);
      const tensors = new Map(
        Object.entries(shapes).map(([name, shape]) => [name, { name, shape, dtype: "F32" as const }]),
      );
      const { config, named, heads } = await parseConfig(variant.name, configOf(variant), tensors);
      planWeights(variant.name, { config, named, heads }, tensors);
      const [height, width] = gridOf(config, config.imageSize);
      return [
        variant.name,
        ...[config.depth, config.width, config.mlpWidth, config.heads].map(String),
        `${(parametersOf(shapes) / 1e6).toFixed(1)}M`,
        variant.paper,
        String(config.prefixTokens + height * width),
        ((2 * multiplyAdds(config, heads)) / 1e9).toPrecision(3),
        String(ms[variant.name] ?? ""),
      ];
    }),
  );
  const columns = [
    "model",
    "layers",
    "hidden size D",
    "MLP size",
    "heads",
    "parameters",
    "paper",
    "tokens",
    "GFLOP",
    "ms",
  ];
  return `${table(columns, rows)}\n\nMilliseconds of one photo: f32, one thread, ${cpu}, Node ${node}, ${date}.`;
}

/** What is between a document's marks. */
export const marked = (name: string): RegExp => new RegExp(`(<!-- ${name} -->\\n)([\\s\\S]*?)(\\n<!-- /${name} -->)`);

export const DOCUMENTS: readonly (readonly [file: string, mark: string, write: () => string | Promise<string>])[] = [
  ["FAMILIES.md", "families", () => `\n${familyTable()}\n`],
  ["FAMILIES.md", "variants", async () => `\n${await variantTable()}\n`],
  ["ARCHITECTURE.md", "lines", () => `\n${lineTable()}\n\n${addedTable()}\n`],
];

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [file, mark, write] of DOCUMENTS) {
    const text = readFileSync(file, "utf8");
    assert.match(text, marked(mark), `${file} has no marks ${mark}`);
    const written = await write();
    writeFileSync(
      file,
      text.replace(marked(mark), (_, begin, __, end) => begin + written + end),
    );
  }
}
