/** Whether memory grows: a process that classifies the same photo many times. */
import { start } from "./child.js";
import type { GrowthSample } from "./growth-child.js";

export interface GrowthResults {
  readonly growth: readonly GrowthSample[];
}

/** The first thousand warm up caches, the JIT and the heap. */
const COUNTS = [100, 1000, 3000, 10000];

export async function measureGrowth(): Promise<GrowthResults> {
  const child = start<readonly number[], GrowthSample[]>(new URL("./growth-child.js", import.meta.url), []);
  try {
    return { growth: await child.ask(COUNTS) };
  } finally {
    child.stop();
  }
}
