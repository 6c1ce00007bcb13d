/**
 * Engines timed on the same work, each in its own process, in turns: clocks and neighbours change within a minute, so only
 * what runs side by side can be compared, and ratios are taken within a round before their median is.
 */
import { type Child, start } from "./child.js";
import type { Answer, EngineName, Prepared, Question, Turn } from "./contender.js";
import { flopsOf, labelOf, type Work } from "./work.js";

export const ROUNDS = 7;
/** Largest difference of two engines' results, relative to the largest value, that passes for the same maths. */
const TOLERANCE = 1e-4;

export interface Racer {
  readonly name: string;
  readonly process: Child<Question, Answer>;
}

export interface Timing {
  readonly engine: string;
  readonly kernels?: string;
  readonly medianMs: number;
  readonly bestMs: number;
  /** Distance of the quartiles of the rounds' medians, relative to their median. */
  readonly spread: number;
  readonly gflops: number;
  /** GFLOP/s relative to the peak measured in the same rounds. */
  readonly shareOfPeak: number;
  /** Time relative to the first engine's in the same rounds. */
  readonly ratio: number;
  /** Largest difference from the first engine's result, relative to its largest value. */
  readonly difference: number;
}

export interface Race {
  readonly work: string;
  readonly flops: number;
  readonly peakGflops: number;
  readonly timings: readonly Timing[];
}

/** Starts a process for an engine. */
export function enter(engine: EngineName, name: string = engine): Racer {
  return { name, process: start(new URL("./contender.js", import.meta.url), [engine]) };
}

/** Times the racers on `work`; the first is the one that the others are compared with. `peak` gives the share of peak. */
export async function race(work: Work, racers: readonly Racer[], peak: Racer): Promise<Race> {
  const [label, flops] = [labelOf(work), flopsOf(work)];
  const runners: Racer[] = [];
  const prepared: Prepared[] = [];
  for (const racer of [peak, ...racers]) {
    const answer = (await racer.process.ask(work)) as Prepared | undefined;
    if (!answer) continue;
    runners.push(racer);
    prepared.push(answer);
  }

  const rounds: Turn[][] = [];
  for (let round = -1; round < ROUNDS; round++) {
    const turns: Turn[] = [];
    for (const { process } of runners) turns.push((await process.ask("turn")) as Turn);
    // The first round only lets the engine compile what is hot.
    if (round >= 0) rounds.push(turns);
  }
  const results: Float32Array[] = [];
  for (const { process } of runners) results.push((await process.ask("finish")) as Float32Array);

  const peaks = rounds.map((turns) => flops / turns[0]!.medianMs / 1e6);
  const timings = runners.slice(1).map(({ name }, i): Timing => {
    const turns = rounds.map((round) => round[i + 1]!);
    const medians = turns.map(({ medianMs }) => medianMs);
    const medianMs = quantile(medians, 0.5);
    const difference = largestDifference(results[i + 1]!, results[1]!);
    if (!(difference <= TOLERANCE)) {
      throw new Error(
        `bench: ${name} must compute what ${runners[1]!.name} does; on ${label} they differ by ${difference}`,
      );
    }
    return {
      engine: name,
      kernels: prepared[i + 1]!.kernels,
      medianMs,
      bestMs: Math.min(...turns.map(({ bestMs }) => bestMs)),
      spread: (quantile(medians, 0.75) - quantile(medians, 0.25)) / medianMs,
      gflops: flops / medianMs / 1e6,
      shareOfPeak: quantile(
        medians.map((ms, round) => flops / ms / 1e6 / peaks[round]!),
        0.5,
      ),
      ratio: quantile(
        medians.map((ms, round) => ms / rounds[round]![1]!.medianMs),
        0.5,
      ),
      difference,
    };
  });
  return { work: label, flops, peakGflops: quantile(peaks, 0.5), timings };
}

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
