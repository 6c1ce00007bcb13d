/**
 * For programs of one file, which have the package's files in them: `bun build --compile` gives them paths of its own, other
 * bundlers, by the condition "embedded" and a loader for .wasm and .safetensors, make bytes of them.
 */
import jpeg from "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm";
import webp from "@jsquash/webp/codec/dec/webp_dec.wasm";
import config from "../../../models/default/config.json" with { type: "json" };
import weights from "../../../models/default/model.safetensors";
import { assets } from "../assets.js";

/** Of a bundle of Bun's that is not compiled, paths are relative to it. */
const found = (file: string | Uint8Array) =>
  typeof file === "string" && file.startsWith(".") ? Bun.fileURLToPath(new URL(file, import.meta.url)) : file;

declare const Bun: { file(path: string): Blob; fileURLToPath(url: URL): string };

const file = found(weights);
const model = { config, weights: typeof file === "string" ? Bun.file(file) : file };
Object.assign(assets, { jpeg: found(jpeg), webp: found(webp), model });
