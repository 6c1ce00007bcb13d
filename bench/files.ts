/** Where checkpoints.ts puts the files that the benchmarks run on: build/bench. */
import { fileURLToPath } from "node:url";
import type { Size } from "./models.js";
import { NETWORKS, type Network } from "./resnets.js";

/** Seen from dist/bench. */
export const ROOT = fileURLToPath(new URL("../../build/bench/", import.meta.url));
/** A checkpoint in timm's layout. */
export const folderOf = (size: Size | Network): string =>
  `${ROOT}${size in NETWORKS ? size.toLowerCase().replace(/\W/g, "-") : `vit-${size.toLowerCase()}`}`;
/** The same weights for onnxruntime, which takes one batch size a file here. */
export const onnxFile = (size: Size | Network, precision: "f32" | "int8", batch: number): string =>
  `${folderOf(size)}/${precision}-${batch}.onnx`;
/** For Transformers.js, which finds models below a folder by their names. */
export const transformersFolder = { parent: ROOT, name: "vit-ti-transformers" };
export const PHOTO = `${ROOT}photo.jpg`;
