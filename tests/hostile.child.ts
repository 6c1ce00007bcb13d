/**
 * A program of tests/hostile.test.ts: decodes a file and resizes it for models, and prints what came of it, how long the event
 * loop stood still and how much memory was taken. A process of its own, so that its memory is that of one picture.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { decodeFor } from "../src/image/decode/index.js";
import { parsePreprocessing } from "../src/image/index.js";
import { pixelsOf } from "../src/image/pixels.js";
import { kept } from "../src/image/upright.js";

export interface Outcome {
  readonly size?: readonly [number, number];
  readonly sha256?: string;
  /** The message of the error. */
  readonly error?: string;
  /** Seconds of processor time, for decoding and for each of the resizes, which decode too. */
  readonly seconds: number[];
  /**
   * Longest time in milliseconds in which no timer ran, of the processor: other processes may hold up this one. It counts what
   * the engine does in threads of its own, too.
   */
  readonly gap: number;
  /** Bytes that the process grew by at the most, as the timer saw it. */
  readonly grown: number;
}

/** A model's input: by the short side, and of another shape. */
const INPUTS = [
  parsePreprocessing(undefined, { pretrained_cfg: { crop_pct: 0.9, interpolation: "bicubic" } }, [224, 224]),
  parsePreprocessing(
    { image_processor_type: "SiglipImageProcessor", size: { height: 224, width: 224 } },
    {},
    [224, 224],
  ),
];

function seconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

const [, , file] = process.argv;
const bytes = new Uint8Array(readFileSync(file!));
// A photo of every kind has been seen before, so that nothing is compiled meanwhile.
for (const name of ["rgb-8.png", "gray.jpg", "plain.gif", "lossy.webp"]) {
  for (const preprocessing of INPUTS) {
    await pixelsOf(new Uint8Array(readFileSync(`tests/fixtures/image/${name}`)), { preprocessing });
  }
}
const before = process.memoryUsage().rss;
let gap = 0;
let grown = 0;
let last = seconds();
function look(): void {
  const now = seconds();
  gap = Math.max(gap, 1000 * (now - last));
  grown = Math.max(grown, process.memoryUsage.rss() - before);
  last = now;
}
const timer = setInterval(look, 1);

const outcome: { -readonly [Key in keyof Outcome]?: Outcome[Key] } & { seconds: number[] } = { seconds: [] };
try {
  for (const preprocessing of INPUTS) {
    const begin = seconds();
    await pixelsOf(bytes, { preprocessing });
    outcome.seconds.push(seconds() - begin);
  }
  const begin = seconds();
  // As it is stored: what is expected is not turned.
  const { width, height, data } = await decodeFor(bytes, {}, ({ orientation: _, ...image }) => kept(image));
  outcome.seconds.unshift(seconds() - begin);
  look();
  outcome.size = [width, height];
  outcome.sha256 = createHash("sha256").update(data).digest("hex");
} catch (error) {
  outcome.error = (error as Error).message;
  look();
}
clearInterval(timer);
process.stdout.write(JSON.stringify({ ...outcome, gap, grown }));
