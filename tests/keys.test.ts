/**
 * No key of a library's JSON files goes unread: every key that the classes of transformers, timm, OpenCLIP and PEFT know, by
 * version (tests/fixtures/library-keys.py), is understood, changes no number, or is refused where it would.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { checkAdapter, IA3_KEYS, LORA_KEYS, LYCORIS_KEYS } from "../src/checkpoint/adapter.js";
import {
  OPENCLIP_KEYS,
  OPENCLIP_TEXT,
  OPENCLIP_VISION,
  TIMM_ARGUMENTS,
  TRANSFORMERS,
  TRANSFORMERS_KEYS,
} from "../src/checkpoint/families/keys.js";
import { fromOpenClip } from "../src/checkpoint/families/openclip.js";
import { fromTimm, readTimm } from "../src/checkpoint/families/timm.js";
import { checkFamily, FAMILIES, fromTransformers } from "../src/checkpoint/families/transformers.js";
import { layouts } from "../src/checkpoint/layouts.js";
import { blockAt, findLayout, observe } from "../src/checkpoint/observe.js";
import {
  PREPROCESS_CFG_KEYS,
  PREPROCESSOR_KEYS,
  PRETRAINED_CFG_KEYS,
  parseHuggingFace,
  parseOpenClip,
  parseTimm,
} from "../src/image/processors.js";
import { faultOfKeys, harmlessKeys, type KeyRules, type Watched, watch as watchOnly } from "../src/keys.js";
import { readTensors } from "./tensors.js";

const PARTS = ["prompt_encoder_config", "mask_decoder_config"];
const NESTED = [
  ...PARTS,
  "vision_config",
  "text_config",
  "backbone_config",
  "model_args",
  "model_cfg",
  "vision_cfg",
  "text_cfg",
];
const TOWERS: readonly string[] = [...PARTS, "vision_config", "text_config", "backbone_config"];
const watch = (file: Json): Watched => watchOnly(file, NESTED);

type Json = Readonly<Record<string, unknown>>;
type Versions = Readonly<Record<string, Readonly<Record<string, Json>>>>;

const known = JSON.parse(readFileSync("tests/fixtures/library-keys.json", "utf8")) as Readonly<
  Record<"configs" | "processors" | "timm" | "openclip" | "peft", Versions>
>;

/** Keys of a class, as a file with its defaults has them; what is no data is left out of such files. */
const dataOf = (row: Json): Json =>
  Object.fromEntries(Object.entries(row).filter(([, value]) => !(Object(value) as { code?: string }).code));

/** A tower with every part that a config tells of. */
const SEEN = {
  ...{ width: 768, depth: 12, heads: undefined, mlpWidth: 3072, gated: false, qkvBias: true, qkNorm: false },
  ...{ relativePositions: false, patch: [16, 16], inputChannels: 3, naflex: false, units: [3, 4, 6, 3] },
  ...{ channels: [64, 256, 512, 1024, 2048], resnet: false, prefixTokens: 1, classToken: true, positions: 197 },
  ...{ positioned: [0, 1, 1, 1], distilledHead: false, norm: true, pooledNorm: false, attentionPool: false },
  ...{ classes: 2, headInputs: 768, poolerWidth: 768, features: 512, suffixTokens: 0, boxClasses: 0 },
  experts: { count: 0, width: 0 },
};

/** Shapes of tensors of heads, by which families know their sizes. */
type HeadShapes = Readonly<Record<string, readonly number[]>>;
const DEPTH: HeadShapes = {
  ...Object.fromEntries([48, 96, 192, 384].map((channels, i) => [`neck.convs.${i}.weight`, [64, channels, 3, 3]])),
  "neck.fusion_stage.layers.0.residual_layer2.convolution1.bias": [64],
  "head.conv1.weight": [32, 64, 3, 3],
  "head.conv2.weight": [32, 32, 3, 3],
};
const EOMT: HeadShapes = {
  ...{ "query.weight": [200, 768], "class_predictor.weight": [3, 768], attn_mask_probs: [4] },
  ...{ "upscale_block.block.0.conv1.weight": [768], "upscale_block.block.1.conv1.weight": [768] },
};
const ATTENTION = "mask_decoder.transformer.layers";
const HEADS: Readonly<Record<string, HeadShapes>> = {
  ...{ dpt: DEPTH, depth_anything: DEPTH, eomt: EOMT, eomt_dinov3: EOMT },
  vitpose: { "head.conv.weight": [2, 768, 3, 3] },
  sam: {
    ...{ "neck.conv1.weight": [256, 768, 1, 1], pos_embed: [1, 64, 64, 768], "layers.0.attn.rel_pos_h": [127, 64] },
    ...{
      [`${ATTENTION}.0.self_attn.q_proj.weight`]: [256, 256],
      [`${ATTENTION}.1.self_attn.q_proj.weight`]: [256, 256],
    },
    ...{
      [`${ATTENTION}.0.cross_attn_token_to_image.q_proj.weight`]: [128, 256],
      "mask_decoder.mask_tokens.weight": [4, 256],
    },
  },
};

/** Facts of a checkpoint whose file is watched. */
function factsOf(
  file: Json,
  layout: string,
  seen: object = {},
  { isText = () => true, head = {} }: { isText?: (embedding: string) => boolean; head?: HeadShapes } = {},
) {
  const text = layouts.find(({ name }) => name === layout)!.text?.find(({ embedding }) => isText(embedding));
  const tensors = new Map(
    text
      ? [
          [text.prefix + blockAt(text.block, 0), [1]] as const,
          [text.prefix + text.embedding, [49408, 512]] as const,
          [text.prefix + text.positions!, [77, 512]] as const,
        ]
      : [],
  );
  const shapes = new Map([...tensors, ...Object.entries(head)].map(([name, shape]) => [name, { shape, dtype: "F32" }]));
  const named = {
    layout: layouts.find(({ name }) => name === layout)!,
    prefix: "",
    blockPrefix: "",
    resnet: undefined,
    text,
  };
  return { name: "x", file, seen: { ...SEEN, ...seen }, named, tensors: shapes, stated: {} } as never;
}

/** Numbers of keys by what becomes of them. */
interface Counts {
  understood: number;
  harmless: number;
  refused: number;
}

/** Keys that were found in a class, by the rules that they fall under. */
const found = new Map<KeyRules, Set<string>>();

/** Compares the keys of a class with the rules, after it was read. Fails on a key that none of the three holds of. */
function walk(what: string, watched: Watched, row: Json, rules: KeyRules, counts: Counts): void {
  const { asked } = watched;
  const seen = found.get(rules) ?? new Set();
  found.set(rules, seen);
  for (const [key, value] of Object.entries(row)) {
    seen.add(key);
    if (typeof value === "object" && value !== null && TOWERS.includes(key)) continue;
    if (asked.has(key)) counts.understood++;
    else if (harmlessKeys(rules).has(key)) counts.harmless++;
    else if (Object.hasOwn(rules.fixed, key)) {
      counts.refused++;
      for (const other of ["another", 7, [1]]) {
        const fault = faultOfKeys("x", { ...watched, object: { [key]: other } }, rules);
        assert.match(fault ?? "", new RegExp(`^"${key}" of x must be `), `${what}: another ${key}`);
      }
    } else assert.fail(`${what}: nothing says what becomes of "${key}" (${JSON.stringify(value)})`);
  }
  // What the class has by default is never refused.
  assert.equal(faultOfKeys("x", watched, { ...rules, strays: undefined }), undefined, what);
}

function report(t: { diagnostic(message: string): void }, library: string, version: string, counts: Counts): void {
  const { understood, harmless, refused } = counts;
  const rest = `${harmless} harmless, ${refused} refused where they differ`;
  t.diagnostic(`${library} ${version}: ${understood + harmless + refused} keys, ${understood} understood, ${rest}`);
  assert.ok(understood > 0 && harmless > 0);
}

/** Layouts of families that do not have CLIP's or ViT's. */
const LAYOUTS: Readonly<Record<string, string>> = {
  tipsv2: "tips",
  aimv2_vision_model: "aimv2",
  aimv2: "aimv2",
  blip_vision_model: "blip",
  blip_2_vision_model: "blip",
  radio: "radio",
  sam: "sam",
  eomt: "eomt",
  eomt_dinov3: "eomt_dinov3",
};

/** Families whose sizes are lists, and those of videos: they are read with the tensors and the sizes of a small checkpoint. */
const STAGED: Readonly<Record<string, string>> = {
  ...{ swin: "hf-swin", swinv2: "hf-swinv2", hiera: "hf-hiera" },
  ...{ vitdet: "hf-vitdet", vitmatte: "hf-vitmatte" },
  ...{ videomae: "hf-videomae", vivit: "hf-vivit", timesformer: "hf-timesformer" },
};

/** Keys of a class with the sizes of the small checkpoint, and the facts of this one. */
function stagedFacts(family: string, row: Json) {
  const { tensors, own } = smallCheckpoint(STAGED[family]!);
  const top = watch({ ...row, ...own, model_type: family });
  return { top, facts: factsOfTensors(top.file, tensors) };
}

function smallCheckpoint(name: string) {
  const folder = `tests/fixtures/dense/${name}`;
  const read = readTensors(`${folder}/model.safetensors`);
  const tensors = new Map([...read].map(([name, { dims }]) => [name, { shape: dims, dtype: "F32" }]));
  return { tensors, own: JSON.parse(readFileSync(`${folder}/config.json`, "utf8")) as Json };
}

function factsOfTensors(file: Json, tensors: Parameters<typeof findLayout>[0]) {
  const named = findLayout(tensors)!;
  return { name: "x", file, seen: observe(named, tensors), named, tensors, stated: {} };
}

/** The same of timm's classes. */
const TIMM_STAGED: Readonly<Record<string, string>> = {
  SwinTransformer: "timm-swin",
  SwinTransformerV2: "timm-swinv2",
};

/** Facts of backbones that are not DINOv2. */
const BACKBONES: Readonly<Record<string, object>> = { vitpose: { model_type: "vitpose_backbone" } };

for (const [version, { "": base = {}, ...families }] of Object.entries(known.configs)) {
  test(`every key of the configs of transformers ${version}`, async (t) => {
    const counts: Counts = { understood: 0, harmless: 0, refused: 0 };
    const whole = { understood: 0, harmless: 0, refused: 0 };
    for (const [family, row] of Object.entries(families)) {
      if (family === "timm_wrapper") continue;
      if (STAGED[family]) {
        const { top, facts } = stagedFacts(family, row);
        checkFamily("x", top.file);
        await fromTransformers(facts as never);
        walk(family, top, row, TRANSFORMERS_KEYS, counts);
        continue;
      }
      const contrastive = FAMILIES[family]!.text !== undefined;
      // A backbone says its type, and patches are its own, which version 4.40 leaves to its user.
      const nested = row.backbone_config as Json | undefined | null;
      const backbone = nested
        ? {
            backbone_config: {
              ...nested,
              ...(BACKBONES[family] ?? { model_type: "dinov2", patch_size: row.patch_size }),
            },
          }
        : {};
      const file = { ...base, ...row, ...backbone, model_type: family };
      for (const seen of [{}, { gated: true }, { poolerWidth: 0, classes: 0 }]) {
        const parts: Readonly<Record<string, object>> = {
          bit: { resnet: true, depth: 0 },
          radio: { prefixTokens: 10 },
          yolos: { suffixTokens: 100, boxClasses: 3 },
        };
        const own = parts[family] ?? { gated: FAMILIES[family]!.act === "silu" };
        const top = watch(seen.gated && family.includes("dinov3") ? { ...file, hidden_act: "silu" } : file);
        checkFamily("x", top.file);
        const layout = LAYOUTS[family] ?? (contrastive ? "clip" : "huggingface");
        const bert = FAMILIES[family]!.text?.bert !== undefined;
        const isText = (embedding: string) => layout !== "clip" || embedding.includes("word_embeddings") === bert;
        await fromTransformers(factsOf(top.file, layout, { ...own, ...seen }, { isText, head: HEADS[family] }));
        const once = seen.gated === undefined && seen.classes === undefined;
        walk(family, top, row, TRANSFORMERS_KEYS, once ? counts : { ...whole });
        walk(family, top, base, TRANSFORMERS_KEYS, { ...whole });
        for (const tower of TOWERS) {
          const inner = top.within(tower);
          if (inner)
            walk(`${tower} of ${family}`, inner, row[tower] as Json, TRANSFORMERS_KEYS, once ? counts : { ...whole });
        }
      }
    }
    walk("all", watch(base), base, TRANSFORMERS_KEYS, counts);
    report(t, "transformers", version, counts);
  });
}

test("defaults are those of the newest classes of transformers", () => {
  const newest = Object.keys(known.configs)
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
    .at(-1)!;
  assert.equal(newest.split(".").slice(0, 2).join("."), TRANSFORMERS.join("."));
  for (const [family, { eps, epsKey = "layer_norm_eps", heads, act = "gelu", text }] of Object.entries(FAMILIES)) {
    if (family === "bit") continue;
    const row = known.configs[newest]![family]!;
    if (STAGED[family]) {
      // Heads are a number for each stage, which the tensors tell, or the reader of the family.
      const encoder = (row.backbone_config ?? row) as Json;
      assert.deepEqual([encoder[epsKey], encoder.hidden_act], [eps, act], family);
      continue;
    }
    const vision = (row.vision_config ?? row.backbone_config ?? row) as Json;
    assert.deepEqual([vision[epsKey], vision.num_attention_heads, vision.hidden_act], [eps, heads, act], family);
    if (!row.text_config) continue;
    const tower = row.text_config as Json;
    assert.equal(tower.num_attention_heads, text!.heads, family);
    if (text!.eos !== undefined) assert.equal(tower.eos_token_id, text!.eos, family);
    const own = [text!.eps ?? eps, text!.act ?? act];
    assert.deepEqual([tower[epsKey], tower.hidden_act], own, family);
  }
});

for (const [version, rows] of Object.entries(known.processors)) {
  test(`every key of the image processors of transformers ${version}`, (t) => {
    const counts: Counts = { understood: 0, harmless: 0, refused: 0 };
    for (const [family, row] of Object.entries(rows)) {
      const file = { image_processor_type: `${family}ImageProcessor`, ...row };
      const top = watch(file);
      parseHuggingFace(top.file, "pillow");
      walk(family, top, row, PREPROCESSOR_KEYS, counts);
    }
    report(t, "image processors of transformers", version, counts);
  });
}

for (const [version, { pretrained_cfg: settings = {}, ...classes }] of Object.entries(known.timm)) {
  test(`every argument of timm ${version}'s models, and every key of its pretrained_cfg`, async (t) => {
    const counts: Counts = { understood: 0, harmless: 0, refused: 0 };
    const architectures: Readonly<Record<string, string>> = {
      VisionTransformer: "vit_base_patch16_224",
      VisionTransformerDistilled: "deit_base_distilled_patch16_224",
      Beit: "beit_base_patch16_224",
      Eva: "eva02_base_patch14_448",
      ResNetV2: "resnetv2_50x1_bit",
    };
    for (const [name, row] of Object.entries(classes)) {
      if (TIMM_STAGED[name]) {
        const { tensors, own } = smallCheckpoint(TIMM_STAGED[name]);
        const top = watch({ ...own, model_args: { ...dataOf(row), ...(own.model_args as Json) } });
        await readTimm(factsOfTensors(top.file, tensors));
        walk(name, top.within("model_args")!, row, TIMM_ARGUMENTS, counts);
        continue;
      }
      const seen = name === "ResNetV2" ? { resnet: true, depth: 0 } : { pooledNorm: name === "Eva" };
      // What no file says, as it is the architecture's own.
      const { stem_type, use_rot_pos_emb, ...data } = dataOf(row);
      const top = watch({ architecture: architectures[name], num_classes: 2, model_args: { ...data, num_classes: 2 } });
      fromTimm(factsOf(top.file, "timm", seen));
      walk(name, top.within("model_args")!, row, TIMM_ARGUMENTS, counts);
    }
    report(t, "models of timm", version, counts);
    const own: Counts = { understood: 0, harmless: 0, refused: 0 };
    const cfg = watch(settings);
    parseTimm(cfg.file, [224, 224], 3);
    walk("pretrained_cfg", cfg, settings, PRETRAINED_CFG_KEYS, own);
    report(t, "pretrained_cfg of timm", version, own);
  });
}

for (const [version, { model_cfg = {}, vision_cfg = {}, text_cfg = {}, preprocess_cfg = {} }] of Object.entries(
  known.openclip,
)) {
  test(`every key of the configs of OpenCLIP ${version}`, (t) => {
    const counts: Counts = { understood: 0, harmless: 0, refused: 0 };
    const top = watch({ model_cfg: { ...model_cfg, quick_gelu: false, vision_cfg, text_cfg } });
    fromOpenClip(factsOf(top.file, "openclip"));
    const model = top.within("model_cfg")!;
    walk("model_cfg", model, model_cfg, OPENCLIP_KEYS, counts);
    walk("vision_cfg", model.within("vision_cfg")!, vision_cfg, OPENCLIP_VISION, counts);
    walk("text_cfg", model.within("text_cfg")!, text_cfg, OPENCLIP_TEXT, counts);
    const preprocess = watch(preprocess_cfg);
    parseOpenClip(preprocess.file, [224, 224]);
    walk("preprocess_cfg", preprocess, preprocess_cfg, PREPROCESS_CFG_KEYS, counts);
    report(t, "configs of OpenCLIP", version, counts);
  });
}

for (const [version, rows] of Object.entries(known.peft)) {
  test(`every key of the adapters of PEFT ${version}`, (t) => {
    const counts: Counts = { understood: 0, harmless: 0, refused: 0 };
    const rules = { Lora: LORA_KEYS, LoHa: LYCORIS_KEYS, LoKr: LYCORIS_KEYS, IA3: IA3_KEYS };
    for (const [name, known] of Object.entries(rules)) {
      walk(name, checkAdapter("x", rows[name]!).watched, rows[name]!, known, counts);
    }
    report(t, "adapters of PEFT", version, counts);
  });
}

test("no row is dead: a class knows every key of the lists", () => {
  // Files have these beside what classes have.
  const files: Readonly<Record<string, readonly string[]>> = {
    model_args: ["features_only"],
    model_cfg: ["custom_text"],
    preprocessor: [
      "num_labels",
      "image_processor_type",
      "feature_extractor_type",
      "processor_class",
      "_processor_class",
    ],
  };
  for (const [rules, keys] of found) {
    if (rules === PRETRAINED_CFG_KEYS) continue;
    const dead = [...harmlessKeys(rules), ...Object.keys(rules.fixed)].filter(
      (key) => !keys.has(key) && !Object.values(files).flat().includes(key),
    );
    assert.deepEqual(dead, []);
  }
  assert.equal(found.size, 11);
});
