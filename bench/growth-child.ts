/** Run by growth.ts in a process of its own: classifies the photo with ViT-Ti and samples what is resident. */
import { load } from "../src/index.js";
import { answer } from "./child.js";
import { folderOf, PHOTO } from "./files.js";

export interface GrowthSample {
  readonly images: number;
  readonly residentBytes: number;
}

answer(async (counts: readonly number[]): Promise<GrowthSample[]> => {
  const model = await load(folderOf("Ti"));
  const samples: GrowthSample[] = [];
  for (let images = 1; samples.length < counts.length; images++) {
    await model.classify(PHOTO);
    if (images === counts[samples.length]) samples.push({ images, residentBytes: process.memoryUsage.rss() });
  }
  model.dispose();
  return samples;
});
