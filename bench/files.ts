/** Where checkpoints.ts puts the files that the benchmarks run on: build/bench. */
import { fileURLToPath } from "node:url";
import type { Size } from "./models.js";
import { NETWORKS, type Network } from "./resnets.js";

/** Seen from dist/bench. */
export const ROOT = fileURLToPath(new URL("../../build/bench/", import.meta.url));
/** A checkpoint in timm's layout. */
export const folderOf = (size: Size | Network): string =>
  `${ROOT}${size in NETWORKS ? "" : "vit-"}${size.toLowerCase().replace(/\W/g, "-")}`;
/** The same weights for onnxruntime, which takes one batch size a file here. */
export const onnxFile = (size: Size | Network, precision: "f32" | "int8", batch: number): string =>
  `${folderOf(size)}/${precision}-${batch}.onnx`;
/** For Transformers.js, which finds models below a folder by their names. */
export const transformersFolder = { parent: ROOT, name: "vit-ti-transformers" };
export const PHOTO = `${ROOT}photo.jpg`;
/** Where a contender puts the embeddings of a folder. */
export const embeddingsFile = (engine: string): string => `${ROOT}${engine}.embeddings`;

/** What decoders are raced on, by name, written by pictures.ts. */
export const PICTURES = {
  photo: { file: "photo.jpg", what: "JPEG of 0.2 megapixels" },
  baseline: { file: "baseline.jpg", what: "baseline JPEG of 12 megapixels" },
  progressive: { file: "progressive.jpg", what: "progressive JPEG of 12 megapixels" },
  lossy: { file: "lossy.webp", what: "lossy WebP of 12 megapixels" },
  lossless: { file: "lossless.webp", what: "lossless WebP of 12 megapixels" },
} as const;
export type Picture = keyof typeof PICTURES;
export const fileOf = (picture: Picture): string => ROOT + PICTURES[picture].file;
