/**
 * Depth, segments, masks and mattes on a GPU, or on a processor that plays one: what tests/depth.test.ts, tests/masks.test.ts and
 * tests/matte.test.ts compare on other backends.
 */
import { basename } from "node:path";
import { test } from "node:test";
import { compareStages, DENSE_ROOTS } from "./dense.js";
import { allOfGpu, gpuForTests } from "./gpu.js";

const gpu = await gpuForTests();
const none = "reason" in gpu ? gpu.reason : undefined;

/** SwiftShader takes up to a minute for the shaders of a checkpoint: there it is one of each kind, or one. */
const slow = "name" in gpu && /swiftshader/i.test(gpu.name);
const some = [
  "hf-depth-anything",
  ...(allOfGpu ? ["hf-dpt-segmentation", "hf-eomt", "hf-clipseg-refined", "hf-vitmatte"] : []),
];

for (const { root, skip, folders } of DENSE_ROOTS) {
  if (none ?? skip) test(`dense heads of ${root} on webgpu`, { skip: none ?? skip }, () => undefined);
  else {
    const own = folders.filter((folder) =>
      /^hf-(depth-anything|dpt-|eomt|clipseg|beit-|vitdet|vitmatte)/.test(basename(folder)),
    );
    const those = slow ? own.filter((folder) => some.some((name) => folder === `tests/fixtures/dense/${name}`)) : own;
    for (const folder of those) {
      test(`${folder} on webgpu is what its library computes`, () => compareStages(folder, { backend: "webgpu" }));
    }
  }
}
