/**
 * The WebGPU tests in Deno, where it is on the PATH, on Mesa's lavapipe, if that is installed: another implementation of
 * WebGPU than Node's and browsers', and one whose adapter multiplies halves.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { absent, find } from "./installed.js";

const LAVAPIPE = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json";
const deno = find("deno");
const skip = absent("deno", deno) || (existsSync(LAVAPIPE) ? false : `${LAVAPIPE} is absent`);

for (const file of ["webgpu.test.js", "webgpu.golden.test.js", "webgpu.loss.test.js", "webgpu.vit-tiny.test.js"]) {
  test(`deno: ${file}`, { skip, timeout: 400_000 }, (t) => {
    const env = {
      ...process.env,
      VK_ICD_FILENAMES: LAVAPIPE,
      XDG_RUNTIME_DIR: mkdtempSync(join(tmpdir(), "vitrail-")),
      NO_COLOR: "1",
    };
    const args = ["test", "--allow-all", "--unstable-webgpu", "--no-check", `dist/tests/${file}`];
    const { status, stdout, stderr } = spawnSync(deno!, args, { encoding: "utf8", env, maxBuffer: 2 ** 26 });
    const summary = /^(ok|FAILED) \| .*$/m.exec(stdout)?.[0] ?? stdout.slice(-500);
    // What is skipped passes nothing. The summary counts, not the status: Mesa sometimes crashes when Deno, done, unloads it.
    assert.match(summary, /^ok \| [1-9]\d* passed .*0 failed/, `${stderr.slice(-2000)}\n${stdout.slice(-4000)}`);
    t.diagnostic(`${summary}, status ${status}`);
  });
}
