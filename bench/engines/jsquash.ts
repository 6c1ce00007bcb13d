/** The codecs of jSquash, which decode to RGBA by C libraries in WebAssembly. API: https://github.com/jamsinclair/jSquash. */
import { readFile } from "node:fs/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Contender, Engine } from "../engine.js";
import { fileOf, type Picture } from "../files.js";
import { sampleOf } from "../work.js";
import { packageUrl, thirdparty } from "./thirdparty.js";

/** The part that is used of a codec. */
interface Codec {
  init(module: WebAssembly.Module): Promise<void>;
  default(bytes: ArrayBuffer): Promise<{ readonly data: Uint8ClampedArray }>;
}

/** An engine that decodes pictures by a package with a binary of this name in it. */
export const jsquash = (name: string, binary: string, pictures: readonly Picture[]): Engine => ({
  prepare: (work) =>
    work.kind === "decode" && pictures.includes(work.picture) ? decoder(name, binary, work.picture) : undefined,
});

/** It makes an ImageData, which Node does not have. */
class Raster {
  constructor(
    readonly data: Uint8ClampedArray,
    readonly width: number,
    readonly height: number,
  ) {}
}

async function decoder(name: string, file: string, picture: Picture): Promise<Contender> {
  Object.assign(globalThis, { ImageData: Raster });
  const module = pathToFileURL(thirdparty.resolve(`${name}/decode.js`)).href;
  const { init, default: decode }: Codec = await import(module);
  const binary = fileURLToPath(new URL(`codec/dec/${file}`, packageUrl(name)));
  await init(await WebAssembly.compile(await readFile(binary)));
  const read = await readFile(fileOf(picture));
  const bytes = read.buffer.slice(read.byteOffset, read.byteOffset + read.length) as ArrayBuffer;
  return {
    run: () => decode(bytes),
    result: async () => sampleOf((await decode(bytes)).data, 4),
    dispose() {},
  };
}
