/** Features of images whose classes are known: what heads are made of. */
import { excerpt } from "../json.js";

/** Rows of features, one after the other in one array, [N, D], or each in its own. */
export type Features = Float32Array | readonly Float32Array[];

export interface Examples {
  /** [count, width]. */
  readonly features: Float32Array;
  readonly count: number;
  readonly width: number;
  /** Names of the classes, sorted; numbers by size. */
  readonly classes: readonly string[];
  /** Place of each example's class in `classes`. */
  readonly truth: Int32Array;
}

/** @throws TypeError or RangeError: one sentence that begins with `call`. */
export function examplesOf(call: string, features: Features, labels: readonly (string | number)[]): Examples {
  if (!Array.isArray(labels) || labels.some((label) => typeof label !== "string" && !Number.isFinite(label))) {
    throw new TypeError(`${call}: labels must be strings or numbers, one a row; got ${excerpt(labels)}`);
  }
  const all = rowsOf(call, features);
  const count = labels.length;
  const width = all.length / count;
  if (!(count > 0 && width >= 1 && Number.isInteger(width))) {
    throw new RangeError(`${call}: features must be a row for each of ${count} labels; got ${all.length} numbers`);
  }
  if (!(features instanceof Float32Array) && features.length !== count) {
    throw new RangeError(`${call}: features must be a row for each of ${count} labels; got ${features.length} rows`);
  }
  const bad = all.findIndex((x) => !Number.isFinite(x));
  if (bad >= 0) {
    throw new RangeError(`${call}: features must be finite; row ${Math.floor(bad / width)} has ${all[bad]}`);
  }
  const numeric = labels.every((label) => typeof label === "number");
  const classes = [...new Set(labels.map(String))].sort((a, b) => (numeric ? Number(a) - Number(b) : a < b ? -1 : 1));
  if (classes.length < 2)
    throw new RangeError(`${call}: labels must name two classes at least; got ${excerpt(classes)}`);
  const places = new Map(classes.map((name, i) => [name, i]));
  return {
    features: all,
    count,
    width,
    classes,
    truth: Int32Array.from(labels, (label) => places.get(String(label))!),
  };
}

/** Rows in one array. */
export function rowsOf(call: string, features: Features): Float32Array {
  if (features instanceof Float32Array) return features;
  if (!Array.isArray(features) || features.some((row) => !(row instanceof Float32Array))) {
    throw new TypeError(`${call}: features must be a Float32Array or a list of them; got ${excerpt(features)}`);
  }
  const width = features[0]?.length ?? 0;
  const other = features.findIndex((row) => row.length !== width);
  if (other >= 0) {
    throw new RangeError(
      `${call}: rows must be of one length; row 0 has ${width}, row ${other} ${features[other].length}`,
    );
  }
  const all = new Float32Array(width * features.length);
  for (const [i, row] of features.entries()) all.set(row, i * width);
  return all;
}
