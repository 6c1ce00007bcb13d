/** npm run bench: vitrail beside its rivals. HELP says how. */
import { parseArgs } from "node:util";
import type { CollectionSources } from "./collection.js";
import { PART_NAMES } from "./dense.js";
import { PACKAGES } from "./engines/index.js";
import { environment } from "./environment.js";
import { enterPeaks } from "./race.js";
import { sectionText } from "./report.js";
import { prepare, SECTIONS, type SectionName } from "./sections.js";
import { readResults, writeResults, writeTexts } from "./written.js";

const NAMES = Object.keys(SECTIONS) as SectionName[];
const HELP = `npm run bench -- [--only ${NAMES.join(",")}] [--model FOLDER] [--photo FILE]
                [--cifar FOLDER] [--python PYTHON]
npm run bench -- --text

Times vitrail in turns with its rivals and writes bench/results.json, and from it bench/RESULTS.md, the plots in bench and the
table in README.md. With --only the other sections keep the figures that they have. --model is a ViT-Ti in timm's layout
and --photo a JPEG for what is measured on photos, instead of made ones. --text measures nothing and writes the other
files from bench/results.json, after a change of theirs.
Collections are measured where their options are given: fewShot (--model, --cifar), indexing and jobs (--cifar), search (--python,
with NumPy, faiss-cpu and hnswlib). --cifar has CIFAR-10's train.tar.gz and test.tar.gz, JPEG files in a folder a class. Jobs are also
by BullMQ, with redis-server and the folder of hosts as VITRAIL_HOSTS (npm run test:hosts).
The rivals take part when they are installed: npm ci --prefix bench/thirdparty. ${PART_NAMES.join(", ")}
take the models that bench/dense.py has written, in Python with transformers. Keep the machine idle meanwhile.`;

type Sources = Partial<CollectionSources> & { readonly photo?: string };

async function main(names: readonly SectionName[], sources: Sources): Promise<void> {
  let results = readResults();
  prepare(names, sources);
  const peaks = enterPeaks();
  try {
    for (const name of names) {
      const lacking = SECTIONS[name].lacks?.();
      if (lacking) {
        console.log(`Left out: ${name}, which needs ${lacking}.\n`);
        continue;
      }
      const begin = performance.now();
      const where = await environment(peaks);
      const missing = Object.keys(PACKAGES).filter((engine) => !(engine in where.rivals));
      if (missing.length > 0 && name === names[0]) {
        console.log(
          `Left out, as not installed: ${missing.join(", ")}; npm ci --prefix bench/thirdparty installs them.\n`,
        );
      }
      const measured = await SECTIONS[name].measure({ peaks, rivals: where.rivals, sources });
      results = { ...results, [name]: { environment: where, ...measured } };
      console.log(`${sectionText(name, results)}\n\n(${((performance.now() - begin) / 1000).toFixed(0)} s)\n`);
      // After each section, so that a run that is interrupted is not lost.
      writeResults(results);
    }
  } finally {
    for (const { process } of peaks) process.stop();
  }
}

try {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      model: { type: "string" },
      photo: { type: "string" },
      cifar: { type: "string" },
      python: { type: "string" },
      text: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  const lacking = (name: SectionName) => SECTIONS[name]?.needs?.find((source) => values[source] === undefined);
  const names = (values.only?.split(",") ?? NAMES.filter((name) => !lacking(name))) as SectionName[];
  const unknown = names.find((name) => !NAMES.includes(name));
  if (unknown !== undefined) throw new RangeError(`bench: --only takes ${NAMES.join(", ")}; got "${unknown}"`);
  for (const name of values.text ? [] : names) {
    if (lacking(name)) throw new RangeError(`bench: ${name} needs --${SECTIONS[name].needs!.join(", --")}`);
  }
  if (values.help) console.log(HELP);
  else if (values.text) writeTexts(readResults());
  else await main(names, values);
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
