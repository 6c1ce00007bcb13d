/** Fuzzing of a target: starts the process that does it, sees to it that it goes on, and confirms what it suspects. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readSync, statSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { createInterface } from "node:readline";
import { writeInstrumented } from "./instrumented.js";
import {
  type Difference,
  type Message,
  nameOf,
  type Progress,
  READY,
  RUNS,
  STATE_HEAD,
  type Suspect,
  type Task,
} from "./messages.js";
import type { Replayed } from "./replay.js";
import { BYTES, MILLISECONDS, STALL, type Target } from "./target.js";
import { TARGETS } from "./targets/index.js";

export interface Fault {
  readonly message: string;
  readonly file: string;
}

export interface Report extends Progress {
  readonly target: string;
  readonly seconds: number;
  readonly faults: readonly Fault[];
  readonly differences: readonly Difference[];
  /** Files of the folders of seeds that pass a place which no shorter seed does. */
  readonly kept: readonly string[];
}

/** More ends of the process are not worth going on after. */
const MOST_RESTARTS = 20;
/** Milliseconds after which an input of a limit is stopped: the machine may be busy, and the code counts. */
const patienceOf = (milliseconds: number): number => Math.max(5000, 10 * milliseconds);
/** Of the process that fuzzes: V8's heap, so that what takes more is found. */
const HEAP_MB = 512;

/** Fuzzes a target. `onProgress` is told now and then how far it is. */
export async function fuzz(task: Omit<Task, "skip">, onProgress = (_: Progress) => {}): Promise<Report> {
  const target = await TARGETS[task.target]!.load();
  mkdirSync(`${task.folder}/suspects`, { recursive: true });
  const suspects: Suspect[] = [];
  const skip: string[] = [];
  const begin = performance.now();
  let progress: Progress = { executions: 0, found: 0, places: 0, corpus: 0, slowest: 0 };
  let done: { differences: readonly Difference[]; kept: readonly string[] } = { differences: [], kept: [] };
  let before = 0;
  for (let restarts = 0; restarts <= MOST_RESTARTS; restarts++) {
    const left = task.seconds - (performance.now() - begin) / 1000;
    // A process that ended is followed by one of another seed, which knows what was found.
    const next = { ...task, seed: task.seed + restarts, runs: task.runs - before, seconds: left };
    const seeds = restarts === 0 ? task.seeds : [...task.seeds, `${task.folder}/corpus`];
    const end = await run({ ...next, seeds, skip }, target, (message) => {
      if ("refused" in message) throw new Error(message.refused);
      if ("suspect" in message) suspects.push(message.suspect);
      if ("done" in message) done = message.done;
      if ("progress" in message) {
        progress = { ...message.progress, executions: before + message.progress.executions };
        onProgress(progress);
      }
    });
    if (end === undefined) break;
    suspects.push(end.suspect);
    skip.push(basename(end.suspect.file));
    before += end.executions;
    progress = { ...progress, executions: before };
  }
  const seconds = (performance.now() - begin) / 1000;
  return { target: task.target, seconds, ...progress, ...done, faults: await confirm(task.target, target, suspects) };
}

/** Runs the process; what it ended with and at which input, or undefined if it did all. */
async function run(
  task: Task,
  target: Target,
  hear: (message: Message) => void,
): Promise<{ suspect: Suspect; executions: number } | undefined> {
  const state = `${task.folder}/state`;
  writeFileSync(state, "");
  const child = start("child.js", [JSON.stringify(task)], writeInstrumented());
  let isDone = false;
  let failure: unknown;
  const lines = createInterface(child.stdout!);
  lines.on("line", (line) => {
    try {
      const message = JSON.parse(line) as Message;
      isDone ||= "done" in message;
      hear(message);
    } catch (error) {
      failure ??= error;
      child.kill("SIGKILL");
    }
  });
  let written = "";
  child.stderr!.on("data", (chunk) => {
    written = (written + chunk).slice(-10_000);
  });

  const patience = patienceOf(target.milliseconds ?? MILLISECONDS);
  let [seen, since, isHung] = [-1, performance.now(), false];
  const watch = setInterval(() => {
    const { executions } = readState(state);
    if (executions !== seen) [seen, since] = [executions, performance.now()];
    // Nothing has been run while modules are still imported.
    if (statSync(state).size === 0 || performance.now() - since < patience || isDone) return;
    isHung = child.kill("SIGKILL");
  }, 100);
  await once(child, "close");
  clearInterval(watch);
  if (failure) throw failure;
  if (isDone) return undefined;
  const { executions, input } = readState(state);
  if (!input) throw new Error(`fuzz: ${task.target} ended before the first input: ${written.trim()}`);
  const file = `${task.folder}/suspects/${nameOf(input)}`;
  writeFileSync(file, input);
  const why = isHung
    ? `it was stopped after ${patience} ms`
    : `the process ended with ${child.signalCode ?? child.exitCode}`;
  const memory = /heap out of memory|allocation failed/i.test(written) ? ", out of memory" : "";
  return { suspect: { signature: isHung ? "hang" : "end", message: why + memory, file }, executions: executions + 1 };
}

/** Starts a module of this folder, as it is or from the instrumented copy. */
function start(module: string, args: readonly string[], folder = "dist"): ChildProcess {
  const flags = ["--expose-gc", `--max-old-space-size=${HEAP_MB}`];
  return spawn(process.execPath, [...flags, `${folder}/fuzz/${module}`, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function readState(path: string): { executions: number; input?: Uint8Array } {
  const file = openSync(path, "r");
  try {
    const head = Buffer.alloc(STATE_HEAD);
    if (readSync(file, head) < STATE_HEAD) return { executions: -1 };
    const input = new Uint8Array(head.readUInt32LE(4));
    readSync(file, input, 0, input.length, STATE_HEAD);
    return { executions: head.readUInt32LE(0), input };
  } finally {
    closeSync(file);
  }
}

/** The faults among what is suspected, one of a signature, each seen again in a process of its own. */
async function confirm(name: string, target: Target, suspects: readonly Suspect[]): Promise<Fault[]> {
  const faults = new Map<string, Fault>();
  // The last of a signature is the shortest, slowest or largest.
  for (const { signature, file } of [...suspects].reverse()) {
    if (faults.has(signature)) continue;
    const fault = await replay(name, target, file, signature === "memory");
    if (fault) faults.set(signature, { message: fault, file });
  }
  return [...faults.values()];
}

/** What is wrong with an input; undefined if nothing is. */
export async function replay(name: string, target: Target, file: string, counted = false): Promise<string | undefined> {
  const { milliseconds = MILLISECONDS, bytes: mostBytes = BYTES, turns } = target;
  const child = start("replay.js", [name, file, counted ? "counted" : ""], counted ? writeInstrumented() : "dist");
  child.stderr!.resume();
  const patience = patienceOf(RUNS * milliseconds);
  let replayed: Replayed | undefined;
  let timer: NodeJS.Timeout | undefined;
  createInterface(child.stdout!).on("line", (line) => {
    if (line === READY) timer = setTimeout(() => child.kill("SIGKILL"), patience);
    else replayed = JSON.parse(line) as Replayed;
  });
  await once(child, "close");
  clearTimeout(timer);
  if (!replayed) return child.killed ? `it hangs: stopped after ${patience} ms` : "it ends the process";
  const { verdict, took, stall, bytes } = replayed;
  if (verdict) return verdict.message;
  if (bytes > mostBytes) return `it takes ${grouped(bytes)} bytes; ${grouped(mostBytes)} are allowed`;
  // What was counted was not timed.
  if (counted) return undefined;
  if (took > milliseconds) return `it takes ${took.toFixed(0)} ms; ${milliseconds} are allowed`;
  if (turns && stall > STALL) return `the event loop stands still for ${stall.toFixed(0)} ms; ${STALL} are allowed`;
  return undefined;
}

const grouped = (n: number) => n.toLocaleString("en-US");
