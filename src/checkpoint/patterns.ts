/**
 * Regular expressions that come with a checkpoint (PEFT's rank_pattern), matched in bounded time: a matcher takes all places
 * where it may begin and gives all where it may end, so that nothing is tried twice, and what is left of a budget ends it.
 */
import { excerpt } from "../json.js";

/** Places in the text behind what matched, of the places before it. */
type Matcher = (text: string, from: ReadonlySet<number>) => ReadonlySet<number>;

/** Places that may be looked at in all, in about two seconds: a model of 300 layers and 20 patterns needs a fifth of them. */
const MAX_PLACES = 5e6;

/** Longest pattern, and deepest nesting of groups. */
const MAX_PATTERN = 1000;
const MAX_DEPTH = 20;

const CLASSES: Readonly<Record<string, RegExp>> = { d: /\d/, D: /\D/, w: /\w/, W: /\W/, s: /\s/, S: /\S/ };

/**
 * Compiles patterns that are matched as a whole, as Python's re.fullmatch.
 * @param what the patterns' place, for messages: `"rank_pattern" of "name"`.
 * @returns a function that makes a test of a pattern: true if it matches from one of the places, 0 unless given, to the end.
 * @throws Error: one sentence, for what is none or has parts that are not known here, and when the budget is used up.
 */
export function createPatterns(
  what: string,
): (pattern: string) => (text: string, places?: Iterable<number>) => boolean {
  let left = MAX_PLACES;

  function spend(places: number): void {
    left -= places;
    if (left < 0) throw new Error(`load: patterns of ${what} must match names in a short time; they do not`);
  }

  const letter =
    (holds: (char: string) => boolean): Matcher =>
    (text, from) => {
      spend(from.size + 1);
      const to = new Set<number>();
      for (const at of from) if (at < text.length && holds(text[at]!)) to.add(at + 1);
      return to;
    };

  const all =
    (parts: readonly Matcher[]): Matcher =>
    (text, from) =>
      parts.reduce((places, part) => (places.size === 0 ? places : part(text, places)), from);

  const any =
    (parts: readonly Matcher[]): Matcher =>
    (text, from) =>
      new Set(parts.flatMap((part) => [...part(text, from)]));

  const repeated =
    (part: Matcher, least: number, most: number): Matcher =>
    (text, from) => {
      let places = from;
      for (let i = 0; i < least && places.size > 0; i++) places = part(text, places);
      const reached = new Set(places);
      for (let i = least; i < most && places.size > 0; i++) {
        places = new Set([...part(text, places)].filter((at) => !reached.has(at)));
        for (const at of places) reached.add(at);
      }
      return reached;
    };

  return (pattern) => {
    const refuse = (found: string): never => {
      throw new Error(`load: ${what} must have regular expressions of plain parts; ${excerpt(pattern)} ${found}`);
    };
    if (pattern.length > MAX_PATTERN) refuse("is too long");
    let next = 0;

    function alternatives(depth: number): Matcher {
      if (depth > MAX_DEPTH) refuse("nests groups too deep");
      const parts = [sequence(depth)];
      while (pattern[next] === "|") {
        next++;
        parts.push(sequence(depth));
      }
      return parts.length === 1 ? parts[0]! : any(parts);
    }

    function sequence(depth: number): Matcher {
      const parts: Matcher[] = [];
      while (next < pattern.length && pattern[next] !== "|" && pattern[next] !== ")") parts.push(quantified(depth));
      return all(parts);
    }

    function quantified(depth: number): Matcher {
      const part = atom(depth);
      const [found, least, comma, most] = /^(?:[*+?]|\{(\d{1,3})(,(\d{1,3})?)?\})\??/.exec(pattern.slice(next)) ?? [];
      if (found === undefined) return part;
      next += found.length;
      if (found[0] === "*") return repeated(part, 0, Number.POSITIVE_INFINITY);
      if (found[0] === "+") return repeated(part, 1, Number.POSITIVE_INFINITY);
      if (found[0] === "?") return repeated(part, 0, 1);
      const end = comma === undefined ? least : (most ?? Number.POSITIVE_INFINITY);
      return repeated(part, Number(least), Number(end));
    }

    function atom(depth: number): Matcher {
      const char = pattern[next++]!;
      if (char === "(") {
        if (pattern[next] === "?") {
          if (pattern[next + 1] !== ":") refuse(`has (${pattern.slice(next, next + 2)}`);
          next += 2;
        }
        const inner = alternatives(depth + 1);
        if (pattern[next++] !== ")") refuse("has a group without an end");
        return inner;
      }
      if (char === ".") return letter((other) => other !== "\n");
      if (char === "^") return (_, from) => new Set(from.has(0) ? [0] : []);
      if (char === "$") return (text, from) => new Set(from.has(text.length) ? [text.length] : []);
      if (char === "[") return letter(set());
      if (char === "\\") return letter(escaped());
      if ("*+?{".includes(char)) refuse(`has ${char} behind nothing`);
      return letter((other) => other === char);
    }

    function escaped(): (char: string) => boolean {
      const char = pattern[next++] ?? refuse("ends in a backslash");
      const kind = CLASSES[char];
      if (kind) return (other) => kind.test(other);
      if (/\w/.test(char)) refuse(`has \\${char}`);
      return (other) => other === char;
    }

    function set(): (char: string) => boolean {
      const isOther = pattern[next] === "^";
      if (isOther) next++;
      const holds: ((char: string) => boolean)[] = [];
      for (let isFirst = true; isFirst || pattern[next] !== "]"; isFirst = false) {
        const char = pattern[next++] ?? refuse("has [ without an end");
        const end = pattern[next + 1];
        if (char === "\\") holds.push(escaped());
        else if (pattern[next] === "-" && end !== undefined && end !== "]") {
          holds.push((other) => other >= char && other <= end);
          next += 2;
        } else holds.push((other) => other === char);
      }
      next++;
      return (char) => holds.some((one) => one(char)) !== isOther;
    }

    const matcher = alternatives(0);
    if (next < pattern.length) refuse("has ) without a beginning");
    return (text, places = [0]) => matcher(text, new Set(places)).has(text.length);
  };
}
