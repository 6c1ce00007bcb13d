/**
 * The plan of a checkpoint: which tensors it must have, of which shape, and where each goes. Nothing is allocated before all
 * names and shapes are known to fit; then tensors pass once, in any order, in chunks of rows.
 */
import {
  type Backend,
  type DType,
  ELEMENT_BYTES,
  type Linear,
  type Norm,
  type Precision,
  type Tensor,
  type WeightTarget,
} from "../backend.js";
import { widen } from "../numerics/elements.js";
import { WEIGHT_RANGE } from "../numerics/quantise.js";
import type { Shapes } from "./config.js";
import { biasOf, type Layout, scaleOf as normScaleOf, shiftOf, weightOf } from "./layouts.js";

/** Rows of a tensor that go to one place. `width`: elements of a row of the place. */
interface Part {
  readonly width: number;
  readonly rows: number;
  readonly target: () => WeightTarget;
}

/** A tensor that the checkpoint must have: its shape, and where it goes: parts of it in turn, or all of it to `take`. */
interface Slot {
  readonly shape: readonly number[];
  readonly parts: Part[];
  /** Of the whole tensor in f32, once all of it has passed. */
  readonly take?: (values: Float32Array) => void;
}

/** The name of the scales of a weight that is stored in int8, F32 [outputs], one for each row. */
export const scaleOf = (weight: string): string => `${weight}_scale`;

/** What weights have to do with a checkpoint while it is read; see Checkpoint.read in io/checkpoint.ts. */
export interface WeightLoader<Weights> {
  wanted(info: { readonly name: string }): boolean;
  stage(length: number): Uint8Array;
  store(info: { readonly name: string; readonly dtype: DType }, row: number, bytes: Uint8Array): number;
  /** To be called when all is stored. */
  finish(): Promise<Weights>;
}

/** What is known of the weights before there is a backend. */
export interface WeightPlan<Weights> {
  /** All tensors that the model reads, or is recognised by. */
  readonly tensors: ReadonlySet<string>;
  /** Those of them that are weights of linear layers, row by row: what int8 stores as integers. */
  readonly linear: ReadonlySet<string>;
  /** int8 for a checkpoint of integers and scales, else f32. */
  readonly precision: Precision;
  /** Makes room on a backend, once, with linear layers in the given precision. */
  create(backend: Backend, precision: Precision): WeightLoader<Weights>;
}

/** Rearranges a weight of the checkpoint into rows of [outputs, inputs]. */
export type Arrange = (values: Float32Array) => Float32Array;

export interface LinearPlan {
  /** Tensors of the rows, in turn, without ".weight" unless `raw`. */
  readonly names: readonly string[];
  readonly outputs: number;
  readonly inputs: number;
  /** Shape of one name's weight behind its rows, when it is not [inputs]; or all of it, with `arrange`. */
  readonly shape?: readonly number[];
  /** Rows before the first name's, left at zero. */
  readonly skip?: number;
  /** What makes rows of a whole weight that is not stored as such. */
  readonly arrange?: Arrange;
  /** Names are of the weights themselves. */
  readonly raw?: boolean;
  /** Flax keeps the heads apart: outputs of q, k and v are [heads, d], and inputs of the projection. */
  readonly heads?: { readonly of: "inputs" | "outputs"; readonly count: number };
  /** Which names have a bias; by default as the first name has one. */
  readonly biases?: readonly (string | undefined)[];
}

export type Planner = ReturnType<typeof createPlanner>;

export function createPlanner(name: string, layout: Layout, tensors: Shapes) {
  const slots = new Map<string, Slot>();
  const linear = new Set<string>();
  const later: ((backend: Backend, precision: Precision) => void)[] = [];
  const last: ((backend: Backend) => void | Promise<void>)[] = [];
  let onto: Backend;

  const has = (tensor: string): boolean => tensors.has(tensor);

  /** What is made when there is a backend, and given out after. */
  function plan<T>(create: (backend: Backend, precision: Precision) => T): () => T {
    let made: T | undefined;
    later.push((backend, precision) => {
      made = create(backend, precision);
    });
    return () => made!;
  }

  /** A tensor of the checkpoint whose next rows go to `target`. */
  function slot(tensor: string, shape: readonly number[], part: Part): void {
    const known = slots.get(tensor);
    if (known) known.parts.push(part);
    else slots.set(tensor, { shape, parts: [part] });
  }

  /** A tensor that is wanted whole. */
  const take = (tensor: string, shape: readonly number[], use: (values: Float32Array) => void): void =>
    void slots.set(tensor, { shape, parts: [], take: use });

  /** Little-endian, as machines are that run this. */
  const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

  const planner = {
    has,
    layout,
    take,
    shapeOf: (tensor: string): readonly number[] | undefined => tensors.get(tensor)?.shape,
    transpose,

    /** A tensor of rows that several of the checkpoint's fill in turn, each with as many as it has. */
    rows(
      parts: readonly { readonly tensor: string; readonly shape: readonly number[]; readonly rows: number }[],
      cols: number,
    ) {
      const total = parts.reduce((sum, { rows }) => sum + rows, 0);
      const made = plan((backend) => backend.createTensor(total, cols));
      let row = 0;
      for (const { tensor, shape, rows } of parts) {
        const at = row;
        slot(tensor, shape, { width: cols, rows, target: () => ({ tensor: made(), row: at }) });
        row += rows;
      }
      return made;
    },

    /** The values of a tensor, kept here. */
    values: once((tensor: string, shape: readonly number[]): (() => Float32Array) => {
      let kept: Float32Array | undefined;
      take(tensor, shape, (values) => {
        kept = values;
      });
      return () => kept!;
    }),

    linear(layer: LinearPlan): () => Linear {
      const { names, outputs, inputs, shape = [inputs], skip = 0, arrange, raw, biases, heads } = layer;
      const made = plan((backend, precision) => backend.createLinear(outputs, inputs, precision));
      const rows = (outputs - skip) / names.length;
      const whole = arrange ?? (layout.kernels ? transpose(inputs) : undefined);
      names.forEach((part, i) => {
        const row = skip + i * rows;
        const weight = raw ? part : weightOf(layout, part);
        if (whole) {
          const split = (n: number) => [heads!.count, n / heads!.count];
          const [from, to] = [
            heads?.of === "inputs" ? split(inputs) : [inputs],
            heads?.of === "outputs" ? split(rows) : [rows],
          ];
          take(weight, arrange ? shape : [...from, ...to], (values) => {
            onto.store({ linear: made(), part: "weight", row }, "F32", bytesOf(whole(values)));
          });
        } else {
          linear.add(weight);
          const target = () => ({ linear: made(), part: "weight" as const, row });
          slot(weight, [rows, ...shape], { width: inputs, rows, target });
          if (tensors.get(weight)?.dtype === "I8") slots.set(scaleOf(weight), { shape: [rows], parts: [] });
        }
        const named = biases ? biases[i] : raw ? undefined : biasOf(layout, part);
        // The first name tells whether there are biases; a later one that is missing is then an error.
        const wanted = biases ? named !== undefined : named !== undefined && has(biasOf(layout, names[0]!));
        const split = layout.kernels && heads?.of === "outputs" ? heads.count : 1;
        if (wanted) planner.bias(made, named!, rows, row, rows, split);
      });
      return made;
    },

    /** Rows of a weight that is part of a larger tensor: called in the order of that tensor's rows. */
    rowsOf(tensor: string, of: { rows: number; inputs: number }, to: () => Linear, rows: number, row: number): void {
      linear.add(tensor);
      slot(tensor, [of.rows, of.inputs], {
        width: of.inputs,
        rows,
        target: () => ({ linear: to(), part: "weight", row }),
      });
      if (tensors.get(tensor)?.dtype === "I8") slots.set(scaleOf(tensor), { shape: [of.rows], parts: [] });
    },

    /** A weight whose columns go to two layers: the first half of each row and the second. */
    halves(tensor: string, to: readonly [() => Linear, () => Linear], outputs: number, inputs: number): void {
      take(tensor, [outputs, 2 * inputs], (values) => {
        for (let row = 0; row < outputs; row++) {
          to.forEach((half, i) => {
            const at = (2 * row + i) * inputs;
            onto.store({ linear: half(), part: "weight", row }, "F32", bytesOf(values.subarray(at, at + inputs)));
          });
        }
      });
    },

    /** Elements of a bias, or of a part of one. */
    bias(to: () => Linear, tensor: string, rows: number, row: number, of = rows, heads = 1): void {
      slot(tensor, heads > 1 ? [heads, of / heads] : [of], {
        width: 1,
        rows,
        target: () => ({ linear: to(), part: "bias", row }),
      });
    },

    /** A linear layer to be filled by rowsOf and bias. */
    empty: (outputs: number, inputs: number): (() => Linear) =>
      plan((backend, precision) => backend.createLinear(outputs, inputs, precision)),

    /** A norm; an RMSNorm where `like`, the tower's first, has no shift. */
    norm: once((norm: string, cols: number, eps: number, like: string | undefined): (() => Norm) => {
      const vector = (tensor: string) => planner.rows([{ tensor, shape: [cols], rows: 1 }], cols);
      const scale = vector(normScaleOf(layout, norm));
      const rms = like !== undefined && has(normScaleOf(layout, like)) && !has(shiftOf(layout, like));
      const shift = rms ? undefined : vector(shiftOf(layout, norm));
      return () => ({ scale: scale(), shift: shift?.(), eps });
    }),

    /** LayerScale: the rows of a layer times a vector, once both have passed. */
    rescale(to: () => Linear, tensor: string, outputs: number): void {
      const factors = planner.values(tensor, [outputs]);
      last.push((backend) => backend.rescale(to(), factors()));
    },

    /** To be done when all tensors have passed. */
    finally(act: (backend: Backend) => void | Promise<void>): void {
      last.push(act);
    },

    /** A tensor that is not the checkpoint's. */
    tensor: (rows: number, cols: number): (() => Tensor) => plan((backend) => backend.createTensor(rows, cols)),

    /** Ends planning: compares what was planned with what there is. */
    finish<Weights>(ignored: (tensor: string) => boolean, weights: () => Weights): WeightPlan<Weights> {
      compare(name, slots, tensors, ignored);
      return {
        tensors: new Set([...slots.keys(), ...[layout.evidence ?? ""].filter(has)]),
        linear,
        precision: [...linear].some((tensor) => slots.has(scaleOf(tensor))) ? "int8" : "f32",
        create(backend, precision) {
          onto = backend;
          for (const make of later) make(backend, precision);
          return loaderOf(name, slots, tensors, backend, async () => {
            for (const act of last) await act(backend);
            return weights();
          });
        },
      };
    },
  };
  return planner;
}

/** Branches that read the same z may share a norm and a LayerScale: by the tensor's name, it is planned once. */
function once<Args extends readonly unknown[], T>(
  plan: (tensor: string, ...args: Args) => T,
): (tensor: string, ...args: Args) => T {
  const known = new Map<string, T>();
  return (tensor, ...args) => {
    if (!known.has(tensor)) known.set(tensor, plan(tensor, ...args));
    return known.get(tensor)!;
  };
}

/** [inputs, outputs] to [outputs, inputs]. */
export const transpose =
  (inputs: number): Arrange =>
  (values) => {
    const outputs = values.length / inputs;
    const result = new Float32Array(values.length);
    for (let i = 0; i < inputs; i++)
      for (let o = 0; o < outputs; o++) result[o * inputs + i] = values[i * outputs + o]!;
    return result;
  };

function loaderOf<Weights>(
  name: string,
  slots: ReadonlyMap<string, Slot>,
  tensors: Shapes,
  backend: Backend,
  finish: () => Promise<Weights>,
): WeightLoader<Weights> {
  const [least, most] = WEIGHT_RANGE;
  const scales = new Map<string, Float32Array>();
  const whole = new Map<string, Float32Array>();
  const elements = (shape: readonly number[]) => shape.reduce((product, n) => product * n, 1);

  /** Keeps scales; returns -1, or the index of the first that the weights cannot be multiplied by. */
  function storeScales(tensor: string, row: number, bytes: Uint8Array): number {
    const values = new Float32Array(new Uint8Array(bytes).buffer);
    const bad = values.findIndex((scale) => !Number.isFinite(Math.fround(scale * least)));
    if (bad >= 0) return bad;
    if (row === 0) scales.set(tensor, new Float32Array(slots.get(tensor)!.shape[0]!));
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

  /** Elements of a tensor that is wanted whole, converted by the backend. */
  function collect({ shape, take }: Slot, tensor: string, start: number, dtype: DType, bytes: Uint8Array): number {
    const count = bytes.length / ELEMENT_BYTES[dtype];
    const all = whole.get(tensor) ?? new Float32Array(elements(shape));
    whole.set(tensor, all);
    const values = widen(bytes, dtype);
    const bad = values.findIndex((x) => !Number.isFinite(x));
    if (bad >= 0) return bad;
    all.set(values, start);
    if (start + count === all.length) {
      whole.delete(tensor);
      take!(all);
    }
    return -1;
  }

  return {
    wanted: (info) => slots.has(info.name),
    stage: backend.stage,
    store({ name: tensor, dtype }, row, bytes) {
      const slot = slots.get(tensor)!;
      const found = tensors.get(tensor)!.shape;
      const start = row * (elements(found) / (found[0] ?? 1));
      if (slot.take) return collect(slot, tensor, start, dtype, bytes);
      if (slot.parts.length === 0) return storeScales(tensor, row, bytes);
      const size = ELEMENT_BYTES[dtype];
      const end = start + bytes.length / size;
      // What is staged lasts until the next call only, and there is one for each part.
      if (slot.parts.length > 1) bytes = new Uint8Array(bytes);
      let at = 0;
      let firstRow = 0;
      for (const { width, rows, target } of slot.parts) {
        const [from, to] = [Math.max(start, at), Math.min(end, at + rows * width)];
        if (from < to) {
          const part = bytes.subarray((from - start) * size, (to - start) * size);
          const place = target();
          const shifted = { ...place, row: place.row + (from - at) / width };
          const quantised = "linear" in shifted && shifted.part === "weight" && dtype === "I8";
          const bad = backend.store(
            quantised ? { ...shifted, scales: scalesOf(tensor, firstRow + (from - at) / width, width, part) } : shifted,
            dtype,
            part,
          );
          if (bad >= 0) return from - start + bad;
        }
        at += rows * width;
        firstRow += rows;
      }
      return -1;
    },
    finish,
  };
}

/** Most tensors that an error names of each kind. */
const NAMED = 8;

/** Most names that a missing one is compared with: a distance takes microseconds, and there may be thousands. */
const COMPARED = 500;

function compare(
  name: string,
  slots: ReadonlyMap<string, Slot>,
  tensors: Shapes,
  ignored: (tensor: string) => boolean,
): void {
  const shape = (x: readonly number[]) => `(${x.join(", ")})`;
  const missing = [...slots.keys()].filter((tensor) => !tensors.has(tensor));
  const unexpected = [...tensors.keys()].filter((tensor) => !slots.has(tensor) && !ignored(tensor));
  const misshapen = [...slots].filter(([tensor, slot]) => {
    const found = tensors.get(tensor)?.shape;
    if (!found) return false;
    // Ones do not count: libraries differ in [1, 1, D] and [D], and a linear head may be a 1×1 convolution.
    const [a, b] = [found, slot.shape].map((dims) => dims.filter((n) => n !== 1));
    return a!.length !== b!.length || a!.some((n, i) => n !== b![i]);
  });
  const findings: string[] = [];
  const add = <T>(kind: string, found: readonly T[], describe: (x: T) => string) => {
    if (found.length === 0) return;
    const more = found.length > NAMED ? `, and ${found.length - NAMED} more` : "";
    findings.push(`${kind}: ${found.slice(0, NAMED).map(describe).join(", ")}${more}`);
  };
  add(
    "misshapen",
    misshapen,
    ([tensor, slot]) => `"${tensor}" should be ${shape(slot.shape)}, got ${shape(tensors.get(tensor)!.shape)}`,
  );
  const mistyped = [...slots].flatMap(([tensor, slot]) => {
    const found = tensors.get(tensor)?.dtype ?? "F32";
    return slot.parts.length > 0 || slot.take || found === "F32" ? [] : [`"${tensor}" should be F32, got ${found}`];
  });
  add("of another type", mistyped, (finding) => finding);
  add("missing", missing, (tensor) => {
    const near = nearest(tensor, unexpected.slice(0, COMPARED));
    return near ? `"${tensor}" (nearest is "${near}")` : `"${tensor}"`;
  });
  add("unexpected", unexpected, (tensor) => `"${tensor}"`);
  if (findings.length > 0)
    throw new Error(`weights: the tensors of "${name}" do not fit its config; ${findings.join("; ")}`);
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
