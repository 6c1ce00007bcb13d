/**
 * A checkpoint: weights in safetensors files or PyTorch's (one, or shards with their index) and the JSON files beside them, in
 * the file layout of the Hugging Face Hub. Only headers are read when it is opened; weights go past in chunks, from the
 * source straight into memory that the consumer gives.
 */

import { ELEMENT_BYTES } from "../backend.js";
import { excerpt, kindOf, parseJson } from "../json.js";
import { widen, widen8 } from "../numerics/elements.js";
import { latin1 } from "../platform/bytes.js";
import {
  checkSubfolder,
  type Folder,
  isTorchFile,
  MAX_CONFIG_BYTES,
  MAX_JSON_BYTES,
  openFolder,
  type Waiting,
} from "./folder.js";
import { describe, formatOf, TELLING_BYTES } from "./formats.js";
import type { CheckpointParts } from "./parts.js";
import {
  asRead,
  type ConvertibleTensor,
  headerLength,
  isConvertible,
  isFloat8,
  metadataOf,
  parseHeader,
  type TensorInfo,
} from "./safetensors.js";
import { type ByteSource, type Bytes, fromBytes } from "./source.js";

/** Takes a checkpoint's weights in, as `Checkpoint.read` walks them. */
export interface TensorConsumer {
  wanted(info: TensorInfo): boolean;
  /** A place for `length` bytes; valid until the next call of the consumer. */
  stage(length: number): Uint8Array;
  /**
   * Whole rows, from `row` on; of 8-bit floats as f16. A row is what one index of the first dimension selects; a scalar is one row. Returns -1, or
   * the index of the first element that cannot be stored.
   */
  store(info: ConvertibleTensor, row: number, bytes: Uint8Array): number;
}

export interface Checkpoint {
  /** The folder or file, for messages. */
  readonly name: string;
  /** Parsed `config.json`, if there is one. */
  readonly config: unknown | undefined;
  /** Parsed `preprocessor_config.json`, if there is one. */
  readonly preprocessor: unknown | undefined;
  /** Why it is not known whether there is one, where it is not. */
  readonly doubt?: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Texts beside the tensors of a single safetensors file. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Format of the weights, for people. */
  readonly format: string;
  /** Part of a training checkpoint that the tensors are: its keys, with "/" between them; undefined if they are all there is. */
  readonly state: string | undefined;
  /** Bytes of another file beside the weights, such as tokenizer.json; undefined if there is none. */
  file(name: string): Promise<Uint8Array | undefined>;
  /** Brings such files near, if they are far away, so that `file` has them later. */
  bring(names: readonly string[], waiting?: Waiting): Promise<void>;
  /** Bytes of all tensors. */
  readonly bytes: number;
  /**
   * Reads the wanted tensors in the order of their bytes, each in chunks of whole rows: at most 1 MiB, or one row.
   * Streams can be read once.
   * @throws Error for a wanted tensor of a type that does not convert, for NaN and infinite weights, for a file that
   * ends early; the signal's reason when it is aborted.
   */
  read(consumer: TensorConsumer, waiting?: Waiting): Promise<void>;
  close(): Promise<void>;
}

/**
 * A source to be read now, and a way to the same bytes again: what streams give is kept aside while it passes, in Blobs, which
 * browsers move to disk.
 */
export function twice(source: CheckpointParts | Folder): {
  readonly now: CheckpointParts | Folder;
  readonly again: () => Promise<CheckpointParts | Folder>;
} {
  if (typeof source !== "object" || source === null || !("weights" in source)) {
    return { now: source, again: async () => source };
  }
  const parts = [source.weights].flat().map((bytes) => {
    if (!(bytes instanceof ReadableStream) || bytes.locked) return { now: bytes, again: bytes };
    const [now, copy] = bytes.tee();
    const again = new Response(copy).blob();
    again.catch(() => {});
    return { now, again };
  });
  const like = (list: Bytes[]) => ({ ...source, weights: Array.isArray(source.weights) ? list : list[0]! });
  return {
    now: like(parts.map(({ now }) => now)),
    again: async () => like(await Promise.all(parts.map(({ again }) => again))),
  };
}

/**
 * A checkpoint whose tensors have other names.
 * @param nameOf a tensor's other name; undefined for one that is left out.
 */
export function renamed(checkpoint: Checkpoint, nameOf: (name: string) => string | undefined): Checkpoint {
  const known = new Map<string, TensorInfo>();
  for (const [name, info] of checkpoint.tensors) {
    const other = nameOf(name);
    if (other !== undefined) known.set(name, { ...info, name: other });
  }
  const tensors = new Map([...known.values()].map((info) => [info.name, info]));
  return {
    ...checkpoint,
    tensors,
    bytes: [...tensors.values()].reduce((sum, { begin, end }) => sum + end - begin, 0),
    read: (consumer, waiting) =>
      checkpoint.read(
        {
          wanted({ name }) {
            const info = known.get(name);
            return info !== undefined && consumer.wanted(info);
          },
          stage: (length) => consumer.stage(length),
          store: (info, row, bytes) => consumer.store({ ...info, name: known.get(info.name)!.name }, row, bytes),
        },
        waiting,
      ),
  };
}

/** Two checkpoints as one: the first, and the tensors of a second, whose names are others. */
export function beside(first: Checkpoint, second: Checkpoint): Checkpoint {
  const tensors = new Map([...first.tensors, ...second.tensors]);
  return {
    ...first,
    tensors,
    bytes: bytesOf(tensors),
    async read(consumer, waiting = {}) {
      const sizeOf = ({ tensors }: Checkpoint) =>
        [...tensors.values()].filter(consumer.wanted).reduce((sum, { begin, end }) => sum + end - begin, 0);
      const [own, other] = [sizeOf(first), sizeOf(second)];
      const { signal, onProgress } = waiting;
      const after = (before: number): Waiting => ({
        signal,
        onProgress: onProgress && ((one) => onProgress({ ...one, loaded: before + one.loaded, total: own + other })),
      });
      await second.read(consumer, after(0));
      await first.read(consumer, after(other));
    },
    async close() {
      await first.close();
      await second.close();
    },
  };
}

const bytesOf = (tensors: Checkpoint["tensors"]): number =>
  [...tensors.values()].reduce((sum, { begin, end }) => sum + end - begin, 0);

/** Takes a checkpoint in, and of it what a second consumer wants as well. */
export const withSecond = (first: TensorConsumer, second: TensorConsumer): TensorConsumer => ({
  wanted: (info) => first.wanted(info),
  stage: (length) => first.stage(length),
  store(info, row, bytes) {
    const bad = first.store(info, row, bytes);
    if (bad >= 0 || !second.wanted(info)) return bad;
    const place = second.stage(bytes.length);
    place.set(bytes);
    return second.store(info, row, place);
  },
});

const CHUNK_BYTES = 2 ** 20;

/** Longest name of a tensor, and most dimensions: messages name them, and models have about 100 and 5. */
const MAX_TENSOR_NAME = 1000;
const MAX_DIMENSIONS = 64;

/** Most files of weights: of the largest models there are about 200. */
const MAX_SHARDS = 1000;

/** Options of {@link openCheckpoint}. */
export interface Opening extends Waiting {
  /** Which part of a training checkpoint of PyTorch is wanted: a key, or keys with "/" between them. */
  readonly state?: string;
}

/** One file, or what is read like one: its tensors in the order of their bytes, and where the last of them ends. */
interface WeightFile {
  readonly source: ByteSource;
  readonly tensors: readonly TensorInfo[];
  readonly end: number;
}

/**
 * Opens a checkpoint and reads its headers.
 * @param source a folder, a file of weights (JSON files beside it are used), an address of either, or the parts.
 * @param waiting its progress is that of files that have to be brought here first.
 * @throws Error: one sentence that names the file, the rule and what was found.
 */
export async function openCheckpoint(
  source: string | URL | CheckpointParts | Folder,
  waiting: Opening = {},
): Promise<Checkpoint> {
  const { signal, state } = waiting;
  const place = typeof source === "string" || source instanceof URL ? await openFolder(source) : source;
  const {
    name,
    config,
    preprocessor,
    doubt,
    file: fileOf,
    bring = async () => {},
    shards,
    placement,
  } = isFolder(place) ? await find(place, waiting) : fromParts(place);

  const files: WeightFile[] = [];
  const tensors = new Map<string, TensorInfo>();
  /** The file of each tensor, by its name in the folder. */
  const placed = new Map<string, string>();
  const formats = new Set<string>();
  let metadata: Checkpoint["metadata"] = {};
  let found: string | undefined;
  const opened: ByteSource[] = [];
  const close = async () => {
    for (const source of opened) await source.close();
  };
  try {
    for (const { name: shard, open } of shards) {
      signal?.throwIfAborted();
      const source = await open();
      opened.push(source);
      const weights = await openWeights(source, state);
      formats.add(weights.format);
      if (shards.length === 1) metadata = weights.metadata ?? {};
      found = weights.state ?? found;
      for (const file of weights.files) {
        files.push(file);
        for (const info of file.tensors) {
          checkTensor(info);
          const other = tensors.get(info.name);
          if (other) throw new Error(`checkpoint: "${info.name}" is both in "${other.file}" and in "${info.file}"`);
          tensors.set(info.name, info);
          placed.set(info.name, shard);
        }
      }
    }
    if (placement) checkPlacement(placement, placed);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    name,
    config,
    preprocessor,
    doubt,
    file: fileOf,
    bring,
    tensors,
    metadata,
    format: [...formats].join(" and "),
    state: found,
    bytes: bytesOf(tensors),
    read: (...args) => readWeights(files, ...args),
    close,
  };
}

function checkTensor({ name, shape, file }: TensorInfo): void {
  if (name.length > MAX_TENSOR_NAME) {
    const found = `${name.length} characters: ${excerpt(name)}`;
    throw new Error(`checkpoint: names of tensors in "${file}" must have at most ${MAX_TENSOR_NAME}; got ${found}`);
  }
  if (shape.length > MAX_DIMENSIONS) {
    const found = `"${name}" with ${shape.length}`;
    throw new Error(`checkpoint: tensors in "${file}" must have at most ${MAX_DIMENSIONS} dimensions; got ${found}`);
  }
}

/** The index of a sharded checkpoint, by its path, and the names of its files in the folder. */
interface Placement {
  readonly index: string;
  readonly shardOf: ReadonlyMap<string, string>;
  path(name: string): string;
}

/** Files that have to be opened. */
interface Layout {
  name: string;
  config: unknown;
  preprocessor: unknown;
  doubt?: string;
  file(name: string): Promise<Uint8Array | undefined>;
  bring?: Checkpoint["bring"];
  shards: { name: string; open(): ByteSource | Promise<ByteSource> }[];
  placement?: Placement;
}

function fromParts(parts: CheckpointParts): Layout {
  if (typeof parts !== "object" || parts === null || !("weights" in parts)) {
    const found = parts === null ? "null" : typeof parts;
    throw new TypeError(`checkpoint: expected a path, a URL or { config, weights }, got ${found}`);
  }
  const { config, preprocessor, weights } = parts;
  const list = Array.isArray(weights) ? (weights as readonly Bytes[]) : undefined;
  if (list?.length === 0) throw new RangeError("weights: expected at least one safetensors file, got an empty list");
  const shards = list
    ? list.map((bytes, i) => ({ name: `weights[${i}]`, open: () => fromBytes(bytes, `weights[${i}]`) }))
    : [{ name: "weights", open: () => fromBytes(weights as Bytes, "weights") }];
  const { tokenizer } = parts;
  const file = async (name: string) => {
    const value = tokenizer?.[name];
    if (value === undefined) return undefined;
    try {
      return new TextEncoder().encode(JSON.stringify(value));
    } catch (cause) {
      // What is deep or leads to itself.
      throw new TypeError(`checkpoint: tokenizer "${name}" must be what JSON can hold: ${(cause as Error).message}`, {
        cause,
      });
    }
  };
  return { name: "weights", config, preprocessor, file, shards };
}

export const isFolder = (source: CheckpointParts | Folder): source is Folder =>
  typeof source === "object" && source !== null && "open" in source;

/** Finds the files of a checkpoint in a folder, or in the one that sentence-transformers' modules.json names. */
async function find(whole: Folder, waiting: Waiting): Promise<Layout> {
  const { signal } = waiting;
  const folder = await findModule(whole, signal);
  const { files, placement } = await findWeights(folder, signal);
  const openClip =
    folder.file === undefined && files[0]!.startsWith("open_clip_") && (await folder.has(OPEN_CLIP_CONFIG, signal));
  const config = openClip ? OPEN_CLIP_CONFIG : "config.json";
  const beside: string[] = [];
  for (const name of openClip ? [config] : [config, PREPROCESSOR, PROCESSOR]) {
    if (await folder.has(name, signal)) beside.push(name);
  }
  await folder.bring?.([...beside, ...files], waiting);
  const bring = async (names: readonly string[], waiting?: Waiting) => {
    const there: string[] = [];
    for (const name of names) if (await folder.has(name, waiting?.signal)) there.push(name);
    await folder.bring!(there, waiting);
  };
  const json = async (name: string) => (beside.includes(name) ? readJson(folder, name, signal) : undefined);
  // transformers 5 puts the image processor there; where it is, it counts (get_image_processor_dict).
  const nested = ((await json(PROCESSOR)) as { image_processor?: unknown } | undefined)?.image_processor ?? undefined;
  const preprocessor = nested ?? (await json(PREPROCESSOR));
  const said = await json(config);
  // Without it, images would be resized by defaults. timm's settings are in config.json.
  const needed = preprocessor === undefined && said?.model_type !== undefined && said.pretrained_cfg === undefined;
  return {
    name: folder.name,
    config: said,
    preprocessor,
    doubt: needed ? await folder.doubt?.(PREPROCESSOR) : undefined,
    file: async (name) => ((await folder.has(name)) ? folder.bytes(name, { maxBytes: MAX_JSON_BYTES }) : undefined),
    bring: folder.bring && bring,
    shards: files.map((name) => ({ name, open: () => folder.open(name, signal) })),
    placement,
  };
}

/** Files of weights by the names that libraries give them, safetensors before what is a pickle. */
const USUAL = [
  ...["model.safetensors", "model.safetensors.index.json", "open_clip_model.safetensors", "model.npz"],
  ...["pytorch_model.bin", "pytorch_model.bin.index.json", "open_clip_pytorch_model.bin"],
];

/** OpenCLIP's repositories may hold a model of transformers' as well, with its own config. */
const OPEN_CLIP_CONFIG = "open_clip_config.json";

/** Files of trainers that are no model's. */
const NO_MODEL = /^(training_args|optimizer|scheduler|scaler|rng_state.*|random_states.*)\.\w+$/;
const PREPROCESSOR = "preprocessor_config.json";
const PROCESSOR = "processor_config.json";

/** Most bytes of a list of modules: sentence-transformers' have one to three, of 130 bytes each. */
const MAX_MODULES_BYTES = 2 ** 16;

/** The folder of the model: itself, unless it holds no weights but sentence-transformers' list of modules. */
async function findModule(folder: Folder, signal: AbortSignal | undefined): Promise<Folder> {
  if (folder.file !== undefined) return folder;
  for (const name of USUAL) if (await folder.has(name, signal)) return folder;
  if (!(await folder.has(MODULES, signal))) return folder;
  await folder.bring?.([MODULES], { signal });
  const list = parseJson(
    await folder.bytes(MODULES, { signal, maxBytes: MAX_MODULES_BYTES }),
    `checkpoint: "${folder.path(MODULES)}"`,
  );
  const modules: readonly unknown[] = Array.isArray(list) ? list : [];
  const paths = modules.flatMap((module) => {
    const { type, path } = Object(module) as { type?: unknown; path?: unknown };
    return typeof type === "string" && /\.(CLIPModel|Transformer)$/.test(type.slice(-100)) ? [path] : [];
  });
  const [path] = paths;
  if (path === undefined) {
    const got = excerpt(modules);
    throw new Error(`checkpoint: "${folder.path(MODULES)}" must name a CLIPModel or a Transformer; got ${got}`);
  }
  return path === ""
    ? folder
    : folder.within(checkSubfolder(`checkpoint: the path in "${folder.path(MODULES)}"`, path));
}

const MODULES = "modules.json";
const ADAPTER = "adapter_config.json";

/** An error for a folder of no weights but an adapter's, where a base is looked for, or of not even those. */
async function adapterOf(
  folder: Folder,
  hasWeights: boolean,
  signal: AbortSignal | undefined,
): Promise<Error | undefined> {
  if (!(await folder.has(ADAPTER, signal))) return undefined;
  await folder.bring?.([ADAPTER], { signal });
  const config = Object(await readJson(folder, ADAPTER, signal)) as Record<string, unknown>;
  const { peft_type: kind = "PEFT", base_model_name_or_path: base } = config;
  const model = base ? excerpt(base) : "the model that it was trained on";
  const what = `a ${typeof kind === "string" ? kind.slice(0, 40) : "PEFT"} adapter of ${model}, not a model`;
  const missing = hasWeights ? "" : ", and its adapter_model.safetensors or .bin is not there";
  return new Error(`checkpoint: "${folder.name}" holds ${what}${missing}`);
}

/** The weights of a folder: the file that was asked for, that or the index of the usual name, else the only one. */
async function findWeights(
  folder: Folder,
  signal: AbortSignal | undefined,
): Promise<{ files: string[] } & Pick<Layout, "placement">> {
  const { names, file } = folder;
  const only = (holds: (name: string) => boolean) => {
    const all = names?.filter(holds);
    return all?.length === 1 ? all[0] : undefined;
  };
  let name = file;
  for (const usual of USUAL) if (name === undefined && (await folder.has(usual, signal))) name = usual;
  name ??= only((other) => other.endsWith(".safetensors"));
  name ??= only((other) => other.endsWith(".npz"));
  name ??= only((other) => isTorchFile(other) && !NO_MODEL.test(other));
  if (name === undefined || (file === undefined && /^adapter_model/.test(name))) {
    const adapter = await adapterOf(folder, name !== undefined, signal);
    if (adapter) throw adapter;
  }
  if (name === undefined) {
    const found = names && names.length > 12 ? [...names.slice(0, 12), "…"] : names;
    throw new Error(
      `checkpoint: folder "${folder.name}" must hold model.safetensors, pytorch_model.bin, the index of either or one ` +
        `other file of weights; it holds ${found ? found.join(", ") || "nothing" : "none of the usual names"}`,
    );
  }
  if (!name.endsWith(INDEX)) return { files: [name] };

  const index = folder.path(name);
  const shardOf = parseIndex(await readJson(folder, name, signal), index);
  const files = [...new Set(shardOf.values())].sort();
  const there = new Set(names);
  const missing = names ? files.filter((shard) => !there.has(shard)) : [];
  if (missing.length > 0) {
    throw new Error(`checkpoint: "${index}" names ${quotedList(missing)}, which the folder does not hold`);
  }
  return { files, placement: { index, shardOf, path: folder.path } };
}

const INDEX = ".index.json";

/** The index's map from tensors to shards, which lie in the folder of the index and nowhere else. */
function parseIndex(index: unknown, path: string): Map<string, string> {
  const map = (index as { weight_map?: unknown }).weight_map;
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new Error(`checkpoint: "${path}" must hold an object "weight_map"; got ${kindOf(map)}`);
  }
  const shardOf = new Map<string, string>();
  const shards = new Set<string>();
  const kind = path.endsWith(".bin.index.json") ? ".bin" : ".safetensors";
  for (const [tensor, shard] of Object.entries(map)) {
    // 255 is the longest name of file systems.
    if (typeof shard !== "string" || shard.length > 255 || !/^[^/\\]+$/.test(shard) || !shard.endsWith(kind)) {
      const [name, got] = [excerpt(tensor, 120), typeof shard === "string" ? "another file" : kindOf(shard)];
      throw new Error(`checkpoint: "${path}" must name ${kind} files of its own folder; ${name} is in ${got}`);
    }
    shardOf.set(tensor, shard);
    shards.add(shard);
    if (shards.size > MAX_SHARDS)
      throw new Error(`checkpoint: "${path}" must name at most ${MAX_SHARDS} files; got more`);
  }
  return shardOf;
}

/** Every tensor of the index must be in the shard that the index names. */
function checkPlacement({ index, shardOf, path }: Placement, placed: ReadonlyMap<string, string>): void {
  const wrong = [...shardOf].filter(([name, shard]) => placed.get(name) !== shard);
  if (wrong.length > 0) {
    const names = quotedList(wrong.map(([name]) => name));
    throw new Error(`checkpoint: "${index}" puts ${names} in "${path(wrong[0]![1])}", which does not hold it`);
  }
}

function quotedList(names: readonly string[]): string {
  const first = excerpt(names[0], 300);
  return names.length > 1 ? `${first} (and ${names.length - 1} more)` : first;
}

/** The object of a JSON file. */
export async function readJson(
  folder: Folder,
  name: string,
  signal: AbortSignal | undefined,
): Promise<Readonly<Record<string, unknown>>> {
  const bytes = await folder.bytes(name, { signal, maxBytes: MAX_CONFIG_BYTES });
  const path = folder.path(name);
  const value = parseJson(bytes, `checkpoint: "${path}"`);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error(`checkpoint: "${path}" must hold a JSON object; it holds ${kindOf(value)}`);
  }
  return value as Readonly<Record<string, unknown>>;
}

/** Contents of a file of weights. */
interface Opened extends Pick<Checkpoint, "format">, Partial<Pick<Checkpoint, "metadata">> {
  readonly files: readonly WeightFile[];
  readonly state?: string;
}

/** Opens a file of any format, which its bytes tell, whatever its name. */
async function openWeights(source: ByteSource, state: string | undefined): Promise<Opened> {
  const { name, size } = source;
  // A stream goes on behind the length of a safetensors header.
  const first = new Uint8Array(Math.min(Number.isFinite(size) ? TELLING_BYTES : 8, size));
  await source.read(first, 0);
  const format = formatOf(first);
  if ((format === "zip" || format === "pickle") && !Number.isFinite(size)) {
    throw new Error(`checkpoint: "${name}" must be a file, bytes or a Blob, as it is no safetensors; got a stream`);
  }
  if (format === "pickle" || (format === "zip" && !isNpz(first, name))) {
    const { openTorch } = await import("./torch/index.js");
    const { state: keys, ...file } = await openTorch(source, state);
    return { files: [file], format: "PyTorch", ...(keys.length > 0 ? { state: keys.join("/") } : {}) };
  }
  if (state !== undefined) {
    throw new RangeError(`load: state needs a training checkpoint of PyTorch; "${name}" is none`);
  }
  if (format === "zip") return { files: await (await import("./npz.js")).openNpz(source), format: "npz" };
  const other = format === undefined ? describe(first) : undefined;
  if (other !== undefined) throw new Error(`checkpoint: "${name}" must be a file of weights; it is ${other}`);
  if (format === undefined && isTorchFile(name)) {
    throw new Error(`checkpoint: "${name}" must be of torch.save or safetensors; it begins as neither does`);
  }
  if (format === undefined && name.endsWith(".npz")) {
    throw new Error(`npz: "${name}" must be a zip of .npy files; it is something else`);
  }
  const header = new Uint8Array(headerLength(first.subarray(0, 8), size, name));
  await source.read(header, 8);
  const tensors = parseHeader(header, { name, fileSize: size });
  const end = tensors.at(-1)?.end ?? 8 + header.length;
  return { files: [{ source, tensors, end }], format: "safetensors", metadata: metadataOf(header) };
}

/** Tells whether a zip is NumPy's: by its name, or that of its first member, behind 30 bytes of header. */
function isNpz(first: Uint8Array, name: string): boolean {
  const length = (first[26] ?? 0) + 256 * (first[27] ?? 0);
  return name.endsWith(".npz") || latin1(first.subarray(30, 30 + length)).endsWith(".npy");
}

async function readWeights(
  files: readonly WeightFile[],
  consumer: TensorConsumer,
  { signal, onProgress }: Waiting = {},
): Promise<void> {
  // Every file's wanted tensors are known, and known to convert, before the first byte is read.
  const plan = files.map((file) => ({ ...file, wanted: file.tensors.filter((info) => consumer.wanted(info)) }));
  for (const { wanted } of plan) for (const info of wanted) asConvertible(asRead(info));
  let loaded = 0;
  const total = plan.flatMap(({ wanted }) => wanted).reduce((sum, { begin, end }) => sum + end - begin, 0);
  for (const { source, wanted, end } of plan) {
    const read = source.ahead?.() ?? source.read;
    for (const info of wanted) {
      for await (const length of readTensor(read, info, consumer, signal)) {
        loaded += length;
        onProgress?.({ phase: "weights", file: source.name, loaded, total });
      }
    }
    await source.finish(end);
  }
}

function asConvertible(info: TensorInfo): ConvertibleTensor {
  if (isConvertible(info)) return info;
  throw new Error(`checkpoint: "${info.name}" in "${info.file}" is ${info.dtype}, which does not convert to f32`);
}

/** Reads and stores one tensor, giving the length of each chunk. */
async function* readTensor(
  readBytes: ByteSource["read"],
  info: TensorInfo,
  consumer: TensorConsumer,
  signal?: AbortSignal,
): AsyncGenerator<number> {
  const bytes = info.end - info.begin;
  if (bytes === 0) return;
  const rowBytes = bytes / (info.shape[0] ?? 1);
  const chunkBytes = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes)) * rowBytes;
  const read = asConvertible(asRead(info));
  for (let at = 0; at < bytes; at += chunkBytes) {
    signal?.throwIfAborted();
    const length = Math.min(chunkBytes, bytes - at);
    const place = consumer.stage(isFloat8(info) ? 2 * length : length);
    if (isFloat8(info)) {
      const raw = new Uint8Array(length);
      await readBytes(raw, info.begin + at);
      widen8(raw, info.dtype, place);
    } else await readBytes(place, info.begin + at);
    const bad = consumer.store(read, at / rowBytes, place);
    if (bad >= 0) {
      const size = ELEMENT_BYTES[read.dtype];
      const first = isFloat8(info) ? at : at / size;
      refuse(read, first + bad, widen(place.subarray(bad * size, (bad + 1) * size), read.dtype)[0]!);
    }
    yield length;
  }
}

/** `element` of the tensor is one of NaN, infinity and what the weights' precision cannot hold. */
function refuse(info: ConvertibleTensor, element: number, value: number): never {
  const rule = Number.isFinite(value) ? "fit the precision" : "be finite";
  throw new Error(`checkpoint: "${info.name}" in "${info.file}" must ${rule}; element ${element} is ${value}`);
}
