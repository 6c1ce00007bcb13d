/**
 * WebGPU in Chromium, on the processor that it brings, SwiftShader: on a page's own thread and in a worker. Firefox ESR has no
 * WebGPU.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { visit } from "./browser.js";
import { isPlain, ROOTS } from "./checkpoints.js";
import { allOfGpu, takesMinutes } from "./gpu.js";
import { find } from "./installed.js";

const noChromium = find("chromium") ? false : "there is no chromium on the PATH";
suite("chromium", { skip: noChromium || takesMinutes }, () => {
  const plain = ROOTS.map(({ folders }) => folders.filter(isPlain));
  // A page is given one file; Node and Deno have all checkpoints.
  const addresses = (folders: readonly string[]) =>
    folders
      .filter((folder) => existsSync(join(folder, "model.safetensors")) || existsSync(join(folder, "model.npz")))
      .map((folder) => `/${folder.replace("../", "")}`)
      .slice(0, allOfGpu ? 6 : 1);

  for (const task of ["conformance", "conformanceInWorker"] as const) {
    test(task === "conformance" ? "conformance on a page" : "conformance in a worker", async (t) => {
      const { failures, count } = (await visit("chromium", [task], { folders: [] }))[task];
      assert.deepEqual(failures, []);
      assert.ok(count > (task === "conformance" ? 300 : 30), `${count} cases`);
      t.diagnostic(`${count} cases`);
    });
  }

  test("images that the GPU reads have the processor's pixel values, to the bit", async (t) => {
    const { failures, count } = (await visit("chromium", ["drawing"], { folders: [] })).drawing;
    assert.deepEqual(failures, []);
    t.diagnostic(`${count} images`);
  });

  test("a model's GPU reads bitmaps, and no canvas does", async () => {
    const site = { missing: "/dist/src/remote/worker.js", folders: [] };
    const { failures } = (await visit("chromium", ["drawnByModel"], site)).drawnByModel;
    assert.deepEqual(failures, []);
  });

  test("plain ViTs' goldens on the page's own thread", async (t) => {
    const folders = addresses(plain[0]!);
    const site = { isolated: true, missing: "/dist/src/remote/worker.js", folders };
    const { goldens } = await visit("chromium", ["goldens"], site);
    assert.deepEqual(goldens.failures, []);
    assert.equal(goldens.count, folders.length);
    t.diagnostic(`${goldens.count} checkpoints`);
  });

  test("plain ViTs' goldens in a worker", async (t) => {
    const { goldens } = await visit("chromium", ["goldens"], {
      isolated: true,
      folders: addresses(plain.filter(({ length }) => length > 0).at(-1)!),
    });
    assert.deepEqual(goldens.failures, []);
    assert.ok(goldens.count > 0);
    const long = goldens.long.map(Math.round).join(", ") || "none";
    t.diagnostic(`${goldens.count} checkpoints; tasks of the page's thread above 50 ms: ${long}`);
  });
});
