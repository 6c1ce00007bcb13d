/**
 * For programs of one file, which have the default model in them: `bun build --compile` gives it a path of its own, other
 * bundlers, by the condition "embedded" and a loader for .safetensors, make bytes of it.
 */
import config from "../../../models/default/config.json" with { type: "json" };
import weights from "../../../models/default/model.safetensors";
import { assets } from "../platform/assets.js";

declare const Bun: { file(path: string): Blob; fileURLToPath(url: URL): string };

/** Finds a file: in a bundle of Bun's that is not compiled, paths are relative to it. */
const found = (file: string) => (file.startsWith(".") ? Bun.fileURLToPath(new URL(file, import.meta.url)) : file);

assets.model = { config, weights: typeof weights === "string" ? Bun.file(found(weights)) : weights };
