/**
 * Run by serve.ts in a process of its own: the library without a server, lists of an image over and over, and one by one; prints how many
 * a second: FOLDER TASK SECONDS FILE.
 */
import { readFileSync } from "node:fs";
import { load } from "../src/index.js";

export interface Loop {
  readonly lists: number;
  readonly single: number;
}

const [folder, task, seconds, file] = process.argv.slice(2) as [string, "classify" | "embed", string, string];
const image = new Uint8Array(readFileSync(file));
using model = await load(folder);
const LIST = 16;

async function rate(images: Uint8Array | Uint8Array[]): Promise<number> {
  const call = () => (model[task] as (images: unknown) => Promise<unknown>)(images);
  await call();
  const begin = performance.now();
  let done = 0;
  do {
    await call();
    done += Array.isArray(images) ? images.length : 1;
  } while (performance.now() - begin < 1000 * Number(seconds));
  return (1000 * done) / (performance.now() - begin);
}

const loop: Loop = { lists: await rate(Array(LIST).fill(image)), single: await rate(image) };
console.log(JSON.stringify(loop));
