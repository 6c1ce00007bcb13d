/** VITRAIL_TRACE: each op of a forward pass with its name, shape and first values. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createReferenceBackend } from "../src/backends/reference.js";
import { parseConfig } from "../src/checkpoint/recognize.js";
import { planWeights } from "../src/checkpoint/weights.js";
import { forward } from "../src/forward/forward.js";
import { traced } from "../src/forward/trace.js";
import { openCheckpoint } from "../src/io/checkpoint.js";

const FOLDER = "tests/fixtures/checkpoints/hf-vit";

test("a line an op, in order, with the values that the op made", async () => {
  const checkpoint = await openCheckpoint(FOLDER);
  const { name, tensors } = checkpoint;
  const { config, named, heads } = await parseConfig(name, checkpoint.config, tensors);
  const backend = createReferenceBackend();
  const loader = planWeights(name, { config, named, heads }, tensors).create(backend, "f32");
  await checkpoint.read(loader);
  const weights = await loader.finish();
  await checkpoint.close();

  const [height, width] = config.imageSize;
  const dims = [1, 3, height, width];
  const pixelValues = { dims, data: Float32Array.from({ length: 3 * height * width }, (_, i) => Math.sin(i)) };
  const wanted = ["patchEmbedding", "logits"] as const;
  const plain = await (await forward(backend, weights, config, { pixelValues }, wanted)).outputs;
  const lines: string[] = [];
  const watched = traced(backend, weights, (line) => lines.push(line));
  const outputs = await (await forward(watched, weights, config, { pixelValues }, wanted)).outputs;
  assert.deepEqual(outputs, plain);
  await new Promise((resolve) => setImmediate(resolve));

  const ops = lines.map((line) => line.split(/ {2,}|(?<=\S) (?=\S+×)/)[0]!.trim());
  assert.deepEqual(ops.slice(0, 3), ["patchify", "linear", "assembleTokens"]);
  assert.equal(ops.filter((op) => op === "attention").length, config.depth);
  assert.match(lines[1]!, /^linear +patchEmbed +\d+×\d+ +[\d.]+ ms /);
  assert.ok(
    lines.some((line) => /^linear +blocks\.0\.0\.0\.qkv, blocks\.0\.0\.0\.norm/.test(line)),
    lines.join("\n"),
  );
  const first = Array.from(plain.patchEmbedding!.data.subarray(0, 5), (x) => x.toPrecision(6));
  assert.ok(lines[1]!.endsWith(first.join(" ")), lines[1]);
});

test("VITRAIL_TRACE=1 prints them to standard error", () => {
  const cli = fileURLToPath(new URL("../src/cli.js", import.meta.url));
  const args = [cli, "classify", "--model", FOLDER, "--backend", "wasm", "tests/fixtures/image/rgb-420.jpg"];
  const { stderr, status } = spawnSync(process.execPath, args, {
    encoding: "utf8",
    env: { ...process.env, VITRAIL_TRACE: "1" },
  });
  assert.equal(status, 0);
  assert.match(stderr, /^patchify +.*\nlinear +patchEmbed +/m);
});
