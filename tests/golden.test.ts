/** Goldens of every family on both backends that run everywhere. */
import { test } from "node:test";
import { compareFolder, ROOTS } from "./checkpoints.js";

for (const { root, skip, folders } of ROOTS) {
  if (skip) test(`goldens of ${root}`, { skip }, () => undefined);
  for (const folder of folders) {
    for (const backend of ["wasm", "reference"] as const) {
      test(`${folder} on ${backend} is what its library computes`, () => compareFolder(folder, { backend }));
    }
  }
}
