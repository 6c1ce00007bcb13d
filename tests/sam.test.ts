/** Masks by prompts (SAM), against transformers: stages, post-processing, and photos. */
import { basename } from "node:path";
import { test } from "node:test";
import { compareStages, DENSE_ROOTS } from "./dense.js";

/** Folders of models that take prompts. */
const isSam = (folder: string) => /^hf-sam(-tall)?$/.test(basename(folder));

for (const { root, skip, folders } of DENSE_ROOTS) {
  if (skip) test(`masks by prompts of ${root}`, { skip }, () => undefined);
  for (const folder of folders.filter(isSam)) {
    for (const backend of ["wasm", "reference"] as const) {
      test(`${folder} on ${backend} is what its library computes`, () => compareStages(folder, { backend }));
    }
  }
}
