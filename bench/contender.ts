/** Run by race.ts in a process of its own: ENGINE, one of engine.ts; prepares work and runs it in turns. */
import { setTimeout } from "node:timers/promises";
import { Bench } from "tinybench";
import { answer } from "./child.js";
import type { Contender, Engine, Refusal } from "./engine.js";
import { ENGINES, type EngineName } from "./engines/index.js";
import type { Setup, Work } from "./work.js";

/** "turn" and "finish" are about the work that was prepared last. */
export type Question = { readonly work: Work; readonly setup: Setup } | "turn" | "finish";
export type Answer = Prepared | Refusal | Turn | Finish | undefined;

export interface Prepared {
  readonly kernels?: string;
}

export interface Turn {
  readonly medianMs: number;
  readonly bestMs: number;
  /** Processor time of all threads, of a run on average. */
  readonly cpuMs: number;
}

export interface Finish {
  readonly result: Float32Array | undefined;
  /** Most that was ever resident in this process. */
  readonly peakBytes: number;
}

/** Least time of a turn. It has two runs or more, and one before them that does not count. */
const TURN_MS = 40;
/** A run that takes as long is a turn by itself: it has warmed what it needs long before its end. */
const LONG_MS = 1000;
/** Before a turn, in which the threads of the one before go to sleep. */
const PAUSE_MS = 20;

const { engine }: { engine: Engine } = await ENGINES[process.argv[2] as EngineName]();
let contender: Contender | undefined;

answer(async (question: Question): Promise<Answer> => {
  if (question === "turn") return turn(contender!);
  if (question === "finish") return finish(contender!);
  const prepared = await engine.prepare(question.work, question.setup);
  if (!prepared || "refused" in prepared) return prepared;
  contender = prepared;
  return { kernels: contender.kernels };
});

async function turn(contender: Contender): Promise<Turn> {
  await setTimeout(PAUSE_MS);
  // The caches are the others' now: this run warms them. It also tells whether to await the next ones.
  const before = process.cpuUsage();
  const begin = performance.now();
  const pending = contender.run();
  await pending;
  const first = performance.now() - begin;
  if (first > LONG_MS) return { medianMs: first, bestMs: first, cpuMs: cpuSince(before) };
  const since = process.cpuUsage();
  const bench = new Bench({ iterations: 2, time: TURN_MS, warmup: false, throws: true });
  bench.add("turn", () => contender.run(), { async: pending instanceof Promise });
  await bench.run();
  const { result } = bench.tasks[0]!;
  if (result.state !== "completed") throw new Error(`a turn must be completed; it is ${result.state}`);
  const cpuMs = cpuSince(since) / result.latency.samplesCount;
  return { medianMs: result.latency.p50, bestMs: result.latency.min, cpuMs };
}

function cpuSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

async function finish(contender: Contender): Promise<Finish> {
  const result = await contender.result();
  contender.dispose();
  return { result, peakBytes: process.resourceUsage().maxRSS * 1024 };
}
