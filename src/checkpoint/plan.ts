/**
 * The plan of a checkpoint: which tensors it must have, of which shape, and where each goes. Nothing is allocated before all
 * names and shapes are known to fit; then tensors pass once, in any order, in chunks of rows.
 */
import {
  type Backend,
  type DType,
  ELEMENT_BYTES,
  type Linear,
  type Precision,
  type Tensor,
  type WeightTarget,
} from "../backend.js";
import { excerpt, onOneLine } from "../json.js";
import { widen } from "../numerics/elements.js";
import { WEIGHT_RANGE } from "../numerics/quantize.js";
import type { BatchNormPlan, LinearPlan, Planned, Source, TensorPlan, ValuesPlan } from "../planned.js";
import type { Shapes } from "./config.js";

/** A plan's places. */
type Leaf = LinearPlan | TensorPlan | ValuesPlan;

/** Purpose of a tensor: rows of a place, or values. */
type Use =
  | { readonly leaf: LinearPlan; readonly part: "weight" | "bias"; readonly source: Source; readonly width: number }
  | { readonly leaf: TensorPlan; readonly source: Source; readonly width: number }
  | { readonly leaf: ValuesPlan };

/** A tensor that the checkpoint must have. The scales of a weight have no use of their own. */
interface Entry {
  readonly shape: readonly number[];
  readonly uses: Use[];
}

/** The name of the scales of a weight that is stored in int8, F32 [outputs], one for each row. */
export const scaleOf = (weight: string): string => `${weight}_scale`;

/** Takes the tensors of a checkpoint while it is read; see Checkpoint.read in io/checkpoint.ts. */
export interface WeightLoader<Weights> {
  wanted(info: { readonly name: string }): boolean;
  stage(length: number): Uint8Array;
  store(info: { readonly name: string; readonly dtype: DType }, row: number, bytes: Uint8Array): number;
  /** To be called when all is stored. */
  finish(): Promise<Weights>;
}

/** A plan that fits a checkpoint, before there is a backend. */
export interface WeightPlan<Weights> {
  /** All tensors that the model reads, or is recognized by. */
  readonly tensors: ReadonlySet<string>;
  /** Those of them that are weights of linear layers, row by row: what int8 stores as integers. */
  readonly linear: ReadonlySet<string>;
  /** int8 for a checkpoint of integers and scales, else f32. */
  readonly precision: Precision;
  /** Makes room on a backend, each time anew, with linear layers in the given precision. */
  create(backend: Backend, precision: Precision): WeightLoader<Weights>;
}

/** Tells whether a tensor is wanted whole, in f32. */
const isWhole = (use: Use): boolean => !("source" in use) || use.source.arrange !== undefined;

function* leavesOf(plan: unknown): Generator<Leaf> {
  if (typeof plan !== "object" || plan === null) return;
  if (!("place" in plan)) {
    for (const part of Object.values(plan)) yield* leavesOf(part);
    return;
  }
  const leaf = plan as Leaf;
  yield leaf;
  if (leaf.place !== "linear") return;
  if (leaf.scale) yield leaf.scale;
  if (leaf.batchNorm) yield* Object.values(leaf.batchNorm.values);
}

function usesOf(leaf: Leaf): Use[] {
  if (leaf.place === "values") return [{ leaf }];
  if (leaf.place === "tensor") return leaf.sources.map((source) => ({ leaf, source, width: leaf.cols }));
  const { weight, bias, inputs } = leaf;
  return [
    ...weight.map((source) => ({ leaf, part: "weight" as const, source, width: inputs })),
    ...bias.map((source) => ({ leaf, part: "bias" as const, source, width: 1 })),
  ];
}

/** Every tensor that a plan asks for, in its order. An I8 weight asks for its scales, one for each of its rows. */
function entriesOf(leaves: ReadonlySet<Leaf>, tensors: Shapes): Map<string, Entry> {
  const entries = new Map<string, Entry>();
  for (const use of [...leaves].flatMap(usesOf)) {
    const { tensor, shape } = "source" in use ? use.source : use.leaf;
    const entry = entries.get(tensor) ?? { shape, uses: [] };
    entry.uses.push(use);
    entries.set(tensor, entry);
    if (isWeight(use) && tensors.get(tensor)?.dtype === "I8") {
      entries.set(scaleOf(tensor), { shape: [elementsOf(shape) / use.width], uses: [] });
    }
  }
  return entries;
}

/** Tells whether it is a weight that is stored row by row, as those in int8 are, and may be. */
const isWeight = (use: Use): use is Extract<Use, { part: unknown }> =>
  "part" in use && use.part === "weight" && !isWhole(use) && !use.leaf.exact;

const elementsOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** Makes room for a plan on a backend; values arrive later. */
function allocate(leaves: ReadonlySet<Leaf>, backend: Backend, precision: Precision): Map<Leaf, Linear | Tensor> {
  const made = new Map<Leaf, Linear | Tensor>();
  for (const leaf of leaves) {
    if (leaf.place === "linear") {
      made.set(leaf, backend.createLinear(leaf.outputs, leaf.inputs, leaf.exact ? "f32" : precision));
    }
    if (leaf.place === "tensor") made.set(leaf, backend.createTensor(leaf.rows, leaf.cols));
  }
  return made;
}

/** The weights that a plan is of. */
function filled<T>(plan: Planned<T>, made: ReadonlyMap<Leaf, unknown>): T {
  const fill = (part: unknown): unknown => {
    if (typeof part !== "object" || part === null) return part;
    if ("place" in part) return made.get(part as Leaf);
    if (Array.isArray(part)) return part.map(fill);
    return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, fill(value)]));
  };
  return fill(plan) as T;
}

/**
 * A plan that fits the tensors of a checkpoint.
 * @param ignored tells which other tensors may be there.
 * @param evidence tensors that are read for their being there.
 * @param finish makes the weights of what was loaded.
 * @throws Error naming every missing, unexpected and misshapen tensor at once, each with the nearest name that exists.
 */
export function fitPlan<Loaded, Weights>(
  name: string,
  plan: Planned<Loaded>,
  tensors: Shapes,
  {
    ignored,
    evidence,
    finish,
  }: {
    readonly ignored: (tensor: string) => boolean;
    readonly evidence: readonly string[];
    readonly finish: (loaded: Loaded) => Weights;
  },
): WeightPlan<Weights> {
  const leaves = new Set(leavesOf(plan));
  const entries = entriesOf(leaves, tensors);
  compare(name, entries, tensors, ignored);
  const linear = new Set([...entries].filter(([, { uses }]) => uses.some(isWeight)).map(([tensor]) => tensor));
  return {
    tensors: new Set([...entries.keys(), ...evidence.filter((tensor) => tensors.has(tensor))]),
    linear,
    precision: [...linear].some((tensor) => entries.has(scaleOf(tensor))) ? "int8" : "f32",
    create(backend, precision) {
      const made = new Map<Leaf, Linear | Tensor | Float32Array>(allocate(leaves, backend, precision));
      return loaderOf(name, entries, made, tensors, backend, async () => {
        for (const leaf of leaves) {
          if (leaf.place !== "linear") continue;
          if (leaf.scale) backend.rescale(made.get(leaf) as Linear, made.get(leaf.scale) as Float32Array);
          if (leaf.batchNorm) foldBatchNorm(name, backend, leaf as LinearPlan & { batchNorm: BatchNormPlan }, made);
        }
        return finish(filled(plan, made));
      });
    },
  };
}

/** (y - mean)/√(variance + eps) · scale + shift of y = x Wᵀ + b, as rows and bias of the layer. */
function foldBatchNorm(
  name: string,
  backend: Backend,
  leaf: LinearPlan & { readonly batchNorm: BatchNormPlan },
  made: ReadonlyMap<Leaf, unknown>,
): void {
  const { eps, values } = leaf.batchNorm;
  const of = (plan: ValuesPlan) => made.get(plan) as Float32Array;
  const [scale, shift, mean, variance] = [of(values.scale), of(values.shift), of(values.mean), of(values.variance)];
  const negative = variance.findIndex((x) => !(x >= 0));
  if (negative >= 0) {
    const found = `element ${negative} is ${variance[negative]}`;
    throw new Error(`weights: "${values.variance.tensor}" of "${name}" must hold variances, of 0 or more; ${found}`);
  }
  const bias = values.bias && of(values.bias);
  const factors = scale.map((x, i) => x / Math.sqrt(variance[i]! + eps));
  const linear = made.get(leaf) as Linear;
  backend.rescale(linear, factors);
  const folded = factors.map((x, i) => ((bias?.[i] ?? 0) - mean[i]!) * x + shift[i]!);
  const bad = backend.store({ linear, part: "bias", row: 0 }, "F32", bytesOf(folded));
  if (bad >= 0)
    throw new Error(`weights: "${values.scale.tensor}" of "${name}" must give finite biases; ${bad} is not`);
}

/** Little-endian, as machines are that run this. */
const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

function loaderOf<Weights>(
  name: string,
  entries: ReadonlyMap<string, Entry>,
  made: Map<Leaf, Linear | Tensor | Float32Array>,
  tensors: Shapes,
  backend: Backend,
  finish: () => Promise<Weights>,
): WeightLoader<Weights> {
  const [least, most] = WEIGHT_RANGE;
  const scales = new Map<string, Float32Array>();
  const whole = new Map<string, Float32Array>();

  /** Keeps scales; returns -1, or the index of the first that the weights cannot be multiplied by. */
  function storeScales(tensor: string, row: number, bytes: Uint8Array): number {
    const values = new Float32Array(new Uint8Array(bytes).buffer);
    const bad = values.findIndex((scale) => !Number.isFinite(Math.fround(scale * least)));
    if (bad >= 0) return bad;
    if (row === 0) scales.set(tensor, new Float32Array(entries.get(tensor)!.shape[0]!));
    scales.get(tensor)!.set(values, row);
    return -1;
  }

  /** The scales of rows of a weight, whose integers are checked. */
  function scalesOf(tensor: string, first: number, inputs: number, bytes: Uint8Array): Float32Array {
    const all = scales.get(scaleOf(tensor));
    if (!all)
      throw new Error(`weights: "${scaleOf(tensor)}" must come before "${tensor}" in "${name}"; it comes after`);
    const integers = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    let bad = 0;
    while (bad < integers.length && integers[bad]! >= least && integers[bad]! <= most) bad++;
    if (bad < integers.length) {
      const element = `element ${first * inputs + bad} is ${integers[bad]}`;
      throw new Error(`weights: "${tensor}" of "${name}" must hold integers from ${least} to ${most}; ${element}`);
    }
    return all.subarray(first, first + bytes.length / inputs);
  }

  /** Target of a use's rows, from its `row`-th on. */
  function targetOf(use: Exclude<Use, { leaf: ValuesPlan }>, row: number): WeightTarget {
    const place = { row: use.source.to + row };
    if ("part" in use) return { linear: made.get(use.leaf) as Linear, part: use.part, ...place };
    return { tensor: made.get(use.leaf) as Tensor, ...place };
  }

  /** Elements of a tensor that is wanted whole, converted by the backend's own rule. */
  function collect(tensor: string, { shape, uses }: Entry, start: number, dtype: DType, bytes: Uint8Array): number {
    const all = whole.get(tensor) ?? new Float32Array(elementsOf(shape));
    whole.set(tensor, all);
    const values = widen(bytes, dtype);
    const bad = values.findIndex((x) => !Number.isFinite(x));
    if (bad >= 0) return bad;
    all.set(values, start);
    if (start + values.length === all.length) {
      whole.delete(tensor);
      for (const use of uses.filter(isWhole)) take(tensor, use, all);
    }
    return -1;
  }

  function take(tensor: string, use: Use, all: Float32Array): void {
    if (!("source" in use)) {
      made.set(use.leaf, use.leaf.arrange?.(all) ?? all);
      return;
    }
    const rows = use.source.arrange!(all);
    const bad = backend.store(targetOf(use, 0), "F32", bytesOf(rows));
    if (bad >= 0) throw new Error(`weights: "${tensor}" of "${name}" must be finite in f16; it holds ${rows[bad]}`);
  }

  return {
    wanted: (info) => entries.has(info.name),
    stage: backend.stage,
    store({ name: tensor, dtype }, row, bytes) {
      const entry = entries.get(tensor)!;
      const { uses } = entry;
      const found = tensors.get(tensor)!.shape;
      const start = row * (elementsOf(found) / (found[0] ?? 1));
      if (uses.length === 0) return storeScales(tensor, row, bytes);
      const size = ELEMENT_BYTES[dtype];
      const end = start + bytes.length / size;
      // What is staged lasts until the next call only, and there is one for each use.
      if (uses.length > 1) bytes = new Uint8Array(bytes);
      for (const use of uses) {
        if (!("source" in use) || isWhole(use)) continue;
        const { source, width } = use;
        const [first, last] = [source.from * width, (source.from + source.rows) * width];
        const [from, to] = [Math.max(start, first), Math.min(end, last)];
        if (from >= to) continue;
        const part = bytes.subarray((from - start) * size, (to - start) * size);
        const target = targetOf(use, (from - first) / width);
        const scales = isWeight(use) && dtype === "I8" ? scalesOf(tensor, from / width, width, part) : undefined;
        const bad = backend.store(scales ? ({ ...target, scales } as WeightTarget) : target, dtype, part);
        if (bad >= 0) return from - start + bad;
      }
      return uses.some(isWhole) ? collect(tensor, entry, start, dtype, bytes) : -1;
    },
    finish,
  };
}

/** Most tensors that an error names of a kind, and in all. */
const NAMED = 8;

/** Most dimensions of a shape that are told; no tensor of a model has more than 4. */
const TOLD_DIMENSIONS = 8;

/** Most names that a missing one is compared with: a distance takes microseconds, and there may be thousands. */
const COMPARED = 500;

function compare(
  name: string,
  entries: ReadonlyMap<string, Entry>,
  tensors: Shapes,
  ignored: (tensor: string) => boolean,
): void {
  const shape = (x: readonly number[]) => (x.length > TOLD_DIMENSIONS ? `${x.length} dimensions` : `(${x.join(", ")})`);
  const missing = [...entries.keys()].filter((tensor) => !tensors.has(tensor));
  const unexpected = [...tensors.keys()].filter((tensor) => !entries.has(tensor) && !ignored(tensor));
  const misshapen = [...entries].filter(([tensor, entry]) => {
    const found = tensors.get(tensor)?.shape;
    if (!found) return false;
    // Ones do not count: libraries differ in [1, 1, D] and [D], and a linear head may be a 1×1 convolution.
    const [a, b] = [found, entry.shape].map((dims) => dims.filter((n) => n !== 1));
    return a!.length !== b!.length || a!.some((n, i) => n !== b![i]);
  });
  const mistyped = [...entries].flatMap(([tensor, entry]) => {
    const found = tensors.get(tensor)?.dtype ?? "F32";
    return entry.uses.length > 0 || found === "F32" ? [] : [`"${tensor}" should be F32, got ${found}`];
  });
  const kinds = [misshapen, mistyped, missing, unexpected].filter(({ length }) => length > 0).length;
  const named = Math.floor(NAMED / kinds);
  const findings: string[] = [];
  const add = <T>(kind: string, found: readonly T[], describe: (x: T) => string) => {
    if (found.length === 0) return;
    const more = found.length > named ? `, and ${found.length - named} more` : "";
    findings.push(`${kind}: ${found.slice(0, named).map(describe).join(", ")}${more}`);
  };
  add(
    "misshapen",
    misshapen,
    ([tensor, entry]) => `"${tensor}" should be ${shape(entry.shape)}, got ${shape(tensors.get(tensor)!.shape)}`,
  );
  add("of another type", mistyped, (finding) => finding);
  add("missing", missing, (tensor) => {
    const near = nearest(tensor, unexpected.slice(0, COMPARED));
    return near ? `"${tensor}" (nearest is ${excerpt(near)})` : `"${tensor}"`;
  });
  add("unexpected", unexpected, (tensor) => excerpt(tensor));
  if (kinds === 1 && unexpected.length > 0)
    findings.push(`the option ignore: ${patternOf(unexpected)} leaves them out`);
  if (findings.length > 0)
    throw new Error(`weights: the tensors of "${name}" do not fit its config; ${findings.join("; ")}`);
}

/** A pattern of names, for messages: as many of them as a message may hold, else of what they begin with. */
export function patternOf(names: readonly string[]): string {
  const escaped = (text: string) => onOneLine(text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"));
  const short = [...new Set(names.map((name) => (names.length > 4 ? name.slice(0, name.indexOf(".") + 1) : name)))];
  const all = short.every((name) => name !== "" && name.length <= 80) && short.length <= 4 ? short : [];
  if (all.length === 0) return "/…/";
  return `/^(${all.map(escaped).join("|")})${names.length > 4 ? "" : "$"}/`;
}

/** The closest of `names` by edit distance, if any shares at least half of the letters. */
function nearest(name: string, names: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = name.length / 2;
  for (const other of names) {
    if (Math.abs(other.length - name.length) >= least) continue;
    const distance = editDistance(name, other);
    if (distance < least) [best, least] = [other, distance];
  }
  return best;
}

/** Levenshtein's, by rows. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const above = row;
    row = [i];
    for (let j = 1; j <= b.length; j++) {
      row.push(Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + Number(a[i - 1] !== b[j - 1])));
    }
  }
  return row[b.length]!;
}
