/** OpenCLIP (open_clip_config.json) and OpenAI's archives, which have none. */
import { excerpt } from "../../json.js";
import { firstPosition, type TextConfig } from "../../vit/text.js";
import type { Config } from "../config.js";
import { EPS_RANGE, isRecord, type Json, reader } from "../json.js";
import { type Facts, observeText } from "../observe.js";
import { headsOf, plain, TIMM_INTERPOLATION } from "./bare.js";
import { fromTimm } from "./timm.js";

const record = (x: unknown): Json => (isRecord(x) ? x : {});

export function fromOpenClip(facts: Facts): Omit<Config, "layout"> {
  const { name, file, seen, named, tensors } = facts;
  const model = record(file.model_cfg);
  const vision = record(model.vision_cfg);
  const text = record(model.text_cfg);
  const readVision = reader(name, vision);
  const readText = reader(name, text);
  const openAi = tensors.has(named.layout.evidence ?? "");
  // By the same names the quick GELU and the exact one.
  if (!openAi && !isRecord(file.model_cfg) && facts.stated.activation === undefined) {
    const what = "as its tensors do not tell its activation, which config: { activation } states as well";
    throw new Error(`load: "${name}" must have an open_clip_config.json, ${what}`);
  }
  const activation: Config["activation"] = openAi || model.quick_gelu === true ? "quick_gelu" : "gelu";
  const epsOf = (config: Json) => reader(name, record(config.norm_kwargs)).number("eps", 1e-5, EPS_RANGE);

  // Its own tokenizer lowers texts, those of Hugging Face clean white space, unless they are told otherwise.
  const cleaning = reader(name, record(text.tokenizer_kwargs));
  const clean = cleaning.choice("clean", readText.has("hf_tokenizer_name") ? "whitespace" : "lower", CLEANING);

  const timmName = readVision.text("timm_model_name");
  const tower =
    named.layout.name === "openclip-timm"
      ? fromTimm({ ...facts, file: { architecture: timmName ?? "", global_pool: poolOf(facts), num_classes: 0 } })
      : {
          ...plain(facts),
          eps: epsOf(vision),
          activation,
          heads: readVision.has("head_width") ? seen.width / readVision.count("head_width", 64) : headsOf(seen.width),
          pooling: "token" as const,
          norm: "pooled" as const,
        };
  const seenText = observeText(named, tensors);
  return {
    ...tower,
    family: named.layout.name === "openclip-timm" ? (timmName ?? "openclip") : "clip",
    recognizedBy: openAi ? "OpenAI's tensor names" : "open_clip_config.json and OpenCLIP's tensor names",
    imageSize: readVision.has("image_size") ? readVision.size("image_size", tower.imageSize) : tower.imageSize,
    interpolation: TIMM_INTERPOLATION,
    pooled: "none",
    classes: 0,
    headless: false,
    features: seen.features || seen.width,
    text: seenText && {
      ...seenText,
      heads: readText.count("heads", headsOf(seenText.width)),
      eps: epsOf(text),
      activation,
      padding: undefined,
      embedScale: 1,
      postNorm: false,
      causal: !readText.flag("no_causal_mask", false),
      pooling: readText.choice("pool_type", "argmax", { argmax: "largest", last: "last" } as const),
      ...(readText.has("hf_model_name") ? bert(facts, text, seenText) : {}),
      clean,
    },
  };
}

/**
 * A tower of transformers, by the name of its repository: the config itself is not beside the weights. OpenCLIP has
 * roberta-base, xlm-roberta and BERTs of the sizes of the first ones, all with heads of 64 columns.
 */
function bert({ name }: Facts, text: Json, seen: ReturnType<typeof observeText>): Partial<TextConfig> {
  const read = reader(name, text);
  const model = read.text("hf_model_name")!;
  const isRoberta = /roberta/i.test(model);
  if (!isRoberta && !/bert/i.test(model)) {
    throw new Error(`load: "hf_model_name" of "${name}" must be a BERT, RoBERTa or XLM-RoBERTa; got ${excerpt(model)}`);
  }
  const padding = isRoberta ? 1 : undefined;
  const length = seen!.length - firstPosition(padding);
  return {
    padding,
    // pad_token_id of the model of this name.
    masked: isRoberta ? 1 : 0,
    length: Math.min(length, read.count("context_length", 77)),
    heads: headsOf(seen!.width),
    eps: isRoberta ? 1e-5 : 1e-12,
    activation: "gelu",
    causal: false,
    postNorm: "sum",
    // cls_pooler reads BERT's pooler, whose layer is there then.
    pooling: read.choice("hf_pooler_type", "mean_pooler", {
      mean_pooler: "mean",
      cls_pooler: "first",
      cls_last_hidden_state_pooler: "first",
    } as const),
  };
}
const CLEANING = { whitespace: "whitespace", lower: "lower", canonicalize: "canonicalize" } as const;

const poolOf = ({ seen, file }: Facts) => {
  const pool = record(record(file.model_cfg).vision_cfg).timm_pool;
  return typeof pool === "string" && pool !== "" ? pool : seen.attentionPool ? "map" : undefined;
};
