/** From named tensors of a checkpoint to the weights that the forward pass reads. */
import type { Backend, DType, Linear, Norm, Precision, Tensor, WeightTarget } from "../backend.js";
import { WEIGHT_RANGE } from "../quantise.js";
import { type Config, gridOf, type Named, type Shapes } from "./config.js";

/** One encoder block, eq. 2 and 3. */
export interface Block {
  readonly norm1: Norm;
  /** U_qkv of eq. 5, all heads: D → [q | k | v] */
  readonly qkv: Linear;
  readonly headNorm: { readonly query: Norm; readonly key: Norm } | undefined;
  /** U_msa of eq. 8: D → D */
  readonly proj: Linear;
  readonly norm2: Norm;
  readonly fc1: Linear;
  readonly fc2: Linear;
}

/** Attention pooling: the q rows of `qkv` are zero and their biases the projected query, so that all tokens ask the same. */
export interface AttentionPool {
  readonly qkv: Linear;
  readonly proj: Linear;
  readonly norm: Norm;
  readonly fc1: Linear;
  readonly fc2: Linear;
}

export interface Weights {
  /** E of eq. 1: C·Ph·Pw → D */
  readonly patchEmbed: Linear;
  /** Class token and distillation token, [prefixTokens, D]. */
  readonly prefix: Tensor | undefined;
  /** E_pos of eq. 1: [prefixTokens + N, D] */
  readonly positions: Tensor;
  readonly blocks: readonly Block[];
  /** Of eq. 4. */
  readonly norm: Norm;
  readonly attentionPool: AttentionPool | undefined;
  readonly head: Linear | undefined;
  readonly distillationHead: Linear | undefined;
  /** Hugging Face's, before its tanh. */
  readonly pooler: Linear | undefined;
}

/** A tensor that the checkpoint must have: of which shape, and where it goes. */
interface Slot {
  readonly shape: readonly number[];
  /** Unset for the scales of a weight, F32: they go with its rows. */
  readonly target?: WeightTarget;
}

/** The name of the scales of a weight that is stored in int8, F32 [outputs], one for each row. */
export const scaleOf = (weight: string): string => `${weight}_scale`;

/** What weights have to do with a checkpoint while it is read; see Checkpoint.read in io/checkpoint.ts. */
export interface WeightLoader {
  wanted(info: { readonly name: string }): boolean;
  stage(length: number): Uint8Array;
  store(info: { readonly name: string; readonly dtype: DType }, row: number, bytes: Uint8Array): number;
  /** To be called when all is stored. */
  finish(): Promise<Weights>;
}

/** What is known of the weights before there is a backend. */
export interface WeightPlan {
  /** All tensors that the model reads. */
  readonly tensors: ReadonlySet<string>;
  /** Those of them that are weights of linear layers: what int8 stores as integers. */
  readonly linear: ReadonlySet<string>;
  /** int8 for a checkpoint of integers and scales, else f32. */
  readonly precision: Precision;
  /** Makes room on a backend, once, with linear layers in the given precision. */
  create(backend: Backend, precision: Precision): WeightLoader;
}

/**
 * Compares the tensors of a checkpoint with those that `config` needs. A linear weight that is I8 is one of integers in
 * -64…63, each row to be multiplied by its scale in the tensor {@link scaleOf} names.
 * @throws Error naming every missing, unexpected and misshapen tensor at once, each with the nearest name that exists.
 */
export function planWeights(
  name: string,
  { config, named }: { config: Config; named: Named },
  tensors: Shapes,
): WeightPlan {
  const { layout, prefix } = named;
  const { width, mlpWidth, prefixTokens, classes, eps } = config;
  const slots = new Map<string, Slot>();
  const linear = new Set<string>();

  // Room is taken only after the names and shapes are known to fit: a lying config must not allocate.
  const later: ((backend: Backend, precision: Precision) => void)[] = [];
  const plan = <T>(create: (backend: Backend, precision: Precision) => T): (() => T) => {
    let made: T | undefined;
    later.push((backend, precision) => {
      made = create(backend, precision);
    });
    return () => made!;
  };
  const slot = (tensor: string, shape: readonly number[], target: () => WeightTarget) =>
    slots.set(tensor, {
      shape,
      get target() {
        return target();
      },
    });

  const tensorOf = (rows: number, cols = width) => plan((backend) => backend.createTensor(rows, cols));

  /** A layer whose outputs come from `names` in turn. */
  function linearOf(
    names: readonly string[],
    outputs: number,
    inputs: number,
    options: { bias?: boolean; shape?: number[]; skip?: number } = {},
  ) {
    const { bias = true, shape = [inputs], skip = 0 } = options;
    const layer = plan((backend, precision) => backend.createLinear(outputs, inputs, precision));
    const rows = (outputs - skip) / names.length;
    names.forEach((tensor, i) => {
      const row = skip + i * rows;
      const weight = `${tensor}.weight`;
      linear.add(weight);
      slot(weight, [rows, ...shape], () => ({ linear: layer(), part: "weight", row }));
      if (tensors.get(weight)?.dtype === "I8") slots.set(scaleOf(weight), { shape: [rows] });
      if (bias) slot(`${tensor}.bias`, [rows], () => ({ linear: layer(), part: "bias", row }));
    });
    return layer;
  }

  function normOf(tensor: string, cols = width) {
    const scale = tensorOf(1, cols);
    const shift = tensorOf(1, cols);
    slot(`${tensor}.weight`, [cols], () => ({ tensor: scale(), row: 0 }));
    slot(`${tensor}.bias`, [cols], () => ({ tensor: shift(), row: 0 }));
    return (): Norm => ({ scale: scale(), shift: shift(), eps });
  }

  const [patchHeight, patchWidth] = config.patchSize;
  const [gridHeight, gridWidth] = gridOf(config);
  const patchEmbed = linearOf([prefix + layout.patchEmbed], width, 3 * patchHeight * patchWidth, {
    shape: [3, patchHeight, patchWidth],
  });
  const positions = tensorOf(prefixTokens + gridHeight * gridWidth);
  slot(prefix + layout.positions, [1, prefixTokens + gridHeight * gridWidth, width], () => ({
    tensor: positions(),
    row: 0,
  }));
  const prefixRows = prefixTokens > 0 ? tensorOf(prefixTokens) : undefined;
  [layout.classToken, layout.distillationToken].slice(0, prefixTokens).forEach((token, row) => {
    slot(prefix + token, [1, 1, width], () => ({ tensor: prefixRows!(), row }));
  });

  const blocks = Array.from({ length: config.depth }, (_, i) => {
    const at = `${prefix}${layout.blocks}.${i}.`;
    return {
      norm1: normOf(at + layout.norm1),
      qkv: linearOf(
        layout.qkv.map((part) => at + part),
        3 * width,
        width,
        { bias: config.qkvBias },
      ),
      query: config.headNorm ? normOf(at + layout.queryNorm, width / config.heads) : undefined,
      key: config.headNorm ? normOf(at + layout.keyNorm, width / config.heads) : undefined,
      proj: linearOf([at + layout.proj], width, width),
      norm2: normOf(at + layout.norm2),
      fc1: linearOf([at + layout.fc1], mlpWidth, width),
      fc2: linearOf([at + layout.fc2], width, mlpWidth),
    };
  });
  const norm = normOf(config.norm === "pooled" ? layout.pooledNorm! : prefix + layout.norm);

  let pool: ReturnType<typeof attentionPoolOf> | undefined;
  if (config.pooling === "attention") pool = attentionPoolOf(`${prefix}${layout.attentionPool}.`);
  function attentionPoolOf(at: string) {
    const latent = tensorOf(1);
    slot(`${at}latent`, [1, 1, width], () => ({ tensor: latent(), row: 0 }));
    return {
      latent,
      q: linearOf([`${at}q`], width, width),
      qkv: linearOf([`${at}kv`], 3 * width, width, { skip: width }),
      proj: linearOf([`${at}proj`], width, width),
      norm: normOf(`${at}norm`),
      fc1: linearOf([`${at}mlp.fc1`], mlpWidth, width),
      fc2: linearOf([`${at}mlp.fc2`], width, mlpWidth),
    };
  }

  const headName = layout.head.find((tensor) => tensors.has(`${tensor}.weight`)) ?? layout.head[0]!;
  const head = classes > 0 ? linearOf([headName], classes, width) : undefined;
  const distillationHead =
    config.pooling === "distilled" && classes > 0 ? linearOf([layout.distillationHead], classes, width) : undefined;
  const pooler = config.poolerWidth > 0 ? linearOf([prefix + layout.pooler], config.poolerWidth, width) : undefined;

  compare(name, slots, tensors, layout.ignored);

  const [least, most] = WEIGHT_RANGE;
  const scales = new Map<string, Float32Array>();

  /** Keeps scales; returns -1, or the index of the first that the weights cannot be multiplied by. */
  function storeScales(tensor: string, row: number, bytes: Uint8Array): number {
    const values = new Float32Array(bytes.slice().buffer);
    const bad = values.findIndex((scale) => !Number.isFinite(Math.fround(scale * least)));
    if (bad >= 0) return bad;
    if (row === 0) scales.set(tensor, new Float32Array(slots.get(tensor)!.shape[0]!));
    scales.get(tensor)!.set(values, row);
    return -1;
  }

  /** The scales of rows of a weight, whose integers are checked. */
  function scalesOf(tensor: string, row: number, bytes: Uint8Array): Float32Array {
    const all = scales.get(scaleOf(tensor));
    if (!all)
      throw new Error(`weights: "${scaleOf(tensor)}" must come before "${tensor}" in "${name}"; it comes after`);
    const inputs = slots
      .get(tensor)!
      .shape.slice(1)
      .reduce((product, n) => product * n, 1);
    const integers = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    let bad = 0;
    while (bad < integers.length && integers[bad]! >= least && integers[bad]! <= most) bad++;
    if (bad < integers.length) {
      const element = `element ${row * inputs + bad} is ${integers[bad]}`;
      throw new Error(`weights: "${tensor}" of "${name}" must hold integers from ${least} to ${most}; ${element}`);
    }
    return all.subarray(row, row + bytes.length / inputs);
  }

  return {
    tensors: new Set(slots.keys()),
    linear,
    precision: [...linear].some((tensor) => slots.has(scaleOf(tensor))) ? "int8" : "f32",
    create(backend, precision) {
      for (const make of later) make(backend, precision);
      return {
        wanted: ({ name }) => slots.has(name),
        stage: backend.stage,
        store({ name, dtype }, row, bytes) {
          const { target } = slots.get(name)!;
          if (!target) return storeScales(name, row, bytes);
          const place = { ...target, row: target.row + row };
          const quantised = "linear" in place && place.part === "weight" && dtype === "I8";
          return backend.store(quantised ? { ...place, scales: scalesOf(name, row, bytes) } : place, dtype, bytes);
        },
        async finish() {
          if (pool) await foldQuery(backend, pool.latent(), pool.q(), pool.qkv());
          return {
            patchEmbed: patchEmbed(),
            prefix: prefixRows?.(),
            positions: positions(),
            blocks: blocks.map((block) => ({
              norm1: block.norm1(),
              qkv: block.qkv(),
              headNorm: block.query && block.key ? { query: block.query(), key: block.key() } : undefined,
              proj: block.proj(),
              norm2: block.norm2(),
              fc1: block.fc1(),
              fc2: block.fc2(),
            })),
            norm: norm(),
            attentionPool: pool && {
              qkv: pool.qkv(),
              proj: pool.proj(),
              norm: pool.norm(),
              fc1: pool.fc1(),
              fc2: pool.fc2(),
            },
            head: head?.(),
            distillationHead: distillationHead?.(),
            pooler: pooler?.(),
          };
        },
      };
    },
  };
}

/** Projects the learned query once, and makes it the bias of qkv's q rows, whose weights become zero. */
async function foldQuery(backend: Backend, latent: Tensor, q: Linear, qkv: Linear): Promise<void> {
  const mark = backend.mark();
  const query = backend.createTensor(1, q.outputs);
  backend.linear(query, latent, q);
  const bias = await backend.read(query);
  backend.release(mark);
  const zeros = new Uint8Array(qkv.inputs * 4);
  for (let row = 0; row < q.outputs; row++) backend.store({ linear: qkv, part: "weight", row }, "F32", zeros);
  backend.store({ linear: qkv, part: "bias", row: 0 }, "F32", new Uint8Array(bias.buffer));
}

/** Most tensors that an error names of each kind. */
const NAMED = 8;

/** Most names that a missing one is compared with: a distance takes microseconds, and there may be thousands. */
const COMPARED = 500;

function compare(name: string, slots: ReadonlyMap<string, Slot>, tensors: Shapes, ignored: RegExp): void {
  const shape = (x: readonly number[]) => `(${x.join(", ")})`;
  const missing = [...slots.keys()].filter((tensor) => !tensors.has(tensor));
  const unexpected = [...tensors.keys()].filter((tensor) => !slots.has(tensor) && !ignored.test(tensor));
  const misshapen = [...slots].filter(([tensor, slot]) => {
    const found = tensors.get(tensor)?.shape;
    return found && (found.length !== slot.shape.length || found.some((n, i) => n !== slot.shape[i]));
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
    return "target" in slot || found === "F32" ? [] : [`"${tensor}" should be F32, got ${found}`];
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
