/**
 * The files that the benchmarks run on, in build/bench: for each size a checkpoint in timm's layout and the same weights as
 * ONNX, f32 and int8, for ViT-Ti also as a folder for Transformers.js, and a photo. Run by itself in a process of its own,
 * as a process that has held ViT-B stays large: SIZE… [--model FOLDER] [--photo FILE].
 */
import { execFileSync } from "node:child_process";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { folderOf, onnxFile, PHOTO, ROOT, transformersFolder } from "./files.js";
import { resnetGraph, vitGraph } from "./graphs.js";
import {
  CLASSES,
  parseSafetensors,
  preprocessorConfig,
  random,
  randomWeights,
  type Size,
  safetensors,
  timmConfig,
  transformersConfig,
} from "./models.js";
import { photo } from "./pictures.js";
import { NETWORKS, type Network, resnetWeights } from "./resnets.js";

/** The ONNX files that are raced besides those of batch 1. */
const BATCHES: Partial<Readonly<Record<Size, readonly number[]>>> = { S: [8] };

export interface Sources {
  /** A ViT-Ti in timm's layout that takes the place of the random one. */
  readonly model?: string;
  /** A JPEG that takes the place of the made one. */
  readonly photo?: string;
}

/** Writes everything that the sizes need. */
export function writeCheckpoints(sizes: readonly (Size | Network)[], { model, photo }: Sources): void {
  const options = [...(model ? ["--model", model] : []), ...(photo ? ["--photo", photo] : [])];
  execFileSync(process.execPath, [fileURLToPath(import.meta.url), ...sizes, ...options], { stdio: "inherit" });
}

async function write(size: Size, model: string | undefined): Promise<void> {
  const folder = folderOf(size);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const given = size === "Ti" && model !== undefined;
  const weights = given
    ? parseSafetensors(new Uint8Array(await readFile(`${model}/model.safetensors`)))
    : randomWeights(size);
  await writeFile(`${folder}/config.json`, JSON.stringify(timmConfig(size)));
  await writeFile(`${folder}/preprocessor_config.json`, JSON.stringify(preprocessorConfig));
  await writeFile(`${folder}/model.safetensors`, safetensors(weights));
  const graph = { size, weights, batch: 1 };
  await writeFile(onnxFile(size, "f32", 1), vitGraph({ ...graph, precision: "f32" }));
  await writeFile(onnxFile(size, "int8", 1), vitGraph({ ...graph, precision: "int8" }));
  for (const batch of BATCHES[size] ?? []) {
    await writeFile(onnxFile(size, "f32", batch), vitGraph({ ...graph, precision: "f32", batch }));
  }
  if (size === "Ti") {
    const other = transformersFolder.parent + transformersFolder.name;
    await mkdir(`${other}/onnx`, { recursive: true });
    await writeFile(`${other}/config.json`, JSON.stringify(transformersConfig(size)));
    await cp(`${folder}/preprocessor_config.json`, `${other}/preprocessor_config.json`);
    await cp(onnxFile(size, "f32", 1), `${other}/onnx/model.onnx`);
  }
}

/** A network of convolutions, or a hybrid: its convolutions' tensors before those of a ViT-B. */
async function writeNetwork(network: Network): Promise<void> {
  const folder = folderOf(network);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const { architecture, bit } = NETWORKS[network];
  const weights = resnetWeights(network);
  if (bit) {
    weights.set("head.fc.weight", {
      dims: [CLASSES, 2048, 1, 1],
      data: random(CLASSES * 2048, 1 / Math.sqrt(2048), 1),
    });
    weights.set("head.fc.bias", { dims: [CLASSES], data: random(CLASSES, 0.02, 2) });
  } else {
    for (const [name, weight] of randomWeights("B")) weights.set(name, weight);
    const data = random(768 * 1024, 1 / Math.sqrt(1024), 3);
    weights.set("patch_embed.proj.weight", { dims: [768, 1024, 1, 1], data });
  }
  await writeFile(`${folder}/config.json`, JSON.stringify({ ...timmConfig("B"), architecture }));
  await writeFile(`${folder}/model.safetensors`, safetensors(weights));
  const graph = bit
    ? resnetGraph(network, weights)
    : vitGraph({ size: "B", network, weights, batch: 1, precision: "f32" });
  await writeFile(onnxFile(network, "f32", 1), graph);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({
    options: { model: { type: "string" }, photo: { type: "string" } },
    allowPositionals: true,
  });
  await mkdir(ROOT, { recursive: true });
  await writeFile(PHOTO, values.photo ? await readFile(values.photo) : await photo());
  for (const size of positionals) {
    if (size in NETWORKS) await writeNetwork(size as Network);
    else await write(size as Size, values.model);
  }
}
