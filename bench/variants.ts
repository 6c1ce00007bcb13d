/**
 * Milliseconds of table 1 of Dosovitskiy et al. 2021, and of the two models that are smaller (Touvron et al. 2021, table 1): one photo
 * that is already pixels, one thread, f32, random weights. Writes bench/variants.json, of which `npm run families` makes a column.
 *
 *     node dist/bench/variants.js [ViT-Huge/14 …]
 *
 * With names it measures these alone, and keeps what the file says of others. Weights are written to a file and read from it, a tensor
 * at a time: those of ViT-Huge take 2.5 GB.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { load } from "../src/index.js";
import { CLASSES, IMAGE, random } from "./models.js";

/** A variant by timm's name of its architecture. */
export interface Variant {
  readonly name: string;
  readonly architecture: string;
  readonly layers: number;
  readonly width: number;
  readonly patch: number;
  /** Parameters as the paper says. */
  readonly paper: string;
}

export const VARIANTS: readonly Variant[] = [
  { name: "ViT-Ti/16", architecture: "vit_tiny_patch16_224", layers: 12, width: 192, patch: 16, paper: "5M" },
  { name: "ViT-S/16", architecture: "vit_small_patch16_224", layers: 12, width: 384, patch: 16, paper: "22M" },
  { name: "ViT-Base/16", architecture: "vit_base_patch16_224", layers: 12, width: 768, patch: 16, paper: "86M" },
  { name: "ViT-Large/16", architecture: "vit_large_patch16_224", layers: 24, width: 1024, patch: 16, paper: "307M" },
  { name: "ViT-Large/32", architecture: "vit_large_patch32_224", layers: 24, width: 1024, patch: 32, paper: "307M" },
  { name: "ViT-Huge/14", architecture: "vit_huge_patch14_224", layers: 32, width: 1280, patch: 14, paper: "632M" },
];

const FILE = "bench/variants.json";

/** Contents of FILE. */
export interface VariantTimes {
  readonly cpu: string;
  readonly node: string;
  readonly date: string;
  /** Median milliseconds of a photo, by the variant's name. */
  readonly ms: Readonly<Record<string, number>>;
}

/** What timm's config.json says. */
export const configOf = ({ architecture }: Variant) => ({
  architecture,
  num_classes: CLASSES,
  global_pool: "token",
  pretrained_cfg: { input_size: [3, IMAGE, IMAGE], num_classes: CLASSES },
});

/** Shapes of the tensors, by timm's names. */
export function shapesOf({ layers, width, patch }: Variant): Record<string, number[]> {
  const shapes: Record<string, number[]> = {
    cls_token: [1, 1, width],
    pos_embed: [1, (IMAGE / patch) ** 2 + 1, width],
    "patch_embed.proj.weight": [width, 3, patch, patch],
    "patch_embed.proj.bias": [width],
  };
  const layer = (name: string, outputs: number, inputs?: number) => {
    shapes[`${name}.weight`] = inputs === undefined ? [outputs] : [outputs, inputs];
    shapes[`${name}.bias`] = [outputs];
  };
  for (let block = 0; block < layers; block++) {
    const at = `blocks.${block}`;
    layer(`${at}.norm1`, width);
    layer(`${at}.attn.qkv`, 3 * width, width);
    layer(`${at}.attn.proj`, width, width);
    layer(`${at}.norm2`, width);
    layer(`${at}.mlp.fc1`, 4 * width, width);
    layer(`${at}.mlp.fc2`, width, 4 * width);
  }
  layer("norm", width);
  layer("head", CLASSES, width);
  return shapes;
}

export const parametersOf = (shapes: Readonly<Record<string, readonly number[]>>): number =>
  Object.values(shapes).reduce((sum, shape) => sum + shape.reduce((a, b) => a * b), 0);

/** Writes a checkpoint of random weights. */
async function writeVariant(folder: string, variant: Variant): Promise<void> {
  const shapes = shapesOf(variant);
  let end = 0;
  const header = Object.entries(shapes).map(([name, shape]) => {
    const start = end;
    end += 4 * shape.reduce((a, b) => a * b);
    return [name, { dtype: "F32", shape, data_offsets: [start, end] }];
  });
  const json = JSON.stringify(Object.fromEntries(header));
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(join(folder, "config.json"), JSON.stringify(configOf(variant)));
  const file = await open(join(folder, "model.safetensors"), "w");
  await file.writev([length, text]);
  for (const [seed, shape] of Object.values(shapes).entries()) {
    const inputs = shape.slice(1).reduce((a, b) => a * b, 1);
    const { buffer } = random(
      shape.reduce((a, b) => a * b),
      inputs > 1 ? 1 / Math.sqrt(inputs) : 0.1,
      seed,
    );
    await file.writev([new Uint8Array(buffer)]);
  }
  await file.close();
}

/** Runs, of which the first does not count, until so many milliseconds have gone by. */
const LONG_ENOUGH = 4000;
const LEAST_RUNS = 3;

async function measure(variant: Variant): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "vitrail-variant-"));
  try {
    await writeVariant(folder, variant);
    using model = await load(folder, { threads: 1, backend: "wasm" });
    const dims = [1, 3, IMAGE, IMAGE];
    const pixelValues = { dims, data: random(3 * IMAGE * IMAGE, 0.5, 1) };
    const times: number[] = [];
    const begin = performance.now();
    while (times.length <= LEAST_RUNS || performance.now() - begin < LONG_ENOUGH) {
      const start = performance.now();
      await model.forward({ pixelValues }, { outputs: ["logits"] });
      times.push(performance.now() - start);
    }
    const sorted = times.slice(1).sort((a, b) => a - b);
    return sorted[sorted.length >> 1]!;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const names = process.argv.slice(2);
  const wanted = VARIANTS.filter(({ name }) => names.length === 0 || names.includes(name));
  const [cpu, node] = [cpus()[0]!.model.trim(), process.versions.node];
  for (const variant of wanted) {
    const known = existsSync(FILE) ? (JSON.parse(readFileSync(FILE, "utf8")) as VariantTimes) : undefined;
    const ms = { ...(known?.cpu === cpu && known.node === node && known.ms) };
    ms[variant.name] = Number((await measure(variant)).toPrecision(3));
    console.log(`${variant.name} ${ms[variant.name]} ms`);
    const times: VariantTimes = { cpu, node, date: new Date().toISOString().slice(0, 10), ms };
    writeFileSync(FILE, `${JSON.stringify(times, null, 2)}\n`);
  }
}
