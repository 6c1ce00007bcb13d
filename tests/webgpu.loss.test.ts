/** A device that goes away in the middle of loading and computing, wherever that is: no hang, no wrong answer, no lost call. */
import assert from "node:assert/strict";
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { BackendName } from "../src/backend.js";
import { createEngine } from "../src/engine/engine.js";
import type { GpuSearch } from "../src/engine/placement.js";
import type { CheckpointParts } from "../src/io/parts.js";
import { assertClose, noise } from "./backend.cases.js";
import { gpuForTests } from "./gpu.js";

const CHECKPOINT = "tests/fixtures/checkpoints/hf-vit";
const none = await gpuForTests();
const skip = "reason" in none ? none.reason : false;

/** Calls of a device that are counted, so that it can go away before any of them. */
const CALLS = ["createBuffer", "createShaderModule", "createComputePipelineAsync", "createBindGroup"] as const;

/** Finds a device that passes for a fast GPU, whose first is destroyed before its call number `at`. */
function vanishing(at: number): GpuSearch & { calls(): number } {
  let calls = 0;
  let devices = 0;
  return {
    calls: () => calls,
    async find() {
      const gpu = await gpuForTests();
      if ("reason" in gpu || devices++ > 0) return gpu;
      const count = (owner: object, name: string) => {
        const methods = owner as Record<string, (...args: unknown[]) => unknown>;
        const own = methods[name]!.bind(owner);
        methods[name] = (...args) => {
          if (calls++ === at) gpu.device.destroy();
          return own(...args);
        };
      };
      for (const name of CALLS) count(gpu.device, name);
      for (const name of ["submit", "writeBuffer"]) count(gpu.device.queue, name);
      return { ...gpu, software: false };
    },
    compare: async () => ({ preferred: true, reason: "asked for by a test" }),
  };
}

async function engineOn(
  backend: BackendName | "auto",
  search?: GpuSearch,
  source: string | CheckpointParts = CHECKPOINT,
) {
  const engine = await createEngine(source, { backend }, search);
  const [height, width] = engine.config.imageSize;
  const pixelValues = { dims: [1, 3, height, width], data: noise(3 * height * width) };
  const logits = async () => (await engine.forward({ pixelValues }, ["logits"], () => {})).logits!.data;
  return { engine, logits };
}

/** Evenly over all calls of a load and two forward passes. */
const PLACES = 8;

for (const backend of ["auto", "webgpu"] as const) {
  test(`a device lost before any call of load and forward, ${backend}`, { skip, timeout: 300_000 }, async (t) => {
    const { logits: onSimd, engine } = await engineOn("wasm");
    const expected = await onSimd();
    engine.dispose();
    const whole = vanishing(Number.POSITIVE_INFINITY);
    const undisturbed = await engineOn(backend, whole);
    assert.equal(undisturbed.engine.backend.name, "webgpu");
    assertClose(await undisturbed.logits(), expected, 1e-4);
    const loaded = whole.calls();
    await undisturbed.logits();
    undisturbed.engine.dispose();
    const total = whole.calls();
    t.diagnostic(`${loaded} calls for a load and a first pass, ${total - loaded} for a second`);

    const places = Array.from({ length: PLACES }, (_, i) => Math.floor((i * loaded) / (PLACES - 1)));
    for (const at of new Set([...places, total - 2, total - 1])) {
      const search = vanishing(at);
      const found = await engineOn(backend, search).catch((error: Error) => error);
      if (found instanceof Error) {
        assert.equal(backend, "webgpu", `load: ${found.stack}`);
        assert.match(found.message, /^webgpu: /);
        continue;
      }
      const results = await Promise.allSettled([found.logits(), found.logits(), found.logits()]);
      for (const result of results) {
        if (result.status === "fulfilled") assertClose(result.value, expected, 1e-4, `lost before call ${at}`);
        else {
          assert.equal(backend, "webgpu", result.reason.stack);
          assert.match(result.reason.message, /^webgpu: the device/);
        }
      }
      assertClose(await found.logits(), expected, 1e-4, "the next call");
      if (backend === "auto" && search.calls() > at) {
        assert.equal(found.engine.backend.name, "wasm");
        assert.match(found.engine.backend.reason, /^webgpu: the device/);
      }
      found.engine.dispose();
    }
  });
}

test("weights from a stream are there again, those of files that have changed are refused", { skip }, async () => {
  const { logits: onSimd, engine } = await engineOn("wasm");
  const expected = await onSimd();
  engine.dispose();
  const lost = async (source: string | CheckpointParts) => {
    const search = vanishing(Number.POSITIVE_INFINITY);
    let device: GPUDevice | undefined;
    const find = async () => {
      const gpu = await search.find();
      if ("device" in gpu) ({ device } = gpu);
      return gpu;
    };
    const on = await engineOn("auto", { ...search, find }, source);
    assert.equal(on.engine.backend.name, "webgpu");
    device!.destroy();
    await device!.lost;
    return on;
  };
  const config = JSON.parse(readFileSync(`${CHECKPOINT}/config.json`, "utf8"));
  const weights = new Blob([readFileSync(`${CHECKPOINT}/model.safetensors`)]).stream();
  const streamed = await lost({ config, weights: weights as ReadableStream<Uint8Array> });
  assertClose(await streamed.logits(), expected, 1e-4);
  assert.equal(streamed.engine.backend.name, "wasm");
  streamed.engine.dispose();

  const folder = mkdtempSync(join(tmpdir(), "vitrail-loss-"));
  try {
    cpSync(CHECKPOINT, folder, { recursive: true });
    const changed = await lost(folder);
    appendFileSync(join(folder, "config.json"), " ");
    const message = `load: the files of "${folder}" have changed since it was loaded; load it again`;
    await assert.rejects(changed.logits(), { message });
    changed.engine.dispose();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("an engine that is disposed of frees its device, and its calls end", { skip }, async () => {
  const { engine, logits } = await engineOn("webgpu");
  const call = logits();
  engine.dispose();
  await assert.rejects(call, /disposed/);
  await assert.rejects(logits(), /disposed/);
});
