/** Texts: token ids, embeddings and zero-shot classes, against transformers, and CLIP's own tokenizer where it lies beside. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { load, type Model } from "../src/index.js";
import { CLEAN } from "../src/text/clean.js";
import { createTokenizer } from "../src/text/tokenizer.js";

const FOLDER = "tests/fixtures/checkpoints/hf-clip";
/** Byte-level BPE, and WordPiece with the tower of BERT. */
const FOLDERS = [FOLDER, "tests/fixtures/checkpoints/hf-chinese-clip"];
const read = (path: string) => JSON.parse(readFileSync(path, "utf8"));
interface Case {
  readonly tokens: readonly { readonly text: string; readonly ids: readonly number[] }[];
  readonly zero_shot: {
    readonly image: string;
    readonly labels: readonly string[];
    readonly templates: readonly string[];
    readonly probabilities: readonly number[];
  };
}
const { tokens, zero_shot } = read(`${FOLDER}/case.json`) as Case;
const IMAGE = `tests/fixtures/image/${zero_shot.image}`;
const tokenizerOf = (options: { length: number; pad: boolean }, folder = FOLDER, file = "tokenizer.json") =>
  createTokenizer(read(`${folder}/${file}`), read(`${folder}/tokenizer_config.json`), options);

for (const folder of FOLDERS) {
  test(`${folder}: token ids are those of transformers, cut at the model's length`, async () => {
    const { tokens } = read(`${folder}/case.json`) as Case;
    const tokenize = await tokenizerOf({ length: 12, pad: false }, folder);
    for (const { text, ids } of tokens) assert.deepEqual(tokenize(text), ids, JSON.stringify(text));
    assert.ok(tokens.some(({ ids }) => ids.length === 12));
  });
}

test("text.tokenize gives the ids of which forward makes what text.embed gives", async () => {
  using clip = await load(FOLDER);
  const texts = tokens.map(({ text }) => text);
  const ids = await clip.text!.tokenize(texts);
  const length = clip.config.text!.length;
  assert.deepEqual(
    ids.filter((_, i) => tokens[i]!.ids.length <= length),
    tokens.flatMap(({ ids }) => (ids.length <= length ? [ids] : [])),
  );
  const inputIds = { dims: [1, ids[0]!.length], data: ids[0]! };
  const { textFeatures } = await clip.forward({ inputIds }, { outputs: ["textFeatures"] });
  assert.deepEqual(textFeatures.data, await clip.text!.embed(texts[0]!));
  await assert.rejects(
    clip.text!.tokenize([]),
    /^TypeError: text.tokenize: texts must be strings, one at least; got \[\]$/,
  );
});

test("a text that is filled up has the padding behind it", async () => {
  const [{ text, ids }] = tokens as [(typeof tokens)[number]];
  const padded = (await tokenizerOf({ length: 20, pad: true }))(text);
  assert.equal(padded.length, 20);
  assert.deepEqual(padded.slice(0, ids.length), ids);
  assert.deepEqual(new Set(padded.slice(ids.length)), new Set([ids.at(-1)]));
});

const CLIP = "../shared/models/clip-tokenizer";
const absent = existsSync(CLIP) ? false : `${CLIP} is absent: it is not part of the package`;
for (const file of ["tokenizer.json", "tokenizer.legacy.json"]) {
  test(`CLIP's tokenizer, ${file}: the ids of all texts`, { skip: absent }, async () => {
    const tokenize = await tokenizerOf({ length: 1000, pad: false }, CLIP, file);
    const cut = await tokenizerOf({ length: 77, pad: false }, CLIP, file);
    const golden = read(`${CLIP}/golden.json`) as {
      readonly text: string;
      readonly ids: readonly number[];
      readonly truncated?: readonly number[];
    }[];
    assert.equal(golden.length, 159);
    for (const { text, ids, truncated } of golden) {
      assert.deepEqual(tokenize(text), ids, JSON.stringify(text));
      if (truncated) assert.deepEqual(cut(text), truncated, JSON.stringify(text));
    }
  });
}

for (const folder of FOLDERS) {
  test(`${folder}: zeroShot gives transformers' probabilities, with an ensemble of templates`, () => zeroShot(folder));
}
async function zeroShot(folder: string): Promise<void> {
  using model = await load(folder);
  const { labels, templates, probabilities } = (read(`${folder}/case.json`) as Case).zero_shot;
  const predictions = await model.zeroShot(IMAGE, labels, { template: templates });
  for (const { index, label, probability } of predictions) {
    assert.equal(label, labels[index]);
    assert.ok(Math.abs(probability - probabilities[index]!) < 2e-5, `${label}: ${probability}`);
  }
  assert.ok(predictions[0]!.probability >= predictions[1]!.probability);
  // The second time the texts are known.
  assert.deepEqual(await model.zeroShot([IMAGE], labels, { template: templates, topK: 1 }), [predictions.slice(0, 1)]);
}

test("text.embed gives rows of the space that images are in, each text as alone", async () => {
  using model = await load(FOLDER);
  const texts = ["a photo of the cat", "dog"];
  const rows = await model.text!.embed(texts, { normalize: true });
  const image = await model.embed(IMAGE, { normalize: true });
  assert.equal(image.length, 14);
  assert.equal(rows.length, 28);
  assert.deepEqual(rows.slice(14), await model.text!.embed("dog", { normalize: true }));
  const cosine = (row: Float32Array) => row.reduce((sum, x, i) => sum + x * image[i]!, 0);
  const [first] = await model.zeroShot(IMAGE, ["a photo of the cat"], { template: "{}" });
  assert.ok(Math.abs(first!.logit / Math.exp(1) - cosine(rows.slice(0, 14))) < 1e-5);
});

test("textCache: what is made of a label's texts is kept by model and texts, and made again where it is damaged", async () => {
  const textCache = join(mkdtempSync(join(tmpdir(), "vitrail-texts-")), "made");
  const template = ["a photo of a {}.", "a drawing of a {}, red $&."];
  const probabilities = async (labels: readonly string[], folder = FOLDER, options: object = { textCache }) => {
    using model = await load(folder, options);
    const all = await model.zeroShot(IMAGE, labels, { template });
    return [...all].sort((a, b) => a.index - b.index).map(({ probability }) => probability);
  };
  try {
    const labels = ["cat", "dog", "cat", "$1 bird"];
    const wanted = await probabilities(labels, FOLDER, {});
    assert.deepEqual(await probabilities(labels), wanted);
    const files = readdirSync(textCache).map((name) => join(textCache, name));
    assert.equal(files.length, 3);
    // It is what is there that is used: with the same for all labels, all are as probable.
    const [first, ...others] = files.map((file) => readFileSync(file));
    for (const file of files) writeFileSync(file, first!);
    assert.ok((await probabilities(labels)).every((share) => Math.abs(share - 0.25) < 1e-6));
    for (const [i, bytes] of [first!, ...others].entries()) writeFileSync(files[i]!, bytes.subarray(0, i * 70));
    assert.deepEqual(await probabilities(labels), wanted);
    assert.deepEqual(readFileSync(files[1]!), others[0]);
    // Another precision is another model,.
    await probabilities(["cat"], FOLDER, { textCache, precision: "f16" });
    assert.equal(readdirSync(textCache).length, 4);
    await assert.rejects(
      load(FOLDER, { textCache: 1 as never }),
      /^TypeError: load: textCache must be a string; got 1$/,
    );
  } finally {
    rmSync(dirname(textCache), { recursive: true });
  }
});

test("what texts cannot do is said in a sentence", async () => {
  using model = await load(FOLDER);
  const refuses = (call: Promise<unknown>, message: string) => assert.rejects(call, { message });
  await refuses(model.zeroShot(IMAGE, []), "zeroShot: texts must be strings, one at least; got []");
  await refuses(
    model.zeroShot(IMAGE, ["cat"], { template: "a cat" }),
    'zeroShot: a template must have {} for the label; got "a cat"',
  );
  await refuses(model.text!.embed([5] as never), "text.embed: texts must be strings, one at least; got [5]");
  await refuses(
    model.forward({ inputIds: { dims: [1, 2], data: [3, 60] } }, { outputs: ["textFeatures"] }),
    "forward: inputIds must be from 0 to 59; got 60 at 1",
  );
  using vit = await load("tests/fixtures/checkpoints/hf-vit");
  assert.equal(vit.text, undefined);
  await refuses(
    vit.zeroShot(IMAGE, ["cat"]),
    "zeroShot: the checkpoint must have a text tower; this one has none, and can classify, embed",
  );
  using without = await load("tests/fixtures/checkpoints/openclip-vit");
  await refuses(
    without.text!.embed("cat"),
    'tokenizer: "tests/fixtures/checkpoints/openclip-vit" must hold tokenizer.json; it holds none',
  );
});

const ALL = "tests/fixtures/checkpoints";
test("texts in one call have the bits of each by itself with all its tokens, of every kind of tower", async () => {
  const kinds = new Set<string>();
  for (const name of readdirSync(ALL).filter((name) => existsSync(`${ALL}/${name}/config.json`))) {
    using model = await load(`${ALL}/${name}`).catch(() => undefined);
    if (!model?.config.text) continue;
    const { causal, pooling } = model.config.text;
    kinds.add(`${causal} ${typeof pooling === "number" ? "token" : pooling}`);
    for (const masked of [true, false]) await compareTogether(name, model, masked);
  }
  for (const kind of ["true largest", "true token", "false first", "false mean", "false last"])
    assert.ok(kinds.has(kind), kind);
});

/** Texts of all lengths together, and each alone where all its tokens are asked for, so that none is left out. */
async function compareTogether(name: string, model: Model, masked: boolean): Promise<void> {
  const { length, vocabulary, pooling, padding = 0 } = model.config.text!;
  const counts = [2, length, ...Array.from({ length: length - 1 }, (_, i) => i + 2), 2];
  let random = 1;
  const id = () => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    return (random >>> 8) % vocabulary;
  };
  const rows = counts.map((count) =>
    Array.from({ length }, (_, i) => {
      if (i === count - 1 && typeof pooling === "number") return pooling;
      return i < count ? id() : padding;
    }),
  );
  const inputs = (first: number, end: number) => {
    const dims = [end - first, length];
    const mask = counts.slice(first, end).flatMap((count) => Array.from({ length }, (_, i) => Number(i < count)));
    const inputIds = { dims, data: rows.slice(first, end).flat() };
    return masked ? { inputIds, attentionMask: { dims, data: mask } } : { inputIds };
  };
  const ALL_TOKENS = ["textFeatures", "textLastHiddenState"] as const;
  const together = (await model.forward(inputs(0, rows.length), { outputs: ["textFeatures"] })).textFeatures;
  const width = together.dims[1]!;
  for (let i = 0; i < rows.length; i++) {
    const alone = await model.forward(inputs(i, i + 1), { outputs: ALL_TOKENS });
    const row = together.data.subarray(i * width, (i + 1) * width);
    assert.deepEqual(row, alone.textFeatures.data, `${name}, text ${i}, ${masked ? "with" : "without"} a mask`);
  }
  const whole = await model.forward(inputs(0, rows.length), { outputs: [...ALL_TOKENS, "textAttentions"] });
  assert.deepEqual(whole.textFeatures.data, together.data, name);
  assert.deepEqual(whole.textLastHiddenState.dims.slice(0, 2), [rows.length, length], name);
}

test("padding before a text changes nothing of it but its positions, and gives no NaN", async () => {
  using model = await load(FOLDER);
  const [ids, mask] = [
    { dims: [1, 5], data: [1, 1, 50, 3, 55] },
    { dims: [1, 5], data: [0, 0, 1, 1, 1] },
  ];
  const outputs = ["textLastHiddenState", "textFeatures"] as const;
  const { textLastHiddenState: states, textFeatures } = await model.forward(
    { inputIds: ids, attentionMask: mask },
    { outputs },
  );
  assert.ok([...states.data, ...textFeatures.data].every(Number.isFinite));
});

test("texts are cleaned as open_clip cleans them, ordinary and odd ones", () => {
  const rows = JSON.parse(readFileSync("tests/fixtures/text/clean.json", "utf8")) as Record<
    keyof typeof CLEAN | "text",
    string
  >[];
  assert.ok(rows.length > 30);
  for (const { text, ...kinds } of rows) {
    for (const [kind, want] of Object.entries(kinds)) {
      assert.equal(CLEAN[kind as keyof typeof CLEAN](text), want, `${kind} of ${JSON.stringify(text)}`);
    }
  }
});
