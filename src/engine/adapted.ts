/** Folders with an adapter of PEFT, as far as it takes to find one; what is done with it is in adapters.ts, imported then. */
import type { Json } from "../checkpoint/json.js";
import type { Folder } from "../io/folder.js";

export const ADAPTER_CONFIG = "adapter_config.json";
const WEIGHTS = ["adapter_model.safetensors", "adapter_model.bin"];

/** An adapter's folder. */
export interface Adapter {
  readonly folder: Folder;
  /** adapter_config.json. */
  readonly config: Json;
  /** By PEFT's name: "LORA". */
  readonly kind: string;
  /** Its file of weights. */
  readonly weights: string;
}

/** An adapter and its base: the files of both, the adapter's before the base's. */
export interface AdaptedFolder extends Folder {
  readonly adapter: Adapter;
  readonly base: Folder;
}

export const isAdapted = (source: object): source is AdaptedFolder => "adapter" in Object(source);

/**
 * The file of an adapter's weights in a folder that has its config as well; undefined without. As in transformers, an adapter goes
 * before a model there.
 */
export async function adapterWeights(folder: Folder, signal: AbortSignal | undefined): Promise<string | undefined> {
  const { file, names } = folder;
  if (file !== undefined && !WEIGHTS.includes(file)) return undefined;
  // A server that answers whatever it is asked for has a model.
  if (names === undefined && file === undefined && (await folder.has("model.safetensors", signal))) return undefined;
  if (!(await folder.has(ADAPTER_CONFIG, signal))) return undefined;
  if (file !== undefined) return file;
  for (const name of WEIGHTS) if (await folder.has(name, signal)) return name;
  return undefined;
}
