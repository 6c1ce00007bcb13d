/** jpeg-js: a JPEG decoder in JavaScript. API: https://github.com/jpeg-js/jpeg-js. */
import { readFile } from "node:fs/promises";
import type { Contender, Engine } from "../engine.js";
import { fileOf, type Picture } from "../files.js";
import { sampleOf } from "../work.js";
import { thirdparty } from "./thirdparty.js";

const PICTURES: readonly Picture[] = ["photo", "baseline", "progressive"];
const OPTIONS = { useTArray: true, formatAsRGBA: false, maxMemoryUsageInMB: 4096 } as const;

/** What is used of it. */
interface JpegJs {
  decode(bytes: Uint8Array, options: typeof OPTIONS): { readonly data: Uint8Array };
}

export const engine: Engine = {
  prepare: (work) => (work.kind === "decode" && PICTURES.includes(work.picture) ? decoder(work.picture) : undefined),
};

async function decoder(picture: Picture): Promise<Contender> {
  const { decode } = thirdparty("jpeg-js") as JpegJs;
  const bytes = await readFile(fileOf(picture));
  return {
    run: () => decode(bytes, OPTIONS),
    result: () => sampleOf(decode(bytes, OPTIONS).data, 3),
    dispose() {},
  };
}
