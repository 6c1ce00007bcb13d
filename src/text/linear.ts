/**
 * Which regular expressions take time in proportion to the text. JavaScript's engines backtrack: (a|a)*b on 30 letters takes a
 * minute, and \s+$ takes the square of a run of spaces. A tokenizer.json brings its own expressions, so they are read here
 * before they run, as the engine will have them (flags g and u), and those that are not known to be linear are refused.
 *
 * An expression is linear if each alternative is, tried at every place of the text:
 *
 * - one of a bounded number of ways, such as 's|'t or [^\r\n]?\p{N}{1,3};
 * - the same before a last X*, X+ or X{n,} of a single character: once there, it cannot fail, and what it reads it keeps;
 * - X* or X+ of a single character and then a bounded number of ways, such as \s+(?!\S), if the next alternatives of its kind end
 *   in X+ alone. It may read all of a run and fail, but X+ then takes that run; and since greedy repetition finds the last
 *   place of the run where the rest fits, each such alternative succeeds once in a run at most.
 *
 * Everything else is refused: repeated groups, back references, and two unbounded repetitions before something that may fail.
 * Refusals may be wrong, acceptances may not.
 */

/** A part of an expression. */
type Node =
  /** One code point: a letter, an escape, a class, or a group of looks and one of these. */
  | { readonly kind: "character"; readonly source: string }
  /** Takes no text: an edge of a line or word, or a group that looks ahead or behind. */
  | { readonly kind: "look"; readonly ways: number }
  | { readonly kind: "group"; readonly options: readonly Sequence[] }
  | {
      readonly kind: "repeat";
      readonly of: Node;
      readonly least: number;
      readonly most: number;
      readonly greedy: boolean;
    };
type Sequence = readonly Node[];

/** Most ways of all alternatives together, and repetitions that count as ways rather than as unbounded. */
const MAX_WAYS = 1000;
const MAX_REPEATS = 32;

/** Most ways of the looks that tell a single character. */
const MAX_LOOKS = 16;

/** Deepest nesting of groups; what compiles no class has fewer than ten. */
const MAX_DEPTH = 50;

/**
 * Looks for what may take more than linear time.
 * @param pattern as compiled with the flags g and u.
 * @returns why it is refused; undefined for an expression that is linear.
 */
export function faultOfPattern({ source, flags }: RegExp): string | undefined {
  if (flags !== "gu" && flags !== "g") return `has the flags "${flags}"`;
  const parsed = parse(source);
  if (typeof parsed === "string") return parsed;
  const alternatives = unwrapped(parsed).map(described);
  const fault = alternatives.find((found) => typeof found === "string");
  if (fault !== undefined) return fault as string;
  const known = alternatives as Alternative[];
  if (known.reduce((sum, { ways }) => sum + ways, 0) > MAX_WAYS) return `can be tried in more than ${MAX_WAYS} ways`;
  for (const [i, { runs }] of known.entries()) {
    if (runs === undefined) continue;
    let next = i + 1;
    while (known[next]?.runs === runs) next++;
    if (known[next]?.takes !== runs) return `may read a run of ${runs} again from each of its places`;
  }
  return undefined;
}

/** An alternative as the rules see it. */
interface Alternative {
  /** In how many ways it can be tried at a place, beside the run. */
  readonly ways: number;
  /** The character whose run it may read and then fail. */
  readonly runs?: string;
  /** The character of whose run it takes all. */
  readonly takes?: string;
}

function described(sequence: Sequence): Alternative | string {
  const items = [...sequence];
  let ways = 1;
  // What follows the last item that can fail is read once, and kept.
  for (let last = items.at(-1); last?.kind === "repeat"; last = items.at(-1)) {
    const single = last.of.kind === "character";
    if (last.least === 0 && (single || waysOf(last) < Number.POSITIVE_INFINITY)) {
      ways += single ? 0 : waysOf(last);
      items.pop();
    } else if (single) {
      items[items.length - 1] = { ...last, most: last.least };
      break;
    } else break;
  }
  const own = items.reduce((product, item) => product * waysOf(item), ways);
  const first = sequence[0];
  const leading = first?.kind === "repeat" && first.of.kind === "character" && isUnbounded(first) ? first : undefined;
  if (own <= MAX_WAYS) {
    const whole = leading?.greedy && leading.least <= 1 && items.length <= 1;
    return whole ? { ways: own, takes: (leading.of as { source: string }).source } : { ways: own };
  }
  const at = items.findIndex(({ kind }) => kind !== "look");
  const run = items[at];
  const others = items.reduce((product, item, i) => (i === at ? product : product * waysOf(item)), ways);
  if (run?.kind === "repeat" && run.of.kind === "character" && run.greedy && others <= MAX_WAYS) {
    return { ways: others, runs: run.of.source };
  }
  return "repeats what can be repeated or read in several ways";
}

const isUnbounded = ({ most }: { readonly most: number }): boolean => most > MAX_REPEATS;

/** In how many ways a node can be tried at a place; infinitely many where that grows with the text. */
function waysOf(node: Node): number {
  switch (node.kind) {
    case "character":
      return 1;
    case "look":
      return node.ways;
    case "group":
      return waysOfAll(node.options);
    case "repeat": {
      if (isUnbounded(node)) return Number.POSITIVE_INFINITY;
      const each = waysOf(node.of);
      let ways = 0;
      for (let count = node.least; count <= node.most; count++) ways += each ** count;
      return ways;
    }
  }
}

const waysOfAll = (options: readonly Sequence[]): number =>
  options.reduce((sum, items) => sum + items.reduce((product, item) => product * waysOf(item), 1), 0);

/** The alternatives of an expression, which may be those of one group that is all of it. */
function unwrapped(options: readonly Sequence[]): readonly Sequence[] {
  const [only] = options;
  const [group] = only ?? [];
  return options.length === 1 && only!.length === 1 && group!.kind === "group" ? unwrapped(group!.options) : options;
}

/** Alternatives of an expression's source; a message for what is not known. The source is valid: it was compiled. */
function parse(source: string): readonly Sequence[] | string {
  let at = 0;
  let fault: string | undefined;

  function options(depth: number): Sequence[] {
    if (depth > MAX_DEPTH) {
      fault = `nests groups deeper than ${MAX_DEPTH} levels`;
      at = source.length;
      return [];
    }
    const all: Sequence[] = [];
    let items: Node[] = [];
    while (at < source.length && source[at] !== ")") {
      if (source[at] === "|") {
        at++;
        all.push(items);
        items = [];
      } else items.push(repeated(atom(depth)));
    }
    all.push(items);
    return all;
  }

  function atom(depth: number): Node {
    const start = at;
    const rest = source.slice(at);
    const escaped =
      /^\\(?:[pP]\{[^}]*\}|u\{[^}]*\}|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|c[A-Za-z]|k<[^>]*>|[0-9]+|.)/su.exec(rest);
    if (escaped) {
      at += escaped[0].length;
      if (/^\\(k|[1-9])/.test(escaped[0])) fault = "refers back to a group";
      if (/^\\[bB]$/.test(escaped[0])) return { kind: "look", ways: 1 };
      return { kind: "character", source: escaped[0] };
    }
    if (rest[0] === "^" || rest[0] === "$") {
      at++;
      return { kind: "look", ways: 1 };
    }
    if (rest[0] === "[") {
      for (at++; source[at] !== "]"; at++) if (source[at] === "\\") at++;
      at++;
      return { kind: "character", source: source.slice(start, at) };
    }
    if (rest[0] === "(") return group(depth);
    at += String.fromCodePoint(rest.codePointAt(0)!).length;
    return { kind: "character", source: source.slice(start, at) };
  }

  function group(depth: number): Node {
    const start = at;
    const prefix = /^\((?:\?(?:<?[=!]|:|<[^>]*>))?/.exec(source.slice(at))![0];
    at += prefix.length;
    if (source[at] === "?") fault = "has a group of a kind that is not known";
    const inner = options(depth + 1);
    at++;
    const ways = waysOfAll(inner);
    if (/[=!]$/.test(prefix)) return { kind: "look", ways };
    const [only] = inner;
    const characters = only?.filter(({ kind }) => kind !== "look").length;
    // A class that is made of several looks is tried at each character as a whole.
    const single = inner.length === 1 && characters === 1 && only!.at(-1)!.kind === "character" && ways <= MAX_LOOKS;
    return single ? { kind: "character", source: source.slice(start, at) } : { kind: "group", options: inner };
  }

  function repeated(of: Node): Node {
    const quantifier = /^(?:[*+?]|\{(\d+)(,(\d*))?\})(\??)/.exec(source.slice(at));
    if (!quantifier) return of;
    at += quantifier[0].length;
    const [text, from, comma, to, lazy] = quantifier;
    const least = from === undefined ? (text[0] === "+" ? 1 : 0) : Number(from);
    const unlimited = from === undefined ? text[0] !== "?" : comma !== undefined && to === "";
    const most = unlimited ? Number.POSITIVE_INFINITY : from === undefined ? 1 : Number(to ?? from);
    return { kind: "repeat", of, least, most, greedy: lazy === "" };
  }

  const all = options(0);
  return fault ?? (at < source.length ? "has a group that is not opened" : all);
}
