/**
 * `vitrail quantize`: a checkpoint whose linear weights are integers, as int8 would make them at load. Each is I8 in -64…63,
 * in its own shape, and has its scales beside it, F32 [outputs]; the other tensors stay as they are stored. Scales come
 * first of all F32, and those before the integers, so that a reader has them before the weights pass. Tensors that the model
 * does not read are left out.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { QUANTIZED } from "../checkpoint/config.js";
import { scaleOf, type WeightPlan } from "../checkpoint/plan.js";
import { parseConfig } from "../checkpoint/recognize.js";
import { TAGS } from "../checkpoint/tags.js";
import { planWeights } from "../checkpoint/weights.js";
import { openModel, openSource } from "../engine/sources.js";
import type { Checkpoint } from "../io/checkpoint.js";
import { type Folder, MAX_JSON_BYTES } from "../io/folder.js";
import { aligned, asRead, type ConvertibleTensor, encodeHeader } from "../io/safetensors.js";
import { widen } from "../numerics/elements.js";
import { quantizeRow, WEIGHT_RANGE } from "../numerics/quantize.js";
import { isDirectory } from "../platform/files.js";
import { bytesText, type Invocation, progressOf, since } from "./invocation.js";
import { messageOf } from "./terminal.js";

/** `__metadata__` of the weights. */
const METADATA = { format: "vitrail-int8", version: "1" };

export async function quantize({ args, terminal, signal }: Invocation): Promise<void> {
  const source = args.operands[0]!;
  const { out } = args;
  if (out === undefined) throw new Error("quantize needs --out DIR, a folder for the result");
  const start = performance.now();
  // A name is never a checkpoint in memory.
  const { subfolder, base, prefix, ignore, state } = args.load;
  const folder = (await openSource(source, { ...args.hub, subfolder, base, signal })) as Folder;
  const checkpoint = await openModel(folder, { prefix, ignore, state }, { signal, onProgress: progressOf(terminal) });
  try {
    const { config, named, heads } = await parseConfig(checkpoint.name, checkpoint.config, checkpoint.tensors);
    const plan = planWeights(checkpoint.name, { config, named, heads }, checkpoint.tensors);
    if (plan.precision === "int8") throw new Error(`quantize: "${source}" is quantized already`);
    if (plan.linear.size === 0) {
      throw new Error(
        `quantize: "${source}" must have linear weights of [outputs, inputs]; it has none, as Flax's are transposed`,
      );
    }
    const texts = { ...(checkpoint.config as object | undefined), quantization_config: QUANTIZED };

    const bytes = await fillFolder(out, signal, async (place) => {
      const partial = place("model.safetensors.partial");
      const bytes = await writeWeights(partial, checkpoint, plan, {
        signal,
        onProgress: ({ loaded, total }) => terminal.progress("quantizing", loaded, total),
      });
      await writeFile(place("config.json"), `${JSON.stringify(texts, undefined, 2)}\n`);
      for (const name of await filesBeside(folder)) {
        await writeFile(place(name), await folder.bytes(name, { signal, maxBytes: MAX_JSON_BYTES }));
      }
      signal.throwIfAborted();
      // Last: a folder without its weights cannot be mistaken for a model.
      await rename(partial, place("model.safetensors"));
      return bytes;
    });

    const quantized = plan.linear.size;
    if (args.json) {
      const tensors = plan.tensors.size;
      terminal.printJson({ source, out, tensors, quantized, bytesBefore: checkpoint.bytes, bytes, ms: since(start) });
    } else {
      const sizes = `${bytesText(checkpoint.bytes)} before, ${bytesText(bytes)} now`;
      terminal.print(`${out}: ${quantized} of ${plan.tensors.size} tensors in int8, ${sizes}`);
    }
  } finally {
    await checkpoint.close();
  }
}

/**
 * Makes a folder, or takes an empty one, and has it filled; whatever goes wrong, it is then as it was.
 * @param fill gets a function from the name of a file to its path.
 */
async function fillFolder<T>(
  folder: string,
  signal: AbortSignal,
  fill: (place: (name: string) => string) => Promise<T>,
): Promise<T> {
  const failed = (error: unknown): never => {
    signal.throwIfAborted();
    throw new Error(`quantize: "${folder}" cannot be written: ${messageOf(error)}`, { cause: error });
  };
  const found = (await isDirectory(folder)) ? await readdir(folder).catch(failed) : [];
  if (found.length > 0) {
    throw new Error(`quantize: --out must be a new folder or an empty one; "${folder}" holds "${found[0]}"`);
  }
  // The first folder that had to be made, if any.
  const made = await mkdir(folder, { recursive: true }).catch(failed);
  const placed = new Set<string>();
  try {
    return await fill((name) => {
      placed.add(join(folder, name));
      return join(folder, name);
    });
  } catch (error) {
    for (const path of made ? [made] : placed) await rm(path, { recursive: true, force: true });
    // Of the system's errors only those of writing arrive here as they are: reading has its own sentences.
    if ((error as { syscall?: string }).syscall) failed(error);
    throw error;
  }
}

/** JSON files that belong to the checkpoint, and the tags of a tagger, besides config.json and a shards' index. */
async function filesBeside(folder: Folder): Promise<string[]> {
  const { file, names } = folder;
  // Beside a single file may lie anything.
  if (names && file === undefined) {
    const isJson = (name: string) => name.endsWith(".json") && name !== "config.json" && !name.endsWith(".index.json");
    return names.filter((name) => isJson(name) || name === TAGS);
  }
  const known = [
    "preprocessor_config.json",
    ...(file === undefined ? ["tokenizer.json", "tokenizer_config.json", TAGS] : []),
  ];
  const there = await Promise.all(known.map((name) => folder.has(name)));
  return known.filter((_, i) => there[i]);
}

/** Writes the weights while they are read, a chunk of rows at a time. Returns the size of the file. */
async function writeWeights(
  path: string,
  checkpoint: Checkpoint,
  { tensors, linear }: WeightPlan<unknown>,
  options: Parameters<Checkpoint["read"]>[1],
): Promise<number> {
  const wanted = [...checkpoint.tensors.values()]
    .filter(({ name }) => tensors.has(name))
    .map(asRead) as ConvertibleTensor[];
  const weights = wanted.filter(({ name }) => linear.has(name));
  const described = aligned([
    ...weights.map(({ name, shape }) => ({ name: scaleOf(name), dtype: "F32" as const, shape: [shape[0]!] })),
    ...wanted.map(({ name, shape, dtype }) => ({ name, dtype: linear.has(name) ? ("I8" as const) : dtype, shape })),
  ]);
  const { bytes: header, begins, end } = encodeHeader(described, METADATA);
  const begin = new Map(described.map(({ name }, i) => [name, begins[i]!]));

  const file = openSync(path, "wx");
  const write = (data: Uint8Array | Int8Array | Float32Array, position: number) => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    for (let done = 0; done < bytes.length; )
      done += writeSync(file, bytes, done, bytes.length - done, position + done);
  };
  try {
    write(header, 0);
    await checkpoint.read(
      {
        wanted: ({ name }) => tensors.has(name),
        stage: (length) => new Uint8Array(length),
        store({ name, dtype, shape, begin: from, end: to }, row, bytes) {
          const values = widen(bytes, dtype);
          const bad = values.findIndex((x) => !Number.isFinite(x));
          if (bad >= 0) return bad;
          const rowBytes = (to - from) / (shape[0] ?? 1);
          if (!linear.has(name)) {
            write(bytes, begin.get(name)! + row * rowBytes);
            return -1;
          }
          const rows = bytes.length / rowBytes;
          const inputs = values.length / rows;
          const integers = new Int8Array(values.length);
          const scales = Float32Array.from({ length: rows }, (_, i) => {
            const [first, last] = [i * inputs, (i + 1) * inputs];
            return quantizeRow(integers.subarray(first, last), values.subarray(first, last), WEIGHT_RANGE);
          });
          write(integers, begin.get(name)! + row * inputs);
          write(scales, begin.get(scaleOf(name))! + row * 4);
          return -1;
        },
      },
      options,
    );
  } finally {
    closeSync(file);
  }
  return end;
}
