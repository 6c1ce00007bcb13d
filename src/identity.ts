/**
 * Models by what makes their features comparable: name, commit, precision and preprocessing, and what they make of one picture. That
 * tells weights apart which have the same name, and the same weights under two names are one model.
 */
import { excerpt, parseJson } from "./json.js";

/** Facts of a loaded model, besides its weights, that its features depend on. */
export interface ModelIdentity {
  /** The repository, or the last part of the path. */
  readonly model: string;
  /** The commit on the Hub. */
  readonly commit?: string | undefined;
  readonly precision: string;
  /** Steps from the photo to pixel values. */
  readonly preprocessing: Readonly<Record<string, unknown>>;
}

export interface Identity extends ModelIdentity {
  /** Options of `embed`. */
  readonly pooling?: string | undefined;
  readonly normalize?: boolean | undefined;
  /** Numbers of a collection's vectors, where they are not f32; they are as comparable. */
  readonly vectors?: "int8" | undefined;
  /** Length of the features. */
  readonly width: number;
  /** The first numbers of the feature of a picture that is always the same. */
  readonly check: readonly number[];
}

export interface IdentityOptions {
  readonly pooling?: Identity["pooling"];
  readonly normalize?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The part of a model that tells what it is. */
interface Embedding {
  readonly identity: ModelIdentity;
  embed(image: { data: Uint8Array; width: number; height: number }, options?: object): Promise<Float32Array>;
}

/** Numbers of a feature that are kept. */
const CHECKED = 64;
/**
 * Most that a number may differ, as a share of the largest: backends differ by 2e-5, f16 by 1e-3, other weights by 1.
 */
const TOLERANCE = 5e-3;

export async function identityOf(
  model: Embedding,
  { pooling, normalize, signal }: IdentityOptions = {},
): Promise<Identity> {
  const options = { ...(pooling && { pooling }), ...(normalize && { normalize }), signal };
  const feature = await model.embed(picture(), options);
  const check = Array.from(feature.subarray(0, CHECKED), (x) => Number(x.toPrecision(7)));
  return {
    ...model.identity,
    ...(pooling && { pooling }),
    ...(normalize && { normalize }),
    width: feature.length,
    check,
  };
}

/** A picture of waves and noise, whose every pixel counts. */
function picture() {
  const [width, height] = [61, 47];
  let random = 1;
  const data = Uint8Array.from({ length: 3 * width * height }, (_, i) => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    return ((x * (4 - (i % 3)) + y * (1 + (i % 3))) % 192) + (random >>> 26);
  });
  return { data, width, height };
}

/**
 * Refuses features of another model.
 * @param what the thing that was made by a model, at the start of the message.
 * @throws Error: one sentence with both models and what differs.
 */
export function checkSame(what: string, made: Identity, given: Identity): void {
  const difference = differenceOf(made, given);
  if (difference === undefined) return;
  throw new Error(`${what} was made by ${nameOf(made)}, and this model is ${nameOf(given)}: ${difference}`);
}

const nameOf = ({ model, commit, precision }: ModelIdentity): string =>
  `${excerpt(model)}${commit ? ` at ${commit.slice(0, 7)}` : ""} in ${precision}`;

function differenceOf(a: Identity, b: Identity): string | undefined {
  for (const key of ["precision", "pooling", "normalize", "width"] as const) {
    if (a[key] !== b[key]) return `${key} is ${excerpt(a[key] ?? "not set")}, and not ${excerpt(b[key] ?? "set")}`;
  }
  const keys = [...new Set([...Object.keys(a.preprocessing), ...Object.keys(b.preprocessing)])];
  const other = keys.find((key) => JSON.stringify(a.preprocessing[key]) !== JSON.stringify(b.preprocessing[key]));
  if (other !== undefined) {
    const [was, is] = [a, b].map(({ preprocessing }) => excerpt(preprocessing[other] ?? null));
    return `preprocessing.${other} is ${was}, and not ${is}`;
  }
  const largest = a.check.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  const far =
    a.check.length !== b.check.length || a.check.some((x, i) => !(Math.abs(x - b.check[i]!) <= TOLERANCE * largest));
  return far ? "they make different features of the same picture" : undefined;
}

/**
 * Reads what was written as JSON.
 * @throws Error: one sentence that begins with `what`.
 */
export function parseIdentity(what: string, json: string): Identity {
  return checkIdentity(what, parseJson(new TextEncoder().encode(json), what));
}

/** The same of a value that has been parsed. */
export function checkIdentity(what: string, value: unknown): Identity {
  const identity = Object(value) as Identity;
  const { model, commit, precision, preprocessing, pooling, normalize, vectors, width, check } = identity;
  const numbers = Array.isArray(check) && check.length <= CHECKED && check.every((x) => Number.isFinite(x));
  const texts = [model, precision].every((text) => typeof text === "string");
  const absent =
    [commit, pooling].every((text) => text === undefined || typeof text === "string") &&
    (vectors === undefined || vectors === "int8");
  const whole = Number.isSafeInteger(width) && width > 0 && (normalize === undefined || typeof normalize === "boolean");
  if (numbers && texts && absent && whole && typeof preprocessing === "object" && preprocessing !== null)
    return identity;
  throw new Error(
    `${what} must say which model it is of: model, precision, preprocessing, width and check; got ${excerpt(value)}`,
  );
}
