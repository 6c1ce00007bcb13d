/** The parts of reading that callers of `load` see: a checkpoint that they have in memory, a head in a file of its own, progress. */
import type { Activation } from "../backend.js";
import type { Bytes } from "./source.js";

/** A checkpoint in memory: the parsed JSON files and the safetensors bytes, a list of them for shards. */
export interface CheckpointParts {
  readonly config?: unknown;
  readonly preprocessor?: unknown;
  /** Files of an image-text model: "tokenizer.json" and "tokenizer_config.json", parsed. */
  readonly tokenizer?: Readonly<Record<string, unknown>>;
  readonly weights: Bytes | readonly Bytes[];
}

/** A file with a head, or where it is, and what it does not say itself. */
export type HeadSource = string | URL | Uint8Array | ArrayBuffer | Blob;
export type Head = HeadSource | HeadOptions;

/** Options of a head in a file of its own. */
export interface HeadOptions {
  /** The file: a path, an address, a repository of the Hub that has one file of weights, or bytes. */
  readonly file: HeadSource;
  /**
   * Activation between its layers, where the file's program is not a known one: "none", "relu", "gelu" or another.
   */
  readonly activation?: "none" | Activation;
  /** Scales the vector that it reads to length 1; by default for scores of images' features, as LAION's predictors do. */
  readonly normalize?: boolean;
}

/** Bytes read of all that will be read. `phase`: "download", then "weights", with the bytes of memory that these take. */
export type Progress = { phase: string; file: string; loaded: number; total: number; memory?: number };
