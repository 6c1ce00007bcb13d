/**
 * The multiply-add peak of one thread, what shares of peak refer to: as many operations as the work has, on registers only.
 * It takes as long as perfect kernels would, so what disturbs the machine disturbs both alike. Kernel: assembly/peak.ts.
 */
import { readFile } from "node:fs/promises";
import type { Engine } from "../engine.js";
import { flopsOf } from "../work.js";

/** Of assembly/peak.ts. */
interface PeakExports {
  readonly FLOPS_PER_STEP: WebAssembly.Global<"i32">;
  peak(steps: number, x: number): number;
}

export const engine: Engine = {
  async prepare(work) {
    for (const build of ["relaxed", "simd"]) {
      const bytes = await readFile(new URL(`../../../build/peak-${build}.wasm`, import.meta.url));
      if (!WebAssembly.validate(bytes)) continue;
      const { instance } = await WebAssembly.instantiate(bytes);
      const { peak, FLOPS_PER_STEP } = instance.exports as unknown as PeakExports;
      const steps = Math.ceil(flopsOf(work) / FLOPS_PER_STEP.value);
      return { run: () => peak(steps, 0.5), result: () => undefined, dispose() {} };
    }
    throw new Error("bench: the peak needs WebAssembly simd, which this engine does not have");
  },
};
