/** VideoMAE and ViViT against transformers: logits and every block of frames that are given. */
import { basename } from "node:path";
import { test } from "node:test";
import { compareStages, DENSE_ROOTS } from "./dense.js";

for (const { root, skip, folders } of DENSE_ROOTS) {
  if (skip) test(`videos of ${root}`, { skip }, () => undefined);
  for (const folder of folders.filter((name) => /^hf-(videomae|vivit)/.test(basename(name)))) {
    for (const backend of ["wasm", "reference"] as const) {
      test(`${folder} on ${backend} is what its library computes`, () => compareStages(folder, { backend }));
    }
  }
}
