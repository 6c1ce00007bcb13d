/**
 * Checkpoints of transformers, timm and OpenCLIP without their JSON file: read as the family that their tensors tell, with its
 * numbers, or refused in a sentence that says what is missing. Nothing is guessed.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseConfig } from "../src/checkpoint/recognize.js";
import { openCheckpoint } from "../src/io/checkpoint.js";
import { compareAll } from "./goldens.js";

const FOLDER = "tests/fixtures/checkpoints";

/** Parts of refusals. */
const REFUSED: Readonly<Record<string, string>> = {
  "hf-aimv2-lit": "heads",
  "hf-beit": "imageSize",
  "hf-blip": "eps",
  "hf-blip2": "eps",
  "hf-chinese-clip": "heads",
  "hf-clip": "heads",
  "hf-clipseg": "heads",
  "hf-dual": "heads",
  "hf-git": "activation",
  "hf-mlcd": "imageSize",
  "hf-owlv2": "heads",
  "hf-owlvit": "heads",
  "hf-radio": "summary",
  "hf-radio-gated": "summary",
  "hf-siglip2-naflex": "heads",
  "hf-tips": "heads",
  "hf-yolos": "size of its images",
  "openclip-roberta": "open_clip_config.json",
  "openclip-vit": "open_clip_config.json",
  "timm-aimv2": "architecture",
  "timm-eva02": "architecture",
};

/** Checkpoints whose numbers follow too: they have one tower, of square images, and its family's own activation. */
const COMPARED = [
  "hf-aimv2",
  "hf-beit",
  "hf-blip",
  "hf-dinov2-registers",
  "hf-dinov3",
  "hf-internvl",
  "hf-mlcd",
  "hf-pixio",
  "timm-vit",
];

const jsonOf = (...path: string[]) => JSON.parse(readFileSync(join(FOLDER, ...path), "utf8"));

for (const name of readdirSync(FOLDER).filter((name) => /^(hf|timm|openclip)-/.test(name))) {
  test(`${name} without its JSON file`, async () => {
    const { tensors, close } = await openCheckpoint(join(FOLDER, name));
    await close();
    const parsing = parseConfig(name, undefined, tensors);
    const words = REFUSED[name];
    if (words !== undefined) {
      await assert.rejects(parsing, ({ message }: Error) => {
        assert.match(message, /^load: "[\w-]+" must have an? [^\n]+, as its tensors do not tell [^\n]+$/);
        assert.ok(message.includes(words), message);
        return true;
      });
      return;
    }
    const { config } = await parsing;
    // FLAVA's image tower is a plain ViT.
    const same: Readonly<Record<string, string>> = { flava_image_model: "vit" };
    if (!name.startsWith("hf-")) return;
    const { model_type: type } = jsonOf(name, "config.json");
    assert.equal(config.family, same[type] ?? type);
  });
}

for (const name of COMPARED) {
  test(`${name} has its library's numbers without its JSON file, given its heads, size and epsilon`, async () => {
    const {
      num_attention_heads: heads,
      image_size: size,
      layer_norm_eps: eps,
      model_args: args,
    } = jsonOf(name, "config.json");
    const stated = { ...jsonOf(name, "case.json"), model_args: { num_heads: heads ?? args.num_heads } };
    const imageSize = typeof size === "number" ? ([size, size] as const) : undefined;
    const weights = readFileSync(join(FOLDER, name, "model.safetensors"));
    const read = (file: string) =>
      file === "case.json" ? Buffer.from(JSON.stringify(stated)) : readFileSync(join(FOLDER, name, file));
    await compareAll({ weights }, read, { backend: "wasm", config: { imageSize, eps } });
  });
}
