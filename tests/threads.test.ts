/** Threads of the WASM backend: the same bits on any number of them, and errors rather than hangs when one is gone. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { syncBuiltinESMExports } from "node:module";
import { test } from "node:test";
import workerThreads, { type Worker } from "node:worker_threads";
import { createHeap } from "../src/backends/wasm/heap.js";
import { createWasmBackend } from "../src/backends/wasm/index.js";
import { instantiate } from "../src/backends/wasm/instance.js";
import { compileKernels } from "../src/backends/wasm/kernels.js";
import { load } from "../src/index.js";
import { noise } from "./backend.cases.js";

const FOLDER = "tests/fixtures/checkpoints/hf-vit";
const pixels = (size: readonly number[], images = 1) => {
  const dims = [images, 3, ...size];
  return { dims, data: noise(dims.reduce((a, b) => a * b, 1)) };
};

/** Workers that were started since the last call of `started`. */
const workers: Worker[] = [];
const started = () => workers.splice(0);
const Original = workerThreads.Worker;
/** What happens instead of starting a worker, if anything does. */
let instead: (() => never) | undefined;
workerThreads.Worker = class extends Original {
  constructor(...args: ConstructorParameters<typeof Original>) {
    instead?.();
    super(...args);
    workers.push(this);
  }
};
syncBuiltinESMExports();

test("one, two, three and five threads give the same bits, in every precision, for one image and for several", async () => {
  for (const precision of ["f32", "f16", "int8"] as const) {
    const results: Float32Array[] = [];
    for (const threads of [1, 2, 3, 5]) {
      using model = await load(FOLDER, { backend: "wasm", threads, precision });
      assert.equal(model.backend.threads, threads);
      const all = pixels(model.config.imageSize, 3);
      const { logits, attentions } = await model.forward({ pixelValues: all }, { outputs: ["logits", "attentions"] });
      const each: number[] = [];
      for (let i = 0; i < 3; i++) {
        const length = all.data.length / 3;
        const one = { dims: [1, ...all.dims.slice(1)], data: all.data.slice(i * length, (i + 1) * length) };
        each.push(...(await model.forward({ pixelValues: one })).logits.data);
      }
      assert.deepEqual(each, [...logits.data], `a batch of 3 on ${threads} threads, ${precision}`);
      results.push(Float32Array.from([...logits.data, ...attentions.flatMap(({ data }) => [...data])]));
    }
    for (const result of results) assert.deepEqual(result, results[0], precision);
  }
});

test("a thread that is killed in the middle of a forward: the call rejects, later ones at once, none hangs", async () => {
  started();
  const model = await load(FOLDER, { backend: "wasm", threads: 3 });
  const [first] = started();
  // Whether the main thread was waiting already, or learned of it in between.
  const message =
    /^Error: wasm: (thread 1 of the model ended, |a thread of the model has not answered ).*load (it|the model) again$/;
  const call = assert.rejects(model.forward({ pixelValues: pixels(model.config.imageSize) }), message);
  await first!.terminate();
  await call;
  await assert.rejects(model.forward({ pixelValues: pixels(model.config.imageSize) }), message);
  await assert.rejects(model.forward({ pixelValues: pixels(model.config.imageSize) }), message);
  model.dispose();
});

test("a thread that ends while the main one waits for it: an error after ten seconds", async () => {
  started();
  const backend = await createWasmBackend({ threads: 2 });
  await backend.started;
  const [worker] = started();
  const linear = backend.createLinear(64, 64);
  const [x, out] = [backend.createTensor(32, 64, noise(32 * 64)), backend.createTensor(32, 64)];
  backend.linear(out, x, linear);
  void worker!.terminate();
  // No turn of the event loop in between: nothing has told the main thread.
  const stalled = () => {
    for (let i = 0; i < 1e6; i++) backend.linear(out, x, linear);
  };
  assert.throws(stalled, /^Error: wasm: a thread of the model has not answered for 10 seconds; load the model again$/);
  backend.dispose();
});

test("threads join while the caller never lets go of its own", async () => {
  const { module } = (await compileKernels({ shared: true }))!;
  const { kernels } = await instantiate(module, new WebAssembly.Memory({ initial: 16, maximum: 65536, shared: true }));
  const backend = await createWasmBackend({ threads: 2 });
  // An op that waits for others fails at once by this, and one that runs alone does not see it.
  Atomics.store(new Int32Array(backend.shared!.memory.buffer), kernels.lostWord() / 4, 1);
  const linear = backend.createLinear(64, 64);
  const [x, out] = [backend.createTensor(32, 64, noise(32 * 64)), backend.createTensor(32, 64)];
  const untilJoined = () => {
    for (const end = performance.now() + 60_000; performance.now() < end; ) backend.linear(out, x, linear);
  };
  assert.throws(untilJoined, /^Error: wasm: a thread of the model has not answered/);
  backend.dispose();
});

test("threads that cannot be started: an error where they were asked for, else one thread and the reason", async () => {
  instead = () => {
    throw new Error("no more threads");
  };
  try {
    await assert.rejects(load(FOLDER, { backend: "wasm", threads: 4 }), {
      message: /^wasm: 4 threads could not be started: worker: ".*thread\.js" could not be started: no more threads$/,
    });
    const backend = await createWasmBackend({ threads: 2 });
    await backend.started.catch(() => {});
    assert.equal(backend.threads, 1);
    assert.match(backend.describe("f32"), /2 threads could not be started/);
    const x = backend.createTensor(3, 5, noise(15));
    const out = backend.createTensor(3, 2);
    backend.linear(out, x, backend.createLinear(2, 5));
    backend.dispose();
  } finally {
    instead = undefined;
  }
});

test("dispose ends the threads, also when loading fails", async () => {
  started();
  const model = await load(FOLDER, { backend: "wasm", threads: 3 });
  const running = started();
  assert.equal(running.length, 2);
  const ended = running.map((worker) => once(worker, "exit"));
  model.dispose();
  await Promise.all(ended);

  const { config } = await import("node:fs").then(({ readFileSync }) => ({
    config: JSON.parse(readFileSync(`${FOLDER}/config.json`, "utf8")),
  }));
  await assert.rejects(load({ config, weights: new Uint8Array(9) }, { backend: "wasm", threads: 2 }));
  await Promise.all(started().map((worker) => once(worker, "exit")));
});

test("memory that cannot grow is said so, and what was there is kept", async () => {
  const heap = createHeap(new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true }), 0);
  heap.push(100_000);
  assert.throws(() => heap.push(100_000), {
    name: "RangeError",
    message: "wasm: the kernels' memory must grow to 1 MB, and the engine gives no more than the 0 MB it has",
  });
  heap.push(1000);

  const { grow } = WebAssembly.Memory.prototype;
  WebAssembly.Memory.prototype.grow = () => {
    throw new RangeError("out of memory");
  };
  try {
    for (const threads of [1, 2]) {
      const backend = await createWasmBackend({ threads });
      assert.throws(
        () => backend.createTensor(2000, 2000),
        /^RangeError: wasm: the kernels' memory must grow to 16 MB/,
      );
      backend.createTensor(2, 2);
      backend.dispose();
    }
  } finally {
    WebAssembly.Memory.prototype.grow = grow;
  }
});

/** Runs a module in a process of its own; gives what it prints. */
const run = (code: string) =>
  execFileSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8", timeout: 60_000 });

const LOAD = `
const { load } = await import(${JSON.stringify(new URL("../src/index.js", import.meta.url).href)});
const model = await load(${JSON.stringify(FOLDER)}, { backend: "wasm", threads: 3 });
const [height, width] = model.config.imageSize;
const pixelValues = { dims: [1, 3, height, width], data: new Float32Array(3 * height * width) };
await model.forward({ pixelValues });`;

test("a process whose model has threads ends by itself", () => {
  assert.equal(run(`${LOAD} console.log("done");`), "done\n");
});

test("idle threads take no processor time", () => {
  const milliseconds = Number(
    run(`${LOAD}
await new Promise((resolve) => setTimeout(resolve, 300));
const before = process.cpuUsage();
await new Promise((resolve) => setTimeout(resolve, 1000));
const { user, system } = process.cpuUsage(before);
console.log((user + system) / 1000);`),
  );
  // Two threads that spin would take 2000.
  assert.ok(milliseconds < 300, `${milliseconds} ms in a second`);
});
