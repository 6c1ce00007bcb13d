/**
 * `npm run build && node dist/bench/serve.js`: `vitrail serve` under load, ViT-Ti and the image tower of a CLIP B/32 of random weights,
 * beside the library's own loop, a minimal server of Transformers.js (`npm ci --prefix bench/thirdparty`) and one of Python. HELP says
 * how. Keep the machine idle meanwhile.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import type { AddressInfo, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { writeCheckpoints } from "./checkpoints.js";
import { installedVersion } from "./engines/thirdparty.js";
import { folderOf, PHOTO, ROOT } from "./files.js";
import { randomTensors, safetensors } from "./models.js";
import type { Load } from "./serve-load.js";
import type { Loop } from "./serve-loop.js";

const HELP = `node dist/bench/serve.js [--seconds 60] [--connections 1,8,64,512] [--models ti,clip] [--python python3] [--idle 10000]

Prints requests a second, the median and the 99th percentile of milliseconds, and the resident memory after each. --python also
measures a server of FastAPI with timm and transformers. --idle only opens as many connections that say nothing, and asks beside them.`;

const CLIP = `${ROOT}clip-b-32`;
const MODELS = {
  ti: { folder: folderOf("Ti"), task: "classify", path: "/" },
  clip: { folder: CLIP, task: "embed", path: "/pipeline/feature-extraction" },
} as const;

const at = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const run = (name: string, ...args: string[]) =>
  JSON.parse(execFileSync(process.execPath, [at(name), ...args], { encoding: "utf8" }));

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

interface Server {
  readonly name: string;
  readonly url: string;
  readonly process: ChildProcess;
}

/** A server that prints its address as JSON. */
async function start(name: string, args: readonly string[]): Promise<Server> {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(child.stdout, "data");
  return { name, url: JSON.parse(String(line)).url, process: child };
}

const startVitrail = (folder: string) =>
  start("vitrail serve", [at("../src/cli.js"), "serve", `model=${folder}`, "--port", "0", "--json"]);

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
  return { name: "FastAPI, PyTorch", url, process: child };
}

/** Resident MB of a process; empty where it cannot be told. */
function residentOf({ pid }: ChildProcess): string {
  try {
    const kilobytes = execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" });
    return (Number(kilobytes) / 1000).toFixed(0);
  } catch {
    return "";
  }
}

async function measure(name: keyof typeof MODELS, connections: readonly string[], seconds: string, python?: string) {
  const { folder, task, path } = MODELS[name];
  const loop: Loop = run("serve-loop.js", folder, task, seconds, PHOTO);
  console.log(
    `\n${name}: the library alone has ${loop.lists.toFixed(2)} images a second in lists, ${loop.single.toFixed(2)} one by one, ${loop.atOnce.toFixed(2)} of three calls at once\n`,
  );
  console.log("| server | connections | a second | of lists | p50 ms | p99 ms | resident MB | other answers |");
  console.log("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |");
  const starts: (() => Promise<Server>)[] = [() => startVitrail(folder)];
  if (name === "ti" && installedVersion("@huggingface/transformers")) {
    starts.push(() => start("Transformers.js", [at("serve-transformers.js")]));
  }
  if (python) starts.push(() => startPython(python, folder, task));
  for (const begin of starts) {
    const server = await begin();
    const target = server.url + (server.name === "vitrail serve" ? path : "/");
    try {
      for (const count of connections) {
        const load: Load = run("serve-load.js", target, count, seconds, PHOTO);
        const share = `${((100 * load.perSecond) / loop.lists).toFixed(1)} %`;
        const cells = [
          load.perSecond.toFixed(2),
          share,
          load.p50.toFixed(0),
          load.p99.toFixed(0),
          residentOf(server.process),
        ];
        console.log(`| ${[server.name, count, ...cells, JSON.stringify(load.others)].join(" | ")} |`);
      }
    } finally {
      server.process.kill();
    }
  }
}

/** Connections that say nothing, and how long an image takes beside them; they are closed by the server in the end. */
async function idle(count: number): Promise<void> {
  const server = await startVitrail(MODELS.ti.folder);
  const load = (): Load => run("serve-load.js", server.url, "1", "3", PHOTO);
  console.log(`without: p50 ${load().p50.toFixed(0)} ms, ${residentOf(server.process)} MB resident`);
  const { port } = new URL(server.url);
  const sockets: Socket[] = [];
  let [open, failed] = [0, 0];
  for (let i = 0; i < count; i++) {
    // Reading, or else it would not see that it was closed.
    const socket = connect(Number(port), "127.0.0.1").resume();
    socket.on("connect", () => open++);
    socket.on("close", () => open--);
    socket.on("error", () => failed++);
    sockets.push(socket);
    if (i % 100 === 0) await setTimeout(10);
  }
  await setTimeout(500);
  console.log(
    `with ${open} open (${failed} failed): p50 ${load().p50.toFixed(0)} ms, ${residentOf(server.process)} MB resident`,
  );
  await setTimeout(15_000);
  console.log(
    `15 s later ${open} are open; p50 ${load().p50.toFixed(0)} ms, ${residentOf(server.process)} MB resident`,
  );
  for (const socket of sockets) socket.destroy();
  server.process.kill("SIGTERM");
  const [status] = await once(server.process, "exit");
  console.log(`SIGTERM: exit status ${status}`);
}

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    connections: { type: "string", default: "1,8,64,512" },
    models: { type: "string", default: "ti,clip" },
    python: { type: "string" },
    idle: { type: "string" },
    help: { type: "boolean" },
  },
});
if (values.help) console.log(HELP);
else {
  const names = values.models.split(",") as (keyof typeof MODELS)[];
  if (!existsSync(folderOf("Ti"))) writeCheckpoints(["Ti"], {});
  if (values.idle) await idle(Number(values.idle));
  else {
    if (names.includes("clip") && !existsSync(CLIP)) writeClip();
    for (const name of names) await measure(name, values.connections.split(","), values.seconds, values.python);
  }
}
