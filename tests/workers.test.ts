/** Worker threads as `platform/workers.ts` starts them: messages, memory, failures, ends, and what the process waits for. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { startWorker, type WorkerThread } from "../src/platform/workers.js";

const PLATFORM = new URL("../src/platform/workers.js", import.meta.url).href;
const temporary = mkdtempSync(join(tmpdir(), "vitrail-workers-"));
after(() => rmSync(temporary, { recursive: true }));

/** A module of `code`, which knows `receive` and `startWorker`. */
function moduleOf(name: string, code: string): URL {
  const path = join(temporary, `${name}.mjs`);
  writeFileSync(path, `import { receive, startWorker } from ${JSON.stringify(PLATFORM)};\n${code}`);
  return pathToFileURL(path);
}

/** Answers as the message says. */
const WORKER = moduleOf(
  "worker",
  `await receive(async (message, post) => {
    if (message.add) post(message.add[0] + message.add[1]);
    if (message.fill) post(message.fill.fill(7), [message.fill.buffer]);
    if (message.count) Atomics.notify(message.count, 0, Atomics.add(message.count, 0, 1) + 1);
    if (message.reject) throw new RangeError(message.reject);
    if (message.exit) process.exit(message.exit);
    if (message.sleep) Atomics.wait(message.sleep, 0, 0);
    if (message.spin) for (;;);
  });`,
);

/** A worker, the next message of it, and its end. */
async function start(): Promise<WorkerThread & { next(): Promise<unknown>; readonly end: Promise<Error> }> {
  const waiting: ((message: unknown) => void)[] = [];
  let onEnd!: (reason: Error) => void;
  const end = new Promise<Error>((resolve) => {
    onEnd = resolve;
  });
  const thread = await startWorker(WORKER, { onMessage: (message) => waiting.shift()!(message), onEnd });
  return { ...thread, end, next: () => new Promise((resolve) => waiting.push(resolve)) };
}

test("messages go and come in order; buffers are handed over, shared memory is shared", async () => {
  const worker = await start();
  worker.ref();
  const sums = [worker.next(), worker.next()];
  worker.post({ add: [1, 2] });
  worker.post({ add: ["a", "b"] });
  assert.deepEqual(await Promise.all(sums), [3, "ab"]);

  const bytes = new Uint8Array(5);
  const filled = worker.next();
  worker.post({ fill: bytes }, [bytes.buffer]);
  assert.equal(bytes.length, 0);
  assert.deepEqual(await filled, new Uint8Array(5).fill(7));

  const count = new Int32Array(new SharedArrayBuffer(4));
  worker.post({ count });
  Atomics.wait(count, 0, 0, 10_000);
  assert.equal(count[0], 1);
  await worker.terminate();
});

test("what cannot be sent throws and leaves the worker as it was", async () => {
  const worker = await start();
  assert.throws(() => worker.post({ add: [() => {}, 1] }), { name: "DataCloneError" });
  worker.ref();
  const sum = worker.next();
  worker.post({ add: [2, 2] });
  assert.equal(await sum, 4);
  await worker.terminate();
});

const FAILURES: Record<string, [code: string, reason: string]> = {
  "does not parse": ["receive(", "Unexpected end of input"],
  throws: ["throw new Error('no luck');", "no luck"],
  "imports what is missing": ["import './absent.mjs';", "Cannot find module"],
  "ends without a word": ["", "it exited with status 0"],
};
for (const [what, [code, reason]] of Object.entries(FAILURES)) {
  test(`a module that ${what} is not started, and the reason given`, async () => {
    const url = moduleOf(`failure-${what.replaceAll(" ", "-")}`, code);
    const events = { onMessage: assert.fail, onEnd: assert.fail };
    await assert.rejects(startWorker(url, events), ({ message }: Error) => {
      assert.ok(message.startsWith(`worker: "${url}" could not be started: `), message);
      assert.ok(message.includes(reason), message);
      return true;
    });
  });
}

test("a module that is absent, and one of an address, are not started", async () => {
  const events = { onMessage: assert.fail, onEnd: assert.fail };
  const absent = pathToFileURL(join(temporary, "absent.mjs"));
  await assert.rejects(
    startWorker(absent, events),
    /^Error: worker: ".*absent\.mjs" could not be started: Cannot find/,
  );
  if ("Worker" in globalThis) return;
  const message = 'worker: "https://localhost/w.js" could not be started: there are no workers here';
  await assert.rejects(startWorker(new URL("https://localhost/w.js"), events), { message });
});

test("an end that nobody asked for is reported once, with its reason", async () => {
  for (const [message, reason] of [
    [{ reject: "too far" }, "too far"],
    [{ exit: 3 }, "it exited with status 3"],
  ] as const) {
    const worker = await start();
    worker.ref();
    worker.post(message);
    assert.equal((await worker.end).message, `worker: "${WORKER}" ended: ${reason}`);
    worker.post({ add: [1, 1] });
    await worker.terminate();
  }
});

test("terminate ends a thread that sleeps and one that is busy, and reports no end", { timeout: 20_000 }, async () => {
  for (const message of [{}, { sleep: new Int32Array(new SharedArrayBuffer(4)) }, { spin: true }]) {
    const worker = await start();
    worker.end.then(assert.fail);
    const sum = worker.next();
    worker.ref();
    worker.post({ add: [1, 2] });
    await sum;
    worker.post(message);
    await worker.terminate();
    await worker.terminate();
  }
});

/** What a program prints; it must end by itself. */
const run = (...args: string[]) => execFileSync(process.execPath, args, { encoding: "utf8", timeout: 20_000 });

test("an idle worker does not keep the process, one that was ref'd does until it answered", () => {
  const program = (rest: string) => `
    const events = { onMessage(message) { console.log(message); worker.unref(); }, onEnd: console.log };
    const worker = await startWorker(new URL(${JSON.stringify(WORKER.href)}), events);
    ${rest}`;
  const file = (name: string, rest: string) => fileURLToPath(moduleOf(name, program(rest)));
  assert.equal(run(file("idle", "console.log('idle')")), "idle\n");
  assert.equal(run(file("busy", "worker.ref(); worker.post({ add: [20, 22] })")), "42\n");
  const sleeper = "worker.post({ sleep: new Int32Array(new SharedArrayBuffer(4)) })";
  assert.equal(run(file("asleep", sleeper)), "");
});

test("a worker starts from a module that was given on the command line", () => {
  const code = `import { startWorker } from ${JSON.stringify(PLATFORM)};
    await startWorker(new URL(${JSON.stringify(WORKER.href)}), { onMessage() {}, onEnd() {} });
    console.log("started");`;
  assert.equal(run("--input-type=module", "-e", code), "started\n");
});
