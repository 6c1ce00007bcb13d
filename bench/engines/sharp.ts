/** sharp, libvips in Node: decodes and resizes; the bytes become pixel values in a loop. API: https://sharp.pixelplumbing.com. */

import type { Engine } from "../engine.js";
import { PHOTO } from "../files.js";
import { IMAGE } from "../models.js";
import { thirdparty } from "./thirdparty.js";

/** What is used of it. */
interface Sharp {
  resize(width: number, height: number, options: { fit: "fill"; kernel: "linear" }): Sharp;
  removeAlpha(): Sharp;
  raw(): Sharp;
  toBuffer(): Promise<Uint8Array>;
}

const sharp = thirdparty("sharp") as (file: string) => Sharp;

export const engine: Engine = {
  prepare: (work) =>
    work.kind === "pixels" ? Promise.resolve({ run: pixels, result: pixels, dispose() {} }) : undefined,
};

async function pixels(): Promise<Float32Array> {
  const resized = sharp(PHOTO).resize(IMAGE, IMAGE, { fit: "fill", kernel: "linear" });
  const bytes = await resized.removeAlpha().raw().toBuffer();
  const plane = IMAGE * IMAGE;
  const values = new Float32Array(3 * plane);
  for (let i = 0; i < plane; i++) {
    for (let channel = 0; channel < 3; channel++) values[channel * plane + i] = bytes[3 * i + channel]! / 127.5 - 1;
  }
  return values;
}
