/**
 * The pictures that decoders are raced on, in build/bench: a photo as checkpoints.ts has it, and larger ones of the same noise. Run
 * by itself in a process of its own: [--photo FILE].
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import encode, { init } from "@jsquash/jpeg/encode.js";
import { installedVersion, thirdparty } from "./engines/thirdparty.js";
import { fileOf, PHOTO, ROOT } from "./files.js";
import { random } from "./models.js";

/** RGBA. */
interface Raster {
  readonly data: Uint8ClampedArray<ArrayBuffer>;
  readonly width: number;
  readonly height: number;
}

/** What is used of sharp, which encodes WebP here. */
interface Sharp {
  webp(options: { quality?: number; lossless?: boolean; effort?: number }): Sharp;
  removeAlpha(): Sharp;
  toBuffer(): Promise<Uint8Array>;
}

/** Writes everything that races of decoders need; WebP only where sharp is installed. */
export function writePictures(photo: string | undefined): void {
  const options = photo ? ["--photo", photo] : [];
  execFileSync(process.execPath, [fileURLToPath(import.meta.url), ...options], { stdio: "inherit" });
}

/** Noise that is the stronger the coarser it is, the finest without colour: about as many bytes as a photo of its size. */
function noise(width: number, height: number): Raster {
  const data = new Uint8ClampedArray(width * height * 4).fill(128);
  for (let i = 3; i < data.length; i += 4) data[i] = 255;
  const sums = new Float32Array(width * height);
  for (let channel = 0; channel < 3; channel++) {
    sums.fill(128);
    for (let step = 128; step >= 1; step /= 2) {
      const cols = Math.ceil(width / step) + 1;
      const grid = random(cols * (Math.ceil(height / step) + 1), 9 * step ** 0.4, step + (step < 16 ? 0 : channel));
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const at = Math.floor(y / step) * cols + Math.floor(x / step);
          const [u, v] = [(x % step) / step, (y % step) / step];
          const above = grid[at]! * (1 - u) + grid[at + 1]! * u;
          const below = grid[at + cols]! * (1 - u) + grid[at + cols + 1]! * u;
          sums[y * width + x]! += above * (1 - v) + below * v;
        }
      }
    }
    for (let i = 0; i < sums.length; i++) data[4 * i + channel] = sums[i]!;
  }
  return { data, width, height };
}

async function jpeg(raster: Raster, progressive: boolean): Promise<Uint8Array> {
  const codec = createRequire(import.meta.url).resolve("@jsquash/jpeg/codec/enc/mozjpeg_enc.wasm");
  await init(await WebAssembly.compile(await readFile(codec)));
  return new Uint8Array(await encode({ ...raster, colorSpace: "srgb" }, { quality: 90, progressive }));
}

/** 500×375 pixels, 90 KB. */
export const photo = (): Promise<Uint8Array> => jpeg(noise(500, 375), false);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { photo: { type: "string" } } });
  await mkdir(ROOT, { recursive: true });
  await writeFile(PHOTO, values.photo ? await readFile(values.photo) : await photo());
  const large = (
    ["baseline", "progressive", ...(installedVersion("sharp") ? (["lossy", "lossless"] as const) : [])] as const
  ).map(fileOf);
  // The same noise every time.
  if (!large.every((file) => existsSync(file))) await writeLarge();
}

/** The pictures of 12 megapixels; WebP where sharp is installed. */
async function writeLarge(): Promise<void> {
  const raster = noise(4000, 3000);
  await writeFile(fileOf("baseline"), await jpeg(raster, false));
  await writeFile(fileOf("progressive"), await jpeg(raster, true));
  if (!installedVersion("sharp")) return;
  const sharp = thirdparty("sharp") as (data: Uint8ClampedArray, options: object) => Sharp;
  const { data, width, height } = raster;
  const rgb = () => sharp(data, { raw: { width, height, channels: 4 } }).removeAlpha();
  await writeFile(fileOf("lossy"), await rgb().webp({ quality: 80 }).toBuffer());
  await writeFile(fileOf("lossless"), await rgb().webp({ lossless: true, effort: 1 }).toBuffer());
}
