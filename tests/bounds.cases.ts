/**
 * Checkpoints that claim too much, each with the sentence that refuses it. A row is a checkpoint of the fixtures with some of its
 * files replaced, and what is done with it; bounds.child.ts does it, bounds.test.ts measures.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "../src/cli/inspect.js";
import type { Invocation } from "../src/cli/invocation.js";
import { quantize } from "../src/cli/quantize.js";
import { load } from "../src/index.js";
import { encode } from "../src/io/safetensors.js";
import type { Tensor } from "../src/vit/outputs.js";
import { readTensors } from "./tensors.js";

const FIXTURES = "tests/fixtures/checkpoints";

/** An image of whatever size the model takes; of the largest bytes, whose products overflow with fused multiply-add too. */
const IMAGE = { data: new Uint8Array(3 * 16 * 16).fill(255), width: 16, height: 16 };

const silent = { print() {}, printJson() {}, progress() {} } as unknown as Invocation["terminal"];
const invocation = (args: object): Invocation => ({
  args: { hub: {}, json: true, ...args } as unknown as Invocation["args"],
  terminal: silent,
  signal: new AbortController().signal,
});

/** What may be done with a checkpoint's folder. */
const ACTIONS = {
  load: async (folder: string) => (await load(folder, { backend: "wasm", threads: 1 })).dispose(),
  inspect: (folder: string) => inspect(invocation({ model: folder, load: {} })),
  quantize: (folder: string) => quantize(invocation({ load: {}, operands: [folder], out: `${folder}-out` })),
  async classify(folder: string) {
    using model = await load(folder, { backend: "wasm", threads: 1 });
    await model.classify(IMAGE);
  },
  async embed(folder: string) {
    using model = await load(folder, { backend: "wasm", threads: 1 });
    await model.embed(IMAGE, { normalize: true });
  },
  async text(folder: string) {
    using model = await load(folder, { backend: "wasm", threads: 1 });
    await model.text!.embed("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
  },
  async zeroShot(folder: string) {
    using model = await load(folder, { backend: "wasm", threads: 1 });
    await model.zeroShot(IMAGE, ["a cat", "a dog"]);
  },
} satisfies Record<string, (folder: string) => Promise<void>>;

type Json = Record<string, unknown>;

/** A file as text or bytes, entries that replace those of the fixture's at any depth, or nothing in its place. */
type Replaced = string | Uint8Array | { readonly merge: Json } | undefined;

export interface Case {
  readonly base: string;
  readonly files: () => Readonly<Record<string, Replaced>>;
  readonly does: readonly (keyof typeof ACTIONS)[];
  readonly message: RegExp;
}

function merged(old: Json, entries: Json): Json {
  const result = { ...old };
  for (const [key, value] of Object.entries(entries)) {
    const nested = typeof value === "object" && value !== null && !Array.isArray(value);
    result[key] = nested ? merged((old[key] ?? {}) as Json, value as Json) : value;
  }
  return result;
}

/** Makes the folder of a case. Returns the bytes of all its files. */
export function writeCase({ base, files }: Case, folder: string): number {
  rmSync(folder, { recursive: true, force: true });
  rmSync(`${folder}-out`, { recursive: true, force: true });
  mkdirSync(folder);
  cpSync(join(FIXTURES, base), folder, { recursive: true });
  let bytes = 0;
  for (const [name, content] of Object.entries(files())) {
    const path = join(folder, name);
    if (content === undefined) {
      rmSync(path);
      continue;
    }
    const data =
      typeof content === "object" && "merge" in content
        ? JSON.stringify(merged(JSON.parse(readFileSync(path, "utf8")), content.merge))
        : content;
    writeFileSync(path, data);
    bytes += data.length;
  }
  return bytes;
}

/** The message of what is done with a folder; "" where nothing refused it. */
export const messageOf = (action: keyof typeof ACTIONS, folder: string): Promise<string> =>
  ACTIONS[action](folder).then(
    () => "",
    ({ message }: Error) => message,
  );

const config = (entries: Json) => () => ({ "config.json": { merge: entries } });
/** Numbers that JSON.stringify does not write. */
const raw = (base: string, change: (text: string) => string) => () => ({
  "config.json": change(readFileSync(join(FIXTURES, base, "config.json"), "utf8")),
});
const all = ["load", "inspect", "quantize"] as const;
const MB8 = 8 * 2 ** 20;
const LONG = "x".repeat(MB8);

/** Of the image tower, with tensors replaced. */
function weights(base: string, change: (tensors: Map<string, Tensor>) => void): Uint8Array {
  const tensors = readTensors(join(FIXTURES, base, "model.safetensors"));
  change(tensors);
  return encode([...tensors].map(([name, { dims, data }]) => ({ name, shape: dims, data })));
}

const preprocessor = (entries: Json) => () => ({ "preprocessor_config.json": JSON.stringify(entries) });

/** A BPE tokenizer of bytes with other steps. */
function tokenizer(entries: Json) {
  return () => ({ "tokenizer.json": { merge: entries } });
}
const split = (Regex: string) =>
  tokenizer({ pre_tokenizer: { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false } });

export const CASES: Readonly<Record<string, Case>> = {
  // Classes and their labels.
  "num_classes of 3e8": {
    base: "timm-vit",
    files: config({ num_classes: 3e8 }),
    does: all,
    message: /^load: ".*" has 300000000 classes by its config, but its head has 7$/,
  },
  "num_classes of 2^31": {
    base: "timm-vit",
    files: config({ num_classes: 2 ** 31 }),
    does: all,
    message: /^load: ".*" has 2147483648 classes by its config, but its head has 7$/,
  },
  "num_classes of 2^31 without a head": {
    base: "timm-vit",
    files: () => ({
      "config.json": { merge: { num_classes: 2 ** 31 } },
      "model.safetensors": weights("timm-vit", (tensors) => {
        tensors.delete("head.weight");
        tensors.delete("head.bias");
      }),
    }),
    does: ["load", "quantize"],
    message: /^load: ".*" must have at most 1048576 classes; got 2147483648$/,
  },
  "num_classes of 1e999": {
    base: "timm-vit",
    files: raw("timm-vit", (text) => text.replace(/"num_classes": ?7/, '"num_classes":1e999')),
    does: all,
    message: /^load: "num_classes" of ".*" must be a whole number; got Infinity$/,
  },
  "num_classes of 0.5": {
    base: "timm-vit",
    files: config({ num_classes: 0.5 }),
    does: all,
    message: /^load: "num_classes" of ".*" must be a whole number; got 0\.5$/,
  },
  "a million labels": {
    base: "hf-vit",
    files: raw("hf-vit", (text) => {
      const labels = Array.from({ length: 1e6 }, (_, i) => `"${i}":"x"`).join();
      return text.replace(/"id2label": ?\{[^}]*\}/, `"id2label":{${labels}}`);
    }),
    does: all,
    message: /^load: ".*" has 1000000 classes by its config, but its head has \d+$/,
  },
  "labels that are lists of lists": {
    base: "hf-vit",
    files: config({
      id2label: { 0: [[[[[[[[]]]]]]]], 1: {}, 2: null, 3: "d", 4: "e", 5: "f", 6: "g", 7: "h", 8: "i" },
    }),
    does: all,
    message: /^load: ".*" has 9 classes by its config, but its head has \d+$/,
  },

  // Sizes of images.
  "image_size of a billion, BEiT": {
    base: "hf-beit",
    files: config({ image_size: [1e9, 1e9] }),
    does: all,
    message: /^load: images of ".*" must have at most 16777216 pixels; got 1000000000×1000000000$/,
  },
  "image_size of a billion, data2vec": {
    base: "hf-beit",
    files: config({ model_type: "data2vec-vision", image_size: [1e9, 1e9] }),
    does: all,
    message: /^load: images of ".*" must have at most 16777216 pixels; got 1000000000×1000000000$/,
  },
  "image_size of a billion, DINOv3": {
    base: "hf-dinov3",
    files: config({ image_size: 1e9 }),
    does: all,
    message: /^load: images of ".*" must have at most 16777216 pixels; got 1000000000×1000000000$/,
  },
  "image_size of 1 by a billion": {
    base: "hf-dinov3",
    files: config({ image_size: [8, 1e9] }),
    does: all,
    message: /^load: images of ".*" must have at most 16777216 pixels; got 8×1000000000$/,
  },
  "img_size of a billion, timm": {
    base: "timm-vit",
    files: config({ model_args: { img_size: [1e9, 1e9] } }),
    does: all,
    message: /^load: images of ".*" must have at most 16777216 pixels; got 1000000000×1000000000$/,
  },
  "input_size of texts, timm": {
    base: "timm-vit",
    files: () => ({
      "config.json": { merge: { model_args: { img_size: null }, pretrained_cfg: { input_size: [3, "9e9", LONG] } } },
    }),
    does: all,
    message: /^load: "img_size" of ".*" must be one or two positive integers; got \["9e9","xxx.*…$/,
  },
  "image_size of a billion, BiT": {
    base: "timm-bit",
    files: config({ pretrained_cfg: { input_size: [3, 1e9, 1e9] } }),
    does: ["load", "inspect"],
    message: /^load: images of ".*" must have at most 16777216 pixels; got 1000000000×1000000000$/,
  },
  "more patches than a model takes": {
    base: "hf-dinov3",
    files: config({ image_size: 2056 }),
    does: all,
    message: /^load: images of ".*" must have at most 65536 patches; got 2056×2056 in patches of 8×8$/,
  },
  "BEiT at size 1000 for a tiny checkpoint": {
    base: "hf-beit",
    files: config({ image_size: 1000 }),
    does: all,
    message:
      /^load: images of ".*" must be smaller: relative positions of 250×250 patches take \d+ bytes, and at most \d+ may be, 16 times the activations$/,
  },
  "BEiT at a size that its tables are not of": {
    base: "hf-beit",
    files: config({ image_size: 16 }),
    does: ["load", "quantize", "classify"],
    message:
      /^weights: the tensors of ".*" do not fit its config; misshapen: ".*relative_position_bias_table" should be \(52, 3\), got \(28, 3\)/,
  },
  "BEiT's tables of a large grid in a small file": {
    base: "hf-beit",
    files: () => ({
      "config.json": { merge: { image_size: 600 } },
      "model.safetensors": weights("hf-beit", (tensors) => {
        for (const [name, { dims }] of tensors) {
          if (!name.endsWith("relative_position_bias_table")) continue;
          const rows = 299 * 299 + 3;
          tensors.set(name, { dims: [rows, dims[1]!], data: new Float32Array(rows * dims[1]!) });
        }
      }),
    }),
    does: all,
    message: /^load: images of ".*" must be smaller: relative positions of 150×150 patches take \d+ bytes/,
  },
  // Sizes of the network.
  "a billion layers": {
    base: "hf-vit",
    files: config({ num_hidden_layers: 1e9 }),
    does: all,
    message: /^load: ".*" is of depth 1000000000, but it has \d+ tensors$/,
  },
  "as many layers as tensors": {
    base: "hf-vit",
    files: () => ({
      "config.json": { merge: { num_hidden_layers: 2000 } },
      "model.safetensors": weights("hf-vit", (tensors) => {
        for (let i = 0; i < 2000; i++) tensors.set(`x${i}`, { dims: [0], data: new Float32Array(0) });
      }),
    }),
    does: all,
    message: /^load: ".*" must have at most 1024 layers; got 2000$/,
  },
  "a width of 2^40": {
    base: "hf-vit",
    files: config({ hidden_size: 3 * 2 ** 40 }),
    does: ["load", "quantize"],
    message: /^weights: the tensors of ".*" do not fit its config; misshapen: /,
  },
  "an MLP of 2^40": {
    base: "hf-vit",
    files: config({ intermediate_size: 2 ** 40 }),
    does: ["load", "quantize"],
    message: /^weights: the tensors of ".*" do not fit its config; misshapen: /,
  },
  "a billion heads": {
    base: "hf-vit",
    files: config({ num_attention_heads: 1e9 }),
    does: all,
    message: /^load: width 36 of ".*" must be a multiple of its heads; got 1000000000 heads$/,
  },
  "heads of one column that must turn": {
    base: "hf-dinov3",
    files: config({ num_attention_heads: 24 }),
    does: all,
    message:
      /^load: heads of ".*" turn by rotary positions, so they must have pairs of columns; got 1 of 24 and 24 heads$/,
  },
  "a patch of a billion": {
    base: "hf-vit",
    files: config({ patch_size: 1e9 }),
    does: all,
    message: /^load: images of ".*" must be at least a patch of 1000000000×1000000000 in size/,
  },
  "layer_norm_eps of 1e300": {
    base: "hf-vit",
    files: config({ layer_norm_eps: 1e300 }),
    does: all,
    message: /^load: "layer_norm_eps" of ".*" must be a number from 0 to 1; got 1e\+300$/,
  },
  "layer_norm_eps of 1e999": {
    base: "hf-vit",
    files: raw("hf-vit", (text) => text.replace(/"layer_norm_eps": ?[\d.e-]+/, '"layer_norm_eps":1e999')),
    does: all,
    message: /^load: "layer_norm_eps" of ".*" must be a number from 0 to 1; got Infinity$/,
  },
  "eps of OpenCLIP's texts": {
    base: "openclip-vit",
    files: () => ({ "open_clip_config.json": { merge: { model_cfg: { text_cfg: { norm_kwargs: { eps: 1e300 } } } } } }),
    does: all,
    message: /^load: "eps" of ".*" must be a number from 0 to 1; got 1e\+300$/,
  },
  "rope_theta of 0": {
    base: "hf-dinov3",
    files: config({ rope_theta: 0 }),
    does: all,
    message: /^load: "rope_theta" of ".*" must be a number from 1 to 1000000000000; got 0$/,
  },
  "rope_temperature of 1e-300": {
    base: "timm-eva02",
    files: config({ model_args: { rope_temperature: 1e-300 } }),
    does: all,
    message: /^load: "rope_temperature" of ".*" must be a number from 1 to 1000000000000; got 1e-300$/,
  },
  "rope_grid_offset of 1e300": {
    base: "timm-eva02",
    files: config({ model_args: { rope_grid_offset: 1e300 } }),
    does: all,
    message: /^load: "rope_grid_offset" of ".*" must be a number from 0 to 1000000; got 1e\+300$/,
  },
  "ref_feat_shape of 1e300": {
    base: "timm-eva02",
    files: config({ model_args: { ref_feat_shape: [1e300, 1e300] } }),
    does: all,
    message: /^load: "ref_feat_shape" of ".*" must be one or two positive integers; got \[1e\+300,1e\+300\]$/,
  },
  "a text tower of 5000 tokens": {
    base: "hf-clip",
    files: () => ({
      "model.safetensors": weights("hf-clip", (tensors) => {
        const name = "text_model.embeddings.position_embedding.weight";
        const width = tensors.get(name)!.dims[1]!;
        tensors.set(name, { dims: [5000, width], data: new Float32Array(5000 * width) });
      }),
    }),
    does: all,
    message: /^load: texts of ".*" must have at most 4096 tokens; got 5000$/,
  },
  "eos_token_id of a fraction": {
    base: "hf-clip",
    files: config({ text_config: { eos_token_id: 0.1 } }),
    does: all,
    message: /^load: "eos_token_id" of ".*" must be a whole number; got 0\.1$/,
  },

  // Names.
  "an architecture of 8 MB": {
    base: "timm-vit",
    files: config({ architecture: `vit_${"giant".repeat(MB8 / 5)}_dinov2` }),
    does: all,
    message: /^load: "architecture" of ".*" must be a text of at most 200 characters; got "vit_giantgiant.*…$/,
  },
  "a model_type of 8 MB": {
    base: "hf-vit",
    files: config({ model_type: LONG }),
    does: all,
    message: /^load: "model_type" of ".*" must be a text of at most 200 characters; got "xxx.*…$/,
  },
  "a hidden_act of 8 MB": {
    base: "hf-vit",
    files: config({ hidden_act: LONG }),
    does: all,
    message: /^load: "hidden_act" of ".*" must be a text of at most 200 characters; got "xxx.*…$/,
  },
  "a hidden_act that is a list": {
    base: "hf-vit",
    files: config({ hidden_act: Array.from({ length: 1e6 }, () => 1) }),
    does: all,
    message: /^load: "hidden_act" of ".*" must be a text; got \[1,1,1.*…$/,
  },
  "a global_pool of 8 MB": {
    base: "timm-vit",
    files: config({ global_pool: LONG }),
    does: all,
    message: /^load: "global_pool" of ".*" must be a text of at most 200 characters; got "xxx.*…$/,
  },
  "a quant_method of 8 MB": {
    base: "hf-vit",
    files: config({ quantization_config: { quant_method: LONG, version: [[[["x"]]]] } }),
    does: all,
    message: /^load: ".*" must be quantized by "vitrail", version 1; got "xxx.*…, version \[\[\[\["x"\]\]\]\]$/,
  },
  "a number of 8 MB where one is wanted": {
    base: "hf-vit",
    files: config({ num_attention_heads: LONG }),
    does: all,
    message: /^load: "num_attention_heads" of ".*" must be a positive integer; got "xxx.*…$/,
  },
  "an image_processor_type of 8 MB": {
    base: "hf-vit",
    files: preprocessor({ image_processor_type: LONG }),
    does: ["load", "inspect"],
    message: /^preprocessing: image_processor_type must be that of .*; got "xxx.*…$/,
  },

  // JSON itself.
  "a config that nests 100,000 levels": {
    base: "hf-vit",
    files: () => ({ "config.json": `{"model_type":${"[".repeat(1e5)}${"]".repeat(1e5)}}` }),
    does: all,
    message: /^checkpoint: ".*config\.json" nests values deeper than 127 levels$/,
  },
  "a config of 5 million objects": {
    base: "hf-vit",
    files: () => ({ "config.json": `{"x":[${"{},".repeat(5e6)}{}]}` }),
    does: all,
    message: /^checkpoint: ".*config\.json" holds more than 2,097,152 objects and arrays$/,
  },
  "a config of 17 MB": {
    base: "hf-vit",
    files: () => ({ "config.json": `{"x":"${"x".repeat(17e6)}"}` }),
    does: all,
    message: /config\.json" has 17,000,008 bytes, and at most 16,777,216 are read$/,
  },
  "a config whose prototype is its own": {
    base: "hf-vit",
    files: raw("hf-vit", (text) => text.replace("{", '{"__proto__":{"num_attention_heads":5},"constructor":1,')),
    does: ["load"],
    message: /^$/,
  },
  "an index of 100,000 shards": {
    base: "hf-vit",
    files: () => ({
      "model.safetensors.index.json": `{"weight_map":{${Array.from({ length: 1e5 }, (_, i) => `"x${i}":"${i}.safetensors"`).join()}}}`,
      "model.safetensors": undefined,
    }),
    does: all,
    message: /^checkpoint: ".*model\.safetensors\.index\.json" must name at most 1000 files; got more$/,
  },
  "a shard with a name of 8 MB": {
    base: "hf-vit",
    files: () => ({
      "model.safetensors.index.json": JSON.stringify({ weight_map: { x: `${LONG}.safetensors` } }),
      "model.safetensors": undefined,
    }),
    does: all,
    message: /must name \.safetensors files of its own folder; "x" is in another file$/,
  },

  // Preprocessing.
  "crop_pct of 1e-15": {
    base: "timm-vit",
    files: config({ pretrained_cfg: { crop_pct: 1e-15 } }),
    does: ["load", "inspect"],
    message: /^preprocessing: crop_pct must leave images of 14×14 at most 16777216 pixels before the crop; got 1e-15$/,
  },
  "crop_pct of 9e-13": {
    base: "timm-vit",
    files: config({ pretrained_cfg: { crop_pct: 9e-13 } }),
    does: ["load", "inspect"],
    message: /^preprocessing: crop_pct must leave images of 14×14 at most 16777216 pixels before the crop; got 9e-13$/,
  },
  "nearest with crop_pct of 1e-7": {
    base: "timm-vit",
    files: config({ pretrained_cfg: { crop_pct: 1e-7, interpolation: "nearest" } }),
    does: ["load", "inspect"],
    message: /^preprocessing: crop_pct must leave images of 14×14 at most 16777216 pixels before the crop; got 1e-7$/,
  },
  "crop_pct of 5e-324": {
    base: "timm-vit",
    files: config({ pretrained_cfg: { crop_pct: 5e-324 } }),
    does: ["load", "inspect"],
    message: /^preprocessing: crop_pct must leave images of 14×14 at most 16777216 pixels before the crop; got 5e-324$/,
  },
  "a DINOv3 preprocessor of height 1e9": {
    base: "hf-dinov3",
    files: preprocessor({ image_processor_type: "DINOv3ViTImageProcessor", size: { height: 1e9, width: 224 } }),
    does: ["load", "inspect"],
    message: /^preprocessing: images must have at most 16777216 pixels; got \[1000000000,224\]$/,
  },
  "a DINOv3 preprocessor of more patches than a model takes": {
    base: "hf-dinov3",
    files: preprocessor({ image_processor_type: "DINOv3ViTImageProcessor", size: { height: 4000, width: 4000 } }),
    does: ["load"],
    message: /^load: images of ".*" must have at most 65536 patches; got 4000×4000 in patches of 8×8$/,
  },
  "a BEiT preprocessor of a large grid": {
    base: "hf-beit",
    files: preprocessor({ image_processor_type: "BeitImageProcessor", size: { height: 1000, width: 1000 } }),
    does: ["load", "classify"],
    message: /^load: images of ".*" must be smaller: relative positions of 250×250 patches take/,
  },
  "a short side of a billion": {
    base: "hf-clip",
    files: preprocessor({ image_processor_type: "CLIPImageProcessor", size: { shortest_edge: 1e9 }, crop_size: 12 }),
    does: ["load", "inspect"],
    message:
      /^preprocessing: images before the crop must have at most 16777216 pixels; got \{"mode":"shortest","size":1000000000\}$/,
  },
  "a resize to a billion": {
    base: "hf-vit",
    files: preprocessor({
      image_processor_type: "DeiTImageProcessor",
      size: { height: 1e9, width: 1e9 },
      crop_size: 12,
    }),
    does: ["load", "inspect"],
    message: /^preprocessing: images before the crop must have at most 16777216 pixels; got \{"mode":"exact",/,
  },
  "a billion patches of an image": {
    base: "hf-siglip2-naflex",
    files: preprocessor({ image_processor_type: "Siglip2ImageProcessor", patch_size: 4, max_num_patches: 1e9 }),
    does: ["load", "inspect"],
    message: /^preprocessing: images must have at most 16777216 pixels; got \[126488,126488\]$/,
  },
  "patches of a billion pixels": {
    base: "hf-siglip2-naflex",
    files: preprocessor({ image_processor_type: "Siglip2ImageProcessor", patch_size: 1e9, max_num_patches: 1 }),
    does: ["load", "inspect"],
    message: /^preprocessing: images must have at most 16777216 pixels; got \[1000000000,1000000000\]$/,
  },
  "patches of another size than the model's": {
    base: "hf-siglip2-naflex",
    files: preprocessor({ image_processor_type: "Siglip2ImageProcessor", patch_size: 7, max_num_patches: 9 }),
    does: ["load"],
    message: /^load: preprocessing of ".*" must give whole patches of \d+ pixels; got sides of 7$/,
  },
  "a filter that is the length of the list of filters": {
    base: "hf-vit",
    files: preprocessor({ image_processor_type: "ViTImageProcessor", size: 12, resample: "length" }),
    does: ["load", "inspect"],
    message: /^preprocessing: resample must be a number from 0 to 5 or the name of a filter; got "length"$/,
  },
  "std of 5e-324": {
    base: "timm-vit",
    files: config({ pretrained_cfg: { std: 5e-324 } }),
    does: ["load", "inspect"],
    message: /^preprocessing: rescale, mean and std must give finite pixel values; got \{"rescale":0\.00392/,
  },
  "std of 0": {
    base: "hf-vit",
    files: preprocessor({ image_processor_type: "ViTImageProcessor", size: 12, image_std: [1, 0, 1] }),
    does: ["load", "inspect"],
    message: /^preprocessing: rescale, mean and std must give finite pixel values; got /,
  },
  "rescale_factor of 1e308": {
    base: "hf-vit",
    files: preprocessor({ image_processor_type: "ViTImageProcessor", size: 12, rescale_factor: 1e308 }),
    does: ["load", "inspect"],
    message: /^preprocessing: rescale, mean and std must give finite pixel values; got \{"rescale":1e\+308,/,
  },
  "a mean of 1e308": {
    base: "hf-vit",
    files: preprocessor({ image_processor_type: "ViTImageProcessor", size: 12, image_mean: [1e308, 0, 0] }),
    does: ["load", "inspect"],
    message: /^preprocessing: rescale, mean and std must give finite pixel values; got /,
  },

  // Numbers that are finite and make others that are not.
  "weights of 1e38": {
    base: "hf-vit",
    files: () => ({
      "model.safetensors": weights("hf-vit", (tensors) => {
        for (const { data } of tensors.values()) data.fill(1e38);
      }),
    }),
    does: ["classify", "embed"],
    message:
      /^forward: ".*" must give finite numbers, but element 0 of (logits|preLogits) is NaN; look for enormous weights/,
  },
  "a deviation that makes pixels of 1e38": {
    base: "timm-vit",
    files: config({ pretrained_cfg: { std: 2e-38 } }),
    does: ["classify"],
    message: /^forward: ".*" must give finite numbers, but element 0 of logits is /,
  },
  "weights of 1e38 between images and texts": {
    base: "hf-clip",
    files: () => ({
      "model.safetensors": weights("hf-clip", (tensors) => {
        for (const [name, { data }] of tensors) if (name.startsWith("vision_model.")) data.fill(1e38);
      }),
    }),
    does: ["embed", "zeroShot"],
    message: /^forward: ".*" must give finite numbers, but element 0 of image(Features|Embeds) is NaN/,
  },
  "a logit_scale of 1e38": {
    base: "hf-clip",
    files: () => ({
      "model.safetensors": weights("hf-clip", (tensors) => {
        tensors.get("logit_scale")!.data.fill(1e38);
      }),
    }),
    does: ["load", "zeroShot"],
    message:
      /^weights: exp\(logit_scale\) and logit_bias of ".*" must make finite scores; got logit_scale 9\.99.*e\+37, logit_bias 0$/,
  },

  // Tensors.
  "a tensor's name of 8 MB": {
    base: "hf-vit",
    files: () => ({ "model.safetensors": encode([{ name: LONG, shape: [0], data: new Float32Array(0) }]) }),
    does: all,
    message: /^checkpoint: names of tensors in ".*" must have at most 1000; got 8388608 characters: "xxx.*…$/,
  },
  "a tensor of 100,000 dimensions": {
    base: "hf-vit",
    files: () => ({
      "model.safetensors": encode([{ name: "x", shape: new Array(1e5).fill(1), data: new Float32Array(1) }]),
    }),
    does: all,
    message: /^checkpoint: tensors in ".*" must have at most 64 dimensions; got "x" with 100000$/,
  },
  "20,000 tensors of no model": {
    base: "hf-vit",
    files: () => ({
      "model.safetensors": encode(
        Array.from({ length: 2e4 }, (_, i) => ({ name: `layer.${i}.weight`, shape: [0], data: new Float32Array(0) })),
      ),
    }),
    does: all,
    message:
      /^load: ".*" must have the tensors of a known family; closest is the layout of dinov3, but its "embeddings\.patch_embeddings\.weight" or first block is missing$/,
  },
  "a layer of number a billion": {
    base: "hf-vit",
    files: () => ({
      "model.safetensors": weights("hf-vit", (tensors) => {
        tensors.set("vit.encoder.layer.999999999.x", { dims: [0], data: new Float32Array(0) });
      }),
    }),
    does: ["load", "quantize"],
    message:
      /^weights: the tensors of ".*" do not fit its config; unexpected: "vit\.encoder\.layer\.999999999\.x"; the option ignore: .*$/,
  },

  "modules that lead out of the folder": {
    base: "hf-vit",
    files: () => ({
      "model.safetensors": undefined,
      "modules.json": JSON.stringify([{ path: "../../../etc", type: "sentence_transformers.models.Transformer" }]),
    }),
    does: all,
    message:
      /^checkpoint: the path in ".*modules\.json" must be a path of folders, as "a\/b"; got "\.\.\/\.\.\/\.\.\/etc"$/,
  },
  "modules in a million lists": {
    base: "hf-vit",
    files: () => ({ "model.safetensors": undefined, "modules.json": `[${"[],".repeat(1e6)}[]]` }),
    does: all,
    message: /^file: ".*modules\.json" has 3,000,004 bytes, and at most 65,536 are read$/,
  },
  "an adapter's names of 4 MB": {
    base: "hf-vit",
    files: () => ({
      "model.safetensors": undefined,
      "golden.safetensors": undefined,
      "adapter_config.json": JSON.stringify({
        peft_type: "x".repeat(2 ** 22),
        base_model_name_or_path: "x".repeat(2 ** 22),
      }),
    }),
    does: all,
    message:
      /^checkpoint: ".*" holds a x{40} adapter of "x{79}…, not a model, and its adapter_model\.safetensors or \.bin is not there$/,
  },
  "a processor that is a list": {
    base: "hf-vit",
    files: () => ({ "processor_config.json": JSON.stringify({ image_processor: [LONG] }) }),
    does: ["load", "inspect"],
    message: /^preprocessing: preprocessor_config\.json must hold an object; got \["x+…$/,
  },
  "100,000 keys that nobody knows, and one of a later version": {
    base: "hf-vit",
    files: () => {
      const keys = Object.fromEntries(Array.from({ length: 1e5 }, (_, i) => [`stray${i}`, false]));
      return { "config.json": { merge: { ...keys, last: LONG.slice(0, 1000), transformers_version: "77.1" } } };
    },
    does: all,
    message: /^load: "last" of ".*" is not known of transformers up to 5\.24, and "77\.1" wrote the file; got "x+…$/,
  },
  "an argument of a megabyte": {
    base: "timm-vit",
    files: config({ model_args: { [LONG.slice(0, 2 ** 20)]: LONG } }),
    does: all,
    message: /^load: "x+… of "model_args" of ".*" is no argument that timm's Vision Transformers take; got "x+…$/,
  },
  "names of tensors with a thousand dots": {
    base: "hf-vit",
    files: () => ({
      "model.safetensors": encode(
        Array.from({ length: 3000 }, (_, i) => ({
          name: `${"a.".repeat(490)}${i}`,
          shape: [0],
          data: new Float32Array(0),
        })),
      ),
    }),
    does: all,
    message: /^load: ".*" must hold a patch embedding named as one of .*$/,
  },

  // Tokenizers.
  "a Split of (a|a)*b": {
    base: "hf-clip",
    files: split("(a|a)*b"),
    does: ["text"],
    message:
      /^tokenizer: regular expressions of a tokenizer must take linear time; got "repeats what can be repeated or read in several ways: \(a\|a\)\*b"$/,
  },
  "a Split of (a+)+b": {
    base: "hf-clip",
    files: split("(a+)+b"),
    does: ["text"],
    message: /^tokenizer: regular expressions of a tokenizer must take linear time; got "repeats/,
  },
  "a Replace of (a|aa)+$": {
    base: "hf-clip",
    files: tokenizer({ normalizer: { type: "Replace", pattern: { Regex: "(a|aa)+$" }, content: "" } }),
    does: ["text"],
    message: /^tokenizer: regular expressions of a tokenizer must take linear time; got "repeats/,
  },
  "an expression of 8 MB": {
    base: "hf-clip",
    files: split("a?".repeat(MB8 / 2)),
    does: ["text"],
    message: /^tokenizer: a pattern of a tokenizer must be a text of at most 2000 characters; got "a\?a\?.*…$/,
  },
  "an expression that is none": {
    base: "hf-clip",
    files: split("(a"),
    does: ["text"],
    message: /^tokenizer: tokenizer\.json cannot be read: "Invalid regular expression/,
  },
  "FixedLength of 0": {
    base: "hf-clip",
    files: tokenizer({ pre_tokenizer: { type: "FixedLength", length: 0 } }),
    does: ["text"],
    message: /^tokenizer: "length" of FixedLength must be a whole number above 0; got 0$/,
  },
  "FixedLength of -1": {
    base: "hf-clip",
    files: tokenizer({ pre_tokenizer: { type: "FixedLength", length: -1 } }),
    does: ["text"],
    message: /^tokenizer: "length" of FixedLength must be a whole number above 0; got -1$/,
  },
  "steps that double a text 40 times": {
    base: "hf-clip",
    files: tokenizer({
      normalizer: {
        type: "Sequence",
        normalizers: Array.from({ length: 40 }, () => ({ type: "Replace", pattern: { String: "a" }, content: "aa" })),
      },
    }),
    does: ["text"],
    message: /^tokenizer: the steps of a tokenizer must make a text at most 64 times longer; got \d+$/,
  },
  "a letter that becomes a megabyte": {
    base: "hf-clip",
    files: tokenizer({ normalizer: { type: "Replace", pattern: { String: "a" }, content: "a".repeat(2 ** 20) } }),
    does: ["text"],
    message: /^tokenizer: "content" of a tokenizer's step must be a text of at most 64 characters; got "aaa.*…$/,
  },
  "a prefix of a megabyte": {
    base: "hf-clip",
    files: tokenizer({ normalizer: { type: "Prepend", prepend: "a".repeat(2 ** 20) } }),
    does: ["text"],
    message: /^tokenizer: "prepend" of a tokenizer's step must be a text of at most 64 characters; got "aaa.*…$/,
  },
  "sequences that nest": {
    base: "hf-clip",
    files: () => {
      let step: Json = { type: "NFC" };
      for (let i = 0; i < 9; i++) step = { type: "Sequence", normalizers: [step] };
      return { "tokenizer.json": { merge: { normalizer: step } } };
    },
    does: ["text"],
    message: /^tokenizer: sequences of a tokenizer must nest at most 8 levels; got /,
  },
  "a tokenizer that nests 100,000 levels": {
    base: "hf-clip",
    files: () => ({ "tokenizer.json": `{"normalizer":${"[".repeat(1e5)}${"]".repeat(1e5)}}` }),
    does: ["text"],
    message: /^tokenizer: "tokenizer\.json" of ".*" nests values deeper than 127 levels$/,
  },
  "a template of the text sixty times": {
    base: "hf-clip",
    files: tokenizer({
      post_processor: {
        type: "TemplateProcessing",
        single: Array.from({ length: 60 }, () => ({ Sequence: { id: "A", type_id: 0 } })),
        pair: [],
        special_tokens: {},
      },
    }),
    does: ["text"],
    message: /^tokenizer: a template must have the text once; got \[60\]$/,
  },
  "a vocabulary of ids that are no numbers": {
    base: "hf-clip",
    files: tokenizer({ model: { vocab: { a: "0" } } }),
    does: ["text"],
    message: /^tokenizer: ids of a vocabulary must be whole numbers up to 16777216; got "0"$/,
  },
  "tokens of a megabyte": {
    base: "hf-clip",
    files: tokenizer({ model: { vocab: { ["a".repeat(2 ** 20)]: 0 } } }),
    does: ["text"],
    message: /^tokenizer: tokens of a vocabulary must be texts of at most 256 characters; got "aaa.*…$/,
  },
  "Unigram's tokens that begin alike": {
    base: "hf-clip",
    files: () => ({
      "tokenizer.json": JSON.stringify({
        ...{ normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, added_tokens: [] },
        model: {
          type: "Unigram",
          unk_id: 0,
          vocab: Array.from({ length: 3000 }, (_, i) => ["a".repeat(i + 1), -1]),
        },
      }),
    }),
    does: ["text"],
    message: /^tokenizer: tokens of a vocabulary must be texts of at most 64 characters; got "aaa/,
  },
  "added tokens of 16 MB": {
    base: "hf-clip",
    files: tokenizer({
      added_tokens: Array.from({ length: 16000 }, (_, id) => ({
        id,
        content: `${id}`.padEnd(256, "x"),
        special: true,
      })),
    }),
    does: ["text"],
    message: /^tokenizer: "added_tokens" must have at most 262144 letters; got 4096000$/,
  },
  "words of WordPiece without end": {
    base: "hf-clip",
    files: tokenizer({ model: { type: "WordPiece", max_input_chars_per_word: 1e9 } }),
    does: ["text"],
    message: /^tokenizer: "max_input_chars_per_word" must be from 1 to 200; got 1000000000$/,
  },
  "a tokenizer's config that is a text of 8 MB": {
    base: "hf-clip",
    files: () => ({ "tokenizer_config.json": JSON.stringify(LONG) }),
    does: ["text"],
    message: /^tokenizer: "tokenizer_config\.json" of ".*" must hold a JSON object; it holds a text$/,
  },
  "a tokenizer of an unknown kind": {
    base: "hf-clip",
    files: tokenizer({ normalizer: { type: "x".repeat(2 ** 20) } }),
    does: ["text"],
    message: /^tokenizer: tokenizer\.json cannot be read: "Unknown Normalizer type: xxx.*…$/,
  },
};
