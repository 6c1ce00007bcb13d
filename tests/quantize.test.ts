/** Checkpoints of integers and scales: what `vitrail quantize` writes computes what int8 computes from the original. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type DType, ELEMENT_BYTES, type Precision } from "../src/backend.js";
import { COMMANDS, parseArguments } from "../src/cli/arguments.js";
import { quantize } from "../src/cli/quantize.js";
import { createTerminal } from "../src/cli/terminal.js";
import { type CheckpointParts, load } from "../src/index.js";
import { encodeHeader } from "../src/io/safetensors.js";
import { widen } from "../src/numerics/elements.js";

const CLI = fileURLToPath(new URL("../src/cli.js", import.meta.url));
const CHECKPOINTS = "tests/fixtures/checkpoints";
const scratch = mkdtempSync(join(tmpdir(), "vitrail-quantize-"));
after(() => rmSync(scratch, { recursive: true }));
const run = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], { encoding: "utf8" });
  return { status, stdout, stderr };
};
const json = (path: string) => JSON.parse(readFileSync(path, "utf8"));

interface Stored {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A file's tensors in the order of their bytes, with the place of the first, and its metadata. */
function decode(path: string): {
  metadata: Record<string, string> | undefined;
  tensors: (Stored & { readonly begin: number })[];
} {
  const file = new Uint8Array(readFileSync(path));
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  const { __metadata__: metadata, ...entries } = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  const tensors = Object.entries(entries as Record<string, Omit<Stored, "bytes"> & { data_offsets: [number, number] }>)
    .sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0])
    .map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [begin, end],
        },
      ]) => {
        return {
          name,
          dtype,
          shape,
          begin: 8 + length + begin,
          bytes: file.slice(8 + length + begin, 8 + length + end),
        };
      },
    );
  return { metadata, tensors };
}

function encode(tensors: readonly Stored[]): Uint8Array {
  const { bytes, begins, end } = encodeHeader(tensors);
  const file = new Uint8Array(end);
  file.set(bytes);
  for (const [i, { bytes }] of tensors.entries()) file.set(bytes, begins[i]!);
  return file;
}

const floats = (tensor: Stored) => widen(tensor.bytes, tensor.dtype);
const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

let made = 0;
/** Quantizes a folder with the command; gives the new one. */
function quantized(source: string): string {
  const out = join(scratch, `${made++}`);
  const { status, stderr } = run("quantize", source, "--out", out);
  assert.deepEqual([status, stderr], [0, ""]);
  return out;
}

const HF = quantized(`${CHECKPOINTS}/hf-vit`);
const CONFIG = json(`${HF}/config.json`);
const TENSORS = decode(`${HF}/model.safetensors`).tensors;

async function logitsOf(
  source: string | CheckpointParts,
  options: { backend?: "wasm" | "reference"; precision?: Precision } = {},
): Promise<{ logits: number[]; precision: Precision }> {
  using model = await load(source, { ...options, threads: 1 });
  const [height, width] = model.config.imageSize;
  const data = Float32Array.from({ length: 3 * height * width }, (_, i) => Math.sin(i * i));
  const { logits } = await model.forward({ pixelValues: { dims: [1, 3, height, width], data } });
  return { logits: Array.from(logits.data), precision: model.backend.precision };
}

for (const name of ["hf-vit", "hf-deit-distilled", "timm-vit"]) {
  const source = `${CHECKPOINTS}/${name}`;

  test(`${name}: the file has every tensor, matrices as integers of 7 bits, scales first`, () => {
    const out = quantized(source);
    const { metadata, tensors } = decode(`${out}/model.safetensors`);
    assert.deepEqual(metadata, { format: "vitrail-int8", version: "1" });
    const original = new Map(decode(`${source}/model.safetensors`).tensors.map((tensor) => [tensor.name, tensor]));
    // A reader that views parts of the file as arrays needs them aligned.
    for (const { name, dtype, begin } of tensors) assert.equal(begin % ELEMENT_BYTES[dtype], 0, name);
    const scales = new Map(tensors.filter(({ name }) => name.endsWith("_scale")).map((x) => [x.name, x]));
    const first = tensors.slice(0, scales.size);
    assert.ok(first.every(({ name }) => scales.has(name)));
    const others = tensors.slice(scales.size);
    assert.deepEqual(others.map(({ name }) => name).sort(), [...original.keys()].sort());
    for (const tensor of others) {
      const { dtype, shape, bytes } = original.get(tensor.name)!;
      assert.deepEqual(tensor.shape, shape);
      // Of these models: every weight that is no vector.
      if (!(tensor.name.endsWith(".weight") && shape.length > 1)) {
        assert.deepEqual([tensor.dtype, tensor.bytes], [dtype, bytes], tensor.name);
        continue;
      }
      const scale = scales.get(`${tensor.name}_scale`)!;
      assert.deepEqual([tensor.dtype, scale.dtype, scale.shape], ["I8", "F32", [shape[0]]]);
      const [want, integers] = [widen(bytes, dtype), floats(tensor)];
      const inputs = want.length / shape[0]!;
      for (const [row, s] of floats(scale).entries()) {
        const values = want.subarray(row * inputs, (row + 1) * inputs);
        const exact = Math.max(Math.max(...values) / 63, Math.min(...values) / -64);
        assert.ok(Math.abs(s - exact) <= exact * 2 ** -24, `${scale.name}[${row}] is ${s}, not ${exact}`);
        for (const [i, value] of values.entries()) {
          const q = integers[row * inputs + i]!;
          assert.ok(q >= -64 && q <= 63 && Math.abs(value - s * q) <= s * 0.50001, `${tensor.name}[${row}, ${i}]`);
        }
      }
    }
    assert.equal(scales.size, others.filter(({ dtype }) => dtype === "I8").length);
    const { quantization_config, ...config } = json(`${out}/config.json`);
    assert.deepEqual(config, json(`${source}/config.json`));
    assert.deepEqual([quantization_config.quant_method, quantization_config.bits], ["vitrail", 7]);
    const copied = readdirSync(source).filter((file) => file.endsWith(".json") && file !== "config.json");
    assert.deepEqual(readdirSync(out).sort(), ["config.json", "model.safetensors", ...copied].sort());
    for (const file of copied) assert.deepEqual(readFileSync(`${out}/${file}`), readFileSync(`${source}/${file}`));
  });

  for (const backend of ["wasm", "reference"] as const) {
    test(`${name} on ${backend}: the bits of int8 from the original`, async () => {
      const got = await logitsOf(quantized(source), { backend });
      assert.deepEqual(got, await logitsOf(source, { backend, precision: "int8" }));
      assert.equal(got.precision, "int8");
      assert.notDeepEqual(got.logits, (await logitsOf(source, { backend })).logits);
    });
  }
}

test("sources of F16 and BF16 give the bits of int8 at load, and keep their other tensors", async () => {
  const truncated: Record<string, (x: Float32Array) => Uint8Array> = {
    BF16: (x) => bytesOf(x).filter((_, i) => i % 4 >= 2),
    // The pattern of a normal number in 2^-14 … 1: its exponent, and the first 10 bits of the fraction.
    F16: (x) =>
      new Uint8Array(
        Uint16Array.from(new Uint32Array(x.buffer, x.byteOffset, x.length), (bits) => {
          const exponent = ((bits >>> 23) & 255) - 112;
          return exponent <= 0 ? 0 : ((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 1023);
        }).buffer,
      ),
  };
  for (const [dtype, convert] of Object.entries(truncated)) {
    const source = join(scratch, dtype);
    mkdirSync(source);
    const tensors = decode(`${CHECKPOINTS}/hf-vit/model.safetensors`).tensors;
    const halves = tensors.map((x) => ({ ...x, dtype: dtype as DType, bytes: convert(floats(x)) }));
    writeFileSync(`${source}/model.safetensors`, encode(halves));
    writeFileSync(`${source}/config.json`, readFileSync(`${CHECKPOINTS}/hf-vit/config.json`));
    const out = quantized(source);
    assert.deepEqual(await logitsOf(out), await logitsOf(source, { precision: "int8" }), dtype);
    assert.deepEqual([...new Set(decode(`${out}/model.safetensors`).tensors.map((x) => x.dtype))].sort(), [
      ...new Set(["F32", "I8", dtype].sort()),
    ]);
  }
});

test("a weight that is read in several chunks has each row's scale", async () => {
  // 30000 rows of 36: 5 chunks of F32, 2 of integers.
  const classes = 30_000;
  const source = join(scratch, "many classes");
  mkdirSync(source);
  const head: Record<string, Float32Array> = {
    "classifier.weight": Float32Array.from({ length: classes * 36 }, (_, i) => Math.sin(i) * (1 + Math.floor(i / 36))),
    "classifier.bias": new Float32Array(classes),
  };
  const tensors = decode(`${CHECKPOINTS}/hf-vit/model.safetensors`).tensors.map((tensor) => {
    const data = head[tensor.name];
    return data ? { ...tensor, shape: [classes, ...tensor.shape.slice(1)], bytes: bytesOf(data) } : tensor;
  });
  writeFileSync(`${source}/model.safetensors`, encode(tensors));
  const { id2label: _, ...config } = json(`${CHECKPOINTS}/hf-vit/config.json`);
  writeFileSync(`${source}/config.json`, JSON.stringify(config));
  const { logits } = await logitsOf(quantized(source));
  assert.equal(logits.length, classes);
  assert.deepEqual(logits, (await logitsOf(source, { precision: "int8" })).logits);
});

/** The checkpoint with some tensors replaced, added or (undefined) left out. */
function changed(changes: Record<string, Partial<Stored> | undefined>): CheckpointParts {
  const known = TENSORS.filter(({ name }) => !(name in changes && changes[name] === undefined));
  const replaced = known.map((tensor) => ({ ...tensor, ...changes[tensor.name] }));
  const added = Object.entries(changes).filter(([name, x]) => x && !TENSORS.some((tensor) => tensor.name === name));
  return { config: CONFIG, weights: encode([...replaced, ...added.map(([name, x]) => ({ name, ...x }) as Stored)]) };
}

test("file, bytes, Blob, stream and shards give the same bits", async () => {
  const bytes = new Uint8Array(readFileSync(`${HF}/model.safetensors`));
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < bytes.length; at += 1000) controller.enqueue(bytes.slice(at, at + 1000));
      controller.close();
    },
  });
  const sharded = join(scratch, "sharded");
  mkdirSync(sharded);
  const middle = TENSORS.findIndex(({ dtype }) => dtype === "I8") + 5;
  const shards = [TENSORS.slice(0, middle), TENSORS.slice(middle)];
  const weight_map: Record<string, string> = {};
  for (const [i, tensors] of shards.entries()) {
    writeFileSync(`${sharded}/${i}.safetensors`, encode(tensors));
    for (const { name } of tensors) weight_map[name] = `${i}.safetensors`;
  }
  writeFileSync(`${sharded}/model.safetensors.index.json`, JSON.stringify({ weight_map }));
  writeFileSync(`${sharded}/config.json`, JSON.stringify(CONFIG));
  const sources: Record<string, string | CheckpointParts> = {
    file: `${HF}/model.safetensors`,
    bytes: { config: CONFIG, weights: bytes },
    Blob: { config: CONFIG, weights: new Blob([bytes]) },
    stream: { config: CONFIG, weights: stream },
    "folder of shards": sharded,
    "list of shards": { config: CONFIG, weights: shards.map(encode) },
  };
  const expected = await logitsOf(HF);
  for (const [what, source] of Object.entries(sources)) assert.deepEqual(await logitsOf(source), expected, what);
});

const FOLDERS = readdirSync(CHECKPOINTS).filter((name) => existsSync(`${CHECKPOINTS}/${name}/case.json`));
for (const name of FOLDERS.filter((name) => !name.startsWith("npz-"))) {
  test(`${name}: its folder of integers has the bits of int8 at load`, async () => {
    const image = { data: new Uint8Array(3 * 40 * 40).map((_, i) => i * 37), width: 40, height: 40 };
    const rows: Float32Array[] = [];
    const { model_args: args } = json(`${CHECKPOINTS}/${name}/case.json`);
    for (const [folder, precision] of [
      [`${CHECKPOINTS}/${name}`, "int8"],
      [quantized(`${CHECKPOINTS}/${name}`), undefined],
    ] as const) {
      using model = await load(folder, { precision, config: { heads: args?.num_heads } });
      const { inputChannels: channels, imageSize } = model.config;
      const dims = [1, channels, ...imageSize];
      const data = Float32Array.from({ length: dims.reduce((a, b) => a * b) }, (_, i) => Math.sin(i * i));
      const given = async () =>
        (await model.forward({ pixelValues: { dims, data } }, { outputs: ["preLogits"] })).preLogits;
      // No image is made for other channels.
      rows.push(channels > 3 ? (await given()).data : await model.embed(image, { pooling: "head" }));
    }
    assert.deepEqual(rows[1], rows[0]);
  });
}

test("a tagger of integers is one as well", async () => {
  using model = await load(quantized("tests/fixtures/wild/tagger/model"));
  const tags = await model.classify("tests/fixtures/wild/tagger/photo.png");
  assert.deepEqual(tags.filter(({ category }) => category === "rating").length, 4);
});

test("an explicit f32 or f16 multiplies integers by scales", async () => {
  const scales = new Map(TENSORS.map((tensor) => [tensor.name, tensor]));
  const products = TENSORS.filter(({ name }) => !name.endsWith("_scale")).map((tensor): Stored => {
    if (tensor.dtype !== "I8") return tensor;
    const scale = floats(scales.get(`${tensor.name}_scale`)!);
    const integers = floats(tensor);
    const inputs = integers.length / scale.length;
    return { ...tensor, dtype: "F32", bytes: bytesOf(integers.map((q, i) => q * scale[Math.floor(i / inputs)]!)) };
  });
  const { quantization_config: _, ...config } = CONFIG;
  for (const precision of ["f32", "f16"] as const) {
    for (const backend of ["wasm", "reference"] as const) {
      const expected = await logitsOf({ config, weights: encode(products) }, { precision, backend });
      assert.deepEqual(await logitsOf(HF, { precision, backend }), expected);
    }
  }
});

const WEIGHT = "vit.encoder.layer.1.intermediate.dense.weight";
const stored = (name: string) => TENSORS.find((tensor) => tensor.name === name)!;
const [OUTPUTS, INPUTS] = stored(WEIGHT).shape as [number, number];
const ones = (length: number) => bytesOf(new Float32Array(length).fill(1));
const ignoring = (name: string) => `the option ignore: /^(${name.replaceAll(".", "\\.")})$/ leaves them out`;
const FIT = 'weights: the tensors of "weights" do not fit its config; ';

const WRONG: Record<string, [parts: () => CheckpointParts, message: string]> = {
  "a weight without scales": [() => changed({ [`${WEIGHT}_scale`]: undefined }), `${FIT}missing: "${WEIGHT}_scale"`],
  "scales of a weight that is F32": [
    () => changed({ [WEIGHT]: { dtype: "F32", bytes: ones(OUTPUTS * INPUTS) } }),
    `${FIT}unexpected: "${WEIGHT}_scale"; ${ignoring(`${WEIGHT}_scale`)}`,
  ],
  "scales of a norm": [
    () => changed({ "vit.layernorm.weight_scale": { dtype: "F32", shape: [36], bytes: ones(36) } }),
    `${FIT}unexpected: "vit.layernorm.weight_scale"; ${ignoring("vit.layernorm.weight_scale")}`,
  ],
  "too few scales": [
    () => changed({ [`${WEIGHT}_scale`]: { shape: [OUTPUTS - 1], bytes: ones(OUTPUTS - 1) } }),
    `${FIT}misshapen: "${WEIGHT}_scale" should be (${OUTPUTS}), got (${OUTPUTS - 1})`,
  ],
  "scales that are F16": [
    () => changed({ [`${WEIGHT}_scale`]: { dtype: "F16", bytes: new Uint8Array(2 * OUTPUTS) } }),
    `${FIT}of another type: "${WEIGHT}_scale" should be F32, got F16`,
  ],
  "an integer of 8 bits": [
    () => changed({ [WEIGHT]: { bytes: stored(WEIGHT).bytes.map((q, i) => (i === INPUTS + 3 ? 64 : q)) } }),
    `weights: "${WEIGHT}" of "weights" must hold integers from -64 to 63; element ${INPUTS + 3} is 64`,
  ],
  "the least integer of 8 bits": [
    () => changed({ [WEIGHT]: { bytes: stored(WEIGHT).bytes.map((q, i) => (i === 1 ? 0x80 : q)) } }),
    `weights: "${WEIGHT}" of "weights" must hold integers from -64 to 63; element 1 is -128`,
  ],
  "a scale that is NaN": [
    () => changed({ [`${WEIGHT}_scale`]: { bytes: bytesOf(new Float32Array(OUTPUTS).fill(Number.NaN, 2)) } }),
    `checkpoint: "${WEIGHT}_scale" in "weights" must be finite; element 2 is NaN`,
  ],
  "scales behind their weight": [
    () => ({ config: CONFIG, weights: encode([...TENSORS].reverse()) }),
    'weights: "vit.encoder.layer.1.output.dense.weight_scale" must come before "vit.encoder.layer.1.output.dense.weight" in "weights"; it comes after',
  ],
};
for (const [what, [parts, message]] of Object.entries(WRONG)) {
  test(`load refuses ${what}`, async () => {
    await assert.rejects(load(parts(), { backend: "reference" }), { message });
  });
}

test("a checkpoint that another tool or version quantized is refused by name", async () => {
  for (const [found, quantization_config] of [
    ['"gptq", version undefined', { quant_method: "gptq", bits: 4 }],
    ['"vitrail", version 2', { ...CONFIG.quantization_config, version: 2 }],
  ]) {
    const message = `load: "weights" must be quantized by "vitrail", version 1; got ${found}`;
    await assert.rejects(load({ ...changed({}), config: { ...CONFIG, quantization_config } }), { message });
  }
});

test("inspect says what is stored, and counts no scales as parameters", () => {
  const [original, integers] = [`${CHECKPOINTS}/hf-vit`, HF].map((model) => {
    const { status, stdout } = run("inspect", "--model", model, "--json");
    assert.equal(status, 0);
    return JSON.parse(stdout);
  });
  assert.equal(integers.parameters, original.parameters);
  assert.deepEqual([...integers.dtypes].sort(), ["F32", "I8"]);
  assert.ok(integers.memory.weights < original.memory.weights / 2);
});

test("vitrail quantize says what it did, on one line or as JSON", () => {
  const source = `${CHECKPOINTS}/timm-vit`;
  const out = join(scratch, "deep/er");
  const text = run("quantize", source, "--out", out);
  const linear = decode(`${out}/model.safetensors`).tensors.filter(({ dtype }) => dtype === "I8").length;
  const tensors = decode(`${source}/model.safetensors`).tensors.length;
  assert.deepEqual([text.status, text.stderr], [0, ""]);
  assert.ok(text.stdout.startsWith(`${out}: ${linear} of ${tensors} tensors in int8, `), text.stdout);
  assert.match(text.stdout, /, [\d.]+ KB before, [\d.]+ KB now\n$/);

  const again = join(scratch, "json");
  mkdirSync(again);
  const { status, stdout } = run("quantize", `${source}/model.safetensors`, "--out", again, "--json");
  const { ms, bytesBefore, ...rest } = JSON.parse(stdout);
  const bytes = readFileSync(`${again}/model.safetensors`).length;
  assert.equal(status, 0);
  assert.deepEqual(rest, { source: `${source}/model.safetensors`, out: again, tensors, quantized: linear, bytes });
  assert.ok(ms > 0 && bytesBefore > bytes);
  assert.deepEqual(readFileSync(`${again}/model.safetensors`), readFileSync(`${out}/model.safetensors`));
});

test("what cannot be quantized is one sentence, exit status 2, and leaves nothing", () => {
  const source = `${CHECKPOINTS}/hf-vit`;
  const out = join(scratch, "none/at/all");
  mkdirSync(join(scratch, "broken"));
  const broken = join(scratch, "broken/model.safetensors");
  writeFileSync(join(scratch, "broken/config.json"), readFileSync(`${source}/config.json`));
  const tensors = decode(`${source}/model.safetensors`).tensors;
  const last = tensors.at(-1)!;
  const bad = { ...last, bytes: bytesOf(floats(last).fill(Number.NaN, 1)) };
  writeFileSync(broken, encode([...tensors.slice(0, -1), bad]));
  const withPrecision = Object.entries(COMMANDS).flatMap(([name, { options }]) =>
    options.includes("precision") ? [name] : [],
  );
  const cases: [args: string[], message: string][] = [
    [[source], "quantize needs --out DIR, a folder for the result"],
    [["--out", out], "quantize takes one folder or .safetensors file; got none"],
    [[source, source, "--out", out], "quantize takes one folder or .safetensors file; got 2"],
    [
      [source, "--out", out, "--precision", "f16"],
      `--precision is an option of ${withPrecision.join(", ")}, not of quantize`,
    ],
    [[source, "--out", HF], `quantize: --out must be a new folder or an empty one; "${HF}" holds "case.json"`],
    [[HF, "--out", out], `quantize: "${HF}" is quantized already`],
    [[join(scratch, "absent"), "--out", out], `file: "${join(scratch, "absent")}" does not exist`],
    [[broken, "--out", out], `checkpoint: "${last.name}" in "${broken}" must be finite; element 1 is NaN`],
  ];
  for (const [args, message] of cases) {
    assert.deepEqual(run("quantize", ...args), { status: 2, stdout: "", stderr: `vitrail: ${message}\n` });
    assert.ok(!existsSync(join(scratch, "none")), message);
  }
  const file = run("quantize", source, "--out", broken);
  assert.equal(file.status, 2);
  assert.match(file.stderr, /^vitrail: quantize: ".*model\.safetensors" cannot be written: EEXIST.*\n$/);
});

test("Ctrl-C in the middle leaves nothing: no new folder, and an empty one empty", async () => {
  const empty = join(scratch, "empty");
  mkdirSync(empty);
  for (const out of [empty, join(scratch, "new/one")]) {
    const controller = new AbortController();
    const seen: string[][] = [];
    const terminal = {
      ...createTerminal({ write() {} }, { write() {} }),
      progress() {
        seen.push(readdirSync(out));
        if (seen.length === 5) controller.abort();
      },
    };
    const args = parseArguments(["quantize", `${CHECKPOINTS}/hf-vit`, "--out", out]);
    await assert.rejects(quantize({ args, terminal, signal: controller.signal }), { name: "AbortError" });
    assert.deepEqual(seen, Array(5).fill(["model.safetensors.partial"]));
  }
  assert.deepEqual(readdirSync(empty), []);
  assert.ok(!existsSync(join(scratch, "new")));
});
