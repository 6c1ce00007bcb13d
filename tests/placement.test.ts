/** Where a model is placed: GPUs that there are not, that compute wrong, that are slow and that are fast. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Backend } from "../src/backend.js";
import { createReferenceBackend } from "../src/backends/reference.js";
import { createWasmBackend } from "../src/backends/wasm/index.js";
import { parseConfig } from "../src/checkpoint/recognize.js";
import { planWeights } from "../src/checkpoint/weights.js";
import { createEngine } from "../src/engine/engine.js";
import { compare } from "../src/engine/trial.js";
import { openCheckpoint, twice } from "../src/io/checkpoint.js";

const FOLDER = "tests/fixtures/checkpoints/hf-vit";

/** The checkpoint, or its first blocks, on a backend. */
async function placed(backend: Backend, blocks?: number) {
  const checkpoint = await openCheckpoint(FOLDER);
  const { config, named, heads } = await parseConfig(checkpoint.name, checkpoint.config, checkpoint.tensors);
  const loader = planWeights(FOLDER, { config, named, heads, blocks }, checkpoint.tensors).create(backend, "f32");
  await checkpoint.read(loader);
  await checkpoint.close();
  return { backend, weights: await loader.finish(), config };
}

const simd = await placed(await createWasmBackend({ threads: 1 }), 1);
const { config } = simd;
const judged = (gpu: Awaited<ReturnType<typeof placed>>) => compare(gpu, simd, config, "f32");

/** With 20 ms more for an attention. */
const slowed = (backend: Backend): Backend => ({
  ...backend,
  attention(...args) {
    const end = performance.now() + 20;
    while (performance.now() < end);
    backend.attention(...args);
  },
});

test("a part of a checkpoint: the blocks that are wanted, whatever else is there", () => {
  assert.equal(simd.weights.blocks.length, 1);
  assert.ok(config.depth > 1);
});

test("a GPU that is faster is preferred, a slower one is not, and the reason has both times", async () => {
  const wasm = await createWasmBackend({ threads: 1 });
  const gpu = await placed(wasm);
  const slow = await judged({ ...gpu, backend: slowed(wasm) });
  assert.equal(slow.preferred, false);
  assert.match(slow.reason, /^the GPU is slower: [\d.]+ ms an image on the GPU, [\d.]+ on SIMD$/);
  const fast = await compare(gpu, { ...simd, backend: slowed(simd.backend) }, config, "f32");
  assert.equal(fast.preferred, true);
  assert.match(fast.reason, /^faster: [\d.]+ ms an image on the GPU, [\d.]+ on SIMD$/);
});

test("a GPU that computes wrong is not preferred, and the reason says what it computed", async () => {
  const right = createReferenceBackend();
  const gpu = await placed(right);
  for (const wrong of [Number.NaN, 1e30, 0.5]) {
    const backend: Backend = { ...right, read: async (x) => (await right.read(x)).fill(wrong, 7, 8) };
    const { preferred, reason } = await judged({ ...gpu, backend });
    assert.equal(preferred, false);
    assert.match(reason, /^the GPU failed its self-test: element 7 of the first block is .*, not -?\d/);
  }
  let reads = 0;
  const later: Backend = {
    ...right,
    read: async (x) => (reads++ === 0 ? right.read(x) : (await right.read(x)).fill(Number.POSITIVE_INFINITY, 3, 4)),
  };
  const { reason } = await judged({ ...gpu, backend: later });
  assert.equal(reason, "the GPU failed its self-test: not all tokens of the last block are finite");
});

test("without a GPU, or with one that a processor plays, the model is on SIMD and says why", async () => {
  let destroyed = 0;
  const software = { device: { destroy: () => destroyed++ }, name: "SwiftShader", software: true };
  for (const [found, reason] of [
    [{ reason: "no adapter" }, /^no adapter; /],
    [software, /^SwiftShader is a processor; /],
  ] as const) {
    const engine = await createEngine(FOLDER, {}, { find: async () => found as never, compare });
    assert.equal(engine.backend.name, "wasm");
    assert.match(engine.backend.reason, reason);
    engine.dispose();
  }
  assert.equal(destroyed, 1);
  const none = { find: async () => ({ reason: "no adapter" }), compare };
  await assert.rejects(createEngine(FOLDER, { backend: "webgpu" }, none), {
    message: 'load: backend "webgpu" needs a GPU; there is none: no adapter',
  });
});

test("nothing looks for a GPU where threads, 256 bits or another backend are asked for", async () => {
  const search = { find: () => assert.fail("looked for"), compare };
  for (const options of [{ threads: 1 }, { wide: true }, { backend: "wasm" }, { backend: "reference" }] as const) {
    (await createEngine(FOLDER, options, search)).dispose();
  }
});

test("what a stream gave is there again, and bytes are not copied", async () => {
  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i % 251);
  const stream = new Blob([bytes]).stream() as ReadableStream<Uint8Array>;
  const { now, again } = twice({ weights: [stream, bytes] });
  const [first, second] = (now as { weights: [ReadableStream, Uint8Array] }).weights;
  assert.deepEqual(new Uint8Array(await new Response(first).arrayBuffer()), bytes);
  assert.equal(second, bytes);
  const { weights } = (await again()) as { weights: [Blob, Uint8Array] };
  assert.deepEqual(new Uint8Array(await weights[0].arrayBuffer()), bytes);
  assert.equal(weights[1], bytes);
});
