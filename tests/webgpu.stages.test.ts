/** Swin and Hiera on a GPU: what tests/swin.test.ts and tests/hiera.test.ts compare on other backends. */
import { basename } from "node:path";
import { test } from "node:test";
import { compareStages, DENSE_OUTPUTS, DENSE_ROOTS } from "./dense.js";
import { gpuForTests, takesMinutes } from "./gpu.js";
import { compareSwin } from "./swin.js";

const gpu = await gpuForTests();
const none = "reason" in gpu ? gpu.reason : undefined;

/** SwiftShader takes up to a minute for the shaders of a checkpoint. */
const late = "name" in gpu && /swiftshader/i.test(gpu.name) ? takesMinutes : false;

for (const { root, skip, folders } of DENSE_ROOTS) {
  const why = none ?? (skip || late);
  if (why) test(`Swin and Hiera of ${root} on webgpu`, { skip: why }, () => undefined);
  else {
    for (const folder of folders) {
      if (/^(hf|timm)-swin/.test(basename(folder)))
        test(`${folder} on webgpu is what its library computes`, () => compareSwin(folder, "webgpu"));
      if (basename(folder).startsWith("hf-hiera")) {
        const outputs = { ...DENSE_OUTPUTS, pooler_output: "pooled" } as const;
        test(`${folder} on webgpu is what its library computes`, () =>
          compareStages(folder, { backend: "webgpu" }, { outputs }));
      }
    }
  }
}
