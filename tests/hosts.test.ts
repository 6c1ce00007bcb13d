/**
 * Every runtime that is here, in an empty project that has the packed package: what it classifies and embeds, on threads, in
 * int8, by vitrail/serve, its errors, and that the process ends by itself. Where the same build of the kernels runs and multiply-adds round alike,
 * f32 and int8 have the same bits. Otherwise they are compared by tolerance: Node 20 has no relaxed SIMD, and Bun's, on x64,
 * rounds the product of a multiply-add before the sum, which the program finds out.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { before, suite, test } from "node:test";
import { assertClose } from "./backend.cases.js";
import { absent, find, NODES, nodeOf } from "./installed.js";
import { createProject } from "./project.js";

interface Calls {
  readonly logits: readonly number[];
  readonly row: readonly number[];
  readonly list: readonly (readonly [index: number, logit: number])[];
  readonly threads: number;
  readonly reason: string;
}
interface Found {
  /** Whether relaxed SIMD has a multiply-add that rounds once. */
  readonly fused: boolean;
  readonly f32: Calls;
  readonly threads: Calls;
  readonly int8: Calls;
  readonly default: readonly [label: string, logit: number];
  /** The row of vitrail/serve. */
  readonly served: readonly number[];
  readonly errors: Readonly<Record<string, string>>;
  readonly aborted: boolean;
}

const IMAGES = "tests/fixtures/image";
const SHARED = "../shared/models/vit-tiny-patch16-224/hf";
const isShared = existsSync(SHARED);
const project = createProject("hosts", {
  vit: "tests/fixtures/checkpoints/hf-vit",
  ...(isShared && { "vit-ti": SHARED }),
  "photo.jpg": `${IMAGES}/rgb-420.jpg`,
  "photo.png": `${IMAGES}/rgb-8.png`,
  "photo.webp": `${IMAGES}/lossy.webp`,
  "cat.jpg": "models/samples/cat-1.jpg",
  "host.mjs": "tests/fixtures/host.mjs",
});

/** Of a process, which must end by itself and with status 0. */
function run(folder: string, command: string, args: readonly string[] = []): Found {
  const words = [...args, "host.mjs", folder];
  return JSON.parse(execFileSync(command, words, { cwd: project, encoding: "utf8", stdio: "pipe", timeout: 100_000 }));
}

const HOSTS: readonly (readonly [name: string, command: string | undefined, args?: readonly string[]])[] = [
  ...NODES.map((version) => [`Node ${version}`, nodeOf(version)] as const),
  ["Deno", find("deno"), ["run", "--allow-read", "--allow-env", "--allow-sys"]],
  ["Bun", find("bun")],
];

/** What ran: the same kernels and roundings give the same bits. */
const buildOf = ({ f32, fused }: Found) =>
  `${/relaxed SIMD|SIMD/.exec(f32.reason)}, multiply-adds ${fused ? "fused" : "in two steps"}`;

for (const folder of ["vit", "vit-ti"]) {
  const skip = folder === "vit" || isShared ? false : `${SHARED} is absent: the checkpoint is not part of the package`;
  suite(`${folder}: the package's results, errors, and an end`, { skip }, () => {
    let here: Found;
    const known = new Map<string, { name: string; found: Found }>();
    before(() => {
      here = run(folder, process.execPath);
      known.set(buildOf(here), { name: "this Node", found: here });
    });

    for (const [name, command, args] of HOSTS) {
      test(name, { skip: absent(name, command) }, (t) => {
        const found = run(folder, command!, args);
        const build = buildOf(found);
        const { name: other, found: expected } = known.get(build) ?? { name: "this Node", found: here };
        const same = known.has(build);
        known.set(build, { name, found });
        t.diagnostic(`${found.threads.reason}; ${build}; ${same ? "the bits" : "near the numbers"} of ${other}`);

        for (const calls of ["f32", "threads", "int8"] as const) {
          const { logits, row, list, threads } = found[calls];
          assert.equal(threads, calls === "f32" ? 1 : 2);
          if (same) {
            assert.deepEqual([logits, row, list], [expected[calls].logits, expected[calls].row, expected[calls].list]);
          } else {
            const tolerance = calls === "int8" ? 0.5 : 1e-4;
            assertClose(Float32Array.from(logits), Float32Array.from(expected[calls].logits), tolerance);
            assertClose(Float32Array.from(row), Float32Array.from(expected[calls].row), tolerance);
            if (calls !== "int8") {
              const classes = ({ list }: Calls) => list.map(([index]) => index);
              assert.deepEqual(classes(found[calls]), classes(expected[calls]));
            }
          }
        }
        assert.deepEqual(found.threads.logits, found.f32.logits, "threads change no bit");
        assert.deepEqual(found.served, found.f32.row, "by vitrail/serve");
        assert.equal(found.default[0], "cat");
        if (same) assert.deepEqual(found.default, expected.default);
        assert.deepEqual(found.errors, here.errors);
        assert.equal(found.aborted, true);
      });
    }
  });
}
