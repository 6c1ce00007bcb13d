/** A copy of what was built in which the library counts: code that is imported from there is instrumented. */
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { instrument } from "./instrument.js";

const COPY = "build/fuzz/instrumented";

/** What is copied, and which files of it count. Packages are found where they are nearest. */
const COPIED: Readonly<Record<string, RegExp>> = {
  "dist/src": /\.js$/,
  "dist/fuzz": /planted\.js$/,
  "node_modules/@huggingface/tokenizers": /tokenizers\.mjs$/,
};

/** A copy is older than what it was made by or of. */
const instrumenters = ["instrument.js", "instrument-wasm.js", "instrumented.js"].map((file) => `dist/fuzz/${file}`);

/** Writes what is not there or older than its source; returns the folder that stands for dist. */
export function writeInstrumented(): string {
  const newest = Math.max(...instrumenters.map(timeOf));
  for (const [folder, counting] of Object.entries(COPIED)) {
    for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
      const [from, to] = [`${folder}/${file}`, `${COPY}/${folder}/${file}`];
      if (!/\.(m?js|json)$/.test(file) || timeOf(to) > Math.max(newest, timeOf(from))) continue;
      mkdirSync(dirname(to), { recursive: true });
      // Others may read or write it at the same time.
      const part = `${to}.${process.pid}`;
      if (counting.test(file)) writeFileSync(part, instrument(readFileSync(from, "utf8"), file));
      else cpSync(from, part);
      renameSync(part, to);
    }
  }
  return `${COPY}/dist`;
}

const timeOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
