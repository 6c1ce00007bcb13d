/** The images of a call in as many passes as a backend's memory asks for, and what they give as one. */
import type { Backend } from "../backend.js";
import type { Heads } from "../heads/index.js";
import type { Pending } from "../vit/call.js";
import { stagesOf } from "../vit/hierarchy.js";
import type { OutputName, Outputs, Tensor } from "../vit/outputs.js";
import { gridOf } from "../vit/places.js";
import type { ImageBatch } from "../vit/vit.js";
import type { ModelConfig } from "./model.js";

/**
 * As few passes as there can be if no matrix may be larger than the backend's largest. One image may be too large still.
 * @param options alone: a pass an image, whatever its size.
 */
export function passes(
  backend: Backend,
  config: ModelConfig,
  heads: Heads,
  batch: ImageBatch,
  { attentions, alone }: { readonly attentions: boolean; readonly alone: boolean },
): ImageBatch[] {
  const { maxBufferBytes = Number.POSITIVE_INFINITY } = backend;
  if (!("pixels" in batch) || (!alone && maxBufferBytes === Number.POSITIVE_INFINITY)) return [batch];
  const { dims } = batch.pixels;
  const [images, channels, height, width] = dims as [number, number, number, number];
  const fitting = Math.floor(maxBufferBytes / (4 * largest(config, heads, [height, width], attentions)));
  const most = alone ? 1 : Math.max(1, fitting);
  const count = Math.ceil(images / most);
  if (count === 1) return [batch];
  const size = Math.ceil(images / count);
  const area = channels * height * width;
  const { data } = batch.pixels;
  return Array.from({ length: Math.ceil(images / size) }, (_, i) => {
    const values = data.subarray(i * size * area, (i + 1) * size * area);
    return { ...batch, pixels: { dims: [values.length / area, channels, height, width], data: values } };
  });
}

/** Elements of the largest matrix that an image needs, rows filled to eight columns. */
function largest(config: ModelConfig, all: Heads, imageSize: readonly [number, number], attentions: boolean): number {
  const { depth, gated, patchSize, prefixTokens, poolerWidth, features, classes } = config;
  const to8 = (n: number) => Math.ceil(n / 8) * 8;
  const area = imageSize[0] * imageSize[1];
  // Pixels; the map that a stem begins with, and those of its stages: half as many rows and columns, then a quarter, …
  const maps = config.resnet?.channels.map((channels, i) => (area / 4 ** (i + 1)) * to8(channels)) ?? [];
  const own = config.resnet ? [8 * area, ...maps.map((elements) => 2 * elements)] : [config.inputChannels * area];
  if (depth === 0) return Math.max(...own);
  const [rows, columns] = gridOf(config, imageSize);
  const tokens = prefixTokens + rows * columns;
  const inputs = config.resnet ? 0 : config.inputChannels * patchSize[0] * patchSize[1];
  const cols = Math.max(inputs, poolerWidth, features, classes);
  // A stage has more tokens than its map where windows reach beyond it.
  const encoders = stagesOf(config, [rows, columns]).map(({ width, mlpWidth, heads, tokens, keys }) => {
    const widest = tokens * to8(Math.max(3 * width, mlpWidth * (gated ? 2 : 1)));
    return Math.max(widest, attentions ? heads * tokens * to8(keys) : 0);
  });
  const ofHeads = [...all.values()].map((head) => head.largest?.(config, [rows, columns]) ?? 0);
  return Math.max(...own, ...ofHeads, ...encoders, tokens * to8(cols));
}

/** Waits for the values of a pass. */
export async function arrived(pending: Pending): Promise<Partial<Outputs>> {
  const entries = Object.entries(pending).map(async ([name, value]) => [
    name,
    await (Array.isArray(value) ? Promise.all(value) : value),
  ]);
  return Object.fromEntries(await Promise.all(entries));
}

/** Results of passes as those of one. */
export function concatenated(results: readonly Partial<Outputs>[]): Partial<Outputs> {
  if (results.length <= 1) return results[0] ?? {};
  const joined = (tensors: readonly Tensor[]): Tensor => {
    const data = new Float32Array(tensors.reduce((sum, tensor) => sum + tensor.data.length, 0));
    let at = 0;
    for (const tensor of tensors) {
      data.set(tensor.data, at);
      at += tensor.data.length;
    }
    const images = tensors.reduce((sum, { dims }) => sum + dims[0]!, 0);
    return { dims: [images, ...tensors[0]!.dims.slice(1)], data };
  };
  return eachOutput(results, joined);
}

/** Outputs that are the same for all images of a grid. */
const OF_MODEL: readonly OutputName[] = ["patchFilters", "positionEmbeddings"];

/** Joins what results have by the same name, and of lists what is at the same place. */
export function eachOutput(
  results: readonly Partial<Outputs>[],
  join: (tensors: Tensor[], name: OutputName) => Tensor,
): Partial<Outputs> {
  const names = Object.keys(results[0] ?? {}) as OutputName[];
  return Object.fromEntries(
    names.map((name) => {
      const all = results.map((result) => result[name]!);
      const [first] = all;
      if (OF_MODEL.includes(name)) return [name, first];
      if (!Array.isArray(first)) return [name, join(all as Tensor[], name)];
      return [
        name,
        first.map((_, l) =>
          join(
            all.map((list) => (list as Tensor[])[l]!),
            name,
          ),
        ),
      ];
    }),
  );
}

/** Results of one image each, as those of a batch; sequences are filled with zeros to `tokens`. */
export function padTogether(results: readonly Partial<Outputs>[], tokens: number): Partial<Outputs> {
  return eachOutput(results, (tensors, name) => {
    const dims = filledDims(tensors[0]!.dims.slice(1), name, tokens);
    const [rows, cols] = [dims.at(-2) ?? 1, dims.at(-1)!];
    const size = dims.reduce((product, n) => product * n, 1);
    const data = new Float32Array(tensors.length * size);
    for (const [i, { dims: own, data: values }] of tensors.entries()) {
      const [ownRows, ownCols] = [own.length > 2 ? own.at(-2)! : 1, own.at(-1)!];
      for (let row = 0; row * ownCols < values.length; row++) {
        const to = Math.floor(row / ownRows) * rows + (row % ownRows);
        data.set(values.subarray(row * ownCols, (row + 1) * ownCols), i * size + to * cols);
      }
    }
    return { dims: [tensors.length, ...dims], data };
  });
}

/** Dims [D], [n, D], [heads, n, n], [heads, n, d], or one query's [heads, 1, n], with `tokens` in the place of n. */
function filledDims(dims: readonly number[], name: OutputName, tokens: number): number[] {
  if (dims.length === 1) return [...dims];
  if (dims.length === 2) return [tokens, dims[1]!];
  if (name === "queries" || name === "keys") return [dims[0]!, tokens, dims[2]!];
  return [dims[0]!, name === "poolAttention" ? dims[1]! : tokens, tokens];
}
