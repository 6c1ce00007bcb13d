/** Run by fresh.ts in a process of its own: prepares work with an engine and runs it, from the very beginning. */
import { answer } from "./child.js";
import type { Engine, Refusal } from "./engine.js";
import { ENGINES, type EngineName } from "./engines/index.js";
import { median } from "./race.js";
import type { Setup, Work } from "./work.js";

export interface FreshQuestion {
  readonly engine: EngineName;
  readonly setup: Setup;
  readonly work: Work;
  /** All of them, of which the last few are timed. */
  readonly runs?: number;
}

/** Times in ms, memory in bytes. */
export interface FreshSample {
  /** From the call to a model that is ready; the engine's own code is loaded before. */
  readonly loadMs: number;
  readonly firstMs: number;
  /** Median of {@link RUNS} later runs. */
  readonly steadyMs: number;
  /** Most that was ever resident. */
  readonly peakBytes: number;
  /** What the engine says it holds. */
  readonly heldBytes?: number;
}

/** Those before the last ones only let the engine compile what is hot. */
const WARM_UP = 5;
const RUNS = 5;

answer(
  async ({ engine: name, setup, work, runs = 1 + WARM_UP + RUNS }: FreshQuestion): Promise<FreshSample | Refusal> => {
    const { engine }: { engine: Engine } = await ENGINES[name]();
    const begin = performance.now();
    const contender = (await engine.prepare(work, setup))!;
    const loadMs = performance.now() - begin;
    if ("refused" in contender) return contender;
    const times: number[] = [];
    for (let run = 0; run < runs; run++) {
      const start = performance.now();
      await contender.run();
      times.push(performance.now() - start);
    }
    return {
      loadMs,
      firstMs: times[0]!,
      steadyMs: median(times.slice(1).slice(-RUNS)),
      peakBytes: process.resourceUsage().maxRSS * 1024,
      heldBytes: contender.memory,
    };
  },
);
