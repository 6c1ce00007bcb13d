/** Typed access to what a library's JSON file says. */
import { excerpt } from "../json.js";

export type Json = Readonly<Record<string, unknown>>;

export const isRecord = (x: unknown): x is Json => typeof x === "object" && x !== null && !Array.isArray(x);

export function positive(x: unknown): x is number {
  return Number.isSafeInteger(x) && (x as number) > 0;
}

/** Longest name of an architecture, a family or a choice: patterns are tried on them, and messages show them. */
const MAX_NAME = 200;

/** Smallest and largest of a number. */
export type Range = readonly [least: number, most: number];

/** Range of what is added to a variance: the largest that is published is 1e-3. */
export const EPS_RANGE: Range = [0, 1];

const inside = (x: unknown, [least, most]: Range): x is number => typeof x === "number" && x >= least && x <= most;

/** Tells whether it is a number that norms may add to a variance. */
export const isEps = (x: unknown): x is number => inside(x, EPS_RANGE);

/** A file's entries, each with what holds when it is absent. */
export function reader(name: string, file: Json) {
  const entryOf = (key: string, absent: unknown) => (has(key) ? file[key] : absent);
  const refuse = (key: string, rule: string, found: unknown): never => {
    throw new Error(`load: "${key}" of "${name}" must be ${rule}; got ${excerpt(found)}`);
  };
  const has = (key: string) => file[key] !== undefined && file[key] !== null;
  function text(key: string): string | undefined {
    if (!has(key)) return undefined;
    const value = file[key];
    if (typeof value !== "string") return refuse(key, "a text", value);
    if (value.length <= MAX_NAME) return value;
    return refuse(key, `a text of at most ${MAX_NAME} characters`, value);
  }
  return {
    has,
    text,
    flag(key: string, absent: boolean): boolean {
      const value = entryOf(key, absent);
      return typeof value === "boolean" ? value : refuse(key, "true or false", value);
    },
    count(key: string, absent: number): number {
      const value = entryOf(key, absent);
      return positive(value) ? value : refuse(key, "a positive integer", value);
    },
    /** A count that may be 0. */
    whole(key: string, absent: number): number {
      const value = entryOf(key, absent);
      return value === 0 || positive(value) ? value : refuse(key, "a whole number", value);
    },
    /** A whole number of any sign. */
    integer(key: string, absent: number): number {
      const value = entryOf(key, absent);
      return Number.isSafeInteger(value) ? (value as number) : refuse(key, "a whole number", value);
    },
    /** A list of numbers, of each of which a rule holds. */
    numbers(key: string, absent: readonly number[], rule: string, holds: (x: number) => boolean): readonly number[] {
      const value = entryOf(key, absent);
      const all = Array.isArray(value) && value.every((x) => typeof x === "number" && holds(x));
      return all ? (value as readonly number[]) : refuse(key, rule, value);
    },
    number(key: string, absent: number, range: Range): number {
      const value = entryOf(key, absent);
      return inside(value, range) ? value : refuse(key, `a number from ${range[0]} to ${range[1]}`, value);
    },
    size(key: string, absent: readonly [number, number]): [number, number] {
      const value = entryOf(key, absent);
      const pair = Array.isArray(value) ? value : [value, value];
      return pair.length === 2 && pair.every(positive)
        ? (pair as [number, number])
        : refuse(key, "one or two positive integers", value);
    },
    /** Refuses another value than the one that the tensors or the architecture tell. */
    same(key: string, told: unknown, absent = told): void {
      const value = entryOf(key, absent);
      if (value !== told) refuse(key, `${excerpt(told)}, as the rest tells`, value);
    },
    /** One of the keys of a table, to its value. */
    choice<T>(key: string, absent: string, table: Readonly<Record<string, T>>): T {
      const value = text(key) ?? absent;
      if (!Object.hasOwn(table, value)) {
        throw new Error(
          `load: "${key}" of "${name}" must be one of ${Object.keys(table).join(", ")}; got ${excerpt(value)}`,
        );
      }
      return table[value]!;
    },
  };
}
