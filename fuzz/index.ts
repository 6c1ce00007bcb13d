/** npm run fuzz: changes inputs until the code under test does what it must not. HELP says how. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { fuzz, type Report } from "./fuzz.js";
import { ORACLES } from "./oracle.js";
import { TARGETS } from "./targets/index.js";

const NAMES = Object.keys(TARGETS).filter((name) => !TARGETS[name]!.isPlanted);
const HELP = `npm run fuzz -- TARGET... [--seconds 60] [--runs N] [--seed 1] [--against ${Object.keys(ORACLES).join("|")}] [--merge]

${NAMES.map((name) => `  ${name.padEnd(14)}${TARGETS[name]!.what}`).join("\n")}

--against compares each result with another program's, in the Python of VITRAIL_PYTHON (default: python3).
--merge runs what was found before, and keeps in fuzz/corpus what passes places in the code that shorter inputs do not.`;

/** A larger file is not kept in the repository. */
const LONGEST_KEPT = 1024;

async function main(
  names: readonly string[],
  options: { seconds: number; runs: number; seed: number; against?: string; merge: boolean },
): Promise<void> {
  const { merge, ...rest } = options;
  for (const target of names) {
    const folder = `build/fuzz/${target}`;
    const seeds = [`fuzz/corpus/${target}`, `fuzz/crashes/${target}`, `${folder}/corpus`];
    const task = { ...rest, target, folder, seeds, guided: true, runs: merge ? 0 : rest.runs };
    const report = await fuzz(task, ({ executions, found, places, corpus }) =>
      process.stderr.write(
        `${target}: ${grouped(executions)} executions, ${found} of ${places} places, ${corpus} inputs kept\n`,
      ),
    );
    print(report);
    if (merge) keep(target, report.kept);
    if (report.faults.length > 0) process.exitCode = 1;
  }
}

const grouped = (n: number) => n.toLocaleString("en-US");

function print({ target, executions, seconds, found, places, slowest, faults, differences }: Report): void {
  const speed = grouped(Math.round(executions / seconds));
  console.log(
    `${target}: ${grouped(executions)} executions in ${seconds.toFixed(0)} s (${speed}/s), ${found} of ${places} places, slowest ${slowest.toFixed(0)} ms`,
  );
  for (const { kind, count, file } of [...differences].sort((a, b) => b.count - a.count)) {
    console.log(`  ${grouped(count)} times ${kind}: ${file}`);
  }
  for (const { message, file } of faults) console.log(`  FAULT ${message.slice(0, 240)}: ${file}`);
}

/** Leaves in fuzz/corpus what was kept, under names by content. */
function keep(target: string, files: readonly string[]): void {
  const folder = `fuzz/corpus/${target}`;
  const inputs = new Map(files.map((file) => [basename(file), readFileSync(file)]));
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [name, input] of inputs) if (input.length <= LONGEST_KEPT) writeFileSync(join(folder, name), input);
}

/** @throws Error: one sentence, for options that are not there or wrong. */
function readOptions(): Parameters<typeof main> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: "string", default: "60" },
      runs: { type: "string", default: String(Number.MAX_SAFE_INTEGER) },
      seed: { type: "string", default: "1" },
      against: { type: "string" },
      merge: { type: "boolean", default: false },
    },
  });
  const count = (name: "seconds" | "runs" | "seed") => {
    const value = Number(values[name]);
    if (Number.isFinite(value) && value >= 0) return value;
    throw new Error(`fuzz: --${name} must be a number of at least 0; got ${values[name]}`);
  };
  const unknown = positionals.find((name) => !Object.hasOwn(TARGETS, name));
  if (unknown !== undefined) throw new Error(`fuzz: the targets are ${NAMES.join(", ")}; got ${unknown}`);
  const { against, merge } = values;
  if (against !== undefined && !Object.hasOwn(ORACLES, against)) {
    throw new Error(`fuzz: --against takes ${Object.keys(ORACLES).join(" or ")}; got ${against}`);
  }
  return [positionals, { seconds: count("seconds"), runs: count("runs"), seed: count("seed"), against, merge }];
}

try {
  const [names, options] = readOptions();
  if (names.length === 0) console.log(HELP);
  else await main(names, options);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
