/**
 * Run by serve.ts in a process of its own: the library without a server, lists of an image over and over; prints how many images a
 * second: FOLDER TASK SECONDS FILE.
 */
import { readFileSync } from "node:fs";
import { load } from "../src/index.js";

const [folder, task, seconds, file] = process.argv.slice(2) as [string, "classify" | "embed", string, string];
const image = new Uint8Array(readFileSync(file));
using model = await load(folder);
const LIST = 16;
const list: Uint8Array[] = Array(LIST).fill(image);
const call = () => (task === "embed" ? model.embed(list) : model.classify(list));

// Threads start meanwhile.
await call();
await call();
const begin = performance.now();
let done = 0;
do {
  await call();
  done += LIST;
} while (performance.now() - begin < 1000 * Number(seconds));
console.log((1000 * done) / (performance.now() - begin));
