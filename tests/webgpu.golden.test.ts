/** Goldens of every family on a GPU, or on a processor that plays one. */
import { test } from "node:test";
import { compareFolder, isPlain, ROOTS } from "./checkpoints.js";
import { allOfGpu, gpuForTests } from "./gpu.js";

const gpu = await gpuForTests();
const none = "reason" in gpu ? gpu.reason : undefined;

/** SwiftShader takes five seconds for the shaders of a checkpoint: there it is plain ViTs only, the wider set of them if it is here. */
const slow = "name" in gpu && /swiftshader/i.test(gpu.name);
const wide = ROOTS.filter(({ skip }) => !skip).at(-1);

for (const { root, skip, folders } of ROOTS) {
  if (none ?? skip) test(`goldens of ${root} on webgpu`, { skip: none ?? skip }, () => undefined);
  else {
    const most = allOfGpu && root === wide?.root ? undefined : 1;
    const those = slow ? folders.filter(isPlain).slice(0, most) : folders;
    for (const folder of those) {
      test(`${folder} on webgpu is what its library computes`, () => compareFolder(folder, { backend: "webgpu" }));
    }
  }
}
