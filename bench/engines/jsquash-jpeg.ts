/** @jsquash/jpeg: MozJPEG in WebAssembly, which decodes to RGBA. API: https://github.com/jamsinclair/jSquash. */
import { readFile } from "node:fs/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Contender, Engine } from "../engine.js";
import { fileOf, type Picture } from "../files.js";
import { sampleOf } from "../work.js";
import { packageUrl, thirdparty } from "./thirdparty.js";

/** What is used of it. */
interface Codec {
  init(module: WebAssembly.Module): Promise<void>;
  default(bytes: ArrayBuffer): Promise<{ readonly data: Uint8ClampedArray }>;
}

const PICTURES: readonly Picture[] = ["photo", "baseline", "progressive"];

export const engine: Engine = {
  prepare: (work) => (work.kind === "decode" && PICTURES.includes(work.picture) ? decoder(work.picture) : undefined),
};

/** It makes an ImageData, which Node does not have. */
class Raster {
  constructor(
    readonly data: Uint8ClampedArray,
    readonly width: number,
    readonly height: number,
  ) {}
}

async function decoder(picture: Picture): Promise<Contender> {
  Object.assign(globalThis, { ImageData: Raster });
  const module = pathToFileURL(thirdparty.resolve("@jsquash/jpeg/decode.js")).href;
  const { init, default: decode }: Codec = await import(module);
  const binary = fileURLToPath(new URL("codec/dec/mozjpeg_dec.wasm", packageUrl("@jsquash/jpeg")));
  await init(await WebAssembly.compile(await readFile(binary)));
  const file = await readFile(fileOf(picture));
  const bytes = file.buffer.slice(file.byteOffset, file.byteOffset + file.length) as ArrayBuffer;
  return {
    run: () => decode(bytes),
    result: async () => sampleOf((await decode(bytes)).data, 4),
    dispose() {},
  };
}
