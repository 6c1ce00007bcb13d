/** The files that hold the results: results.json, and those that are made of it alone. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fewShotPlot, indexingPlot, speedPlot } from "./plot.js";
import { README_MARKS, readmeTable, resultsPage } from "./report.js";
import type { Results } from "./sections.js";

/** Seen from dist/bench. */
const at = (path: string) => new URL(`../../${path}`, import.meta.url);
const RESULTS = at("bench/results.json");

export function readResults(): Results {
  return existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, "utf8")) : {};
}

export function writeResults(results: Results): void {
  writeFileSync(RESULTS, `${JSON.stringify(results, null, 2)}\n`);
  writeTexts(results);
}

export function writeTexts(results: Results): void {
  writeFileSync(at("bench/RESULTS.md"), resultsPage(results));
  const { models, fewShot, indexing } = results;
  if (models) writeFileSync(at("bench/speed.svg"), speedPlot(models.races));
  if (fewShot) writeFileSync(at("bench/few-shot.svg"), fewShotPlot(fewShot));
  if (indexing) writeFileSync(at("bench/indexing.svg"), indexingPlot(indexing));
  const readme = readFileSync(at("README.md"), "utf8");
  writeFileSync(at("README.md"), readme.replace(README_MARKS, `$1${readmeTable(results)}$3`));
}
