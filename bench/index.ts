/** npm run bench: vitrail beside its rivals. HELP says how. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { PART_NAMES } from "./dense.js";
import { PACKAGES } from "./engines/index.js";
import { environment } from "./environment.js";
import { speedPlot } from "./plot.js";
import { enterPeaks } from "./race.js";
import { README_MARKS, readmeTable, resultsPage, sectionText } from "./report.js";
import { prepare, type Results, SECTIONS, type SectionName } from "./sections.js";

const NAMES = Object.keys(SECTIONS) as SectionName[];
const HELP = `npm run bench -- [--only ${NAMES.join(",")}] [--model FOLDER] [--photo FILE]
npm run bench -- --text

Times vitrail in turns with its rivals and writes bench/results.json, and from it bench/RESULTS.md, bench/speed.svg and the
table in README.md. With --only the other sections keep the figures that they have. --model is a ViT-Ti in timm's layout
and --photo a JPEG for what is measured on photos, instead of made ones. --text measures nothing and writes the other
files from bench/results.json, after a change of theirs.
The rivals take part when they are installed: npm ci --prefix bench/thirdparty. ${PART_NAMES.join(", ")}
take the models that bench/dense.py has written, in Python with transformers. Keep the machine idle meanwhile.`;

/** Seen from dist/bench. */
const at = (path: string) => new URL(`../../${path}`, import.meta.url);
const RESULTS = at("bench/results.json");

async function main(names: readonly SectionName[], sources: { model?: string; photo?: string }): Promise<void> {
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
      const measured = await SECTIONS[name].measure({ peaks, rivals: where.rivals });
      results = { ...results, [name]: { environment: where, ...measured } };
      console.log(`${sectionText(name, results)}\n\n(${((performance.now() - begin) / 1000).toFixed(0)} s)\n`);
      // After each section, so that a run that is interrupted is not lost.
      writeFileSync(RESULTS, `${JSON.stringify(results, null, 2)}\n`);
      writeTexts(results);
    }
  } finally {
    for (const { process } of peaks) process.stop();
  }
}

function readResults(): Results {
  return existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, "utf8")) : {};
}

function writeTexts(results: Results): void {
  writeFileSync(at("bench/RESULTS.md"), resultsPage(results));
  const { models } = results;
  if (models) writeFileSync(at("bench/speed.svg"), speedPlot(models.races));
  const readme = readFileSync(at("README.md"), "utf8");
  writeFileSync(at("README.md"), readme.replace(README_MARKS, `$1${readmeTable(results)}$3`));
}

try {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      model: { type: "string" },
      photo: { type: "string" },
      text: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  const names = (values.only?.split(",") ?? NAMES) as SectionName[];
  const unknown = names.find((name) => !NAMES.includes(name));
  if (unknown !== undefined) throw new RangeError(`bench: --only takes ${NAMES.join(", ")}; got "${unknown}"`);
  if (values.help) console.log(HELP);
  else if (values.text) writeTexts(readResults());
  else await main(names, values);
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
