/** Adapters and their bases: two folders as one, and two files of weights as one, merged while they are read. */
import { type AdapterPlan, type ChangeRow, checkAdapter, planAdapter, withClasses } from "../checkpoint/adapter.js";
import {
  type Checkpoint,
  type Opening,
  openCheckpoint,
  readJson,
  renamed,
  type TensorConsumer,
} from "../io/checkpoint.js";
import type { Folder, Waiting } from "../io/folder.js";
import type { TensorInfo } from "../io/safetensors.js";
import { excerpt } from "../json.js";
import { widen } from "../numerics/elements.js";
import { ADAPTER_CONFIG, type AdaptedFolder, type Adapter } from "./adapted.js";

/**
 * Opens an adapter whose weights are found.
 * @throws Error: one sentence, for an adapter that cannot be merged.
 */
export async function openAdapter(folder: Folder, weights: string, signal: AbortSignal | undefined): Promise<Adapter> {
  await folder.bring?.([ADAPTER_CONFIG], { signal });
  const config = await readJson(folder, ADAPTER_CONFIG, signal);
  const { kind } = checkAdapter(folder.name, config);
  return { folder, config, kind, weights };
}

/** Both folders as one. */
export function adapted(adapter: Adapter, base: Folder): AdaptedFolder {
  const { folder } = adapter;
  const holder = async (name: string, signal?: AbortSignal) => ((await folder.has(name, signal)) ? folder : base);
  return {
    adapter,
    base,
    name: folder.name,
    get names() {
      const all = [...(folder.names ?? []), ...(base.names ?? [])].filter((name) => name !== ADAPTER_CONFIG);
      return folder.names && base.names && [...new Set(all)].sort();
    },
    has: async (name, signal) => (await folder.has(name, signal)) || base.has(name, signal),
    doubt: async (name) => (await folder.doubt?.(name)) ?? base.doubt?.(name),
    path: (name) => folder.path(name),
    async bring(names, waiting) {
      for (const name of names) await (await holder(name, waiting?.signal)).bring?.([name], waiting);
    },
    open: async (name, signal) => (await holder(name, signal)).open(name, signal),
    bytes: async (name, options) => (await holder(name, options?.signal)).bytes(name, options),
    async key() {
      const keys = [await folder.key(), await base.key()];
      return keys.includes(undefined) ? undefined : JSON.stringify(keys);
    },
    within: (path) => folder.within(path),
  };
}

/**
 * Opens an adapter and its base as the checkpoint that they make. Of either only headers are read; rows of the base are changed
 * while they pass, in f32, so that no weights are kept but the adapter's.
 * @throws Error: one sentence, where they do not fit.
 */
export async function openAdapted(
  { adapter, base: folder }: AdaptedFolder,
  opening: Opening = {},
): Promise<Checkpoint> {
  const { state, ...waiting } = opening;
  const base = await openCheckpoint(folder, opening);
  let own: Checkpoint | undefined;
  try {
    own = await openCheckpoint({ ...adapter.folder, file: adapter.weights }, waiting);
    const plan = planAdapter(own.name, adapter.config, own.tensors, base.tensors);
    return merged(own, base, plan, adapter.folder.name);
  } catch (error) {
    await base.close();
    await own?.close();
    throw error;
  }
}

function merged(own: Checkpoint, base: Checkpoint, plan: AdapterPlan, name: string): Checkpoint {
  const { changes, own: replaced } = plan;
  const tensors = new Map<string, TensorInfo>();
  for (const [tensor, info] of base.tensors) {
    if (changes.has(tensor)) checkFloat(info);
    tensors.set(tensor, changes.has(tensor) ? inFull(info) : info);
  }
  const names = new Map([...replaced].map(([tensor, from]) => [from, tensor]));
  const added = renamed(own, (from) => names.get(from));
  for (const [tensor, info] of added.tensors) tensors.set(tensor, info);
  const bytes = [...tensors.values()].reduce((sum, { begin, end }) => sum + end - begin, 0);

  async function read(consumer: TensorConsumer, { signal, onProgress }: Waiting = {}): Promise<void> {
    const parts = new Set([...changes.values()].flat().flatMap((change) => change.parts));
    const size = (all: Iterable<TensorInfo>) => [...all].reduce((sum, { begin, end }) => sum + end - begin, 0);
    const ofParts = size([...own.tensors.values()].filter((info) => parts.has(info.name)));
    const ofAdded = size([...added.tensors.values()].filter(consumer.wanted));
    const kept = [...base.tensors.values()].filter((info) => !replaced.has(info.name) && consumer.wanted(info));
    const total = ofParts + ofAdded + size(kept);
    const after = (before: number): Waiting => ({
      signal,
      onProgress: onProgress && ((one) => onProgress({ ...one, loaded: before + one.loaded, total })),
    });
    const values = await valuesOf(own, parts, after(0));
    await added.read(consumer, after(ofParts));
    await base.read(changing(consumer, plan, values, name), after(ofParts + ofAdded));
  }

  return {
    ...base,
    name,
    config: own.config ?? withClasses(base.config, plan.classes),
    preprocessor: own.preprocessor ?? base.preprocessor,
    doubt: own.preprocessor === undefined ? base.doubt : undefined,
    tensors,
    format: `${base.format}, a ${plan.kind} adapter merged into ${excerpt(base.name)}`,
    bytes,
    file: async (file) => (await own.file(file)) ?? base.file(file),
    async bring(files, waiting) {
      await own.bring(files, waiting);
      await base.bring(files, waiting);
    },
    read,
    async close() {
      await own.close();
      await base.close();
    },
  };
}

/** A tensor as it is after changes. */
function inFull(info: TensorInfo): TensorInfo & { readonly dtype: "F32" } {
  const elements = info.shape.reduce((product, n) => product * n, 1);
  return { ...info, dtype: "F32", end: info.begin + 4 * elements };
}

/** Integers are scaled by other tensors. */
function checkFloat({ name, dtype, file }: TensorInfo): void {
  if (/^(F|BF)\d/.test(dtype)) return;
  throw new Error(
    `load: an adapter is merged into floats, so ${excerpt(name)} in "${file}" must be of floats; it is ${dtype}`,
  );
}

/** Tensors in f32, whole. */
async function valuesOf(
  checkpoint: Checkpoint,
  wanted: ReadonlySet<string>,
  waiting: Waiting,
): Promise<ReadonlyMap<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  await checkpoint.read(
    {
      wanted: ({ name }) => wanted.has(name),
      stage: (length) => new Uint8Array(length),
      store({ name, shape, dtype }, row, bytes) {
        const elements = shape.reduce((product, n) => product * n, 1);
        const all = values.get(name) ?? new Float32Array(elements);
        values.set(name, all);
        const part = widen(bytes, dtype);
        const bad = part.findIndex((x) => !Number.isFinite(x));
        if (bad >= 0) return bad;
        all.set(part, row * (elements / (shape[0] ?? 1)));
        return -1;
      },
    },
    waiting,
  );
  return values;
}

/** A consumer of the base's tensors that changes rows before it hands them on. */
function changing(
  consumer: TensorConsumer,
  { changes, own }: AdapterPlan,
  values: ReadonlyMap<string, Float32Array>,
  name: string,
): TensorConsumer {
  /** Changes of rows of the tensor that passes. */
  let passing:
    | { readonly tensor: string; readonly rows: (readonly [from: number, to: number, ChangeRow])[] }
    | undefined;
  const rowsOf = (tensor: string) =>
    changes.get(tensor)!.map(({ from, rows, parts, begin }) => {
      return [from, from + rows, begin(parts.map((part) => values.get(part) ?? new Float32Array(0)))] as const;
    });
  return {
    wanted: (info) => !own.has(info.name) && consumer.wanted(changes.has(info.name) ? inFull(info) : info),
    stage: (length) => consumer.stage(length),
    store(info, first, bytes) {
      if (!changes.has(info.name)) return consumer.store(info, first, bytes);
      if (passing?.tensor !== info.name) passing = { tensor: info.name, rows: rowsOf(info.name) };
      const full = widen(bytes, info.dtype);
      const cols = info.shape.slice(1).reduce((product, n) => product * n, 1);
      for (let at = 0, row = first; at < full.length; at += cols, row++) {
        const part = full.subarray(at, at + cols);
        for (const [from, to, change] of passing.rows) if (row >= from && row < to) change(part, row - from);
      }
      const place = consumer.stage(full.byteLength);
      place.set(new Uint8Array(full.buffer));
      const bad = consumer.store(inFull(info) as typeof info, first, place);
      if (bad < 0) return bad;
      const found = `element ${first * cols + bad} is ${full[bad]}`;
      throw new Error(
        `load: ${excerpt(info.name)}, merged with the adapter "${name}", must be finite and fit; ${found}`,
      );
    },
  };
}
