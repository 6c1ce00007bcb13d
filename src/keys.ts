/**
 * Keys of libraries' JSON files: none of them goes unread. A key is understood, since the code asked for it; or it is on a list
 * of those that change no number; or it would change numbers if it had another value than the one that is computed, and is then
 * an error that names it. The rest are strays, which no version of the library knows ("license", "my_note"):
 *
 * - Where the library takes keys by their names, strays do nothing there and nothing here; `inspect` lists those of config.json.
 *   A file that a newer version of transformers wrote is an exception: a stray may be what that version added, and is an error
 *   unless it is off (false, 0 or nothing).
 * - Where the library hands them on to a function (timm's model_args, OpenCLIP's vision_cfg), strays are errors there and here.
 *
 * tests/keys.test.ts walks all keys of the libraries' classes.
 */
import { excerpt } from "./json.js";

type Json = Readonly<Record<string, unknown>>;

/** An object of a JSON file that notes which of its keys are read. */
export interface Watched {
  /** The object, to be read. */
  readonly file: Json;
  /** The same, unwatched. */
  readonly object: Json;
  /** Keys that were read. */
  readonly asked: ReadonlySet<string>;
  /** A watched object in it. */
  within(key: string): Watched | undefined;
}

const isObject = (x: unknown): x is Json => typeof x === "object" && x !== null && !Array.isArray(x);

/**
 * Watches an object.
 * @param nested keys of objects, anywhere in it, that are watched as well; others are given as they are, such as tables of labels.
 */
export function watch(object: Json, nested: readonly string[] = []): Watched {
  const asked = new Set<string>();
  const inner = new Map<string, Watched>();
  function within(key: string): Watched | undefined {
    const value = object[key];
    if (!nested.includes(key) || !Object.hasOwn(object, key) || !isObject(value)) return undefined;
    const known = inner.get(key) ?? watch(value, nested);
    inner.set(key, known);
    return known;
  }
  // A copy: what a caller froze may not be shown otherwise than it is.
  const file = new Proxy<Json>(
    { ...object },
    {
      get(copy, key) {
        if (typeof key !== "string") return undefined;
        asked.add(key);
        return Object.hasOwn(copy, key) ? (within(key)?.file ?? copy[key]) : undefined;
      },
    },
  );
  return { file, object, asked, within };
}

/** A library's keys that the code does not read, or not of every checkpoint. */
export interface KeyRules {
  /** Keys that change no number, by the reason, with spaces between. */
  readonly harmless: Readonly<Record<string, string>>;
  /** Values that keys may have where the code does not ask for them: those that change no number. */
  readonly fixed: Readonly<Record<string, readonly unknown[]>>;
  /** Refuses keys that are in neither list, with this clause about them. */
  readonly strays?: string;
}

const setsOf = new WeakMap<KeyRules, ReadonlySet<string>>();

/** All harmless keys of rules. */
export function harmlessKeys(rules: KeyRules): ReadonlySet<string> {
  const known = setsOf.get(rules) ?? new Set(Object.values(rules.harmless).flatMap((names) => names.split(" ")));
  setsOf.set(rules, known);
  return known;
}

const isNothing = (value: unknown): boolean =>
  value === null || value === undefined || (typeof value === "object" && Object.keys(value as object).length === 0);

/** Keys of an object that were not read and on which the rules say nothing. */
export function straysOf({ object, asked }: Watched, rules: KeyRules): string[] {
  const known = harmlessKeys(rules);
  return Object.keys(object).filter(
    (key) => !asked.has(key) && !known.has(key) && !Object.hasOwn(rules.fixed, key) && !isNothing(object[key]),
  );
}

/**
 * Compares the keys that were not read with the rules. What is null, or an empty list or object, says nothing.
 * @param what the object and its file, for the message: `"model_args" of "name"`.
 * @returns a clause that names a key whose value would change numbers, or that may not be there.
 */
export function faultOfKeys(what: string, watched: Watched, rules: KeyRules): string | undefined {
  const { object, asked } = watched;
  for (const [key, allowed] of Object.entries(rules.fixed)) {
    const value = Object.hasOwn(object, key) ? object[key] : undefined;
    if (asked.has(key) || isNothing(value) || allowed.some((one) => one === value)) continue;
    const rule = allowed.length > 0 ? allowed.map((one) => excerpt(one)).join(" or ") : "left out";
    return `"${key}" of ${what} must be ${rule}, as nothing else is computed here; got ${excerpt(value)}`;
  }
  const [stray] = rules.strays === undefined ? [] : straysOf(watched, rules);
  return stray === undefined
    ? undefined
    : `${excerpt(stray)} of ${what} ${rules.strays}; got ${excerpt(object[stray])}`;
}
