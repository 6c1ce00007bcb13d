/**
 * Engines timed on the same work, each in its own process, in turns: clocks and neighbours change within a minute, so only
 * what runs side by side can be compared, and ratios are taken within a round before their median is.
 */
import { type Child, start } from "./child.js";
import type { Answer, Finish, Prepared, Question, Turn } from "./contender.js";
import type { Refusal } from "./engine.js";
import type { EngineName } from "./engines/index.js";
import { flopsOf, labelOf, PLAIN, type Setup, type Work } from "./work.js";

const ROUNDS = 7;
/** Rounds after which a race has taken as long are its last. */
const MOST_MS = 45_000;
/** What is timed for the peak: about 30 ms, as long as a phase of the work that it is compared with. */
const PEAK: Work = { kind: "gemm", inputs: 2048, outputs: 2048 };
/** Operations of the largest work beside which as many are timed for the peak: two seconds. */
const MOST_FLOPS = 1e11;
/**
 * Largest difference of two engines' results, relative to the largest value, that passes for the same maths: f32 sums in
 * another order; int8 rounds otherwise (0.05 seen); two decoders and resizers of a photo (0.03 seen); onnxruntime's
 * InstanceNormalization, which R50x1 has 50 of (0.002 from our reference backend seen, ours 0.000004).
 */
const TOLERANCES = { f32: 1e-4, int8: 0.25, photo: 0.1, resnet: 0.01 };

/** An engine in a setup. */
export interface Entry extends Setup {
  readonly engine: EngineName;
}

export interface Racer extends Entry {
  readonly process: Child<Question, Answer>;
}

export interface Timing extends Entry {
  readonly kernels?: string;
  /** Median of each round's turn. */
  readonly ms: readonly number[];
  readonly bestMs: number;
  /** Processor time of a run in each round's turn. */
  readonly cpuMs: readonly number[];
  /** Largest difference from the first engine's result, relative to its largest value. */
  readonly difference: number;
  /** Most that was ever resident in its process; absent in results of before. */
  readonly peakBytes?: number;
}

export interface Race {
  readonly work: string;
  /** Images of a run; 1 where there are none. */
  readonly batch: number;
  readonly flops: number;
  readonly timings: readonly Timing[];
  readonly refused: readonly (Entry & Refusal)[];
  /** GFLOP/s of multiply-adds on registers, each round. */
  readonly peakGflops: readonly number[];
  /** Rate of two processes that do so at once, relative to one alone, each round: 2 on two free cores. */
  readonly calibration: readonly number[];
}

export function enter(engine: EngineName, setup: Partial<Setup> = {}): Racer {
  return { engine, ...PLAIN, ...setup, process: start(new URL("./contender.js", import.meta.url), [engine]) };
}

/** Two processes of engines/peak.ts. */
export type Peaks = readonly [Racer, Racer];
export const enterPeaks = (): Peaks => [enter("peak"), enter("peak")];

/** One round of the peak, alone and then two at once, as GFLOP/s and as {@link Race.calibration}. */
async function measurePeak([one, other]: Peaks, flops: number): Promise<{ gflops: number; calibration: number }> {
  const alone = (await one.process.ask("turn")) as Turn;
  const both = await Promise.all([one.process.ask("turn"), other.process.ask("turn")]);
  const times = (both as Turn[]).map(({ medianMs }) => medianMs);
  return {
    gflops: flops / alone.medianMs / 1e6,
    calibration: alone.medianMs / times[0]! + alone.medianMs / times[1]!,
  };
}

/** The peak and the calibration where nothing else is raced: medians of some rounds. */
export async function measureMachine(peaks: Peaks): Promise<{ peakGflops: number; calibration: number }> {
  for (const { process } of peaks) await process.ask({ work: PEAK, setup: PLAIN });
  const rounds = [];
  for (let round = -1; round < ROUNDS; round++) {
    const measured = await measurePeak(peaks, flopsOf(PEAK));
    if (round >= 0) rounds.push(measured);
  }
  return {
    peakGflops: median(rounds.map(({ gflops }) => gflops)),
    calibration: median(rounds.map(({ calibration }) => calibration)),
  };
}

/** Images, texts or photos of a run. */
function batchOf(work: Work): number {
  switch (work.kind) {
    case "vit":
      return work.batch;
    case "prompts":
      return work.count;
    case "folder":
      return work.photos;
    default:
      return 1;
  }
}

/** Times the racers on `work`; the first is the one that the others' results are compared with. */
export async function race(work: Work, racers: readonly Racer[], peaks: Peaks): Promise<Race> {
  const [label, flops] = [labelOf(work), flopsOf(work)];
  const runners: { racer: Racer; prepared: Prepared }[] = [];
  const refused: (Entry & Refusal)[] = [];
  // Of work that takes seconds a part will do.
  const timed = work.kind === "dense" || work.kind === "folder" || flops > MOST_FLOPS ? PEAK : work;
  for (const { process } of peaks) await process.ask({ work: timed, setup: PLAIN });
  for (const racer of racers) {
    const { process, ...entry } = racer;
    const answer = await process.ask({ work, setup: setupOf(racer) });
    if (!answer) continue;
    if ("refused" in answer) refused.push({ ...entry, refused: answer.refused });
    else runners.push({ racer, prepared: answer as Prepared });
  }

  const peakGflops: number[] = [];
  const calibration: number[] = [];
  const rounds: Turn[][] = [];
  const begin = performance.now();
  for (let round = -1; round < ROUNDS; round++) {
    const peak = await measurePeak(peaks, flopsOf(timed));
    const turns: Turn[] = [];
    for (const { racer } of runners) turns.push((await racer.process.ask("turn")) as Turn);
    const takenMs = performance.now() - begin;
    // The first round only lets the engine compile what is hot, unless it takes so long that there is time for few.
    if (round < 0 && takenMs < MOST_MS / 2) continue;
    rounds.push(turns);
    peakGflops.push(peak.gflops);
    calibration.push(peak.calibration);
    if (takenMs > MOST_MS) break;
  }

  const finishes: Finish[] = [];
  for (const { racer } of runners) finishes.push((await racer.process.ask("finish")) as Finish);
  const timings = runners.map(({ racer: { process, ...entry }, prepared }, i): Timing => {
    const difference = largestDifference(finishes[i]!.result!, finishes[0]!.result!);
    const photo = ["classify", "folder", "pixels", "decode", "tensor"].includes(work.kind);
    const resnet = work.kind === "resnet" && entry.precision === "f32";
    const kind = photo && entry.precision === "f32" ? "photo" : resnet ? "resnet" : entry.precision;
    const tolerance = TOLERANCES[kind];
    if (!(difference <= tolerance)) {
      throw new Error(
        `bench: ${entry.engine} ${entry.precision} must compute what ${runners[0]!.racer.engine} does; on ${label} they differ by ${difference}`,
      );
    }
    const turns = rounds.map((round) => round[i]!);
    const ms = turns.map(({ medianMs }) => medianMs);
    const bestMs = Math.min(...turns.map((turn) => turn.bestMs));
    const cpuMs = turns.map((turn) => turn.cpuMs);
    // Others share their process with the races before.
    const { peakBytes } = finishes[i]!;
    const peak = work.kind === "dense" && { peakBytes };
    return { ...entry, kernels: prepared.kernels, ms, bestMs, cpuMs, difference, ...peak };
  });
  const batch = batchOf(work);
  return { work: label, batch, flops, timings, refused, peakGflops, calibration };
}

const setupOf = ({ precision, threads, wide }: Setup): Setup => ({ precision, threads, wide });

/** Median over rounds of how many times as long `slower` took as `faster`. */
export const ratio = (slower: readonly number[], faster: readonly number[]): number =>
  median(slower.map((ms, round) => ms / faster[round]!));

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** Distance of the quartiles, relative to the median. */
export const spread = (values: readonly number[]): number =>
  (quantile(values, 0.75) - quantile(values, 0.25)) / median(values);

/** Linear interpolation between the values around it, as numpy.quantile. */
function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const [low, high] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!];
  return low + (high - low) * (at - Math.floor(at));
}

function largestDifference(values: Float32Array, reference: Float32Array): number {
  if (values.length !== reference.length) return Number.NaN;
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    difference = Math.max(difference, Math.abs(values[i]! - reference[i]!));
    largest = Math.max(largest, Math.abs(reference[i]!));
  }
  return difference / largest;
}
