/**
 * Cleaning of texts before they are cut into tokens, as open_clip.tokenizer does it: ftfy's fix_text, HTML's character references,
 * white space. Of ftfy not the repair of texts that were decoded in a wrong encoding.
 */
import { ENTITIES } from "./entities.js";

/** Characters by the names of HTML 4, and those names that need no semicolon. */
const NAMES = new Map<string, string>();
const SHORT = new Set<string>();
for (const entry of ENTITIES.split(" ")) {
  const [, name, mark, code] = /^(\w+)([?:])(\w+)$/.exec(entry) as unknown as [string, string, string, string];
  NAMES.set(name, String.fromCodePoint(Number.parseInt(code, 16)));
  if (mark === "?") SHORT.add(name);
}

/** Windows-1252 of the bytes 0x80 to 0x9f, which references and texts mean by these numbers. */
const C1 = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ";
const ofC1 = (code: number): string => C1[code - 0x80]!;

/** A numeric reference, as Python's html.unescape reads it. */
function character(code: number): string {
  if (code >= 0x80 && code <= 0x9f) return ofC1(code);
  if (code === 0 || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) return "\ufffd";
  if (code === 0x0d) return "\r";
  const invalid =
    code < 9 || code === 0x0b || (code > 0x0d && code < 0x20) || code === 0x7f || (code & 0xfffe) === 0xfffe;
  return invalid || (code >= 0xfdd0 && code <= 0xfdef) ? "" : String.fromCodePoint(code);
}

/** Character references to the characters: "&amp;", "&#233;", "&#xe9;", and "&amp" of the names that need no semicolon. */
export const unescapeHtml = (text: string): string =>
  text.replace(
    /&(?:#(\d{1,9});?|#[xX]([\da-fA-F]{1,8});?|([a-zA-Z]\w{1,31})(;?))/g,
    (whole, decimal, hex, name, end) => {
      if (decimal !== undefined) return character(Number(decimal));
      if (hex !== undefined) return character(Number.parseInt(hex, 16));
      const known = end === ";" || SHORT.has(name) ? NAMES.get(name) : undefined;
      if (known !== undefined) return known;
      // The longest beginning that is a name.
      for (let length = name.length - 1; length > 1; length--) {
        const begin = name.slice(0, length);
        if (SHORT.has(begin)) return NAMES.get(begin)! + name.slice(length) + end;
      }
      return whole;
    },
  );

const LIGATURES: Readonly<Record<string, string>> = {
  ...{
    Ĳ: "IJ",
    ĳ: "ij",
    ŉ: "ʼn",
    Ǳ: "DZ",
    ǲ: "Dz",
    ǳ: "dz",
    Ǆ: "DŽ",
    ǅ: "Dž",
    ǆ: "dž",
    Ǉ: "LJ",
    ǈ: "Lj",
    ǉ: "lj",
    Ǌ: "NJ",
    ǋ: "Nj",
  },
  ...{ ǌ: "nj", ﬀ: "ff", ﬁ: "fi", ﬂ: "fl", ﬃ: "ffi", ﬄ: "ffl", ﬅ: "ſt", ﬆ: "st" },
};

/** Colours of terminals. */
const TERMINAL = new RegExp(`${String.fromCharCode(27)}\\[[\\d;]*[a-zA-Z]`, "g");

/** ftfy.fix_text, but for encodings. */
function fixText(text: string): string {
  return (text.includes("<") ? text : unescapeHtml(text))
    .replace(TERMINAL, "")
    .replace(/[\x80-\x9f]/g, (char) => ofC1(char.charCodeAt(0)))
    .replace(/[ĲĳŉǱ-ǳǄ-ǌﬀ-ﬆ]/g, (char) => LIGATURES[char]!)
    .replace(/[\uff01-\uffef\u3000]/g, (char) => char.normalize("NFKC"))
    .replace(/[ʼ‘-‛]/g, "'")
    .replace(/[“-‟]/g, '"')
    .replace(/\r\n?|[\u2028\u2029\x85]/g, "\n")
    .replace(/(?![\t\n\f\r\u0080-\u009f])[\p{Cc}\u206a-\u206f\ufeff\ufff9-\ufffc]/gu, "")
    .normalize("NFC");
}

const basic = (text: string): string => unescapeHtml(unescapeHtml(fixText(text)));
const words = (text: string): string => text.split(/\s+/u).filter(Boolean).join(" ");

/** open_clip.tokenizer's functions of these names. */
export const CLEAN = {
  whitespace: (text: string) => words(basic(text)),
  lower: (text: string) => words(basic(text)).toLowerCase(),
  /** Without ASCII's punctuation, as big_vision trains SigLIP. */
  canonicalize: (text: string) =>
    words(
      basic(text)
        .replaceAll("_", " ")
        .replace(/[!-/:-@[-`{-~]/g, "")
        .toLowerCase(),
    ),
};
