/** sharp, libvips in Node: decodes and resizes; the bytes become pixel values in a loop. API: https://sharp.pixelplumbing.com. */

import { readFile } from "node:fs/promises";
import type { Contender, Engine } from "../engine.js";
import { fileOf, PHOTO, type Picture } from "../files.js";
import { IMAGE } from "../models.js";
import { sampleOf } from "../work.js";
import { thirdparty } from "./thirdparty.js";

/** What is used of it. */
interface Sharp {
  resize(width: number, height: number, options: { fit: "fill"; kernel: "linear" }): Sharp;
  removeAlpha(): Sharp;
  raw(): Sharp;
  toBuffer(): Promise<Uint8Array>;
}

const sharp = thirdparty("sharp") as (file: string | Uint8Array) => Sharp;

export const engine: Engine = {
  prepare(work) {
    switch (work.kind) {
      case "pixels":
        return Promise.resolve(pixelsOf(PHOTO));
      case "tensor":
        return Promise.resolve(pixelsOf(fileOf(work.picture)));
      case "decode":
        return decoder(work.picture);
    }
  },
};

const pixelsOf = (file: string): Contender => ({
  run: () => pixels(file),
  result: () => pixels(file),
  dispose() {},
});

async function decoder(picture: Picture): Promise<Contender> {
  const bytes = await readFile(fileOf(picture));
  const rgb = () => sharp(bytes).removeAlpha().raw().toBuffer();
  return { run: rgb, result: async () => sampleOf(await rgb(), 3), dispose() {} };
}

/** Pixel values of a photo, [3, IMAGE, IMAGE]. */
export async function pixels(file: string): Promise<Float32Array> {
  const resized = sharp(file).resize(IMAGE, IMAGE, { fit: "fill", kernel: "linear" });
  const bytes = await resized.removeAlpha().raw().toBuffer();
  const plane = IMAGE * IMAGE;
  const values = new Float32Array(3 * plane);
  for (let i = 0; i < plane; i++) {
    for (let channel = 0; channel < 3; channel++) values[channel * plane + i] = bytes[3 * i + channel]! / 127.5 - 1;
  }
  return values;
}
