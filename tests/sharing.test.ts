/** Models that share an engine: what counts as the same, who leaves when, and what others notice of it: nothing. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { acquireEngine, type EngineOptions } from "../src/engine/engine.js";
import { createSharing, type Lease } from "../src/engine/sharing.js";
import { load, type Progress } from "../src/index.js";
import { encode } from "../src/io/safetensors.js";
import { readTensors } from "./tensors.js";

const FOLDER = "tests/fixtures/checkpoints/hf-vit";
const IMAGE = "tests/fixtures/image/rgb-420.jpg";

const temporary = mkdtempSync(join(tmpdir(), "vitrail-sharing-"));
after(() => rmSync(temporary, { recursive: true }));

/** A copy of the fixture, and the fixture's weights with other biases in the classifier. */
function copyOf(name: string): string {
  const folder = join(temporary, name);
  cpSync(FOLDER, folder, { recursive: true });
  return folder;
}
const changedWeights = (): Uint8Array => {
  const tensors = readTensors(`${FOLDER}/model.safetensors`);
  tensors.get("classifier.bias")!.data.fill(3);
  return encode([...tensors].map(([name, { dims, data }]) => ({ name, shape: dims, data })));
};

/** The engines of some loads, which are let go of when the test is through. */
async function enginesOf(...loads: [source: Parameters<typeof acquireEngine>[0], options?: EngineOptions][]) {
  const leases = await Promise.all(loads.map(([source, options = {}]) => acquireEngine(source, options)));
  return { leases, engines: leases.map(({ value }) => value), release: () => leases.map(({ release }) => release()) };
}

test("the same files with the same options are one engine, however the path is written", async () => {
  symlinkSync(resolve(FOLDER), join(temporary, "link"), "junction");
  const { engines, release } = await enginesOf(
    [FOLDER],
    [resolve(FOLDER)],
    [`${FOLDER}/`],
    [pathToFileURL(FOLDER)],
    [pathToFileURL(`${FOLDER}/`).href],
    [join(temporary, "link")],
  );
  assert.equal(new Set(engines).size, 1);
  release();
});

test("other options, another file, a copy and bytes in memory are engines of their own", async () => {
  const weights = new Uint8Array(readFileSync(`${FOLDER}/model.safetensors`));
  const config = JSON.parse(readFileSync(`${FOLDER}/config.json`, "utf8"));
  const parts = { config, weights };
  const { engines, release } = await enginesOf(
    [FOLDER],
    [FOLDER, { backend: "reference" }],
    [FOLDER, { backend: "reference", precision: "int8" }],
    [FOLDER, { config: { heads: 3 } }],
    [join(FOLDER, "model.safetensors")],
    [copyOf("copy")],
    [parts],
    [parts],
  );
  assert.equal(new Set(engines).size, engines.length);
  release();
});

test("a second load reads no weights, two at once read them once and both see the progress", async () => {
  const seen: [first: Progress[], second: Progress[], third: Progress[]] = [[], [], []];
  const loadWith = (list: Progress[]) => load(FOLDER, { onProgress: (progress) => list.push(progress) });
  const [first, second] = await Promise.all([loadWith(seen[0]), loadWith(seen[1])]);
  using third = await loadWith(seen[2]);
  assert.ok(seen[0].length > 0);
  assert.equal(seen[0].at(-1)!.loaded, seen[0].at(-1)!.total);
  assert.deepEqual(seen[1], seen[0]);
  assert.deepEqual(seen[2], []);

  const wanted = await third.classify(IMAGE);
  first.dispose();
  first.dispose();
  assert.deepEqual(await second.classify(IMAGE), wanted);
  second.dispose();
  await assert.rejects(second.classify(IMAGE), /^Error: model: it was disposed of/);
  assert.deepEqual(await third.classify(IMAGE), wanted);
  third.dispose();
  const again: Progress[] = [];
  using fourth = await loadWith(again);
  assert.deepEqual(await fourth.classify(IMAGE), wanted);
  assert.equal(again.length, seen[0].length);
});

test("calls of models that share run in turn", async () => {
  using one = await load(FOLDER);
  using two = await load(FOLDER);
  const images = ["rgb-420.jpg", "rgba-8.png", "lossy.webp"].map((name) => `tests/fixtures/image/${name}`);
  const inTurn = [await one.classify(images), await one.embed(images)];
  assert.deepEqual(await Promise.all([one.classify(images), two.embed(images)]), inTurn);
});

test("files that changed are loaded anew, whatever still runs on the old ones", async () => {
  for (const name of ["model.safetensors", "config.json"]) {
    const folder = copyOf(`changed-${name}`);
    const path = join(folder, name);
    const before = readFileSync(path);
    const time = new Date(1e12);
    utimesSync(path, time, time);
    using old = await load(folder);
    const wanted = await old.classify(IMAGE);
    // Another file comes under that name, with the old one's time.
    const changed = name.endsWith("json") ? before.toString().replace("tench", "TENCH") : changedWeights();
    writeFileSync(`${path}.new`, changed);
    utimesSync(`${path}.new`, time, time);
    renameSync(`${path}.new`, path);
    using fresh = await load(folder);
    assert.notDeepEqual(await fresh.classify(IMAGE), wanted);
    assert.deepEqual(await old.classify(IMAGE), wanted);
  }
});

test("a load that is aborted, and a listener that throws, leave the other load alone", async () => {
  const reason = new Error("the user left");
  const controller = new AbortController();
  const aborted = load(FOLDER, { signal: controller.signal, onProgress: () => controller.abort(reason) });
  const broken = load(FOLDER, {
    onProgress() {
      throw new RangeError("no room for a bar");
    },
  });
  const other = load(FOLDER);
  await assert.rejects(aborted, reason);
  await assert.rejects(broken, { message: "no room for a bar" });
  using model = await other;
  assert.equal((await model.classify(IMAGE)).length, 5);
});

/** A value that knows whether it was disposed of. */
interface Thing {
  disposed: boolean;
  dispose(): void;
}
const thing = (): Thing => ({
  disposed: false,
  dispose() {
    this.disposed = true;
  },
});
/** Lets everything go on that can. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("what nobody waits for any more is stopped, and disposed of if it was made all the same", async () => {
  const share = createSharing<Thing, never>();
  const made: Thing[] = [];
  const signals: AbortSignal[] = [];
  let finish = () => {};
  const create = ({ signal }: { signal: AbortSignal }) => {
    signals.push(signal);
    return new Promise<Thing>((resolve) => {
      finish = () => {
        made.push(thing());
        resolve(made.at(-1)!);
      };
    });
  };
  const first = new AbortController();
  const second = new AbortController();
  const waiting = [first, second].map(({ signal }) =>
    share("a", create, { signal }).catch((error: Error) => error.name),
  );
  first.abort();
  assert.equal(await waiting[0], "AbortError");
  assert.deepEqual([signals.length, signals[0]!.aborted], [1, false]);
  second.abort();
  assert.equal(await waiting[1], "AbortError");
  assert.ok(signals[0]!.aborted);
  finish();
  await settle();
  assert.ok(made[0]!.disposed);

  const later = share("a", create, {});
  assert.equal(signals.length, 2);
  finish();
  const lease = await later;
  assert.ok(!lease.value.disposed);
  lease.release();
  await settle();
  assert.ok(made[1]!.disposed);
});

test("what failed is not kept, what was retired lives on for those who have it", async () => {
  const share = createSharing<Thing, never>();
  const failing = async () => {
    throw new Error("no luck");
  };
  const both = [share("a", failing, {}), share("a", failing, {})];
  for (const result of both) await assert.rejects(result, { message: "no luck" });
  const create = async () => thing();
  const leases: Lease<Thing>[] = [await share("a", create, {}), await share("a", create, {})];
  leases[0]!.retire();
  leases.push(await share("a", create, {}));
  const [one, two, three] = leases.map(({ value }) => value);
  assert.ok(one === two && two !== three);
  leases[0]!.release();
  leases[0]!.release();
  await settle();
  assert.ok(!one!.disposed);
  leases[1]!.release();
  await settle();
  assert.ok(one!.disposed && !three!.disposed);
  assert.equal((await share("a", create, {})).value, three);
});

test("an engine that fails is not given to the next who loads", async () => {
  using model = await load(FOLDER);
  const lease = await acquireEngine(FOLDER, {});
  Object.assign(lease.value, {
    forward: async () => {
      throw new Error("wasm: a thread ended");
    },
  });
  await assert.rejects(model.classify(IMAGE), { message: "wasm: a thread ended" });
  using fresh = await load(FOLDER);
  assert.equal((await fresh.classify(IMAGE)).length, 5);
  lease.release();
});
