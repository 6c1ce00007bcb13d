/**
 * Bounds of a tokenizer.json, checked before a tokenizer is made of it. The package takes what a file says as it is: steps that
 * repeat, texts that are put in for a letter, and tokens of any length, of which it makes tries of some 300 bytes a letter.
 */
import { excerpt } from "../json.js";
import { faultOfPattern } from "./linear.js";

type Json = Readonly<Record<string, unknown>>;

/** Most tokens, and merges; the largest vocabulary of a model of images and texts, MetaCLIP 2's, has 901,629. */
const MAX_TOKENS = 2 ** 20;

/** Largest id. */
const MAX_ID = 2 ** 24;

/** Longest token, in UTF-16 units, and of Unigram, where all tokens that begin alike are compared at every place. */
const MAX_TOKEN = 256;
const MAX_UNIGRAM_TOKEN = 64;

/** Most letters of all tokens that become a trie: Unigram's, and those that are found before words are split. */
const MAX_UNIGRAM_LETTERS = 2 ** 23;
const MAX_ADDED_LETTERS = 2 ** 18;
const MAX_ADDED = 2 ** 14;

/** Most steps of a normalizer and a pre-tokenizer together, and how deep their sequences may nest. */
const MAX_STEPS = 64;
const MAX_NESTING = 8;

/** Longest text that a step puts in, and how many times longer all steps together may make a text. */
const MAX_INSERTED = 64;
const MAX_GROWTH = 64;

/** Longest source of a regular expression. */
const MAX_PATTERN = 2000;

/** Longest word of WordPiece, which tries all its parts; 100 by default. */
const MAX_WORD = 200;

/** Most places of a template, one of which is the text. */
const MAX_TEMPLATE = 64;

const isRecord = (x: unknown): x is Json => typeof x === "object" && x !== null && !Array.isArray(x);

function refuse(what: string, rule: string, found: unknown): never {
  throw new Error(`tokenizer: ${what} must ${rule}; got ${excerpt(found)}`);
}

const isCount = (x: unknown, most: number): boolean =>
  Number.isSafeInteger(x) && (x as number) > 0 && (x as number) <= most;

const isId = (x: unknown): boolean => Number.isSafeInteger(x) && (x as number) >= 0 && (x as number) <= MAX_ID;

/**
 * Compares a file with the bounds.
 * @throws Error: one sentence.
 */
export function checkTokenizer(tokenizer: Json): void {
  if (!isRecord(tokenizer)) refuse("tokenizer.json", "hold an object", tokenizer);
  const steps = [...stepsOf(tokenizer.normalizer, "normalizers"), ...stepsOf(tokenizer.pre_tokenizer, "pretokenizers")];
  if (steps.length > MAX_STEPS) refuse("a tokenizer", `have at most ${MAX_STEPS} steps`, steps.length);
  const growth = steps.reduce((product, step) => product * growthOf(step), 1);
  if (growth > MAX_GROWTH) refuse("the steps of a tokenizer", `make a text at most ${MAX_GROWTH} times longer`, growth);
  const texts = stepsOf(tokenizer.post_processor, "processors").map(textsOf);
  if (texts.length > MAX_STEPS) refuse("a post_processor", `have at most ${MAX_STEPS} steps`, texts.length);
  if (texts.reduce((product, count) => product * count, 1) > 1) refuse("a template", "have the text once", texts);
  checkModel(tokenizer.model);
  checkAdded(tokenizer.added_tokens);
}

/** The steps of a sequence, one after the other. */
function stepsOf(step: unknown, list: string, depth = 0): Json[] {
  if (step === null || step === undefined) return [];
  if (!isRecord(step)) return refuse("a step of a tokenizer", "be an object", step);
  if (step.type !== "Sequence") return [step];
  if (depth === MAX_NESTING) return refuse("sequences of a tokenizer", `nest at most ${MAX_NESTING} levels`, step);
  const inner = step[list];
  if (!Array.isArray(inner) || inner.length > MAX_STEPS) {
    return refuse("a sequence of a tokenizer", `have at most ${MAX_STEPS} steps`, inner);
  }
  const steps: Json[] = [];
  for (const each of inner) {
    steps.push(...stepsOf(each, list, depth + 1));
    // Lists of lists may have more than there is time for.
    if (steps.length > MAX_STEPS) return refuse("a tokenizer", `have at most ${MAX_STEPS} steps`, steps.length);
  }
  return steps;
}

/** How many times longer a step may make a text. */
function growthOf(step: Json): number {
  const inserted = (key: string): number => {
    const text = step[key] ?? "";
    if (typeof text === "string" && text.length <= MAX_INSERTED) return text.length;
    return refuse(`"${key}" of a tokenizer's step`, `be a text of at most ${MAX_INSERTED} characters`, text);
  };
  const { pattern } = step;
  if (isRecord(pattern)) {
    for (const source of [pattern.Regex, pattern.String]) {
      if (source === undefined || (typeof source === "string" && source.length <= MAX_PATTERN)) continue;
      refuse("a pattern of a tokenizer", `be a text of at most ${MAX_PATTERN} characters`, source);
    }
  }
  switch (step.type) {
    case "Replace":
      // Between any two letters, if the pattern fits there.
      return Math.max(1, inserted("content") + (isRecord(pattern) && pattern.String ? 0 : 1));
    case "Prepend":
      inserted("prepend");
      return 1;
    case "Metaspace":
      return Math.max(1, inserted("replacement"), inserted("str_rep"));
    case "ByteLevel":
      return 3;
    case "BertNormalizer":
      return 3;
    case "FixedLength":
      if (!isCount(step.length, MAX_ID)) refuse('"length" of FixedLength', "be a whole number above 0", step.length);
      return 1;
    default:
      return 1;
  }
}

/** How often a step of the post-processor repeats the text. */
function textsOf(step: Json): number {
  if (step.type !== "TemplateProcessing") return 1;
  const { single } = step;
  if (!Array.isArray(single) || single.length > MAX_TEMPLATE) {
    return refuse('"single" of a template', `have at most ${MAX_TEMPLATE} places`, single);
  }
  return single.filter((item) => isRecord(item) && "Sequence" in item).length;
}

function checkModel(model: unknown): void {
  if (!isRecord(model)) refuse('"model" of tokenizer.json', "be an object", model);
  const { vocab, merges = [], max_input_chars_per_word: word = 100 } = model;
  for (const key of ["unk_token", "continuing_subword_prefix", "continuing_subword_suffix", "end_of_word_suffix"]) {
    const text = model[key] ?? "";
    if (typeof text !== "string" || text.length > MAX_INSERTED) {
      refuse(`"${key}" of a tokenizer`, `be a text of at most ${MAX_INSERTED} characters`, text);
    }
  }
  if (!isCount(word, MAX_WORD)) refuse('"max_input_chars_per_word"', `be from 1 to ${MAX_WORD}`, word);
  if (Array.isArray(vocab)) checkUnigram(vocab, model.unk_id);
  else if (isRecord(vocab)) {
    let count = 0;
    for (const [token, id] of Object.entries(vocab)) {
      if (++count > MAX_TOKENS) refuse("a vocabulary", `have at most ${MAX_TOKENS} tokens`, count);
      checkToken(token, id, MAX_TOKEN);
    }
  } else refuse('"vocab" of tokenizer.json', "be an object or a list", vocab);
  if (!Array.isArray(merges) || merges.length > MAX_TOKENS) {
    refuse('"merges" of tokenizer.json', `be a list of at most ${MAX_TOKENS}`, merges);
  }
  const [first] = merges;
  for (const merge of merges) {
    // The package tells by the first which of the two ways of writing them a file has.
    if (typeof merge !== typeof first) refuse("merges of a tokenizer", "all be texts, or all be pairs", merge);
    const pair = typeof merge === "string" ? merge : isPair(merge) ? `${merge[0]} ${merge[1]}` : undefined;
    if (pair === undefined || pair.length > MAX_TOKEN + 1) {
      refuse("merges of a tokenizer", `be pairs of at most ${MAX_TOKEN} characters`, merge);
    }
  }
}

const isPair = (merge: unknown): merge is readonly [string, string] =>
  Array.isArray(merge) && merge.length === 2 && merge.every((part) => typeof part === "string");

function checkToken(token: unknown, id: unknown, most: number): void {
  if (typeof token !== "string" || token.length > most) {
    refuse("tokens of a vocabulary", `be texts of at most ${most} characters`, token);
  }
  if (!isId(id)) refuse("ids of a vocabulary", `be whole numbers up to ${MAX_ID}`, id);
}

/** [token, score] by id. */
function checkUnigram(vocab: readonly unknown[], unknown: unknown): void {
  if (vocab.length === 0 || vocab.length > MAX_TOKENS) {
    refuse("a vocabulary", `have from 1 to ${MAX_TOKENS} tokens`, vocab.length);
  }
  let letters = 0;
  for (const [i, entry] of vocab.entries()) {
    if (!Array.isArray(entry)) refuse("entries of a vocabulary", "be tokens with scores", entry);
    checkToken(entry[0], i, MAX_UNIGRAM_TOKEN);
    if (!Number.isFinite(entry[1])) refuse("scores of a vocabulary", "be finite numbers", entry[1]);
    letters += entry[0].length;
  }
  if (letters > MAX_UNIGRAM_LETTERS) refuse("a vocabulary", `have at most ${MAX_UNIGRAM_LETTERS} letters`, letters);
  if (!isId(unknown) || (unknown as number) >= vocab.length) refuse('"unk_id"', "be the id of a token", unknown);
}

function checkAdded(added: unknown): void {
  if (!Array.isArray(added) || added.length > MAX_ADDED) {
    refuse('"added_tokens"', `be a list of at most ${MAX_ADDED}`, added);
  }
  let letters = 0;
  for (const token of added) {
    if (!isRecord(token)) refuse('"added_tokens"', "be objects", token);
    checkToken(token.content, token.id, MAX_TOKEN);
    letters += (token.content as string).length;
  }
  if (letters > MAX_ADDED_LETTERS) refuse('"added_tokens"', `have at most ${MAX_ADDED_LETTERS} letters`, letters);
}

/**
 * Looks at all regular expressions that the package has made of a file, as they are compiled; none has been run.
 * @param parts of the tokenizer that read texts.
 * @throws Error: one sentence, for one that may take more than linear time.
 */
export function checkPatterns({ normalizer, pre_tokenizer: preTokenizer }: Json, parts: readonly unknown[]): void {
  const patterns = new Set<RegExp>();
  const seen = new Set<unknown>();
  function collect(part: unknown): void {
    if ((typeof part !== "object" && typeof part !== "function") || part === null || seen.has(part)) return;
    seen.add(part);
    if (part instanceof RegExp) patterns.add(part);
    else for (const value of Object.values(part)) collect(value);
  }
  for (const part of parts) collect(part);
  const steps = [...stepsOf(normalizer, "normalizers"), ...stepsOf(preTokenizer, "pretokenizers")];
  const stated = steps.filter(({ pattern }) => pattern !== undefined).length;
  // A package that keeps them elsewhere is not to be trusted.
  if (patterns.size < stated) refuse("a tokenizer", `keep its ${stated} patterns where they are seen`, patterns.size);
  for (const pattern of patterns) {
    const fault = faultOfPattern(pattern);
    if (fault !== undefined)
      refuse("regular expressions of a tokenizer", "take linear time", `${fault}: ${pattern.source}`);
  }
}
