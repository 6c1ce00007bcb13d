/**
 * Deno and Bun, where they are on the PATH: what they load, on which threads, and that they end by themselves, with the
 * bits of this Node. Engines whose kernels differ are compared by tolerance: Node 20 has no relaxed SIMD, and Bun's, on x64,
 * rounds the product of a multiply-add before the sum.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { suite, test } from "node:test";
import { assertClose } from "./backend.cases.js";

const PROGRAM = "dist/tests/host.js";

interface Found {
  readonly logits: number[];
  readonly threads: number;
  readonly reason: string;
}

/** Of a process, which must end by itself and with status 0. */
const run = (command: string, args: string[], ...rest: string[]): Found =>
  JSON.parse(execFileSync(command, [...args, PROGRAM, ...rest], { encoding: "utf8", timeout: 60_000 }));

const HOSTS: Record<string, string[]> = { deno: ["run", "--allow-all"], bun: ["run"] };
const SHARED = "../shared/models/vit-tiny-patch16-224";
const CASES = {
  fixture: ["tests/fixtures/checkpoints/hf-vit", "tests/fixtures/image/rgb-420.jpg"],
  "ViT-Ti/16": [`${SHARED}/hf`, "../shared/images/imagenet/n01440764_tench.JPEG"],
} as const;

const simdOf = (reason: string) => /relaxed SIMD|SIMD/.exec(reason)?.[0];

for (const [host, args] of Object.entries(HOSTS)) {
  const command = (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, host))
    .find(existsSync);
  suite(host, { skip: command ? false : `there is no ${host} on the PATH` }, () => {
    for (const [name, [folder, photo]] of Object.entries(CASES)) {
      const skip = existsSync(folder) ? false : `${folder} is absent: the checkpoint is not part of the package`;
      for (const precision of ["f32", "int8"]) {
        test(`${name}, ${precision}: two threads, Node's logits`, { skip }, (t) => {
          const expected = run(process.execPath, [], folder, photo, precision);
          const found = run(command!, args, folder, photo, precision);
          assert.equal(found.threads, 2);
          assert.equal(found.logits.length, expected.logits.length);
          if (host !== "bun" && simdOf(found.reason) === simdOf(expected.reason)) {
            assert.deepEqual(found.logits, expected.logits);
          } else {
            const tolerance = precision === "f32" ? 1e-4 : 0.5;
            assertClose(Float32Array.from(found.logits), Float32Array.from(expected.logits), tolerance);
          }
          t.diagnostic(found.reason);
        });
      }
    }
  });
}
