/** WebGPU, where this runtime has it. */
import { canSetEngineFlags } from "./host.js";

let dawn: GPU | undefined;

/**
 * WebGPU, where there is any: the runtime's own, or in Node that of the package `webgpu` (Dawn), if the user installed it.
 * It is no dependency: it has 137 MB.
 */
export async function gpuOf(): Promise<GPU | { reason: string }> {
  const own = globalThis.navigator?.gpu;
  if (own) return own;
  if (!canSetEngineFlags()) return { reason: "this runtime has no WebGPU" };
  // Not a literal: bundlers would look for it.
  const name = "webgpu";
  try {
    const { create } = (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as {
      create(options: string[]): GPU;
    };
    dawn ??= create([]);
    return dawn;
  } catch (error) {
    const missing = (error as { code?: string }).code === "ERR_MODULE_NOT_FOUND";
    const why = missing ? 'the package "webgpu" is not installed' : (error as Error).message.split("\n")[0];
    return { reason: `no WebGPU in Node: ${why}` };
  }
}
