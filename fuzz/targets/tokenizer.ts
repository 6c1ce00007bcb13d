/** A checkpoint's tokenizer.json and tokenizer_config.json, and a text: `createTokenizer`. */

import { readFileSync } from "node:fs";
import { isRecord } from "../../src/checkpoint/json.js";
import { createTokenizer } from "../../src/text/tokenizer.js";
import { mutateJson } from "../mutate/json.js";
import { expect, type Target } from "../target.js";
import { fixture, readJson, seedOf } from "./json.js";

interface Input {
  tokenizer: Record<string, unknown>;
  config: Record<string, unknown>;
  pad: boolean;
  text: string;
}

const LENGTH = 16;
const VOCABULARY = { a: 0, b: 1, ab: 2, "▁": 3, "</s>": 4, "<unk>": 5, "a</w>": 6, "[CLS]": 7 };
const special = (content: string, id: number) => ({
  id,
  content,
  special: true,
  normalized: false,
  lstrip: false,
  rstrip: false,
  single_word: false,
});
const BPE = {
  type: "BPE",
  vocab: VOCABULARY,
  merges: ["a b", "a </w>"],
  unk_token: "<unk>",
  end_of_word_suffix: "</w>",
};
const SPLIT = { type: "Split", pattern: { Regex: "'s|\\p{L}+|\\s" }, behavior: "Removed", invert: true };

function seed(tokenizer: object, text: string, pad = false): Uint8Array {
  const base = {
    version: "1.0",
    added_tokens: [special("</s>", 4)],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
  };
  return seedOf({
    tokenizer: { ...base, ...tokenizer },
    config: { eos_token: "</s>", pad_token: { content: "</s>" } },
    pad,
    text,
  });
}

const clip = (): Uint8Array[] => {
  const json = (name: string) => JSON.parse(readFileSync(fixture(`checkpoints/hf-clip/${name}`), "utf8"));
  return [seedOf({ tokenizer: json("tokenizer.json"), config: json("tokenizer_config.json"), text: "a photo" })];
};

const target: Target = {
  seeds: [
    ...clip().filter(({ length }) => length <= 8192),
    seed(
      {
        model: BPE,
        pre_tokenizer: { type: "Sequence", pretokenizers: [SPLIT, { type: "ByteLevel", add_prefix_space: false }] },
      },
      "ab a's",
    ),
    seed(
      {
        model: {
          type: "Unigram",
          vocab: [
            ["<unk>", 0],
            ["▁", -2],
            ["a", -1.5],
            ["ab", -1],
          ],
          unk_id: 0,
        },
        pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always" },
      },
      "ab é ab",
      true,
    ),
    seed(
      {
        model: {
          type: "WordPiece",
          vocab: VOCABULARY,
          unk_token: "<unk>",
          continuing_subword_prefix: "##",
          max_input_chars_per_word: 100,
        },
        normalizer: {
          type: "BertNormalizer",
          lowercase: true,
          clean_text: true,
          handle_chinese_chars: true,
          strip_accents: null,
        },
        pre_tokenizer: { type: "BertPreTokenizer" },
      },
      "Ab, É",
    ),
    seed(
      {
        model: BPE,
        normalizer: {
          type: "Sequence",
          normalizers: [
            { type: "NFC" },
            { type: "Lowercase" },
            { type: "Replace", pattern: { Regex: "\\s+" }, content: " " },
            { type: "Strip", strip_left: true, strip_right: true },
          ],
        },
        post_processor: {
          type: "TemplateProcessing",
          single: [{ Sequence: { id: "A", type_id: 0 } }, { SpecialToken: { id: "</s>", type_id: 0 } }],
          pair: [],
          special_tokens: { "</s>": { id: "</s>", ids: [4], tokens: ["</s>"] } },
        },
      },
      " aΣ  b ",
    ),
    seed(
      {
        model: BPE,
        post_processor: {
          type: "RobertaProcessing",
          sep: ["</s>", 4],
          cls: ["[CLS]", 7],
          trim_offsets: true,
          add_prefix_space: true,
        },
      },
      "ab",
    ),
  ],
  mutators: [mutateJson],
  refusal: /^(tokenizer|text): /,
  longest: 16_384,
  async run(input) {
    const { tokenizer, config, pad, text } = readJson<Input>(input) ?? {};
    if (!isRecord(tokenizer) || !isRecord(config) || typeof text !== "string") return undefined;
    const tokenize = await createTokenizer(tokenizer, config, { length: LENGTH, pad: pad === true });
    const ids = tokenize(text);
    expect(pad === true ? ids.length === LENGTH : ids.length <= LENGTH, () => `${ids.length} tokens`);
    expect(
      ids.every((id) => Number.isSafeInteger(id) && id >= 0),
      () => `token ids ${ids.slice(0, 20)}`,
    );
    return undefined;
  },
};
export default target;
