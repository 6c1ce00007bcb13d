/** VideoMAE, ViViT and TimeSformer against transformers: logits, every block and the maps of attention, of clips that are given. */
import { basename } from "node:path";
import { test } from "node:test";
import { compareStages, DENSE_OUTPUTS, DENSE_ROOTS } from "./dense.js";

const OUTPUTS = { ...DENSE_OUTPUTS, attentions: "attentions" } as const;

for (const { root, skip, folders } of DENSE_ROOTS) {
  if (skip) test(`videos of ${root}`, { skip }, () => undefined);
  for (const folder of folders.filter((name) => /^hf-(videomae|vivit|timesformer)/.test(basename(name)))) {
    for (const backend of ["wasm", "reference"] as const) {
      test(`${folder} on ${backend} is what its library computes`, () =>
        compareStages(folder, { backend }, { outputs: OUTPUTS }));
    }
  }
}
