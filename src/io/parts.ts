/** What callers of `load` know of reading: a checkpoint that they have in memory, and how far it is. */
import type { Bytes } from "./source.js";

/** A checkpoint in memory: the parsed JSON files and the safetensors bytes, a list of them for shards. */
export interface CheckpointParts {
  readonly config?: unknown;
  readonly preprocessor?: unknown;
  /** Of an image-text model: "tokenizer.json" and "tokenizer_config.json", parsed. */
  readonly tokenizer?: Readonly<Record<string, unknown>>;
  readonly weights: Bytes | readonly Bytes[];
}

/** Bytes read of all that will be read. `phase`: "download", then "weights". */
export type Progress = { phase: string; file: string; loaded: number; total: number };
