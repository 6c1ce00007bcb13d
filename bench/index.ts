/** npm run bench: vitrail beside its rivals, as Markdown. HELP says how. */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import type { EngineName } from "./contender.js";
import { installedVersion } from "./engines/thirdparty.js";
import { memory, memoryTable } from "./memory.js";
import { enter, type Race, type Racer, ROUNDS, race } from "./race.js";
import { environment, raceNote, raceTable } from "./report.js";
import { WORKS } from "./work.js";

/** By the package that they need. */
const RIVALS: Readonly<Record<string, EngineName>> = {
  "onnxruntime-web": "onnxruntime-web",
  "@tensorflow/tfjs-backend-wasm": "tfjs-backend-wasm",
  "@jax-js/jax": "jax-js",
};
const SECTIONS = [...Object.keys(WORKS), "memory"];
const HELP = `npm run bench -- [--only ${SECTIONS.join(",")}] [--out FILE]

Times vitrail in turns with its rivals, on one thread each, and prints Markdown; --out writes the figures as JSON.
The rivals take part when they are installed: npm ci --prefix bench/thirdparty. Keep the machine idle meanwhile.`;

async function main(sections: readonly string[], out: string | undefined): Promise<void> {
  const machine = environment();
  console.log(`${machine.cpu}, ${machine.cores} cores (load ${machine.load.toFixed(1)}), ${machine.memoryGb} GB, \
${machine.system}; Node ${machine.node}, V8 ${machine.v8}; commit ${machine.commit}.
f32, 1 thread. Times are medians of ${ROUNDS} interleaved rounds ± half the distance of their quartiles; in brackets:
relative to vitrail's in the same rounds. The peak is that of independent multiply-adds in registers.`);

  const results: Record<string, unknown> = { machine };
  const racing = sections.filter((section) => section in WORKS);
  if (racing.length > 0) {
    const peak = enter("peak");
    const racers = [enter("vitrail"), ...enterRivals()];
    for (const section of racing) {
      const { title, works } = WORKS[section]!;
      const races: Race[] = [];
      for (const work of works) races.push(await race(work, racers, peak));
      console.log(`\n${raceTable(title, races)}\n\n${raceNote(races)}`);
      results[section] = races;
    }
    for (const { process } of [peak, ...racers]) process.stop();
  }
  if (sections.includes("memory")) {
    const samples = await memory();
    console.log(`\n${memoryTable(samples)}`);
    results.memory = samples;
  }
  if (out) await writeFile(out, `${JSON.stringify(results, null, 2)}\n`);
}

function enterRivals(): Racer[] {
  const racers: Racer[] = [];
  const missing: string[] = [];
  for (const [name, engine] of Object.entries(RIVALS)) {
    const version = installedVersion(name);
    if (version) racers.push(enter(engine, `${engine} ${version}`));
    else missing.push(engine);
  }
  if (missing.length > 0) {
    console.log(`\nLeft out, as not installed: ${missing.join(", ")}; npm ci --prefix bench/thirdparty installs them.`);
  }
  return racers;
}

try {
  const { values } = parseArgs({
    options: { only: { type: "string" }, out: { type: "string" }, help: { type: "boolean" } },
  });
  const sections = values.only?.split(",") ?? SECTIONS;
  const unknown = sections.find((section) => !SECTIONS.includes(section));
  if (unknown !== undefined) throw new RangeError(`bench: --only takes ${SECTIONS.join(", ")}; got "${unknown}"`);
  if (values.help) console.log(HELP);
  else await main(sections, values.out);
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
