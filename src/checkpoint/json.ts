/** Typed access to what a library's JSON file says. */

export type Json = Readonly<Record<string, unknown>>;

export const isRecord = (x: unknown): x is Json => typeof x === "object" && x !== null && !Array.isArray(x);

export function positive(x: unknown): x is number {
  return Number.isSafeInteger(x) && (x as number) > 0;
}

/** A file's entries, each with what holds when it is absent. */
export function reader(name: string, file: Json) {
  const refuse = (key: string, rule: string): never => {
    throw new Error(`load: "${key}" of "${name}" must be ${rule}; got ${JSON.stringify(file[key])}`);
  };
  const has = (key: string) => file[key] !== undefined && file[key] !== null;
  return {
    has,
    text: (key: string) => (has(key) ? String(file[key]) : undefined),
    flag: (key: string, absent: boolean) => (typeof file[key] === "boolean" ? file[key] : absent),
    count(key: string, absent: number): number {
      const value = has(key) ? file[key] : absent;
      return positive(value) ? value : refuse(key, "a positive integer");
    },
    number(key: string, absent: number): number {
      const value = has(key) ? file[key] : absent;
      return typeof value === "number" && value >= 0 ? value : refuse(key, "a number, at least 0");
    },
    size(key: string, absent: readonly [number, number]): [number, number] {
      const value = has(key) ? file[key] : absent;
      const pair = Array.isArray(value) ? value : [value, value];
      return pair.length === 2 && pair.every(positive)
        ? (pair as [number, number])
        : refuse(key, "one or two positive integers");
    },
    /** One of the keys of a table, to its value. */
    choice<T>(key: string, absent: string, table: Readonly<Record<string, T>>): T {
      const value = String(has(key) ? file[key] : absent);
      if (!Object.hasOwn(table, value)) {
        throw new Error(`load: "${key}" of "${name}" must be one of ${Object.keys(table).join(", ")}; got "${value}"`);
      }
      return table[value]!;
    },
  };
}
