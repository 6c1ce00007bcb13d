/** What the process that fuzzes is told, and what it says. */
import { createHash } from "node:crypto";

/** The name of an input's file: by its content. */
export const nameOf = (input: Uint8Array): string => createHash("sha256").update(input).digest("hex").slice(0, 16);

/** What is to be done, as the argument of the process. */
export interface Task {
  readonly target: string;
  readonly seed: number;
  /** Executions after those of the seeds, at most; a finite number. */
  readonly runs: number;
  readonly seconds: number;
  /** Whether coverage decides what is kept; without, only seeds are changed. */
  readonly guided: boolean;
  /** Program to compare with. */
  readonly against?: string;
  /** Folders of inputs to begin with. */
  readonly seeds: readonly string[];
  /** Names of inputs (see {@link nameOf}) that are left out of them, as they ended a process before. */
  readonly skip: readonly string[];
  /** Where `state`, and inputs that were found, are written. */
  readonly folder: string;
}

/** An input that has to be looked at, in `file`. */
export interface Suspect {
  readonly signature: string;
  readonly message: string;
  readonly file: string;
}

/** A kind of disagreement with another program, and the shortest input that shows it. */
export interface Difference {
  readonly kind: string;
  readonly count: number;
  readonly file: string;
}

export interface Progress {
  /** Executions, those of seeds included. */
  readonly executions: number;
  readonly found: number;
  readonly places: number;
  readonly corpus: number;
  /** Longest time of an input, milliseconds in instrumented code. */
  readonly slowest: number;
}

/** What the process says, a line of JSON each. */
export type Message =
  | { readonly suspect: Suspect }
  | { readonly progress: Progress }
  | { readonly done: { readonly differences: readonly Difference[]; readonly kept: readonly string[] } }
  | { readonly refused: string };

/** Bytes of the state before the input: executions, and its length. */
export const STATE_HEAD = 8;

/** What replay.ts says when all is imported, before it runs the input as many times. */
export const READY = "ready";
export const RUNS = 3;
