/** The parts of reading that callers of `load` see: a checkpoint that they have in memory, and progress. */
import type { Bytes } from "./source.js";

/** A checkpoint in memory: the parsed JSON files and the safetensors bytes, a list of them for shards. */
export interface CheckpointParts {
  readonly config?: unknown;
  readonly preprocessor?: unknown;
  /** Files of an image-text model: "tokenizer.json" and "tokenizer_config.json", parsed. */
  readonly tokenizer?: Readonly<Record<string, unknown>>;
  readonly weights: Bytes | readonly Bytes[];
}

/** Bytes read of all that will be read. `phase`: "download", then "weights". */
export type Progress = { phase: string; file: string; loaded: number; total: number };
