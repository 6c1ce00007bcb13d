/**
 * Run by profile.ts in a process of its own: a forward on a backend whose ops are timed one by one.
 *
 * What is fused into a linear layer has no time of its own. It is the difference that leaving it out makes: forwards with
 * and without it take turns. (The numbers are then wrong, and take as long.)
 */
import type { Backend, Linear } from "../src/backend.js";
import { createWasmBackend } from "../src/backends/wasm/index.js";
import { parseConfig } from "../src/checkpoint/recognize.js";
import { planWeights } from "../src/checkpoint/weights.js";
import { forward } from "../src/forward/forward.js";
import { openCheckpoint } from "../src/io/checkpoint.js";
import { answer } from "./child.js";
import { folderOf } from "./files.js";
import { IMAGE, PATCH, SIZES, type Size } from "./models.js";
import { median } from "./race.js";
import { vitPixels } from "./work.js";

export interface ProfileQuestion {
  readonly size: Size;
  readonly precision: "f32" | "int8";
  readonly wide: boolean;
}

export interface ProfileSample {
  readonly work: string;
  /** Median of one forward, without timers. */
  readonly totalMs: number;
  /** Median milliseconds in one forward, largest first; with the floating-point operations of matrix products. */
  readonly parts: readonly { readonly name: string; readonly ms: number; readonly flops: number }[];
  /** What of it goes away when this is left out of the linear layers. */
  readonly fused: readonly { readonly name: string; readonly ms: number }[];
}

const ROUNDS = 9;

/** Options of `linear` that cost time of their own. */
const FUSED = ["activation", "norm"] as const;

answer(async ({ size, precision, wide }: ProfileQuestion): Promise<ProfileSample> => {
  const { width } = SIZES[size];
  const checkpoint = await openCheckpoint(folderOf(size));
  const { config, named, heads } = await parseConfig(checkpoint.name, checkpoint.config, checkpoint.tensors, undefined);
  const backend = await createWasmBackend({ wide });
  const loader = planWeights(checkpoint.name, { config, named, heads }, checkpoint.tensors).create(backend, precision);
  await checkpoint.read(loader, {});
  const weights = await loader.finish();
  await checkpoint.close();

  const pixelValues = vitPixels(1, size);
  const run = async (backend: Backend): Promise<number> => {
    const begin = performance.now();
    await (await forward(backend, weights, config, { pixelValues }, ["logits"])).outputs;
    return performance.now() - begin;
  };
  const totals: number[] = [];
  const rounds: Map<string, Cost>[] = [];
  const savings: Record<string, number[]> = {};
  let fused: Set<string> = new Set();
  for (let round = -2; round < ROUNDS; round++) {
    const costs = new Map<string, Cost>();
    const total = await run(backend);
    const timed = timedBackend(backend, width, costs);
    await run(timed.backend);
    fused = timed.fused;
    if (round < 0) continue;
    totals.push(total);
    rounds.push(costs);
    for (const option of fused) {
      savings[option] ??= [];
      const without = await run(withoutOption(backend, option));
      savings[option].push((await run(backend)) - without);
    }
  }
  const kernels = backend.describe(precision);
  backend.dispose();

  const parts = [...rounds[0]!.keys()].map((name) => ({
    name,
    ms: median(rounds.map((costs) => costs.get(name)!.ms)),
    flops: rounds[0]!.get(name)!.flops,
  }));
  return {
    work: `ViT-${size}/16, batch 1, ${precision}, 1 thread; ${kernels}`,
    totalMs: median(totals),
    parts: parts.sort((a, b) => b.ms - a.ms),
    fused: Object.entries(savings).map(([name, ms]) => ({ name, ms: median(ms) })),
  };
});

interface Cost {
  ms: number;
  flops: number;
}

/** Everything that computes or moves values. */
const OPS = ["patchify", "assembleTokens", "layerNorm", "linear", "qkNorm", "attention", "pool", "write", "read"];

/** The backend, with the time of each op added up in `costs`; `fused` collects the options that `linear` is given. */
function timedBackend(backend: Backend, width: number, costs: Map<string, Cost>) {
  const fused = new Set<string>();
  const timed = { ...backend } as unknown as Record<string, (...args: never[]) => unknown>;
  for (const op of OPS) {
    const original = timed[op]!;
    timed[op] = (...args) => {
      const begin = performance.now();
      const result = original(...args);
      const ms = performance.now() - begin;
      const { name, flops } = costOf(op, args, width);
      for (const option of FUSED)
        if (op === "linear" && (args[3] as object | undefined)?.[option as never]) fused.add(option);
      const cost = costs.get(name) ?? { ms: 0, flops: 0 };
      costs.set(name, { ms: cost.ms + ms, flops: cost.flops + flops });
      return result;
    };
  }
  return { backend: timed as unknown as Backend, fused };
}

/** The backend, with an option of `linear` ignored. */
function withoutOption(backend: Backend, option: string): Backend {
  return {
    ...backend,
    linear: (out, x, weights, options) => backend.linear(out, x, weights, { ...options, [option]: undefined }),
  };
}

function costOf(op: string, args: readonly unknown[], width: number): { name: string; flops: number } {
  if (op === "linear") {
    const [, x, weights] = args as unknown as [unknown, { rows: number }, Linear];
    return { name: roleOf(weights, x.rows, width), flops: 2 * x.rows * weights.inputs * weights.outputs };
  }
  if (op === "attention") {
    const [, qkv, { tokens }] = args as unknown as [unknown, { rows: number }, { tokens: number }];
    return { name: "attention, softmax in it", flops: 2 * 2 * qkv.rows * tokens * width };
  }
  return { name: op === "layerNorm" ? "layer norm" : "the rest", flops: 0 };
}

/** What a linear layer of a ViT of this width is for. */
function roleOf({ inputs, outputs }: Linear, rows: number, width: number): string {
  if (rows === 1) return "head";
  if (rows === (IMAGE / PATCH) ** 2) return "patch embedding";
  if (outputs === 3 * width) return "QKV";
  if (outputs === 4 * width) return "FC1";
  return inputs === 4 * width ? "FC2" : "projection";
}
