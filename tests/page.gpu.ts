/** The WebGPU tests on a page: the conformance file on the page's own thread, goldens where `load` puts the model. */

import { requestGpu } from "../src/backends/webgpu/device.js";
import { createWebgpuBackend } from "../src/backends/webgpu/index.js";
import { runBackendCases } from "./backend.cases.js";
import { compareAll } from "./goldens.js";
import { defined } from "./node.js";

/** What failed, one line each, and how many ran. */
export interface Ran {
  readonly count: number;
  readonly failures: string[];
  /** Tasks of the page's thread above 50 ms, in milliseconds. */
  readonly long: number[];
}

async function ran(cases: readonly { readonly name: string; readonly run: () => unknown }[]): Promise<Ran> {
  const failures: string[] = [];
  const long: number[] = [];
  const observer = new PerformanceObserver((list) => long.push(...list.getEntries().map(({ duration }) => duration)));
  if (PerformanceObserver.supportedEntryTypes.includes("longtask")) observer.observe({ type: "longtask" });
  for (const { name, run } of cases) {
    try {
      await run();
    } catch (error) {
      failures.push(`${name}: ${(error as Error).message}`);
    }
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
  return { count: cases.length, failures, long };
}

export async function conformance(): Promise<Ran> {
  const create = async () => {
    const gpu = await requestGpu();
    if ("reason" in gpu) throw new Error(gpu.reason);
    return createWebgpuBackend(gpu);
  };
  runBackendCases({ create, tolerance: 1e-5, tolerances: { f16: 2e-3, rescaled: 2e-3, int8: 1e-5 } });
  return ran(defined.splice(0));
}

const found = async (url: string) => {
  const response = await fetch(url);
  return response.ok ? response : undefined;
};

/** @param folders addresses of checkpoints in one file. */
export const goldens = (folders: readonly string[]): Promise<Ran> =>
  ran(
    folders.map((folder) => ({
      name: folder,
      async run() {
        const weights = (await found(`${folder}/model.safetensors`)) ?? (await found(`${folder}/model.npz`));
        const config = await (await found(`${folder}/config.json`))?.json();
        const read = async (file: string) => new Uint8Array(await (await fetch(`${folder}/${file}`)).arrayBuffer());
        await compareAll({ config, weights: await weights!.blob() }, read, { backend: "webgpu" });
      },
    })),
  );
