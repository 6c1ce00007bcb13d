/** JSON files: how much is read of them, and what errors tell of what they hold. */

/**
 * JSON of more bytes is not read: the names of ImageNet-22k's classes take 2 MB in a config.json, and 16 MB of empty lists take a
 * second to parse and 430 MB.
 */
export const MAX_JSON_BYTES = 16_000_000;

/** The same of tokenizer.json, of which some have 34 MB. */
export const MAX_TOKENIZER_BYTES = 100_000_000;

/**
 * What a JSON file holds.
 * @param what names the file at the start of messages.
 * @throws Error: one sentence, and nothing of the file: engines quote what they cannot parse, and it may be any file.
 */
export function parseJson(bytes: Uint8Array, what: string): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`${what} is not valid JSON: it is not UTF-8`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    const { message } = error as Error;
    const [where] = /position \d+|line \d+ column \d+/.exec(message) ?? [];
    const why = /^Unexpected end/.test(message) ? "it ends early" : "a character is out of place";
    throw new Error(`${what} is not valid JSON: ${why}${where ? `, at ${where}` : ""}`);
  }
}

/** What a value of JSON is, for messages that must not quote it: a number as it is, of others the kind. */
export function kindOf(value: unknown): string {
  if (typeof value === "string") return "a text";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  return String(value);
}
