/** What each file in engines/ provides: vitrail and the rivals behind one interface. */
import type { Setup, Work } from "./work.js";

/** Work that is ready to run again and again. */
export interface Contender {
  /** Does the work once: when it returns, or its promise resolves, the result is computed. */
  run(): unknown;
  /** The result of a run, row-major; undefined where there is none to compare. */
  result(): Promise<Float32Array> | Float32Array | undefined;
  dispose(): void;
  /** What the engine chose to compute with, where it chooses. */
  readonly kernels?: string;
  /** Bytes that it says it holds, where it says so. */
  readonly memory?: number;
}

/** Why a setup cannot run here. */
export interface Refusal {
  readonly refused: string;
}

/** What each file in engines/ exports. Weights are packed before the first run. */
export interface Engine {
  /** Undefined for work that is not measured on this engine. A process prepares for one setup only. */
  prepare(work: Work, setup: Setup): Promise<Contender | Refusal> | undefined;
}
