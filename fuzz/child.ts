/**
 * The process that fuzzes. Before an input is run it is written to a file, with how many were run before: whatever becomes of
 * this process, fuzz.ts knows of which input, and when it takes too long.
 */
import { mkdirSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { createCorpus } from "./corpus.js";
import { type Coverage, startCoverage } from "./coverage.js";
import { type Difference, type Message, nameOf, STATE_HEAD, type Task } from "./messages.js";
import { mutateBytes } from "./mutate/bytes.js";
import type { Pool } from "./mutate/mutator.js";
import { startOracle } from "./oracle.js";
import { createRandom } from "./random.js";
import { type Answer, answerOf, BYTES, LONGEST, MILLISECONDS, STALL, type Target } from "./target.js";
import { TARGETS } from "./targets/index.js";
import { judge } from "./verdict.js";

/** Executions between two looks at the clock, and turns of the event loop. */
const ROUND = 128;
/** Executions between two looks at what the code knows, which is more when more was imported. */
const LESSON = 64 * ROUND;
/** Milliseconds between two messages on how far it is. */
const TOLD = 5000;
/** Suspects of the same signature that are told: of those that are slow or large, the next may be confirmed. */
const MOST_SUSPECTS = 4;

const say = (message: Message) => process.stdout.write(`${JSON.stringify(message)}\n`);

async function main(task: Task): Promise<void> {
  const coverage = startCoverage();
  const target = await TARGETS[task.target]!.load();
  const { longest = LONGEST } = target;
  const random = createRandom(task.seed);
  const corpus = createCorpus();
  for (const name of ["corpus", "suspects", "differences"]) mkdirSync(`${task.folder}/${name}`, { recursive: true });
  const save = (kind: string, input: Uint8Array): string => {
    const file = `${task.folder}/${kind}/${nameOf(input)}`;
    writeFileSync(file, input);
    return file;
  };
  // What is imported and compiled for the first input is no input's time.
  if (target.seeds[0]) await answerOf(target, target.seeds[0]);

  const note = createNote(`${task.folder}/state`, longest);
  const suspect = createSuspicion((input) => save("suspects", input));
  const compare = task.against === undefined ? undefined : await createComparison(target, task.against);
  let [executions, slowest] = [0, 0];

  /** Runs an input; whether it passed a place as often as none before. */
  async function execute(input: Uint8Array): Promise<boolean> {
    note(executions++, input);
    coverage.reset();
    const measured = await measure(target, coverage, input);
    for (const { signature, message } of faultsOf(target, measured)) {
      suspect(signature, message, input, measured.took > 1.2 * slowest);
    }
    slowest = Math.max(slowest, measured.took);
    await compare?.with(input, measured.answer);
    return coverage.isNew();
  }

  const kept: string[] = [];
  for (const { input, file } of seedsOf(task, target, longest)) {
    const before = coverage.found;
    if (!(await execute(input)) && task.guided) continue;
    corpus.add(input, coverage.passed());
    if (file !== undefined && coverage.found > before) kept.push(file);
  }

  const progress = () => {
    const { found, places } = coverage;
    say({ progress: { executions, found, places, corpus: corpus.size, slowest } });
  };
  const other = () => corpus.choose(random);
  let pool: Pool = { random, ...knowledgeOf(coverage), other };
  const begin = performance.now();
  let told = begin;
  for (let left = task.runs; left > 0; left--) {
    if (left % LESSON === 0) pool = { random, ...knowledgeOf(coverage), other };
    if (left % ROUND === 0) {
      await setImmediate();
      const now = performance.now();
      if (now - begin > 1000 * task.seconds) break;
      if (now - told > TOLD) {
        progress();
        told = now;
      }
    }
    const input = mutated(target, other(), pool).subarray(0, longest);
    if (!(await execute(input)) || !task.guided) continue;
    corpus.add(input, coverage.passed());
    save("corpus", input);
  }
  progress();
  say({ done: { differences: compare?.end((input) => save("differences", input)) ?? [], kept } });
}

/** Writes the input that is to be run, and how many were run before, in one piece. */
function createNote(path: string, longest: number): (executions: number, input: Uint8Array) => void {
  const file = openSync(path, "w");
  const note = Buffer.alloc(STATE_HEAD + longest);
  return (executions, input) => {
    note.writeUInt32LE(executions, 0);
    note.writeUInt32LE(input.length, 4);
    note.set(input, STATE_HEAD);
    writeSync(file, note, 0, STATE_HEAD + input.length, 0);
  };
}

interface Measured {
  readonly answer: Answer;
  readonly error?: unknown;
  /** Milliseconds. */
  readonly took: number;
  /** Bytes: of large buffers, or that the process has grown by. */
  readonly bytes: number;
}

/** Largest memory of the process so far, kilobytes. */
let peak = process.resourceUsage().maxRSS;

async function measure(target: Target, coverage: Coverage, input: Uint8Array): Promise<Measured> {
  const begin = performance.now();
  const { answer, error } = await answerOf(target, input);
  const took = performance.now() - begin;
  // What takes much memory takes time; looking takes more than most inputs.
  const { maxRSS } = took > 2 ? process.resourceUsage() : { maxRSS: peak };
  const grown = 1024 * (maxRSS - peak);
  peak = maxRSS;
  return { answer, error, took, bytes: Math.max(grown, coverage.allocated) };
}

/** What may be wrong: times are those of code that counts, on a machine that may be busy. */
function* faultsOf(
  target: Target,
  { error, took, bytes }: Measured,
): Generator<{ signature: string; message: string }> {
  const verdict = error === undefined ? undefined : judge(error, target);
  if (verdict) yield verdict;
  if (took > (target.milliseconds ?? MILLISECONDS)) yield { signature: "time", message: `${took} ms` };
  else if (target.turns && took > STALL) yield { signature: "stall", message: `${took} ms` };
  if (bytes > (target.bytes ?? BYTES)) yield { signature: "memory", message: `${bytes} bytes` };
}

/** Tells of a suspect when it is the first of its signature, much shorter than that, or worse. */
function createSuspicion(save: (input: Uint8Array) => string) {
  const known = new Map<string, { readonly length: number; readonly count: number }>();
  return (signature: string, message: string, input: Uint8Array, isWorse: boolean): void => {
    const { length, count } = known.get(signature) ?? { length: Number.POSITIVE_INFINITY, count: 0 };
    if (count === MOST_SUSPECTS || (input.length > 0.8 * length && !isWorse)) return;
    known.set(signature, { length: input.length, count: count + 1 });
    say({ suspect: { signature, message, file: save(input) } });
  };
}

/** Asks another program for its answer to each input, and collects the kinds of disagreement. */
async function createComparison(target: Target, name: string) {
  const differs = target.against?.[name];
  if (!differs) throw new Error(`fuzz: --against ${name} is for other targets`);
  const oracle = await startOracle(name);
  const kinds = new Map<string, { readonly count: number; readonly input: Uint8Array }>();
  return {
    async with(input: Uint8Array, answer: Answer): Promise<void> {
      const kind = differs(answer, await oracle.ask(input));
      if (kind === undefined) return;
      const known = kinds.get(kind);
      const shortest = known && known.input.length <= input.length ? known.input : input;
      kinds.set(kind, { count: (known?.count ?? 0) + 1, input: shortest });
    },
    end(save: (input: Uint8Array) => string): Difference[] {
      oracle.stop();
      return [...kinds].map(([kind, { count, input }]) => ({ kind, count, file: save(input) }));
    },
  };
}

/** What there is to begin with: the target's own, then files, short ones first, so that long ones are kept for what they add. */
function seedsOf(task: Task, target: Target, longest: number): { input: Uint8Array; file?: string }[] {
  const files = task.seeds.flatMap((folder) => filesIn(folder).map((file) => ({ input: readInput(file), file })));
  const isWanted = ({ input }: { input: Uint8Array }) => input.length <= longest && !task.skip.includes(nameOf(input));
  const byLength = (a: { input: Uint8Array }, b: { input: Uint8Array }) => a.input.length - b.input.length;
  const own = target.seeds.map((input) => ({ input }));
  return [...own.sort(byLength), ...files.sort(byLength)].filter(isWanted);
}

/** Files of a folder, which need not be there. */
const filesIn = (folder: string): string[] => {
  try {
    const names = readdirSync(folder).sort();
    return names.map((name) => `${folder}/${name}`);
  } catch {
    return [];
  }
};

const readInput = (file: string): Uint8Array => new Uint8Array(readFileSync(file));

/** Four times of five by what knows the format, if anything does. */
function mutated(target: Target, input: Uint8Array, pool: Pool): Uint8Array {
  const { random } = pool;
  const known = target.mutators.length > 0 && !random.once(5);
  return (known && random.pick(target.mutators)(input, pool)) || mutateBytes(input, pool);
}

/** What the code knows: texts, names, and bytes of texts and of integers, of two or four bytes in both orders. */
function knowledgeOf({ literals, names }: Coverage): Pick<Pool, "dictionary" | "words" | "names"> {
  const dictionary = [...literals].flatMap((literal) => {
    if (typeof literal === "string") return [new TextEncoder().encode(literal)];
    if (!Number.isInteger(literal) || literal >= 2 ** 32) return [];
    const size = literal < 65536 ? 2 : 4;
    const bytes = Array.from({ length: size }, (_, i) => Math.floor(literal / 256 ** i) & 255);
    return [Uint8Array.from(bytes), Uint8Array.from(bytes.reverse())];
  });
  const words = [...literals].filter((literal) => typeof literal === "string");
  return { dictionary, words, names: [...names] };
}

main(JSON.parse(process.argv[2]!) as Task).catch((error: Error) => {
  if (!error.message.startsWith("fuzz: ")) throw error;
  say({ refused: error.message });
});
