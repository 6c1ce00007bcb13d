/**
 * Run by growth.ts in a process of its own: classifies the photo with ViT-Ti and samples what is resident: the least of the
 * last tenth of the images, since the garbage collector lets a few dozen megabytes wait, and more at some times than others.
 */
import { load } from "../src/index.js";
import { answer } from "./child.js";
import { folderOf, PHOTO } from "./files.js";

export interface GrowthSample {
  readonly images: number;
  readonly residentBytes: number;
}

answer(async (counts: readonly number[]): Promise<GrowthSample[]> => {
  // What is soonest done.
  const model = await load(folderOf("Ti"), { precision: "int8", wide: true });
  const samples: GrowthSample[] = [];
  let residentBytes = Infinity;
  for (let images = 1; samples.length < counts.length; images++) {
    await model.classify(PHOTO);
    const count = counts[samples.length]!;
    if (images > 0.9 * count) residentBytes = Math.min(residentBytes, process.memoryUsage.rss());
    if (images < count) continue;
    samples.push({ images, residentBytes });
    residentBytes = Infinity;
  }
  model.dispose();
  return samples;
});
