/** Goldens of every family on a GPU, or on a processor that plays one. */
import { test } from "node:test";
import { compareFolder, isPlain, ROOTS } from "./checkpoints.js";
import { gpuForTests } from "./gpu.js";

const gpu = await gpuForTests();
const none = "reason" in gpu ? gpu.reason : undefined;

/** SwiftShader takes five seconds for the shaders of a checkpoint: there it is plain ViTs only, on lavapipe all. */
const slow = "name" in gpu && /swiftshader/i.test(gpu.name) && !process.env.VITRAIL_GOLDENS;

for (const { root, skip, folders } of ROOTS) {
  if (none ?? skip) test(`goldens of ${root} on webgpu`, { skip: none ?? skip }, () => undefined);
  else {
    for (const folder of folders.filter((folder) => !slow || isPlain(folder))) {
      test(`${folder} on webgpu is what its library computes`, () => compareFolder(folder, { backend: "webgpu" }));
    }
  }
}
