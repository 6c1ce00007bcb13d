/** JSON of files that anybody may have written: parsed within bounds, and shown in messages without being written out. */

/** Deepest nesting of objects and arrays, that of serde_json, with which the Rust tools of these formats read. */
export const MAX_NESTING = 127;

/**
 * Most objects and arrays. An empty one takes 3 bytes of a file and 50 of memory, so their number is bounded apart from the
 * bytes. A tokenizer with a million merges has a million arrays.
 */
export const MAX_CONTAINERS = 2 ** 21;

const [QUOTE, BACKSLASH, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d];

/**
 * Parses a file.
 * @param what the file, at the start of messages.
 * @param containers most objects and arrays.
 * @throws Error: one sentence, for what is not UTF-8 or JSON, nests deeper than {@link MAX_NESTING} or has more objects and
 * arrays; those are counted before anything is made of them. Nothing of the file is in it: engines quote what they cannot
 * parse, and it may be any file.
 */
export function parseJson(bytes: Uint8Array, what: string, containers = MAX_CONTAINERS): unknown {
  const other = otherThanJson(bytes);
  if (other !== undefined) throw new Error(`${what} is ${other}, not JSON`);
  checkContainers(bytes, what, containers);
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

/** Names what is often found in the place of a file. */
function otherThanJson(bytes: Uint8Array): string | undefined {
  const begin = new TextDecoder().decode(bytes.subarray(0, 40)).trimStart();
  if (begin.startsWith("version https://git-lfs.")) return "a Git LFS pointer";
  return begin.startsWith("<") ? "an HTML or XML page" : undefined;
}

/** Bytes alone tell: those of JSON's marks are no part of other characters in UTF-8. */
export function checkContainers(bytes: Uint8Array, what: string, most = MAX_CONTAINERS): void {
  let depth = 0;
  let containers = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === QUOTE) i = endOfText(bytes, i);
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      if (++depth > MAX_NESTING) throw new Error(`${what} nests values deeper than ${MAX_NESTING} levels`);
      if (++containers > most) {
        throw new Error(`${what} holds more than ${most.toLocaleString("en-US")} objects and arrays`);
      }
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth--;
  }
}

/** Where the text that begins at `start` has its last quote: one before which an even number of backslashes stands. */
function endOfText(bytes: Uint8Array, start: number): number {
  for (let end = bytes.indexOf(QUOTE, start + 1); end >= 0; end = bytes.indexOf(QUOTE, end + 1)) {
    let before = end;
    while (bytes[before - 1] === BACKSLASH) before--;
    if ((end - before) % 2 === 0) return end;
  }
  return bytes.length;
}

/** Names a value, for messages about files that may be anything; texts, lists and objects by their kind only. */
export function kindOf(value: unknown): string {
  if (typeof value === "string") return "a text";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

/** Line breaks and control characters, of which JSON leaves some as they are: DEL, C1 and the separators of Unicode. */
const UNPRINTED = /[\p{Cc}\u2028\u2029]/gu;

const escaped = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** A text on one line: line breaks and control characters by their codes, as JSON and patterns have them. */
export const onOneLine = (text: string): string => text.replace(UNPRINTED, escaped);

/**
 * A value as JSON for a message, on one line and cut after `most` characters; what is beyond them is not looked at, however much
 * it is or however deep.
 */
export function excerpt(value: unknown, most = 80): string {
  let text = "";
  function write(x: unknown): void {
    if (text.length > most) return;
    if (typeof x === "string") text += onOneLine(JSON.stringify(x.slice(0, most + 1)));
    else if (typeof x === "function" || typeof x === "symbol") text += typeof x;
    else if (typeof x !== "object" || x === null) text += String(x);
    else if (ArrayBuffer.isView(x)) text += `${x.constructor.name} of ${x.byteLength} bytes`;
    else if (Array.isArray(x)) list("[", x.keys(), (i) => write(x[i]), "]");
    else {
      const entry = (key: string) => {
        write(key);
        text += ":";
        write((x as Record<string, unknown>)[key]);
      };
      list("{", Object.keys(x).values(), entry, "}");
    }
  }
  function list<Key>(open: string, keys: Iterable<Key>, each: (key: Key) => void, close: string): void {
    text += open;
    let first = true;
    for (const key of keys) {
      if (text.length > most) return;
      if (!first) text += ",";
      first = false;
      each(key);
    }
    text += close;
  }
  write(value);
  return text.length > most ? `${text.slice(0, most)}…` : text;
}
