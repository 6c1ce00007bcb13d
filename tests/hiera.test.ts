/** Hiera against transformers: logits, features, stages. */
import { basename } from "node:path";
import { test } from "node:test";
import { compareStages, DENSE_OUTPUTS, DENSE_ROOTS } from "./dense.js";

const outputs = { ...DENSE_OUTPUTS, pooler_output: "pooled" } as const;

for (const { root, skip, folders } of DENSE_ROOTS) {
  if (skip) test(`Hiera of ${root}`, { skip }, () => undefined);
  for (const folder of folders.filter((name) => basename(name).startsWith("hf-hiera"))) {
    for (const backend of ["wasm", "reference"] as const) {
      test(`${folder} on ${backend} is what its library computes`, () =>
        compareStages(folder, { backend }, { outputs }));
    }
  }
}
