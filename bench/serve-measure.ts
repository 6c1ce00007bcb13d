/**
 * Servers under load: `vitrail serve` beside the library's own lists, a minimal server of Transformers.js
 * (`npm ci --prefix bench/thirdparty`) and one of Python; ViT-Ti, and the image tower of a CLIP B/32, both of random weights.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { writeCheckpoints } from "./checkpoints.js";
import { installedVersion } from "./engines/thirdparty.js";
import { folderOf, PHOTO, ROOT } from "./files.js";
import { randomTensors, safetensors } from "./models.js";
import type { Load } from "./serve-load.js";

const CLIP = `${ROOT}clip-b-32`;
/** By name, in the order of the results. */
export const MODELS = {
  "ViT-Ti": { folder: folderOf("Ti"), task: "classify", path: "/" },
  "B/32": { folder: CLIP, task: "embed", path: "/pipeline/feature-extraction" },
} as const;
export type ModelName = keyof typeof MODELS;

/** In the order of the results. */
export const SERVERS = ["vitrail serve", "Transformers.js", "FastAPI with PyTorch"] as const;

/** A server under one load. */
export interface ServerLoad extends Load {
  readonly model: ModelName;
  readonly server: (typeof SERVERS)[number];
  readonly connections: number;
  readonly seconds: number;
  /** Images a second of the library alone, in lists. */
  readonly lists: number;
  /** Memory of the server afterwards; undefined where it cannot be told. */
  readonly residentBytes: number | undefined;
}

export interface ServeResults {
  readonly loads: readonly ServerLoad[];
}

export interface ServeOptions {
  readonly models: readonly ModelName[];
  readonly connections: readonly number[];
  readonly seconds: number;
  /** The program, if a server of Python is measured too. */
  readonly python?: string;
}

/** Seconds of the library's lists. */
const LIST_SECONDS = 6;

const at = (name: string) => fileURLToPath(new URL(name, import.meta.url));
/** Runs a script of this folder, which prints JSON. */
export const run = (name: string, ...args: readonly (string | number)[]) =>
  JSON.parse(execFileSync(process.execPath, [at(name), ...args.map(String)], { encoding: "utf8" }));

/** transformers' CLIPVisionModelWithProjection of openai/clip-vit-base-patch32, with random weights. */
function writeClip(): void {
  const [width, depth, patch, tokens, features] = [768, 12, 32, 50, 512];
  const { weights, add, linear, norm } = randomTensors(0, width);
  const tower = "vision_model";
  add(`${tower}.embeddings.class_embedding`, [width], 0.5);
  add(`${tower}.embeddings.patch_embedding.weight`, [width, 3, patch, patch], 1 / Math.sqrt(3 * patch * patch));
  add(`${tower}.embeddings.position_embedding.weight`, [tokens, width], 0.5);
  norm(`${tower}.pre_layrnorm`);
  for (let i = 0; i < depth; i++) {
    const layer = `${tower}.encoder.layers.${i}`;
    norm(`${layer}.layer_norm1`);
    for (const name of ["q", "k", "v", "out"]) linear(`${layer}.self_attn.${name}_proj`, width, width);
    norm(`${layer}.layer_norm2`);
    linear(`${layer}.mlp.fc1`, 4 * width, width);
    linear(`${layer}.mlp.fc2`, width, 4 * width);
  }
  norm(`${tower}.post_layernorm`);
  add("visual_projection.weight", [features, width], 1 / Math.sqrt(width));
  const config = {
    ...{ model_type: "clip_vision_model", architectures: ["CLIPVisionModelWithProjection"] },
    ...{ hidden_size: width, intermediate_size: 4 * width, num_hidden_layers: depth, num_attention_heads: 12 },
    ...{ image_size: 224, patch_size: patch, projection_dim: features, hidden_act: "quick_gelu" },
  };
  const preprocessor = {
    ...{ image_processor_type: "CLIPImageProcessor", do_resize: true, size: { shortest_edge: 224 }, resample: 3 },
    ...{ do_center_crop: true, crop_size: { height: 224, width: 224 }, do_rescale: true, do_normalize: true },
    image_mean: [0.48145466, 0.4578275, 0.40821073],
    image_std: [0.26862954, 0.26130258, 0.27577711],
  };
  mkdirSync(CLIP, { recursive: true });
  writeFileSync(`${CLIP}/config.json`, JSON.stringify(config));
  writeFileSync(`${CLIP}/preprocessor_config.json`, JSON.stringify(preprocessor));
  writeFileSync(`${CLIP}/model.safetensors`, safetensors(weights));
}

export interface Server {
  readonly name: ServerLoad["server"];
  readonly url: string;
  readonly process: ChildProcess;
}

/** A server that prints its address as JSON. */
async function start(name: ServerLoad["server"], args: readonly string[]): Promise<Server> {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(child.stdout, "data");
  return { name, url: JSON.parse(String(line)).url, process: child };
}

/** @param path of the task. */
export async function startVitrail(folder: string, path: string): Promise<Server> {
  const args = ["serve", `model=${folder}`, "--port", "0", "--json", "--quiet"];
  const server = await start("vitrail serve", [at("../src/cli.js"), ...args]);
  return { ...server, url: server.url + path };
}

async function startPython(python: string, folder: string, task: string): Promise<Server> {
  const holder = createServer().listen(0, "127.0.0.1");
  await once(holder, "listening");
  const { port } = holder.address() as AddressInfo;
  holder.close();
  const url = `http://127.0.0.1:${port}`;
  const script = at("../../bench/serve.py");
  const child = spawn(python, [script, folder, task, String(port)], { stdio: ["ignore", "ignore", "inherit"] });
  while (
    !(await fetch(url).then(
      () => true,
      () => false,
    ))
  ) {
    if (child.exitCode !== null) throw new Error(`bench: ${python} ended with status ${child.exitCode}`);
    await setTimeout(200);
  }
  return { name: "FastAPI with PyTorch", url, process: child };
}

/** Resident bytes of a process; undefined where they cannot be told. */
export function residentOf({ pid }: ChildProcess): number | undefined {
  try {
    return 1024 * Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" }));
  } catch {
    return undefined;
  }
}

/** Writes the checkpoints that are not there yet. */
export function prepareModels(models: readonly ModelName[]): void {
  if (!existsSync(folderOf("Ti"))) writeCheckpoints(["Ti"], {});
  if (models.includes("B/32") && !existsSync(CLIP)) writeClip();
}

export async function measureServe({ models, connections, seconds, python }: ServeOptions): Promise<ServeResults> {
  prepareModels(models);
  const loads: ServerLoad[] = [];
  for (const model of models) {
    const { folder, task, path } = MODELS[model];
    const lists: number = run("serve-loop.js", folder, task, LIST_SECONDS, PHOTO);
    const starts: (() => Promise<Server>)[] = [() => startVitrail(folder, path)];
    if (model === "ViT-Ti" && installedVersion("@huggingface/transformers")) {
      starts.push(() => start("Transformers.js", [at("serve-transformers.js")]));
    }
    if (python) starts.push(() => startPython(python, folder, task));
    for (const begin of starts) {
      const { name: server, url, process } = await begin();
      try {
        for (const count of connections) {
          const load: Load = run("serve-load.js", url, count, seconds, PHOTO);
          const residentBytes = residentOf(process);
          loads.push({ model, server, connections: count, seconds, lists, ...load, residentBytes });
        }
      } finally {
        process.kill();
      }
    }
  }
  return { loads };
}
