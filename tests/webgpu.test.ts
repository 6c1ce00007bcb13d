/** The WebGPU backend against the contract, with and without what a device may have. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Backend } from "../src/backend.js";
import { createWebgpuBackend, type WebgpuOptions } from "../src/backends/webgpu/index.js";
import { runBackendCases } from "./backend.cases.js";
import { gpuForTests } from "./gpu.js";

const gpu = await gpuForTests();

const VARIANTS: Record<string, WebgpuOptions> = {
  "all features": {},
  "no features": { half: false, subgroups: false, packedDot: false },
};
for (const [name, options] of Object.entries(VARIANTS)) {
  const skip = "reason" in gpu ? gpu.reason : false;
  suite(`webgpu, ${name}${"name" in gpu ? ` of ${gpu.name}` : ""}`, { skip }, () => {
    let backend: Backend;
    const create = async () => {
      const own = await gpuForTests();
      if ("reason" in own) throw new Error(own.reason);
      backend = createWebgpuBackend(own, options);
      return backend;
    };
    const halves = "half" in gpu && gpu.half && options.half !== false;
    runBackendCases({
      create,
      tolerance: 1e-5,
      // Factors stay beside W, where the reference rounds their product to a half once more.
      tolerances: { f16: halves ? 2e-3 : 1e-5, rescaled: 2e-3, int8: 1e-5 },
    });
    test("disposed of, it computes no more", () => {
      backend.dispose();
      assert.throws(() => backend.createTensor(1, 1), /disposed/);
    });
  });
}
