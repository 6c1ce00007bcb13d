/** Run by folder.ts in a process of its own: the parts of a photo's way to its embedding, one after the other on one thread. */
import { readFile, writeFile } from "node:fs/promises";
import { decode } from "../src/image/index.js";
import { load } from "../src/index.js";
import { answer } from "./child.js";
import { embeddingsFile, fileOf, folderOf } from "./files.js";
import { median } from "./race.js";
import type { FolderWork, Setup } from "./work.js";

export type PartsQuestion = Pick<Setup, "precision" | "wide"> & Pick<FolderWork, "size" | "picture">;

/** Milliseconds of each. */
export interface PartsSample {
  readonly read: number;
  readonly decode: number;
  /** Resized, cropped, and as values. */
  readonly resize: number;
  readonly forward: number;
  readonly write: number;
}

const ROUNDS = 15;

answer(async ({ size, picture, precision, wide }: PartsQuestion): Promise<PartsSample> => {
  using model = await load(folderOf(size), { backend: "wasm", precision, wide, threads: 1 });
  const rounds: PartsSample[] = [];
  for (let round = -3; round < ROUNDS; round++) {
    const times: number[] = [];
    const lap = async <T>(work: () => Promise<T>): Promise<T> => {
      const begin = performance.now();
      const result = await work();
      times.push(performance.now() - begin);
      return result;
    };
    const bytes = await lap(() => readFile(fileOf(picture)));
    await lap(() => decode(bytes));
    // Which decodes again, as no call resizes what has been decoded in the same steps.
    const pixelValues = await lap(() => model.preprocess(bytes));
    const { preLogits } = await lap(() => model.forward({ pixelValues }, { outputs: ["preLogits"] }));
    await lap(() => writeFile(embeddingsFile("vitrail"), preLogits.data));
    const [read, decoded, preprocessed, forward, write] = times as [number, number, number, number, number];
    const sample = { read, decode: decoded, resize: Math.max(0, preprocessed - decoded), forward, write };
    if (round >= 0) rounds.push(sample);
  }
  const of = (name: keyof PartsSample) => median(rounds.map((sample) => sample[name]));
  return { read: of("read"), decode: of("decode"), resize: of("resize"), forward: of("forward"), write: of("write") };
});
