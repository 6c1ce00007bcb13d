/**
 * `npm run lanes`: how well many processors are used by one image, by a batch, and by a list whose images
 * pass side by side (src/engine/lanes.ts), up to 64 threads. What an op, a barrier, a photo and the caller's part of it take is
 * measured here, on one thread and on two; more threads are simulated, event by event, and written as bench/LANES.md. What this machine
 * cannot tell, the bandwidth of a larger one, is an option.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { AttentionShape, Backend, Linear, Tensor } from "../src/backend.js";
import { createWasmBackend } from "../src/backends/wasm/index.js";
import { parseConfig } from "../src/checkpoint/recognize.js";
import { planWeights } from "../src/checkpoint/weights.js";
import { forward } from "../src/forward/forward.js";
import { load } from "../src/index.js";
import { openCheckpoint } from "../src/io/checkpoint.js";
import { writeCheckpoints } from "./checkpoints.js";
import { folderOf, PHOTO } from "./files.js";
import { digits, percent, table } from "./markdown.js";
import type { Size } from "./models.js";
import { median } from "./race.js";
import { vitPixels } from "./work.js";

const HELP = `npm run lanes -- [--size Ti,B] [--bandwidth 40] [--photos 1000]

--bandwidth of memory in GB/s that all threads of the simulated machine share, --photos of the list. Takes 4 minutes, or as long as a
size; keep the machine idle meanwhile.`;

/** An op of a pass: milliseconds on one thread, the tasks that threads take of it (0: the caller does it alone), and its barriers. */
export interface Phase {
  readonly ms: number;
  readonly tasks: (threads: number) => number;
  readonly barriers: number;
}

/** What a pass and a photo take; milliseconds. */
export interface Costs {
  /** Of a pass of one image, and of one of {@link BATCH}. */
  readonly phases: readonly Phase[];
  readonly batch: readonly Phase[];
  /** That a barrier costs beside the waiting for the last task. */
  readonly barrier: number;
  /** Decoding and resizing of a photo. */
  readonly pixels: number;
  /** Processor time of the calling thread for each photo of a list. */
  readonly caller: number;
  /** Of weights, which a pass reads once. */
  readonly bytes: number;
}

const BATCH = 8;
/** Rounds of a figure: as many as fit in so many milliseconds. */
const [LEAST_ROUNDS, MOST_ROUNDS, BUDGET] = [2, 9, 4000];
const THREADS = [1, 2, 4, 8, 16, 32, 64];

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/** Milliseconds of a pass on one thread that shares a bandwidth with as many others as there are; bytes a millisecond. */
const passAlone = ({ phases, bytes }: Costs, threads: number, bandwidth: number): number =>
  Math.max(sum(phases.map(({ ms }) => ms)), (threads * bytes) / bandwidth);

/** Milliseconds of a pass whose ops are shared by all threads: each waits for its last task, and costs a barrier. */
export function passTogether(phases: readonly Phase[], barrier: number, threads: number): number {
  return sum(
    phases.map(({ ms, tasks, barriers }) => {
      const count = tasks(threads);
      if (count === 0 || threads === 1) return ms;
      return (Math.ceil(count / threads) * ms) / count + barriers * barrier;
    }),
  );
}

/** Jobs that a lane has at most when it takes a photo to decode, as in src/engine/lanes.ts. */
const QUEUE = 2;

/**
 * Milliseconds of a list on lanes: the caller offers photos in order, a lane makes pixels of one, the caller makes values of them and
 * gives the pass to the lane that has the fewest jobs.
 */
export function listBeside(costs: Costs, photos: number, lanes: number, bandwidth: number): number {
  const pass = passAlone(costs, lanes, bandwidth);
  const queues: ("pixels" | "pass")[][] = Array.from({ length: lanes }, () => []);
  /** When each lane's first job ends. */
  const ends = queues.map(() => Number.POSITIVE_INFINITY);
  let [now, caller, offered, ready, passing, done] = [0, 0, 0, 0, 0, 0];

  function give(lane: number, job: "pixels" | "pass", at: number): void {
    queues[lane]!.push(job);
    if (queues[lane]!.length === 1) ends[lane] = at + (job === "pixels" ? costs.pixels : pass);
  }
  const leastBusy = () => queues.reduce((best, { length }, i) => (length < queues[best]!.length ? i : best), 0);

  /** The caller's turn: what is ready passes, and there are three photos under way for each lane. */
  function route(): void {
    while (ready > 0 && passing < 2 * lanes) {
      ready--;
      passing++;
      caller = Math.max(caller, now) + costs.caller;
      give(leastBusy(), "pass", caller);
    }
    for (let lane = leastBusy(); offered < photos && offered - done < 3 * lanes + passing; lane = leastBusy()) {
      if (queues[lane]!.length >= QUEUE) break;
      offered++;
      give(lane, "pixels", Math.max(now, caller));
    }
  }

  for (route(); done < photos; route()) {
    const lane = ends.reduce((first, end, i) => (end < ends[first]! ? i : first), 0);
    now = ends[lane]!;
    if (queues[lane]!.shift() === "pixels") ready++;
    else {
      passing--;
      done++;
    }
    const [next] = queues[lane]!;
    ends[lane] = next ? now + (next === "pixels" ? costs.pixels : pass) : Number.POSITIVE_INFINITY;
  }
  // Lanes have all processors, so what the caller takes it takes from them.
  return Math.max(now, caller) * (1 + costs.caller / (pass + costs.pixels));
}

/** Times of the ops of a pass, in their order. */
async function phasesOf(
  run: (backend: Backend) => Promise<unknown>,
  backend: Backend,
  wide: boolean,
): Promise<Phase[]> {
  const rounds: Phase[][] = [];
  const start = performance.now();
  for (let round = -1; round < MOST_ROUNDS && !(round >= LEAST_ROUNDS && performance.now() - start > BUDGET); round++) {
    const phases: Phase[] = [];
    const watched = new Proxy(backend, {
      get(target, key) {
        const value = Reflect.get(target, key);
        if (typeof value !== "function" || key === "mark" || key === "release") return value;
        return (...args: never[]) => {
          const begin = performance.now();
          const result = value(...args);
          phases.push({ ms: performance.now() - begin, ...costsOf(String(key), args, wide) });
          return result;
        };
      },
    });
    const begin = performance.now();
    await run(watched);
    const all = performance.now() - begin;
    // What is between the ops.
    phases.push({ ms: all - sum(phases.map(({ ms }) => ms)), tasks: () => 0, barriers: 0 });
    if (round >= 0) rounds.push(phases);
  }
  return rounds[0]!.map((phase, i) => ({ ...phase, ms: median(rounds.map((phases) => phases[i]!.ms)) }));
}

/** Tasks and barriers of an op: assembly/linear.ts, attention.ts and layernorm.ts say them. */
function costsOf(op: string, args: readonly unknown[], wide: boolean): Omit<Phase, "ms"> {
  if (op === "linear") {
    const [, { rows }, { outputs, inputs, precision }] = args as unknown as [Tensor, Tensor, Linear];
    const panels = Math.ceil(outputs / 8);
    const step = wide ? 2 : 1;
    const fitting = (768 * 1024) / (precision === "f32" ? 4 * inputs : inputs);
    const parts = Math.ceil(rows / Math.max(48, Math.floor(Math.min(240, fitting) / 24) * 24));
    const tasks = (threads: number) =>
      Math.ceil(panels / Math.max(step, Math.floor(panels / (threads * 6) / step) * step));
    return { tasks, barriers: 2 * parts };
  }
  if (op === "attention") {
    const { heads, tokens } = args[2] as AttentionShape;
    const images = (args[0] as Tensor).rows / tokens;
    return { tasks: () => images * heads * Math.ceil(tokens / 24), barriers: 2 };
  }
  if (op === "layerNorm") return { tasks: () => Math.ceil((args[0] as Tensor).rows / 16), barriers: 1 };
  return { tasks: () => 0, barriers: 0 };
}

interface Setup {
  readonly size: Size;
  readonly precision: "f32" | "int8";
  readonly wide: boolean;
}

async function measure({ size, precision, wide }: Setup): Promise<{ costs: Costs; checked: string[] }> {
  const folder = folderOf(size);
  const checkpoint = await openCheckpoint(folder);
  const { config, named, heads } = await parseConfig(checkpoint.name, checkpoint.config, checkpoint.tensors, undefined);
  const runOf = async (threads: number) => {
    const backend = await createWasmBackend({ threads, wide });
    const again = await openCheckpoint(folder);
    const loader = planWeights(again.name, { config, named, heads }, again.tensors).create(backend, precision);
    await again.read(loader, {});
    const weights = await loader.finish();
    await again.close();
    await backend.started;
    const run = (images: number) => {
      const pixelValues = vitPixels(images, size);
      return async (on: Backend) => (await forward(on, weights, config, { pixelValues }, ["logits"])).outputs;
    };
    return { backend, run };
  };
  await checkpoint.close();
  const timeOf = async (run: () => Promise<unknown>) => {
    const times: number[] = [];
    const start = performance.now();
    for (
      let round = -1;
      round < MOST_ROUNDS && !(round >= LEAST_ROUNDS && performance.now() - start > BUDGET);
      round++
    ) {
      const begin = performance.now();
      await run();
      if (round >= 0) times.push(performance.now() - begin);
    }
    return median(times);
  };

  const one = await runOf(1);
  const phases = await phasesOf(one.run(1), one.backend, wide);
  const batch = await phasesOf(one.run(BATCH), one.backend, wide);
  const { weights: bytes } = one.backend.memory;
  one.backend.dispose();
  const two = await runOf(2);
  const together = await timeOf(() => two.run(1)(two.backend));
  two.backend.dispose();
  const barrier = Math.max(0, together - passTogether(phases, 0, 2)) / sum(phases.map(({ barriers }) => barriers));

  using model = await load(folder, { backend: "wasm", precision, wide, threads: 2 });
  const alone = sum(phases.map(({ ms }) => ms));
  const photos = Array.from({ length: Math.min(48, Math.max(12, Math.round(2000 / alone))) }, () => PHOTO);
  const pixels = await timeOf(() => model.preprocess(PHOTO));
  // Until all threads run passes.
  for (let round = 0; round < 2; round++) await model.embed(photos);
  let lists = 0;
  // Not the time in which its event loop is busy: that goes on while the processors are the lanes'.
  const before = threadCpuUsage();
  const list = await timeOf(async () => {
    lists++;
    await model.embed(photos);
  });
  const { user, system } = threadCpuUsage(before);
  const caller = (user + system) / 1000 / (lists * photos.length);
  const costs = { phases, batch, barrier, pixels, caller, bytes };
  return {
    costs,
    checked: [
      `ViT-${size} ${precision}${wide ? " wide" : ""}`,
      digits(alone),
      digits(sum(batch.map(({ ms }) => ms)) / BATCH),
      digits(pixels),
      digits(1000 * barrier),
      digits(1000 * caller),
      percent(alone / together / 2),
      digits((2 * together) / alone - 1),
      percent((photos.length * (alone + pixels)) / list / 2),
      percent((photos.length * (alone + pixels)) / listBeside(costs, photos.length, 2, Number.POSITIVE_INFINITY) / 2),
    ],
  };
}

/** Processor time of this thread alone, microseconds: of Node 23.9 and later. */
function threadCpuUsage(before?: NodeJS.CpuUsage): NodeJS.CpuUsage {
  const { threadCpuUsage } = process as { threadCpuUsage?: typeof process.cpuUsage };
  if (threadCpuUsage) return threadCpuUsage.call(process, before);
  throw new Error(`lanes: it needs process.threadCpuUsage, of Node 23.9 or later; this is ${process.versions.node}`);
}

const SETUPS: readonly Omit<Setup, "size">[] = [
  { precision: "f32", wide: false },
  { precision: "f32", wide: true },
  { precision: "int8", wide: true },
];

async function main(sizes: readonly Size[], bandwidth: number, photos: number): Promise<void> {
  const measured: string[][] = [];
  const predicted: string[][] = [];
  for (const size of sizes)
    for (const setup of SETUPS) {
      const { costs, checked } = await measure({ size, ...setup });
      measured.push(checked);
      const { phases, batch, barrier, pixels } = costs;
      const alone = sum(phases.map(({ ms }) => ms));
      const ways: [string, (threads: number) => number][] = [
        ["one image on all threads", (threads) => alone / passTogether(phases, barrier, threads)],
        [`${BATCH} images as a batch`, (threads) => (BATCH * alone) / passTogether(batch, barrier, threads)],
        [
          `${photos} photos side by side`,
          (threads) => (photos * (alone + pixels)) / listBeside(costs, photos, threads, bandwidth * 1e6),
        ],
      ];
      for (const [what, speed] of ways) {
        predicted.push([`${checked[0]}, ${what}`, ...THREADS.map((threads) => percent(speed(threads) / threads))]);
      }
    }
  const header = ["measured, ms", "pass", `of ${BATCH}, each`, "pixels", "barrier µs", "caller µs"];
  const onTwo = ["pass on 2 threads", "sharing", "list on 2", "predicted"];
  writeFileSync(
    FILE,
    `# Lists on many threads

Written by \`npm run lanes\`: nothing here is typed. Efficiency is the speed of n threads to n times that of one. Measured on
${cpus()[0]!.model} with ${cpus().length} processors, Node ${process.versions.node}: a pass of one image and of ${BATCH} on one thread, the pixels of a photo
of 0.2 megapixels, what a barrier between ops costs beside the wait for the last task, and the processor time that the calling thread takes for each photo
of a list. Sharing is the part of a pass by which a second thread lengthens what both take together (SHARING in
src/engine/lanes.ts). Lists on two threads are measured and predicted.

${table([...header, ...onTwo], measured)}

More threads are simulated, event by event, with these times, and a memory whose ${bandwidth} GB/s all threads share.

${table(["efficiency on threads", ...THREADS.map(String)], predicted)}
`,
  );
  console.log(readFileSync(FILE, "utf8"));
}

const FILE = "bench/LANES.md";

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      size: { type: "string", default: "Ti,B" },
      bandwidth: { type: "string", default: "40" },
      photos: { type: "string", default: "1000" },
      help: { type: "boolean", default: false },
    },
  });
  const sizes = values.size.split(",") as Size[];
  if (values.help) console.log(HELP);
  else {
    writeCheckpoints(sizes, {});
    await main(sizes, Number(values.bandwidth), Number(values.photos));
  }
}
