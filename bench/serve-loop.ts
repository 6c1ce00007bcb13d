/**
 * Run by serve.ts in a process of its own: the library without a server, lists of an image over and over, one by one, and several calls
 * at once with a signal each, as the server makes them; prints how many a second: FOLDER TASK SECONDS FILE.
 */
import { readFileSync } from "node:fs";
import { load } from "../src/index.js";

export interface Loop {
  readonly lists: number;
  readonly single: number;
  readonly atOnce: number;
}

const [folder, task, seconds, file] = process.argv.slice(2) as [string, "classify" | "embed", string, string];
const image = new Uint8Array(readFileSync(file));
using model = await load(folder);
const LIST = 16;
/** Calls at once, as the server has them on two processors. */
const AT_ONCE = 3;

const { signal } = new AbortController();
const call = (images: unknown, options: object = {}) =>
  (model[task] as (images: unknown, options: object) => Promise<unknown>)(images, options);

/** Images a second, of a round of so many. */
async function rate(images: number, round: () => Promise<unknown>): Promise<number> {
  await round();
  const begin = performance.now();
  let done = 0;
  do {
    await round();
    done += images;
  } while (performance.now() - begin < 1000 * Number(seconds));
  return (1000 * done) / (performance.now() - begin);
}

async function calls(): Promise<void> {
  let left = LIST;
  const some = async () => {
    while (left-- > 0) await call(image, { signal });
  };
  await Promise.all(Array.from({ length: AT_ONCE }, some));
}

const loop: Loop = {
  lists: await rate(LIST, () => call(Array(LIST).fill(image))),
  single: await rate(1, () => call(image)),
  atOnce: await rate(LIST, calls),
};
console.log(JSON.stringify(loop));
