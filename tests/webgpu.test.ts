/** The WebGPU backend against the contract, with and without what a device may have. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Backend } from "../src/backend.js";
import { createWebgpuBackend, type WebgpuOptions } from "../src/backends/webgpu/index.js";
import { runBackendCases } from "./backend.cases.js";
import { gpuForTests } from "./gpu.js";

const gpu = await gpuForTests();

/** Without features, other shaders than these have the same text as with them. */
const VARIANTS: Record<string, { options: WebgpuOptions; only?: RegExp }> = {
  "all features": { options: {} },
  "no features": { options: { half: false, subgroups: false, packedDot: false }, only: /norm|int8|f16|rescale/i },
};
for (const [name, { options, only }] of Object.entries(VARIANTS)) {
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
      only,
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
