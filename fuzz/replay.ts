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
    const turns = watchTurns();
    await setImmediate();
    turns.begin();
    const begin = performance.now();
    const { error } = await answerOf(target, input);
    took = Math.min(took, performance.now() - begin);
    stall = Math.min(stall, turns.end());
    verdict = error === undefined ? undefined : judge(error, target);
    if (run > 0) continue;
    const { maxRSS } = process.resourceUsage();
    grown = maxRSS > highest ? 1024 * maxRSS - resident : 0;
  }
  return { verdict, took, stall, bytes: Math.max(grown, most - before) };
}

/** Measures the longest time between turns of the event loop from `begin` to `end`. */
function watchTurns(): { begin(): void; end(): number } {
  let [last, longest, isOver] = [performance.now(), 0, false];
  const look = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  const turn = () => {
    if (isOver) return;
    look();
    globalThis.setImmediate(turn);
  };
  turn();
  return {
    begin() {
      [last, longest] = [performance.now(), 0];
    },
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
