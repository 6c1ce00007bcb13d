/** Regular expressions of tokenizers: those of models pass, as the package compiles them; those that may hang are refused. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Tokenizer } from "@huggingface/tokenizers";
import { checkTokenizer } from "../src/text/bounds.js";
import { faultOfPattern } from "../src/text/linear.js";
import { createTokenizer } from "../src/text/tokenizer.js";

/** What the package makes of a step's expression. */
function patternOf(step: object): RegExp {
  const rest = { normalizer: null, post_processor: null, decoder: null, added_tokens: [] };
  const model = { type: "BPE", vocab: {}, merges: [] };
  const { pre_tokenizer } = new Tokenizer({ ...rest, model, pre_tokenizer: step } as never, {} as never);
  return (pre_tokenizer as unknown as { pattern: RegExp }).pattern;
}
const compiled = (Regex: string): RegExp =>
  patternOf({ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false });

/** As tokenizer.json files have them. */
const OF_MODELS: Readonly<Record<string, string>> = {
  CLIP: "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
  "CLIP's own": "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
  "GPT-2": "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "GPT-4":
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "Qwen 2":
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  BLOOM: " ?[^(\\s|[.,!?…。，、।۔،])]+",
  "SigLIP's marks": "[!\"#\\$%&'\\(\\)\\*\\+,\\-\\.:;<=>?@\\[\\\\\\]\\^_`\\{\\|\\}~]",
  "SigLIP's spaces": "\\s+",
  "XLM-R's spaces": " {2,}",
  "DeepSeek's lines": "[\r\n]",
  "DeepSeek's marks": "\\s?[\\p{P}\\p{S}]+",
  "three digits": "[0-9][0-9][0-9]",
  POSIX: "[[:punct:]]+",
  intersection: "[\\p{L}&&[^a-z]]+",
  beginnings: "^\\s+",
};
for (const [name, source] of Object.entries(OF_MODELS)) {
  test(`passes: ${name}`, () => assert.equal(faultOfPattern(compiled(source)), undefined));
}

test("passes: what the package brings itself", () => {
  for (const type of ["BertPreTokenizer", "ByteLevel", "Digits", "Punctuation"]) {
    assert.equal(faultOfPattern(patternOf({ type, individual_digits: false })), undefined, type);
  }
});

const SEVERAL = "repeats what can be repeated or read in several ways";
const HANGS: Readonly<Record<string, string | RegExp>> = {
  "(a|a)*b": SEVERAL,
  "(a|ab)*c": SEVERAL,
  "(a+)+b": SEVERAL,
  "(a*)*b": SEVERAL,
  "(?:a|b|ab)+?c": SEVERAL,
  "(a|a)*+b": SEVERAL,
  "(?>(a|a)*)b": SEVERAL,
  "a*a*b": SEVERAL,
  "\\s+\\s+x": SEVERAL,
  ".*.*=.*": SEVERAL,
  "(a|a){30}b": SEVERAL,
  "(a|a){0,40}": SEVERAL,
  "(a{0,30}){0,30}b": SEVERAL,
  "a{0,100}a{0,100}b": SEVERAL,
  "(?=a*b)a": SEVERAL,
  "(?!a*b)a": SEVERAL,
  "(?<=a*)b": SEVERAL,
  "(?<!(a|a)*b)c": SEVERAL,
  [`${"a?".repeat(40)}${"a".repeat(40)}`]: SEVERAL,
  "\\s+?x|\\s+": SEVERAL,
  // Square, not exponential: each place of a run reads the run.
  "\\s+$": /^may read a run of .* again from each of its places$/,
  "a+b": "may read a run of a again from each of its places",
  "\\s+x|\\s|\\s+": /^may read a run of /,
  "\\s+x|\\d+": /^may read a run of /,
  "(a)\\1+": "refers back to a group",
  "(?<x>a)\\k<x>+": "refers back to a group",
  [`${"(".repeat(60)}a${")".repeat(60)}`]: "nests groups deeper than 50 levels",
  [Array.from({ length: 1200 }, () => "a").join("|")]: "can be tried in more than 1000 ways",
};
for (const [source, fault] of Object.entries(HANGS)) {
  test(`refuses ${source.slice(0, 40)}`, () => {
    const found = faultOfPattern(compiled(source)) ?? "nothing";
    if (typeof fault === "string") assert.equal(found, fault);
    else assert.match(found, fault);
  });
}

test("what passes takes time in proportion to the text, whatever it is made of", { timeout: 20_000 }, () => {
  // Where a run of n were read from each of its places, these would be 10^11 steps.
  const n = 300_000;
  for (const source of Object.values(OF_MODELS)) {
    for (const unit of ["a", " ", "\n", " \n", "'", "1", "a ", "é", "\u3000x", "!", "中", "😀"]) {
      const text = unit.repeat(n / unit.length);
      assert.ok([...`${text}x`.matchAll(compiled(source))].length <= n + 1);
    }
  }
});

const FOLDER = "tests/fixtures/checkpoints/hf-clip";
const read = (file: string) => JSON.parse(readFileSync(`${FOLDER}/${file}`, "utf8"));

test("a text longer than any tower reads is refused, the longest is read", async () => {
  const tokenize = await createTokenizer(read("tokenizer.json"), read("tokenizer_config.json"), {
    length: 12,
    pad: false,
  });
  assert.equal(tokenize("a ".repeat(2 ** 13)).length, 12);
  assert.throws(() => tokenize("a ".repeat(2 ** 13 + 1)), {
    name: "RangeError",
    message: "text: it must have at most 16384 UTF-16 units; got 16386",
  });
});

test("vocabularies, merges and added tokens have a most", () => {
  const file = read("tokenizer.json");
  const model = (entries: object) => checkTokenizer({ ...file, model: { ...file.model, ...entries } });
  const tokens = (length: number, token: string) => new Array(length).fill([token, -1]);
  checkTokenizer(file);
  model({ vocab: tokens(2 ** 20, "a"), unk_id: 0, merges: undefined });
  assert.throws(() => model({ vocab: tokens(2 ** 20 + 1, "a"), unk_id: 0 }), {
    message: "tokenizer: a vocabulary must have from 1 to 1048576 tokens; got 1048577",
  });
  assert.throws(() => model({ vocab: tokens(2 ** 20, "a".repeat(9)), unk_id: 0 }), {
    message: "tokenizer: a vocabulary must have at most 8388608 letters; got 9437184",
  });
  assert.throws(() => model({ vocab: [["a", Number.POSITIVE_INFINITY]], unk_id: 0 }), {
    message: "tokenizer: scores of a vocabulary must be finite numbers; got Infinity",
  });
  assert.throws(() => model({ vocab: [["a", 0]], unk_id: 1 }), {
    message: 'tokenizer: "unk_id" must be the id of a token; got 1',
  });
  assert.throws(() => model({ merges: new Array(2 ** 20 + 1).fill("a b") }), {
    message: /^tokenizer: "merges" of tokenizer\.json must be a list of at most 1048576; got \["a b",/,
  });
  assert.throws(() => model({ merges: [`${"a".repeat(300)} b`] }), {
    message: /^tokenizer: merges of a tokenizer must be pairs of at most 256 characters; got "aaa/,
  });
  for (const merges of [
    ["a b", ["a", "b"]],
    [["a", "b"], "a b"],
  ]) {
    assert.throws(() => model({ merges }), {
      message: /^tokenizer: merges of a tokenizer must all be texts, or all be pairs/,
    });
  }
  assert.throws(() => checkTokenizer({ ...file, added_tokens: new Array(2 ** 14 + 1).fill({ id: 0, content: "a" }) }), {
    message: /^tokenizer: "added_tokens" must be a list of at most 16384; got /,
  });
});
