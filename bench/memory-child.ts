/** Run by memory.ts in processes of their own: writes a checkpoint and a photo, or classifies the one with the other. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import encode, { init } from "@jsquash/jpeg/encode.js";
import { load } from "../src/index.js";
import { answer } from "./child.js";
import { random, randomWeights, type Size, safetensors, timmConfig } from "./models.js";

export type MemoryQuestion =
  | { readonly task: "write"; readonly size: Size; readonly folder: string }
  /** Load the folder's checkpoint and sample after so many images. */
  | { readonly task: "measure"; readonly folder: string; readonly counts: readonly number[] };

/** In bytes. */
export interface MemorySample {
  /** Resident memory before anything is loaded. */
  readonly baseline: number;
  readonly peakAfterLoad: number;
  /** Resident memory after so many classifications. */
  readonly resident: readonly { readonly images: number; readonly bytes: number }[];
}

/** Bytes of the checkpoint that was written, or a sample. */
export type MemoryAnswer = number | MemorySample;

answer((question: MemoryQuestion): Promise<MemoryAnswer> => {
  if (question.task === "write") return write(question.size, question.folder);
  return measure(question.folder, question.counts);
});

async function write(size: Size, folder: string): Promise<number> {
  await mkdir(folder, { recursive: true });
  const bytes = safetensors(randomWeights(size));
  await writeFile(`${folder}/model.safetensors`, bytes);
  await writeFile(`${folder}/config.json`, JSON.stringify(timmConfig(size)));
  await writeFile(`${folder}/photo.jpg`, await photo());
  return bytes.length;
}

/** Noise, 500×375, as a JPEG. */
async function photo(): Promise<Uint8Array> {
  const codec = createRequire(import.meta.url).resolve("@jsquash/jpeg/codec/enc/mozjpeg_enc.wasm");
  await init(await WebAssembly.compile(await readFile(codec)));
  const [width, height] = [500, 375];
  const data = Uint8ClampedArray.from(random(width * height * 4, 50, 1), (value) => value + 128);
  return new Uint8Array(await encode({ data, width, height, colorSpace: "srgb" }));
}

async function measure(folder: string, counts: readonly number[]): Promise<MemorySample> {
  const baseline = process.memoryUsage.rss();
  const model = await load(folder);
  const peakAfterLoad = process.resourceUsage().maxRSS * 1024;

  const resident: { images: number; bytes: number }[] = [];
  for (let images = 1; resident.length < counts.length; images++) {
    await model.classify(`${folder}/photo.jpg`);
    if (images === counts[resident.length]) resident.push({ images, bytes: process.memoryUsage.rss() });
  }
  model.dispose();
  return { baseline, peakAfterLoad, resident };
}
