/**
 * The process that fuzzes. Before an input is run it is written to a file, with how many were run before: whatever becomes of
 * this process, fuzz.ts knows of which input, and when it takes too long.
 */
import { mkdirSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { createCorpus } from "./corpus.js";
import { startCoverage } from "./coverage.js";
import type { Message, Task } from "./messages.js";
import { nameOf, STATE_HEAD } from "./messages.js";
import { mutateBytes } from "./mutate/bytes.js";
import type { Pool } from "./mutate/mutator.js";
import { type Oracle, startOracle } from "./oracle.js";
import { createRandom } from "./random.js";
import { type Answer, answerOf, BYTES, LONGEST, MILLISECONDS, STALL, type Target } from "./target.js";
import { TARGETS } from "./targets/index.js";
import { judge } from "./verdict.js";

/** Executions between two looks at the clock, and turns of the event loop. */
const ROUND = 128;
/** Suspects of the same signature that are kept: of those that are slow or large, the next may be confirmed. */
const MOST_SUSPECTS = 4;

const say = (message: Message) => process.stdout.write(`${JSON.stringify(message)}\n`);

async function main(task: Task): Promise<void> {
  const coverage = startCoverage();
  const oracle = task.against === undefined ? undefined : await startOracle(task.against);
  const target = await TARGETS[task.target]!.load();
  const random = createRandom(task.seed);
  const corpus = createCorpus();
  const { longest = LONGEST, milliseconds = MILLISECONDS, bytes: mostBytes = BYTES } = target;
  for (const name of ["corpus", "suspects", "differences"]) mkdirSync(`${task.folder}/${name}`, { recursive: true });
  const save = (kind: string, input: Uint8Array): string => {
    const file = `${task.folder}/${kind}/${nameOf(input)}`;
    writeFileSync(file, input);
    return file;
  };

  // What is imported and compiled for the first input is no input's time.
  if (target.seeds[0]) await answerOf(target, target.seeds[0]);
  const state = openSync(`${task.folder}/state`, "w");
  const record = Buffer.alloc(STATE_HEAD + longest);
  const suspects = new Map<string, { length: number; count: number }>();
  const differences = new Map<string, { count: number; input: Uint8Array }>();
  let executions = 0;
  let slowest = 0;
  let peak = process.resourceUsage().maxRSS;

  function suspect(signature: string, message: string, input: Uint8Array, isMore = false): void {
    const known = suspects.get(signature);
    if (known && known.count >= MOST_SUSPECTS) return;
    if (known && !isMore && input.length > 0.8 * known.length) return;
    suspects.set(signature, { length: input.length, count: (known?.count ?? 0) + 1 });
    say({ suspect: { signature, message, file: save("suspects", input) } });
  }

  async function execute(input: Uint8Array): Promise<void> {
    record.writeUInt32LE(executions, 0);
    record.writeUInt32LE(input.length, 4);
    record.set(input, STATE_HEAD);
    writeSync(state, record, 0, STATE_HEAD + input.length, 0);
    executions++;
    coverage.reset();
    const begin = performance.now();
    const { answer, error } = await answerOf(target, input);
    const took = performance.now() - begin;
    // What takes much memory takes time; looking takes more than most inputs.
    const { maxRSS } = took > 2 ? process.resourceUsage() : { maxRSS: peak };
    const grown = 1024 * (maxRSS - peak);
    peak = maxRSS;

    const verdict = error === undefined ? undefined : judge(error, target);
    if (verdict) suspect(verdict.signature, verdict.message, input);
    if (took > milliseconds) suspect("time", `${took.toFixed(0)} ms`, input, took > 1.2 * slowest);
    else if (target.turns && took > STALL) suspect("stall", `${took.toFixed(0)} ms`, input, took > 1.2 * slowest);
    if (grown > mostBytes || coverage.allocated > mostBytes)
      suspect("memory", `${Math.max(grown, coverage.allocated)} bytes`, input, true);
    slowest = Math.max(slowest, took);
    if (oracle) await compare(oracle, input, answer);
  }

  async function compare(oracle: Oracle, input: Uint8Array, answer: Answer): Promise<void> {
    const kind = target.against![task.against!]!(answer, await oracle.ask(input));
    if (kind === undefined) return;
    const known = differences.get(kind);
    const shortest = known && known.input.length <= input.length ? known.input : input;
    differences.set(kind, { count: (known?.count ?? 0) + 1, input: shortest });
  }

  const progress = () => {
    const { found, places } = coverage;
    say({ progress: { executions, found, places, corpus: corpus.size, slowest } });
  };

  // Seeds, short ones first, so that long ones are kept for what they add.
  const files = task.seeds.flatMap((folder) => filesIn(folder));
  const seeds = [...target.seeds.map((input) => ({ input, file: "" })), ...files].filter(
    ({ input }) => input.length <= longest && !task.skip.includes(nameOf(input)),
  );
  const byLength = seeds.sort(
    (a, b) => Number(a.file !== "") - Number(b.file !== "") || a.input.length - b.input.length,
  );
  const kept: string[] = [];
  for (const { input, file } of byLength) {
    const before = coverage.found;
    await execute(input);
    if (!coverage.isNew() && task.guided) continue;
    corpus.add(input, coverage.passed());
    if (file !== "" && coverage.found > before) kept.push(file);
  }

  const pool = {
    random,
    dictionary: [] as Uint8Array[],
    words: [] as string[],
    names: [] as string[],
    other: () => corpus.choose(random),
  };
  const deadline = performance.now() + 1000 * task.seconds;
  const last = executions + task.runs;
  let told = performance.now();
  while (executions < last) {
    if (executions % ROUND === 0) {
      await setImmediate();
      const now = performance.now();
      if (now > deadline) break;
      if (now - told > 5000) {
        progress();
        told = now;
      }
    }
    // More is known when more was imported.
    if (pool.words.length + pool.dictionary.length === 0 || executions % (64 * ROUND) === 0)
      learn(pool, coverage.literals, coverage.names);
    const input = mutated(target, corpus.choose(random), pool).subarray(0, longest);
    await execute(input);
    if (!task.guided || !coverage.isNew()) continue;
    corpus.add(input, coverage.passed());
    save("corpus", input);
  }
  progress();
  const found = [...differences].map(([kind, { count, input }]) => ({ kind, count, file: save("differences", input) }));
  say({ done: { differences: found, kept } });
  oracle?.stop();
}

function mutated(target: Target, input: Uint8Array, pool: Pool): Uint8Array {
  const { random } = pool;
  // Of those that know the format four times of five.
  if (target.mutators.length > 0 && !random.once(5)) {
    const changed = random.pick(target.mutators)(input, pool);
    if (changed) return changed;
  }
  return mutateBytes(input, pool);
}

/** Bytes of what the code knows: of texts, and of integers of two and four bytes in both orders. */
function learn(
  pool: { dictionary: Uint8Array[]; words: string[]; names: string[] },
  literals: ReadonlySet<string | number>,
  names: ReadonlySet<string>,
): void {
  pool.words = [...literals].filter((literal) => typeof literal === "string");
  pool.names = [...names];
  pool.dictionary = [...literals].flatMap((literal) => {
    if (typeof literal === "string") return [new TextEncoder().encode(literal)];
    if (!Number.isInteger(literal) || literal >= 2 ** 32) return [];
    const size = literal < 65536 ? 2 : 4;
    const bytes = Array.from({ length: size }, (_, i) => Math.floor(literal / 256 ** i) & 255);
    return [Uint8Array.from(bytes), Uint8Array.from(bytes.reverse())];
  });
}

function filesIn(folder: string): { input: Uint8Array; file: string }[] {
  let names: string[];
  try {
    names = readdirSync(folder).sort();
  } catch {
    return [];
  }
  return names.map((name) => ({ input: new Uint8Array(readFileSync(`${folder}/${name}`)), file: `${folder}/${name}` }));
}

main(JSON.parse(process.argv[2]!) as Task).catch((error: Error) => {
  if (!error.message.startsWith("fuzz: ")) throw error;
  say({ refused: error.message });
});
