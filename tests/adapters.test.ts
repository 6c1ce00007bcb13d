/** Adapters of PEFT on their bases: the numbers of merge_and_unload, or a refusal that names what is not merged. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { checkAdapter, withClasses } from "../src/checkpoint/adapter.js";
import { createPatterns } from "../src/checkpoint/patterns.js";
import { type LoadOptions, load, type Model, type OutputName, type Tensor } from "../src/index.js";
import { assertClose } from "./backend.cases.js";
import { TOLERANCE } from "./goldens.js";

const ROOT = "tests/fixtures/adapters";

interface Expected {
  readonly note: string;
  readonly side: number;
  readonly outputs: Readonly<Record<string, { readonly dims: readonly number[]; readonly data: readonly number[] }>>;
}

const scratch = mkdtempSync(join(tmpdir(), "vitrail-adapters-"));
after(() => rmSync(scratch, { recursive: true }));

const names = readdirSync(ROOT, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== "base")
  .map(({ name }) => name);
const expectedOf = (name: string) => JSON.parse(readFileSync(join(ROOT, name, "expected.json"), "utf8")) as Expected;

function pixels(side: number): Tensor {
  const data = Float32Array.from({ length: 3 * side * side }, (_, p) => {
    return ((73 * p + 29 * Math.floor(p / 32)) % 255) / 127.5 - 1;
  });
  return { dims: [1, 3, side, side], data };
}

async function outputsOf(model: Model, expected: Expected): Promise<Record<string, Tensor>> {
  const outputs = Object.keys(expected.outputs) as OutputName[];
  const inputIds = { dims: [1, 4], data: [18, 3, 7, 19] };
  return model.forward({ pixelValues: pixels(expected.side), inputIds }, { outputs }) as never;
}

async function compare(model: Model, expected: Expected, tolerance = TOLERANCE): Promise<void> {
  const got = await outputsOf(model, expected);
  for (const [name, { dims, data }] of Object.entries(expected.outputs)) {
    assert.deepEqual(got[name]!.dims, dims, name);
    const largest = data.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    assertClose(got[name]!.data, Float32Array.from(data), tolerance * largest, name);
  }
}

for (const name of names) {
  const expected = expectedOf(name);
  for (const backend of ["wasm", "reference"] as const) {
    test(`${name} on ${backend}: ${expected.note}`, async () => {
      using model = await load(join(ROOT, name), { backend });
      await compare(model, expected);
    });
  }
}

/** A copy of an adapter with its bases, and other settings. */
function copyOf(name: string, settings: Readonly<Record<string, unknown>> = {}): string {
  const place = mkdtempSync(join(scratch, "copy-"));
  cpSync(join(ROOT, "base"), join(place, "base"), { recursive: true });
  cpSync(join(ROOT, name), join(place, name), { recursive: true });
  const path = join(place, name, "adapter_config.json");
  const config = JSON.parse(readFileSync(path, "utf8")) as object;
  writeFileSync(path, JSON.stringify({ ...config, ...settings }));
  return join(place, name);
}

const messageOf = (source: string, options: LoadOptions = {}): Promise<string> =>
  load(source, { backend: "reference", ...options }).then(
    (model) => {
      model.dispose();
      return "no error";
    },
    ({ message }: Error) => message,
  );

test("the merged weights are kept in int8 and f16 as those of a checkpoint are", async () => {
  const expected = expectedOf("vit-lora");
  using half = await load(join(ROOT, "vit-lora"), { precision: "f16", backend: "wasm" });
  await compare(half, expected, 5e-3);
  using int8 = await load(join(ROOT, "vit-lora"), { precision: "int8", backend: "wasm" });
  await compare(int8, expected, 0.1);
  assert.equal(int8.backend.precision, "int8");
});

test("command line: inspect names the base, quantize merges", () => {
  const run = (...args: string[]) => execFileSync(process.execPath, ["dist/src/cli.js", ...args], { encoding: "utf8" });
  const model = join(ROOT, "vit-lora");
  assert.match(run("inspect", "--model", model), /, a LORA adapter merged into "[^"]*base\/vit"\n/);
  const out = join(scratch, "quantized");
  run("quantize", model, "--out", out);
  const files = readdirSync(out);
  assert.ok(
    files.includes("config.json") && files.includes("model.safetensors") && !files.includes("adapter_config.json"),
  );
  const scores = (source: string) => {
    const [line] = run(
      "classify",
      "tests/fixtures/image/rgb-420.jpg",
      "--model",
      source,
      "--precision",
      "int8",
      "--json",
    ).split("\n");
    return JSON.parse(line!).top.map(({ probability }: { probability: number }) => probability) as number[];
  };
  assert.deepEqual(scores(out), scores(model));
});

test("labels: those of the base where its classes are the adapter's, else none", async () => {
  using other = await load(join(ROOT, "vit-lora"));
  assert.deepEqual(other.labels, ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"]);
  using same = await load(join(ROOT, "vit-lora-bin"));
  assert.deepEqual(same.labels, ["thing 0", "thing 1", "thing 2"]);
  assert.deepEqual(withClasses({ architecture: "x", num_classes: 3, model_args: { depth: 2 } }, 5), {
    ...{ architecture: "x", num_classes: 5, model_args: { depth: 2, num_classes: 5 } },
  });
});

test("the base: beside the adapter, by the option, or named in the error", async () => {
  const folder = copyOf("vit-lora-bin", { base_model_name_or_path: "owner/model" });
  const message = await messageOf(folder, { offline: true, cacheDir: scratch });
  assert.match(message, /^load: "[^"]+" is a LORA adapter of "owner\/model": hub: "owner\/model" at main is not in /);
  using given = await load(folder, { base: join(ROOT, "base/vit"), backend: "wasm" });
  await compare(given, expectedOf("vit-lora-bin"));
  const file = join(folder, "adapter_model.bin");
  using byFile = await load(file, { base: join(ROOT, "base/vit"), backend: "wasm" });
  await compare(byFile, expectedOf("vit-lora-bin"));
  assert.match(await messageOf(join(ROOT, "base/vit"), { base: folder }), /^load: base needs an adapter; got a model$/);
  const unnamed = copyOf("vit-lora", { base_model_name_or_path: null });
  assert.match(
    await messageOf(unnamed),
    /is a LORA adapter of a model that it does not name: the option base must name that$/,
  );
  const loop = copyOf("vit-lora", { base_model_name_or_path: "../vit-lora" });
  assert.match(await messageOf(loop), /holds a LORA adapter of "\.\.\/vit-lora", not a model/);
});

test("a model beside an adapter: the adapter is merged, as in transformers", async () => {
  const folder = copyOf("vit-lora", { base_model_name_or_path: "." });
  for (const name of ["config.json", "model.safetensors"]) cpSync(join(ROOT, "base/vit", name), join(folder, name));
  // Its own config is the model's, whose classes are others: what the adapter's folder says counts.
  rmSync(join(folder, "config.json"));
  mkdirSync(join(folder, "base"));
  cpSync(join(ROOT, "base/vit"), join(folder, "base"), { recursive: true });
  writeFileSync(
    join(folder, "adapter_config.json"),
    readFileSync(join(folder, "adapter_config.json"), "utf8").replace('"."', '"base"'),
  );
  using model = await load(folder, { backend: "wasm" });
  await compare(model, expectedOf("vit-lora"));
});

test("what is not merged is refused by name", async () => {
  const cases: readonly (readonly [settings: object, says: RegExp])[] = [
    [
      { peft_type: "ADALORA" },
      /is a "ADALORA" adapter of "\.\.\/base\/vit", and those that are merged are LORA, LOHA, LOKR, IA3/,
    ],
    [{ peft_type: "PROMPT_TUNING" }, /is a "PROMPT_TUNING" adapter/],
    [
      { init_lora_weights: "pissa" },
      /"init_lora_weights" of the adapter .* must be true or false or "gaussian" .*; got "pissa"$/,
    ],
    [{ layer_replication: [[0, 2]] }, /"layer_replication" of the adapter .* must be left out/],
    [{ alora_invocation_tokens: [1] }, /"alora_invocation_tokens"/],
    [{ target_parameters: ["x"] }, /"target_parameters"/],
    [{ trainable_token_indices: [3] }, /"trainable_token_indices"/],
    [
      { a_new_arithmetic: true },
      /"a_new_arithmetic" of the adapter .* is no setting of an adapter that is merged here; got true$/,
    ],
    [
      { r: 7 },
      /"base_model\.model\.vit\.layers\.0\.attention\.q_proj\.lora_A\.weight" must be \(7, 16\); it is \(3, 16\)$/,
    ],
    [{ r: 0 }, /"r" of ".*" must be a number from 0\.000001 to 1000000; got 0$/],
    [{ r: 2.5 }, /must have whole ranks; got 2\.5/],
    [{ use_dora: true }, /must have lora_magnitude_vector where use_dora says so/],
    [
      { rank_pattern: { "(?=q)": 2 } },
      /"rank_pattern" of ".*" must have regular expressions of plain parts; "\(\?=q\)" has \(\?=/,
    ],
    [{ rank_pattern: { q_proj: -1 } }, /must hold positive numbers; got -1/],
    [{ rank_pattern: "x" }, /"rank_pattern" of ".*" must be an object/],
    [{ lora_alpha: "8" }, /"lora_alpha" of ".*" must be a number/],
  ];
  for (const [settings, says] of cases) {
    const message = await messageOf(copyOf("vit-lora", settings as Record<string, unknown>));
    assert.match(message, says);
    assert.match(message, /^load: [^\n]+[^.\n]$/);
  }
  const kind = await messageOf(copyOf("vit-lokr", { peft_type: "LOHA" }));
  assert.match(
    kind,
    /^load: the adapter ".*" must have tensors of LOHA; it has "base_model\.model\.vit\.[^"]*lokr_w1_a"$/,
  );
  const other = await messageOf(copyOf("vit-lora", { base_model_name_or_path: "../base/timm" }));
  assert.match(
    other,
    /^load: the adapter ".*" must fit its base, which has no "vit\.layers\.0\.attention\.q_proj\.weight"$/,
  );
  // What is off says nothing.
  checkAdapter("x", { peft_type: "LORA", a_new_flag: false, another: null, list: [] });
});

test("patterns are matched as Python matches them, in bounded time", () => {
  const compile = createPatterns("x");
  const cases: readonly (readonly [pattern: string, text: string, matches: boolean])[] = [
    ["abc", "abc", true],
    ["abc", "abcd", false],
    ["a.c", "axc", true],
    [String.raw`a\.c`, "axc", false],
    [String.raw`layers\.\d+\.(q|v)_proj`, "layers.11.v_proj", true],
    [String.raw`layers\.\d+\.(q|v)_proj`, "layers.x.v_proj", false],
    ["(?:ab)*c?", "ababc", true],
    ["(?:ab)+?", "", false],
    ["[a-c_]{2,3}", "a_c", true],
    ["[a-c_]{2,3}", "abca", false],
    ["[^0-9]x{2}", "yxx", true],
    ["[]a]", "]", true],
    ["^a|b$", "b", true],
    ["x*y^", "xy", false],
    ["", "", true],
    ["(a|)(b|)", "ab", true],
  ];
  for (const [pattern, text, matches] of cases) assert.equal(compile(pattern)(text), matches, `${pattern} on ${text}`);
  for (const pattern of [
    "(",
    ")",
    "a)",
    "[",
    "*a",
    "(?=a)",
    "(?P<n>a)",
    "\\1",
    "\\",
    "a{2}{3}{4}x(".repeat(40),
    "(".repeat(50),
  ]) {
    assert.throws(() => compile(pattern), /^Error: load: x must have regular expressions of plain parts; /, pattern);
  }
  const start = performance.now();
  const slow = createPatterns("x")("((a*)*(a*)*)*b".repeat(20));
  assert.throws(() => {
    for (let i = 0; i < 1e4; i++) slow("a".repeat(900));
  }, /must match names in a short time; they do not$/);
  assert.ok(performance.now() - start < 10_000);
});
