/**
 * PyTorch files, good and hostile, of this repository (tests/fixtures/torch/make.py) and, where they are beside it, of other
 * people's programs: the numbers of their libraries, the tensors bit for bit, or a refusal in one sentence that opens nothing.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { type Inputs, type LoadOptions, load, type Model, type OutputName, type Tensor } from "../src/index.js";
import { assertClose } from "./backend.cases.js";
import { INPUTS, NAMES, TOLERANCE } from "./goldens.js";
import { readCheckpoint, readTensors } from "./tensors.js";
import type { Outcome } from "./torch.child.js";

interface Case {
  readonly expect: "read" | "refuse";
  /** The golden holds the file's own tensors: there is no model. */
  readonly level?: "tensors";
  /** What to load, relative to the folder; the folder itself without. */
  readonly load?:
    | string
    | readonly string[]
    | { readonly cacheDir: string; readonly name: string; readonly offline: true };
  /** Parts of the refusal. */
  readonly says?: readonly string[];
  /** The other answer that will do. */
  readonly also_allowed?: string | null;
  /** The option. */
  readonly state?: string;
  readonly call?: string;
  readonly input?: { readonly shape: readonly number[]; readonly a: number };
  readonly model_args?: { readonly heads?: number; readonly text?: { readonly heads: number } };
  /** Of a tagger, in its folder, with the tags of each category, best first. */
  readonly image?: string;
  readonly tags?: Readonly<Record<"rating" | "general" | "character", readonly (readonly [string, number])[]>>;
  readonly bounds?: { readonly memory_mib: number };
}

const GOLDEN = "golden.safetensors";
const scratch = mkdtempSync(join(tmpdir(), "vitrail-torch-"));
after(() => rmSync(scratch, { recursive: true }));

/** A folder without what the test knows of it. */
function bare(folder: string): string {
  const copy = mkdtempSync(join(scratch, "case-"));
  for (const name of readdirSync(folder)) {
    if (name !== GOLDEN && name !== "case.json") symlinkSync(resolve(folder, name), join(copy, name));
  }
  return copy;
}

/** Pixel values of a formula, which is told in words in case.json. */
function pixels({ shape, a }: NonNullable<Case["input"]>): Tensor {
  const data = new Float32Array(shape.reduce((product, n) => product * n, 1));
  return { dims: shape, data: data.map((_, p) => ((73 * p + 29 * Math.floor(p / 32) + 11 * a) % 255) / 127.5 - 1) };
}

async function compareModel(
  source: string,
  it: Case,
  golden: Map<string, Tensor>,
  options: LoadOptions,
): Promise<void> {
  const { heads, text } = it.model_args ?? {};
  const config = { heads, text: text && { heads: text.heads } };
  using model = await load(source, { ...options, state: it.state, config });
  const inputs: Record<string, Tensor> = it.input ? { pixelValues: pixels(it.input) } : {};
  for (const [key, tensor] of golden) if (key in INPUTS) inputs[INPUTS[key]!] = tensor;
  // Where the golden's model has a classifier, its last hidden state is that before the last norm.
  const last = it.call?.includes("ForImageClassification") ? "hiddenStates" : "lastHiddenState";
  const nameOf = (key: string): OutputName | undefined => {
    if (key === "last_hidden_state") return last;
    if (key === "features") return "lastHiddenState";
    return key === "image_embeds" && it.call?.includes("VisionModelWithProjection")
      ? "imageFeatures"
      : NAMES[key.replace(/\.\d+$/, "")];
  };
  const wanted = [...golden.keys()].flatMap((key) => nameOf(key) ?? []);
  const got = await model.forward(inputs as unknown as Inputs, { outputs: [...new Set(wanted)] });
  if (it.image !== undefined) await compareTags(model, join(source, it.image), golden, it);
  for (const [key, want] of golden) {
    if (key in INPUTS || key === "probabilities") continue;
    const [, place = "-1"] = /\.(\d+)$/.exec(key) ?? [];
    const whole = [got[nameOf(key)!] as Tensor | Tensor[]].flat().at(Number(place))!;
    const { dims, data } = key === "features" ? afterPrefix(whole, model.config.prefixTokens) : whole;
    assert.deepEqual(dims, want.dims, key);
    const magnitude = want.data.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    assertClose(data, want.data, TOLERANCE * magnitude, key);
  }
}

/** Compares a tagger's pixel values, the probability of each tag, and the tags above its thresholds. */
async function compareTags(model: Model, image: string, golden: Map<string, Tensor>, { tags }: Case): Promise<void> {
  const { data } = await model.preprocess(image);
  assertClose(data, golden.get("pixel_values")!.data, 1e-6, "pixel values");
  const all = await model.classify(image, { topK: model.labels.length });
  const probabilities = [...all].sort((a, b) => a.index - b.index).map(({ probability }) => probability);
  assertClose(Float32Array.from(probabilities), golden.get("probabilities")!.data, 1e-5, "probabilities");
  const above = await model.classify(image);
  for (const [category, least] of [
    ["rating", 0],
    ["general", 0.35],
    ["character", 0.75],
  ] as const) {
    const got = above.filter((tag) => tag.category === category).map(({ label }) => label);
    const want = tags![category].filter(([, probability]) => probability > least).map(([label]) => label);
    assert.deepEqual(got.slice(0, want.length), want, category);
    if (category === "rating") assert.equal(got.length, want.length);
  }
}

/** Rows of an image's patches, as RADIO gives them. */
function afterPrefix({ dims, data }: Tensor, prefix: number): Tensor {
  const [images, tokens, width] = dims as [number, number, number];
  assert.equal(images, 1);
  return { dims: [1, tokens - prefix, width], data: data.subarray(prefix * width) };
}

/** One sentence about the file, none of the engine's. */
function checkRefusal(error: unknown, says: readonly string[], name: string): void {
  const { message, name: kind } = error as Error;
  assert.ok(["Error", "RangeError"].includes(kind), `${name}: ${(error as Error).stack}`);
  assert.match(message, /^(torch|checkpoint|load|npz|safetensors|weights): "?/, name);
  assert.ok(message.length < 800 && !message.includes("\n"), message);
  for (const text of says) assert.ok(message.includes(text), `${name}: ${message} must have ${text}`);
}

/** Compares the tensors of a file with a golden, bit for bit. */
async function compareTensors(path: string, golden: string): Promise<void> {
  const [got, want] = [await readCheckpoint(path), await readCheckpoint(golden)];
  for (const [name, tensor] of want) {
    const { dtype, shape, bytes } = got.get(name) ?? assert.fail(`no tensor "${name}"`);
    assert.deepEqual({ dtype, shape }, { dtype: tensor.dtype, shape: tensor.shape }, name);
    assert.deepEqual(Buffer.from(bytes), Buffer.from(tensor.bytes), name);
  }
}

async function check(folder: string, it: Case, options: LoadOptions): Promise<void> {
  const { says = [], also_allowed: allowed } = it;
  const place = bare(folder);
  const golden = existsSync(join(folder, GOLDEN)) ? join(folder, GOLDEN) : undefined;
  const names = typeof it.load === "object" && "name" in it.load ? it.load : [it.load ?? ""].flat();
  for (const name of Array.isArray(names) ? names : [""]) {
    const path = join(place, name);
    let error: unknown;
    try {
      if (!Array.isArray(names)) {
        const { cacheDir, name, offline } = names as { cacheDir: string; name: string; offline: true };
        const hub = { ...options, cacheDir: join(place, cacheDir), offline };
        await compareModel(`hf-hub:${name}`, it, readTensors(golden!), hub);
      } else if (it.level === "tensors") {
        if (golden === undefined) await readCheckpoint(path);
        else await compareTensors(path, golden);
      } else if (it.expect === "read") await compareModel(path, it, readTensors(golden!), options);
      else (await load(path, options)).dispose();
    } catch (caught) {
      if (caught instanceof assert.AssertionError) throw caught;
      error = caught;
    }
    if (error !== undefined) {
      if (it.expect === "read" && !/refus/.test(allowed ?? "")) throw error;
      checkRefusal(error, it.expect === "refuse" && !/any sentence/.test(allowed ?? "") ? says : [], name);
    } else {
      assert.ok(it.expect === "read" || /\bread/.test(allowed ?? ""), `${path} was read; it must be refused`);
    }
  }
  assert.equal((Object.prototype as { polluted?: unknown }).polluted, undefined);
  assert.ok(!existsSync("/tmp/vitrail-hostile-was-here"));
}

for (const root of ["tests/fixtures/torch", "../shared/torch-files"]) {
  if (!existsSync(root)) {
    test(`PyTorch files of ${root}`, { skip: `${root} is absent: it is not part of the package` }, () => undefined);
    continue;
  }
  // A family that was refused has come since: Swin (tests/swin.test.ts).
  const isCase = (name: string) => existsSync(join(root, name, "case.json")) && name !== "hf-not-a-vit-bin";
  const folders = readdirSync(root).filter(isCase);
  const cases = folders.map((name) => {
    return { name, it: JSON.parse(readFileSync(join(root, name, "case.json"), "utf8")) as Case };
  });
  for (const { name, it } of cases) {
    const backends =
      it.expect === "read" && it.level !== "tensors" ? (["wasm", "reference"] as const) : (["wasm"] as const);
    // Its numbers are heads.test.ts's.
    if (it.also_allowed?.startsWith("refusing as a model")) {
      test(`${root}/${name}: a head is no model`, () =>
        assert.rejects(load(join(root, name, it.load as string)), /"layers\.0\.weight".* the option head takes/));
      continue;
    }
    for (const backend of backends) {
      test(`${root}/${name} on ${backend}`, () => check(join(root, name), it, { backend }));
    }
  }

  if (!cases.some(({ it }) => it.bounds)) continue;
  test(`hostile files of ${root} take little memory`, () => {
    const files = cases.flatMap(({ name, it }) => {
      if (!it.bounds || typeof it.load !== "string") return [];
      return [[join(root, name, it.load), it.bounds.memory_mib] as const];
    });
    const child = new URL("./torch.child.js", import.meta.url).pathname;
    const { stdout, stderr } = spawnSync(process.execPath, [child, ...files.map(([path]) => path)], {
      encoding: "utf8",
      maxBuffer: 2 ** 26,
    });
    const outcomes = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Outcome);
    assert.equal(outcomes.length, files.length, stderr);
    for (const [i, { grown }] of outcomes.entries()) {
      const [path, mebibytes] = files[i]!;
      assert.ok(grown < mebibytes * 2 ** 20, `${path} took ${grown} bytes`);
    }
  });
}
