/**
 * Texts to token ids by a checkpoint's own tokenizer.json, with Hugging Face's tokenizers in plain JavaScript: maintained by
 * those who define the format, no dependency, no native part, 0.4 MB, on every runtime. Loaded for the first text.
 */
import { excerpt } from "../json.js";
import { importPackage } from "../platform/packages.js";
import { checkPatterns, checkTokenizer } from "./bounds.js";
import { CLEAN } from "./clean.js";

export interface TokenizerOptions {
  /** Most tokens of a text. */
  readonly length: number;
  /** Fills every text up to them (SigLIP, which reads its last token); CLIP reads the end of the text. */
  readonly pad: boolean;
  /** Refuses longer texts, as the detectors' processors do, in place of cutting off what is too much. */
  readonly whole?: boolean;
  /** Takes transformers' Siglip2Tokenizer, as its AutoTokenizer does for the family, whatever class the file names. */
  readonly siglip2?: boolean;
  /** Cleans texts as OpenCLIP does. */
  readonly clean?: keyof typeof CLEAN;
}

/** Keys of tokenizer_config.json that would give other ids, and the values by which they do not. */
const FIXED: Readonly<Record<string, readonly unknown[]>> = {
  truncation_side: ["right"],
  split_special_tokens: [false],
};

type Json = Readonly<Record<string, unknown>>;

/** Longest text, in UTF-16 units: the tokens that a tower takes, at most some hundred, have about four letters. */
const MAX_TEXT = 2 ** 14;

/**
 * Makes what turns a text into ids.
 * @throws Error: one sentence for a tokenizer that cannot be used or asks for more than the bounds of bounds.ts.
 */
export async function createTokenizer(
  tokenizer: Json,
  config: Json,
  { length, pad, whole = false, siglip2 = false, clean }: TokenizerOptions,
): Promise<(text: string) => number[]> {
  const { Tokenizer } = await importPackage("@huggingface/tokenizers", () => import("@huggingface/tokenizers"));
  checkTokenizer(tokenizer);
  for (const [key, allowed] of Object.entries(FIXED)) {
    const value = config[key] ?? allowed[0];
    if (allowed.includes(value)) continue;
    throw new Error(
      `tokenizer: "${key}" of tokenizer_config.json must be ${excerpt(allowed[0])}; got ${excerpt(value)}`,
    );
  }
  // Nothing is decoded. Special tokens are compared with each other, for decoding too.
  const read = { ...config, additional_special_tokens: undefined };
  const inner = described("tokenizer.json cannot be read", () => {
    return new Tokenizer({ ...tokenizer, decoder: null } as never, read as never);
  });
  checkPatterns(tokenizer, [inner.normalizer, inner.pre_tokenizer]);
  const named = (key: string): number | undefined => {
    const token = config[key];
    const content = typeof token === "object" && token !== null ? (token as Json).content : token;
    return typeof content === "string" ? inner.token_to_id(content) : undefined;
  };
  const end = named("eos_token") ?? named("sep_token");
  const padding = named("pad_token") ?? end;
  if (pad && padding === undefined) {
    throw new Error('tokenizer: texts are filled up, so tokenizer_config.json must name a "pad_token"; got none');
  }
  // SigLIP 2 was trained on lower case, which files of the Gemma tokenizer do not say.
  const lower = siglip2 || config.tokenizer_class === "Siglip2Tokenizer" || config.do_lower_case === true;
  const lowers = lower || JSON.stringify(tokenizer.normalizer ?? null).includes('"Lowercase"');
  // Gemma's fills up on the left unless its file says otherwise.
  const left = (config.padding_side ?? (siglip2 ? "left" : "right")) === "left";

  return (text) => {
    if (text.length > MAX_TEXT) {
      throw new RangeError(`text: it must have at most ${MAX_TEXT} UTF-16 units; got ${text.length}`);
    }
    // The tokenizers that models were trained with lower Σ alone, JavaScript knows that it is ς at the end of a word.
    const cleaned = clean ? CLEAN[clean](text) : text;
    const given = lowers ? cleaned.replaceAll("Σ", "σ") : cleaned;
    const { ids } = described("the text cannot be read", () => inner.encode(lower ? given.toLowerCase() : given));
    // A vocabulary without its unknown token gives none.
    const unknown = ids.findIndex((id: unknown) => !Number.isSafeInteger(id) || (id as number) < 0);
    if (unknown >= 0) {
      throw new RangeError(
        `tokenizer: every token of a text must have an id; got ${excerpt(ids[unknown])} at ${unknown}`,
      );
    }
    if (whole && ids.length > length) {
      const found = `${ids.length}: ${excerpt(text, 60)}`;
      throw new RangeError(`text: it must have at most ${length} tokens for this model; got ${found}`);
    }
    // What is cut off is before the end of text.
    const cut = ids.length > length ? [...ids.slice(0, length - 1), end ?? ids[length - 1]!] : ids;
    if (!pad) return cut;
    const fill = new Array<number>(length - cut.length).fill(padding!);
    return left ? [...fill, ...cut] : [...cut, ...fill];
  };
}

/** Turns what the package says of a file that it does not understand into a sentence. */
function described<T>(what: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw new Error(`tokenizer: ${what}: ${excerpt((cause as Error).message, 200)}`, { cause });
  }
}
