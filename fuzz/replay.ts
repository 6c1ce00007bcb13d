/**
 * One input in a process of its own: what the code says of it, how long that takes, how long the event loop stands still, and
 * what memory it needs. `counted`: buffers are counted, for which the code is instrumented; otherwise it is as it ships.
 */
import { readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { startCoverage } from "./coverage.js";
import { READY, RUNS } from "./messages.js";
import { answerOf } from "./target.js";
import { TARGETS } from "./targets/index.js";
import { judge, type Verdict } from "./verdict.js";

export interface Replayed {
  readonly verdict: Verdict | undefined;
  /** Milliseconds, of the quickest of three runs. */
  readonly took: number;
  /** Longest time between turns of the event loop, milliseconds, of the best of three runs. */
  readonly stall: number;
  /** Bytes that the process grew by at most, or those of buffers that were there at once. */
  readonly bytes: number;
}

async function main(name: string, file: string, counted: boolean): Promise<Replayed> {
  const buffers = () => {
    globalThis.gc!();
    return process.memoryUsage().arrayBuffers;
  };
  let most = 0;
  if (counted) {
    startCoverage(() => {
      most = Math.max(most, buffers());
    });
  }
  const target = await TARGETS[name]!.load();
  const input = new Uint8Array(readFileSync(file));
  // What is made once and kept is not the input's.
  for (const seed of target.seeds.slice(0, 2)) await answerOf(target, seed);

  process.stdout.write(`${READY}\n`);
  const before = buffers();
  const resident = process.memoryUsage.rss();
  const highest = process.resourceUsage().maxRSS;
  most = before;
  let [took, stall] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  let verdict: Verdict | undefined;
  let grown = 0;
  for (let run = 0; run < RUNS; run++) {
    await setImmediate();
    const turns = watchTurns();
    const begin = moment();
    const { error } = await answerOf(target, input);
    took = Math.min(took, since(begin));
    stall = Math.min(stall, turns.end());
    verdict = error === undefined ? undefined : judge(error, target);
    if (run > 0) continue;
    const { maxRSS } = process.resourceUsage();
    grown = maxRSS > highest ? 1024 * maxRSS - resident : 0;
  }
  return { verdict, took, stall, bytes: Math.max(grown, most - before) };
}

/** A time by the clock and by processors. */
interface Moment {
  readonly clock: number;
  readonly processor: NodeJS.CpuUsage;
}

const moment = (): Moment => ({ clock: performance.now(), processor: process.cpuUsage() });

/** Milliseconds since then, by clock or processors, whichever are fewer: waiting for a busy machine does not count. */
function since({ clock, processor }: Moment): number {
  const { user, system } = process.cpuUsage(processor);
  return Math.min(performance.now() - clock, (user + system) / 1000);
}

/** Measures the longest time between turns of the event loop from now to `end`. */
function watchTurns(): { end(): number } {
  let [last, longest, isOver] = [moment(), 0, false];
  const look = () => {
    longest = Math.max(longest, since(last));
    last = moment();
  };
  const turn = () => {
    if (isOver) return;
    look();
    globalThis.setImmediate(turn);
  };
  turn();
  return {
    end() {
      look();
      isOver = true;
      return longest;
    },
  };
}

const [name, file, counted] = process.argv.slice(2);
const replayed = await main(name!, file!, counted === "counted");
process.stdout.write(`${JSON.stringify(replayed)}\n`);
