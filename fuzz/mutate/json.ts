/** Changes of a JSON document, value by value: what no change of bytes finds, since most of those only break its syntax. */
import type { Mutator, Pool } from "./mutator.js";

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A duplicate of a name, which JSON.stringify cannot write, is marked by this in front of it. */
const TWICE = "\u0001";

/** Small ones, sizes of models and images, and those at which programs go wrong. */
const NUMBERS = [
  "0 -0 1 -1 2 3 5 7 8 0.5 1.5 -2 10 12 16 32 64 100 224 256 1000 1024 4096 65535 65536 65537 2147483647 2147483648",
  "4294967296 9007199254740991 9007199254740992 1e9 3e8 1e16 1e38 1e300 -1e300 1e-7 1e-15 9e-13 1e-38 5e-324",
].flatMap((list) => list.split(" ").map(Number));
const TEXTS = [
  "",
  " ",
  "a",
  "\n",
  "line\nbreak",
  "\u2028",
  "\u0000",
  "\ud800",
  "NaN",
  "Infinity",
  "-1",
  "1e9",
  "__proto__",
  "constructor",
  "toString",
  "length",
  "../..",
  "é",
  "😀",
  "[",
  "{}",
  "(a|a)*b",
  "(a+)+$",
];

/** A value that might be anywhere. */
function anything(pool: Pool): Json {
  const { random, words, names } = pool;
  switch (random.below(10)) {
    case 0:
      return null;
    case 1:
      return random.once(2);
    case 2:
    case 3:
    case 4:
      return random.pick(NUMBERS);
    case 5:
      return random.pick(TEXTS);
    case 6:
      return words.length > 0 ? random.pick(words) : "";
    case 7:
      return Array.from({ length: random.below(4) }, () => random.pick(NUMBERS));
    case 8:
      return names.length > 0 ? { [random.pick(names)]: random.pick(NUMBERS) } : {};
    default:
      return nested(random.pick([2, 3, 4, 8, 16, random.once(100) ? 3000 : 32]), random.once(2));
  }
}

function nested(depth: number, asArrays: boolean): Json {
  let value: Json = 1;
  for (; depth > 0; depth--) value = asArrays ? [value] : { a: value };
  return value;
}

/** Another value of about the same kind. */
function changed(value: Json, pool: Pool): Json {
  const { random, words } = pool;
  if (random.once(4)) return anything(pool);
  if (typeof value === "number") {
    const others = [
      value + 1,
      value - 1,
      -value,
      2 * value,
      value / 2,
      value * 10,
      value + 0.5,
      value * 1e9,
      random.pick(NUMBERS),
      random.pick(NUMBERS),
    ];
    const other = random.pick(others);
    return Number.isFinite(other) ? other : 1e308;
  }
  if (typeof value === "string") {
    const at = random.below(value.length + 1);
    const others = [
      () => (words.length > 0 ? random.pick(words) : value),
      () => (words.length > 0 ? random.pick(words) : value),
      () => random.pick(TEXTS),
      () => value.slice(0, at),
      () => value.slice(0, at) + random.pick(TEXTS) + value.slice(at),
      () => value.slice(0, at) + String.fromCharCode(random.below(random.pick([128, 65536]))) + value.slice(at + 1),
      () => value.repeat(random.pick([2, 10, 100])).slice(0, 2000),
    ];
    return random.pick(others)();
  }
  if (Array.isArray(value)) {
    const at = random.below(value.length + 1);
    const others: (() => Json)[] = [
      () => value.filter((_, i) => i !== at),
      () => [...value, value[at] ?? anything(pool)],
      () => [...value.slice(0, at), anything(pool), ...value.slice(at)],
      () => [...value].reverse(),
      () => value.slice(0, at),
      () => Array.from({ length: 100 }, () => value[at] ?? 0),
      () => [],
    ];
    return random.pick(others)();
  }
  if (typeof value === "object" && value !== null) return changedObject(value, pool);
  return anything(pool);
}

function changedObject(value: { [name: string]: Json }, pool: Pool): Json {
  const { random, names, words } = pool;
  const entries = Object.entries(value);
  const at = random.below(Math.max(1, entries.length));
  const known = random.once(3) ? words : names;
  const name = known.length > 0 && !random.once(8) ? random.pick(known) : random.pick(TEXTS);
  const others: (() => [string, Json][])[] = [
    () => entries.filter((_, i) => i !== at),
    () => [...entries, [name, anything(pool)]],
    () => [...entries, [name, entries[at]?.[1] ?? anything(pool)]],
    () => entries.map(([key, old], i) => [i === at ? name : key, old]),
    () => [...entries, [TWICE + (entries[at]?.[0] ?? ""), anything(pool)]],
    () => [...entries].reverse(),
  ];
  return fromEntries(random.pick(others)());
}

/** Names such as __proto__ are names like others. */
const fromEntries = (entries: readonly (readonly [string, Json])[]) =>
  Object.fromEntries(entries) as { [name: string]: Json };

/** `value` with one of all the values in it replaced by what `change` makes of it; each is as likely as any other. */
function replaceOne(value: Json, chosen: number, change: (value: Json) => Json): Json {
  let left = chosen;
  const visit = (value: Json): Json => {
    if (left-- === 0) return change(value);
    if (left < 0) return value;
    if (Array.isArray(value)) return value.map(visit);
    if (typeof value === "object" && value !== null) {
      return fromEntries(Object.entries(value).map(([name, inner]) => [name, visit(inner)]));
    }
    return value;
  };
  return visit(value);
}

/** All values of a document, itself included. */
function valuesOf(value: Json, into: Json[] = []): Json[] {
  into.push(value);
  if (typeof value === "object" && value !== null) for (const inner of Object.values(value)) valuesOf(inner, into);
  return into;
}

/** Changes a document given as a text. */
export function mutateJsonText(text: string, otherText: () => string, pool: Pool): string | undefined {
  const { random } = pool;
  let value = parsed(text);
  if (value === undefined) return undefined;
  for (let left = 1 << random.below(4); left > 0; left--) {
    const values = valuesOf(value);
    const given = random.once(6) ? parsed(otherText()) : undefined;
    const change = (old: Json) => (given === undefined ? changed(old, pool) : random.pick(valuesOf(given)));
    value = replaceOne(value, random.below(values.length), change);
  }
  return JSON.stringify(value).replaceAll(JSON.stringify(TWICE).slice(1, -1), "");
}

function parsed(text: string): Json | undefined {
  try {
    const value = JSON.parse(text) as Json;
    // Deeper ones were seen to be refused, and functions that call themselves cannot change them.
    return depthOf(text) < 500 ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Brackets that are open at once, at most; those in texts count too. */
function depthOf(text: string): number {
  let [depth, most] = [0, 0];
  for (const char of text) {
    if (char === "[" || char === "{") most = Math.max(most, ++depth);
    else if (char === "]" || char === "}") depth--;
  }
  return most;
}

/** For inputs that are JSON documents. */
export const mutateJson: Mutator = (input, pool) => {
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const text = mutateJsonText(decode(input), () => decode(pool.other()), pool);
  return text === undefined ? undefined : new TextEncoder().encode(text);
};
