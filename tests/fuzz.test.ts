// The fuzzer (fuzz/): every target for a fixed number of inputs, with all inputs that once were faults (fuzz/crashes), and
// faults put there on purpose, which it has to find.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { fuzz, type Report } from "../fuzz/fuzz.js";
import { answerOf } from "../fuzz/target.js";
import { TARGETS } from "../fuzz/targets/index.js";
import { decode } from "../src/image/decode/index.js";

const temporary = mkdtempSync(join(tmpdir(), "vitrail-fuzz-"));
after(() => rmSync(temporary, { recursive: true }));

let folders = 0;

function run(target: string, runs: number, options: { seed?: number; guided?: boolean } = {}): Promise<Report> {
  const { seed = 1, guided = true } = options;
  const seeds = [`fuzz/corpus/${target}`, `fuzz/crashes/${target}`];
  const folder = join(temporary, String(folders++));
  return fuzz({ target, runs, seed, guided, seeds, folder, seconds: 600 });
}

for (const [name, { load, isPlanted }] of Object.entries(TARGETS)) {
  if (isPlanted) continue;
  test(`fuzz: ${name} does nothing that it must not`, async () => {
    const { faults, executions } = await run(name, 1000);
    assert.deepEqual(faults, []);
    assert.ok(executions >= 1000, `${executions} executions`);
    // A target that refuses what it begins with would be no target.
    const { seeds, run: execute, refusal } = await load();
    assert.ok(seeds.length > 0);
    for (const seed of seeds) {
      const { error } = await answerOf({ run: execute, seeds, refusal, mutators: [] }, seed);
      assert.equal(error, undefined);
    }
  });
}

test("fuzz: coverage leads to a fault behind four comparisons, in JavaScript and in WebAssembly, and chance does not", async () => {
  const runs = 60_000;
  for (const [target, said] of [
    ["planted", /reading 'missing'/],
    ["planted-wasm", /RuntimeError: "unreachable"/],
  ] as const) {
    const { faults } = await run(target, runs);
    assert.match(faults.map(({ message }) => message).join(), said, target);
    const input = readFileSync(faults[0]!.file);
    assert.deepEqual([...input.subarray(0, 3)], [0x76, 0x69, 0x74], target);
    assert.deepEqual((await run(target, runs, { guided: false })).faults, [], target);
  }
});

test("fuzz: the same seed gives the same run", async () => {
  const [a, b] = [await run("exif", 3000, { seed: 5 }), await run("exif", 3000, { seed: 5 })];
  assert.deepEqual([a.executions, a.found, a.corpus], [b.executions, b.found, b.corpus]);
  assert.ok(a.found > 10, `${a.found} places`);
});

test("fuzz: every kind of fault is found, and none where there is none", async () => {
  const { faults } = await run("planted-kinds", 64);
  const kindOf = (file: string) => readFileSync(file)[0];
  // Not what takes too long (6): on a machine that others keep busy too, time is no result.
  const found = faults
    .map(({ message, file }) => [kindOf(file)!, message] as const)
    .filter(([kind]) => kind !== 6)
    .sort(([a], [b]) => a - b);
  const expected = [
    [2, /^no sentence of ours: TypeError/],
    [3, /^line break or control character: /],
    [4, /^more than 400 characters: /],
    [5, /^wrong result: /],
    [7, /^it hangs: /],
    [8, /^it takes [\d,]+ bytes; 1,000,000 are allowed$/],
    [9, /^it (ends the process$|hangs: )/],
  ] as const;
  assert.deepEqual(
    found.map(([kind]) => kind),
    expected.map(([kind]) => kind),
  );
  for (const [i, [kind, message]] of expected.entries()) assert.match(found[i]![1], message, `kind ${kind}`);
});

test("fuzz: code that counts does what it did", async () => {
  const { startCoverage } = await import("../fuzz/coverage.js");
  const { writeInstrumented } = await import("../fuzz/instrumented.js");
  const coverage = startCoverage();
  const copy = pathToFileURL(`${writeInstrumented()}/src/image/decode/index.js`).href;
  const counting = (await import(copy)) as typeof import("../src/image/decode/index.js");
  const files = readdirSync("tests/fixtures/image").filter((name) => /\.(jpg|png|gif|webp)$/.test(name));
  assert.ok(files.length > 50);
  for (const name of files) {
    const bytes = new Uint8Array(readFileSync(`tests/fixtures/image/${name}`));
    coverage.reset();
    const [found, expected] = [await counting.decode(bytes), await decode(bytes)];
    assert.deepEqual(found, expected, name);
    // In JavaScript and, with an instance of the kernel's, in WebAssembly.
    assert.ok(coverage.passed().length > 30, name);
  }
});
