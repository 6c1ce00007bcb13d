/** Resident memory: its peak while ViT-B is loaded from a file, and its growth over many classifications. */
import { fileURLToPath } from "node:url";
import { start } from "./child.js";
import type { MemoryAnswer, MemoryQuestion, MemorySample } from "./memory-child.js";
import { table } from "./report.js";

export interface MemoryResult extends MemorySample {
  readonly model: string;
  /** Bytes of the checkpoint. */
  readonly weights: number;
  /** What the peak must stay under. */
  readonly limit: number;
}

/** ViT-B for the peak; ViT-Ti for the growth, as 200 images are soon done. The first 20 warm up caches and the JIT. */
const CLASSIFICATIONS = { B: [1, 20], Ti: [20, 100, 200] } as const;

export async function memory(): Promise<MemoryResult[]> {
  const results: MemoryResult[] = [];
  for (const size of ["B", "Ti"] as const) {
    const folder = fileURLToPath(new URL(`../../build/bench/vit-${size.toLowerCase()}`, import.meta.url));
    const weights = (await askChild({ task: "write", size, folder })) as number;
    const sample = (await askChild({ task: "measure", folder, counts: CLASSIFICATIONS[size] })) as MemorySample;
    results.push({ model: `ViT-${size}/16`, weights, limit: 1.3 * weights + 100e6, ...sample });
  }
  return results;
}

/** Each question to a fresh process: a child's peak starts at what its parent has resident, so this one stays small. */
async function askChild(question: MemoryQuestion): Promise<MemoryAnswer> {
  const child = start<MemoryQuestion, MemoryAnswer>(new URL("./memory-child.js", import.meta.url), []);
  try {
    return await child.ask(question);
  } finally {
    child.stop();
  }
}

export function memoryTable(results: readonly MemoryResult[]): string {
  const mb = (bytes: number) => (bytes / 1e6).toFixed(0);
  const header = ["resident MB", "weights", "Node alone", "peak after load", "1.3 × weights + 100", "after images"];
  const rows = results.map(({ model, weights, baseline, peakAfterLoad, limit, resident }) => [
    model,
    ...[weights, baseline, peakAfterLoad, limit].map(mb),
    resident.map(({ images, bytes }) => `${images}: ${mb(bytes)}`).join(", "),
  ]);
  return table(header, rows);
}
