/** Fields of what a client sends, each of which is understood or refused. */
import { excerpt } from "../json.js";
import { malformed } from "./refusal.js";

export type Fields = Readonly<Record<string, unknown>>;

/**
 * The fields of an object.
 * @param known names; others are refused, as they would do nothing.
 */
export function fieldsOf(value: unknown, what: string, known: readonly string[]): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw malformed(`${what} must be an object; got ${excerpt(value)}`);
  }
  const other = Object.keys(value).find((name) => !known.includes(name));
  if (other !== undefined) throw malformed(`${what} may have ${known.join(", ")}; got ${excerpt(other)}`);
  return value as Fields;
}

/** Rules that values are held to, with the words for them. */
const RULES = {
  flag: ["true or false", (x: unknown): x is boolean => typeof x === "boolean"],
  text: ["a text", (x: unknown): x is string => typeof x === "string"],
  count: ["a positive integer", (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) > 0],
  part: ["a number from 0 to 1", (x: unknown): x is number => typeof x === "number" && x >= 0 && x <= 1],
  texts: [
    "a list of texts, one at least",
    (x: unknown): x is string[] => Array.isArray(x) && x.length > 0 && x.every((text) => typeof text === "string"),
  ],
} as const;

type Rule = keyof typeof RULES;
type ValueOf<R extends Rule> = (typeof RULES)[R][1] extends (x: unknown) => x is infer T ? T : never;

/** The value of a field; undefined where it is left out, or null. */
export function optional<R extends Rule>(fields: Fields, name: string, rule: R): ValueOf<R> | undefined {
  const value = fields[name] ?? undefined;
  const [words, holds] = RULES[rule];
  if (value === undefined || holds(value)) return value as ValueOf<R> | undefined;
  throw malformed(`${name} must be ${words}; got ${excerpt(value)}`);
}

/** One of some texts; undefined where it is left out, or null. */
export function choice<T extends string>(fields: Fields, name: string, among: readonly T[]): T | undefined {
  const value = fields[name] ?? undefined;
  if (value === undefined || among.includes(value as T)) return value as T | undefined;
  throw malformed(`${name} must be ${among.join(" or ")}; got ${excerpt(value)}`);
}
