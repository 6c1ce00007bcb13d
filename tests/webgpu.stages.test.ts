/** Swin, Hiera and models of videos on a GPU: what tests/swin.test.ts, hiera.test.ts and video.test.ts compare on other backends. */
import { basename } from "node:path";
import { test } from "node:test";
import { compareStages, DENSE_OUTPUTS, DENSE_ROOTS } from "./dense.js";
import { gpuForTests, takesMinutes } from "./gpu.js";
import { compareSwin } from "./swin.js";

const gpu = await gpuForTests();
const none = "reason" in gpu ? gpu.reason : undefined;

/** SwiftShader takes up to a minute for the shaders of a checkpoint: there it is one of each kind, if there is time. */
const slow = "name" in gpu && /swiftshader/i.test(gpu.name);
const late = slow ? takesMinutes : false;
const some = ["hf-swin", "hf-swinv2", "hf-hiera", "hf-timesformer"].map((name) => `tests/fixtures/dense/${name}`);

for (const { root, skip, folders } of DENSE_ROOTS) {
  const why = none ?? (skip || late);
  const those = slow ? folders.filter((folder) => some.includes(folder)) : folders;
  if (why) test(`Swin, Hiera and videos of ${root} on webgpu`, { skip: why }, () => undefined);
  else {
    for (const folder of those) {
      if (/^(hf|timm)-swin/.test(basename(folder)))
        test(`${folder} on webgpu is what its library computes`, () => compareSwin(folder, "webgpu"));
      if (/^hf-(videomae|vivit|timesformer)/.test(basename(folder))) {
        const outputs = { ...DENSE_OUTPUTS, attentions: "attentions" } as const;
        test(`${folder} on webgpu is what its library computes`, () =>
          compareStages(folder, { backend: "webgpu" }, { outputs }));
      }
      if (basename(folder).startsWith("hf-hiera")) {
        const outputs = { ...DENSE_OUTPUTS, pooler_output: "pooled" } as const;
        test(`${folder} on webgpu is what its library computes`, () =>
          compareStages(folder, { backend: "webgpu" }, { outputs }));
      }
    }
  }
}
