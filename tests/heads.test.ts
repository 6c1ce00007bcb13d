/** Heads in files of their own, on models that were trained without them: what their own programs compute, or a refusal. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createReference } from "../src/backends/select.js";
import { fitPlan } from "../src/checkpoint/plan.js";
import { PROBE, readProbe } from "../src/checkpoint/probe.js";
import { planProbe, runProbe } from "../src/heads/probe.js";
import { type LoadOptions, load } from "../src/index.js";
import { openCheckpoint, renamed } from "../src/io/checkpoint.js";
import { assertClose } from "./backend.cases.js";
import { TOLERANCE } from "./goldens.js";
import { readTensors } from "./tensors.js";

const ROOT = "tests/fixtures/heads";

interface Expected {
  readonly note: string;
  readonly base: string;
  readonly file: string;
  readonly activation?: "relu";
  readonly normalize?: boolean;
  readonly logits: readonly number[];
}

const FIXTURES = "tests/fixtures";
const names = readdirSync(ROOT).filter((name) => existsSync(join(ROOT, name, "expected.json")));
const expectedOf = (name: string) => JSON.parse(readFileSync(join(ROOT, name, "expected.json"), "utf8")) as Expected;

function pixels(side = 16) {
  const data = Float32Array.from({ length: 3 * side * side }, (_, p) => {
    return ((73 * p + 29 * Math.floor(p / 32)) % 255) / 127.5 - 1;
  });
  return { dims: [1, 3, side, side], data };
}

function headOf(name: string): NonNullable<LoadOptions["head"]> {
  const { file, activation, normalize } = expectedOf(name);
  const path = join(ROOT, name, file);
  return activation === undefined && normalize === undefined ? path : { file: path, activation, normalize };
}

for (const name of names) {
  const expected = expectedOf(name);
  for (const backend of ["wasm", "reference"] as const) {
    test(`${name} on ${backend}: ${expected.note}`, async () => {
      using model = await load(join(FIXTURES, expected.base), { backend, head: headOf(name) });
      const { logits } = await model.forward({ pixelValues: pixels() }, { outputs: ["logits"] });
      const largest = expected.logits.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
      assertClose(logits.data, Float32Array.from(expected.logits), TOLERANCE * Math.max(1, largest), "logits");
      assert.equal(model.labels.length, expected.logits.length);
    });
  }
}

test("command line: inspect says what a head reads, classify gives the score", () => {
  const { base, file } = expectedOf("laion-mlp");
  const options = ["--model", join(FIXTURES, base), "--head", join(ROOT, "laion-mlp", file)];
  const run = (...args: string[]) =>
    execFileSync(process.execPath, ["dist/src/cli.js", ...args, ...options], { encoding: "utf8" });
  assert.match(
    run("inspect"),
    /head +5 layers of a file of its own on features that images share with texts, of length 1, to 1 outputs\n/,
  );
  const { top } = JSON.parse(run("classify", "tests/fixtures/image/rgb-420.jpg", "--json"));
  assert.deepEqual([top.length, top[0].label], [1, "score"]);
});

test("a score is a number, and classes are chances, of a photo", async () => {
  const image = { data: new Uint8ClampedArray(20 * 16 * 3).map((_, i) => (37 * i) % 251), width: 20, height: 16 };
  const base = join(FIXTURES, expectedOf("laion-mlp").base);
  using scored = await load(base, { head: headOf("laion-mlp") });
  const [score, ...others] = await scored.classify(image);
  assert.deepEqual([score!.label, others.length, score!.probability === score!.logit], ["score", 0, true]);
  using probed = await load(base, { head: headOf("clip-probe") });
  const all = await probed.classify(image);
  assert.equal(all.length, 5);
  assert.ok(Math.abs(all.reduce((sum, { probability }) => sum + probability, 0) - 1) < 1e-6);
  // The model is the same otherwise.
  using plain = await load(base);
  assert.deepEqual(await scored.embed(image), await plain.embed(image));
  assert.ok(!plain.tasks.includes("classify") && scored.tasks.includes("classify"));
});

test("bytes, and a path with other options, are the same head; other files are another model", async () => {
  const base = join(FIXTURES, expectedOf("laion-mlp").base);
  const path = headOf("laion-mlp") as string;
  using byPath = await load(base, { head: path, backend: "wasm" });
  using byBytes = await load(base, { head: new Uint8Array(readFileSync(path)), backend: "wasm" });
  using other = await load(base, { head: headOf("laion-linear"), backend: "wasm" });
  using again = await load(base, { head: { file: path }, backend: "wasm" });
  const scores = [];
  for (const model of [byPath, byBytes, again, other]) {
    scores.push((await model.forward({ pixelValues: pixels() })).logits.data[0]!);
  }
  assert.equal(scores[0], scores[1]);
  assert.equal(scores[0], scores[2]);
  assert.notEqual(scores[0], scores[3]);
});

test("in int8 and f16, and in images of a batch, each by itself", async () => {
  const { base, logits } = expectedOf("dinov2-linear4");
  const one = pixels();
  const two = { dims: [2, 3, 16, 16], data: new Float32Array([...one.data.map((x) => -x), ...one.data]) };
  using model = await load(join(FIXTURES, base), { head: headOf("dinov2-linear4"), backend: "wasm" });
  const { logits: both } = await model.forward({ pixelValues: two });
  assertClose(both.data.subarray(6), Float32Array.from(logits), 1e-4, "the second of two");
  for (const precision of ["f16", "int8"] as const) {
    using small = await load(join(FIXTURES, base), { head: headOf("dinov2-linear4"), precision, backend: "wasm" });
    const { logits: got } = await small.forward({ pixelValues: one });
    assertClose(got.data, Float32Array.from(logits), precision === "f16" ? 0.01 : 0.5, precision);
  }
});

const messageOf = (source: string, options: LoadOptions): Promise<string> =>
  load(source, { backend: "reference", ...options }).then(
    (model) => {
      model.dispose();
      return "no error";
    },
    ({ message }: Error) => message,
  );

test("what is no head, or of another model, is refused in a sentence", async () => {
  const base = (name: string) => join(FIXTURES, expectedOf(name).base);
  const path = (name: string) => join(ROOT, name, expectedOf(name).file);
  const cases: readonly (readonly [source: string, head: unknown, says: RegExp])[] = [
    [
      base("clip-mlp-relu"),
      path("clip-mlp-relu"),
      /^load: the head ".*mlp\.pt" must say what lies between its layers, .*activation: "none"/,
    ],
    [
      base("vit-probe"),
      path("laion-mlp"),
      /^load: a head of ".*vit" must read one of its vectors, of 16 columns; it reads 12$/,
    ],
    [
      base("vit-probe"),
      join(base("vit-probe"), "model.safetensors"),
      /^load: the head ".*" must have the tensors of linear layers, weight and bias; it has /,
    ],
    [base("vit-probe"), 5, /^load: head must be a path, a URL, bytes or \{ file \}; got 5$/],
    [
      base("vit-probe"),
      { file: path("vit-probe"), act: 1 },
      /^load: head takes file, activation and normalize; got "act"$/,
    ],
    [
      base("vit-probe"),
      { file: path("vit-probe"), activation: "mish" },
      /^load: head\.activation must be one of none, relu, .*; got "mish"$/,
    ],
    [base("vit-probe"), join(ROOT, "no-such.pth"), /no-such\.pth" does not exist$/],
    // A head in the place of a model.
    [path("laion-mlp"), undefined, /"layers\.0\.weight".* the option head/],
  ];
  for (const [source, head, says] of cases) {
    const message = await messageOf(source, { head: head as never });
    assert.match(message, says);
    assert.match(message, /^[^\n]+[^.\n]$/);
  }
  const layers: readonly (readonly [Record<string, readonly number[]>, RegExp])[] = [
    [{ "0.weight": [4, 3], "1.weight": [2, 5] }, /have layers in turn, but "1\.weight" takes 5 columns, not 4$/],
    [{ "0.bias": [4] }, /have "0\.weight"; it has "0\.bias"$/],
    [{ weight: [4] }, /have matrices of \[outputs, inputs\]; "weight" is \(4\)$/],
    [{ "a.weight": [4, 3], "b.weight": [2, 4] }, /have layers in turn, under one name/],
    [{}, /it has nothing$/],
    [{ "0.weight": [4, 3], "0.running_mean": [4] }, /have the tensors of linear layers/],
    [
      Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`${i}.weight`, [2, 2]])),
      /have at most 16 layers; it has 20$/,
    ],
  ];
  for (const [shapes, says] of layers) {
    const tensors = new Map(Object.entries(shapes).map(([name, shape]) => [name, { shape, dtype: "F32" }]));
    assert.throws(() => readProbe("x", tensors, {}), { message: says });
  }
});

const AESTHETIC = "../shared/torch-files/where-aesthetic";
test("LAION's predictor on embeddings that another program made", {
  skip: existsSync(AESTHETIC) ? false : `${AESTHETIC} is absent: it is not part of the package`,
}, async () => {
  const checkpoint = renamed(
    await openCheckpoint(join(AESTHETIC, "sac+logos+ava1-l14-linearMSE.pth")),
    (name) => PROBE + name,
  );
  const bare = renamed(checkpoint, (name) => name.slice(PROBE.length));
  const { layers, unit } = readProbe("x", bare.tensors, {});
  assert.equal(unit, true);
  const probe = { layers, reads: "features", interleaved: false, unit: true } as const;
  const { backend } = await createReference("asked for");
  const plan = fitPlan<{ probe: never }, { probe: Parameters<typeof runProbe>[1] }>(
    "x",
    { probe: planProbe(probe) } as never,
    checkpoint.tensors,
    { ignored: () => false, evidence: [], finish: (loaded) => loaded },
  );
  const loader = plan.create(backend, "f32");
  await checkpoint.read(loader);
  const weights = await loader.finish();
  const golden = readTensors(join(AESTHETIC, "golden.safetensors"));
  const { dims, data } = golden.get("embedding")!;
  const embedding = backend.createTensor(dims[0]!, dims[1]!, data);
  const outputs: { logits?: Promise<{ data: Float32Array }> } = {};
  const encoded = { z: embedding, images: dims[0]!, tokens: 1, grid: [1, 1] as const };
  runProbe(backend, weights.probe, { probe } as never, encoded, { pooled: () => [], features: () => embedding }, [], {
    wants: () => true,
    outputs,
  } as never);
  const { data: got } = await outputs.logits!;
  assertClose(got, golden.get("score")!.data, 1e-5, "scores");
  backend.dispose();
});
