/** Heads of a few photos: what scikit-learn computes of the same features (tests/fixtures/collection/make.py), and their files. */
import assert from "node:assert/strict";
import { createReadStream, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createGunzip } from "node:zlib";
import { wilson } from "../src/collection/assessment.js";
import { fewShot, loadHead, nearestNeighbors } from "../src/collection/index.js";
import { load } from "../src/index.js";
import { encodeNpy } from "../src/io/npy.js";
import { decode, parseHeader } from "../src/io/safetensors.js";
import { tarEntries } from "../src/io/tar.js";
import { runPython, withoutPython } from "./python.js";

interface Solved {
  readonly l2: number;
  readonly weight: number[][];
  readonly bias: number[];
  /** Index of an example, and its scores by a fit without it. */
  readonly leftOut: number[][];
}

interface Case {
  readonly features: number[][];
  readonly labels: string[];
  readonly queries: number[][];
  readonly heads: Solved[];
  readonly chosen: Solved;
  readonly neighbors: number[][];
}

const cases = JSON.parse(readFileSync("tests/fixtures/collection/heads.json", "utf8")) as Record<string, Case>;
const rows = (lists: number[][]) => lists.map((list) => Float32Array.from(list));
const folder = mkdtempSync(join(tmpdir(), "vitrail-learn-"));
after(() => rmSync(folder, { recursive: true }));

function assertNear(found: Iterable<number>, expected: readonly number[], tolerance: number, what: string) {
  const list = [...found];
  assert.equal(list.length, expected.length, what);
  for (const [i, x] of expected.entries()) {
    assert.ok(Math.abs(list[i]! - x) <= tolerance, `${what}[${i}]: ${list[i]}, not ${x}`);
  }
}

for (const [name, { features, labels, queries, heads, chosen, neighbors }] of Object.entries(cases)) {
  for (const { l2, weight, bias, leftOut } of [...heads, chosen]) {
    test(`few-shot, ${name}, λ ${l2}: weights, scores and leave-one-out are scikit-learn's`, async () => {
      const head = await fewShot(rows(features), labels, l2 === chosen.l2 ? {} : { l2 });
      assert.equal(head.l2, l2);
      const { tensors } = decode(head.encode(), "head");
      assertNear(tensors.get("weight")!.data, weight.flat(), 1e-4, "weight");
      assertNear(tensors.get("bias")!.data, bias, 1e-4, "bias");
      for (const query of queries) {
        const scores = weight.map((row, k) => row.reduce((sum, w, j) => sum + w * query[j]!, bias[k]!));
        const top = head.classify(Float32Array.from(query), { topK: scores.length });
        assertNear(
          top.sort((a, b) => a.index - b.index).map(({ logit }) => logit),
          scores,
          1e-4,
          "scores",
        );
        assert.ok(Math.abs(top.reduce((sum, { probability }) => sum + probability, 0) - 1) < 1e-6);
      }
      const { suspects, classes } = head.leaveOneOut;
      for (const [i, ...scores] of leftOut) {
        const own = classes.indexOf(labels[i!]!);
        const best = scores.indexOf(Math.max(...scores));
        const suspect = suspects.find(({ index }) => index === i);
        assert.equal(suspect?.predicted, best === own ? undefined : classes[best], `example ${i}`);
        if (suspect) assertNear([suspect.margin], [scores[best]! - scores[own]!], 1e-6, `margin of ${i}`);
      }
    });
  }

  test(`nearest neighbors, ${name}: probabilities are scikit-learn's`, async () => {
    const head = await nearestNeighbors(rows(features), labels);
    for (const [i, query] of queries.entries()) {
      const top = head.classify(Float32Array.from(query), { topK: head.classes.length });
      const found = top.sort((a, b) => a.index - b.index).map(({ probability }) => probability);
      assertNear(found, neighbors[i]!, 1e-6, `query ${i}`);
    }
  });
}

test("a head of rows in one array is that of the same rows in a list; numbers are classes by size", async () => {
  const { features, labels } = cases.tall!;
  const flat = Float32Array.from(features.flat());
  assert.deepEqual((await fewShot(flat, labels)).encode(), (await fewShot(rows(features), labels)).encode());
  const { classes } = await fewShot(Float32Array.from([1, 2, 3, 4]), [10, 9, 10, 9]);
  assert.deepEqual(classes, ["9", "10"]);
});

test("leave-one-out: the table counts every example, and the share has its interval", async () => {
  const { features, labels } = cases.tall!;
  const { accuracy, confusion, suspects } = (await fewShot(rows(features), labels)).leaveOneOut;
  const diagonal = confusion.reduce((sum, row, k) => sum + row[k]!, 0);
  assert.equal(
    confusion.flat().reduce((sum, n) => sum + n),
    labels.length,
  );
  assert.equal(diagonal, accuracy.right);
  assert.equal(suspects.length, labels.length - accuracy.right);
  // statsmodels.stats.proportion.proportion_confint(8, 10, method="wilson") and of 0 and 10.
  const known = [
    [8, 0.49016, 0.94332],
    [0, 0, 0.27753],
    [10, 0.72247, 1],
  ] as const;
  for (const [right, low, high] of known) assertNear(wilson(right, 10).interval, [low, high], 1e-5, `${right} of 10`);
});

test("an example with another's label is the first suspect", async () => {
  const points = Array.from({ length: 20 }, (_, i) => Float32Array.of((i % 2) * 4 + Math.sin(i), Math.cos(3 * i)));
  const labels = points.map((_, i) => ((i % 2 === 0) === (i !== 5) ? "left" : "right"));
  const [first] = (await fewShot(points, labels)).leaveOneOut.suspects;
  assert.deepEqual([first?.index, first?.label, first?.predicted], [5, "left", "right"]);
});

const PHOTOS = ["tests/fixtures/image/rgb-420.jpg", "tests/fixtures/image/rgb-8.png"];

test("a saved head says the same, in loadHead and as the option head of load", async () => {
  using model = await load("tests/fixtures/checkpoints/hf-vit");
  const head = await fewShot(await model.embed(PHOTOS), ["cat", "dog"], { model });
  const path = join(folder, "head.safetensors");
  await head.save(path);
  const feature = await model.embed(PHOTOS[0]!);
  const expected = head.classify(feature);
  assert.deepEqual((await loadHead(path, { model })).classify(feature), expected);
  assert.equal(expected[0]!.label, "cat");

  using classifier = await load("tests/fixtures/checkpoints/hf-vit", { head: path });
  const found = await classifier.classify(PHOTOS[0]!);
  assert.deepEqual(classifier.labels, ["cat", "dog"]);
  assert.equal(found[0]!.label, "cat");
  for (const key of ["logit", "probability"] as const) {
    assertNear(
      found.map((one) => one[key]),
      expected.map((one) => one[key]),
      1e-4,
      key,
    );
  }

  const near = await nearestNeighbors(await model.embed(PHOTOS), ["cat", "dog"], { k: 1, model });
  await near.save(path);
  assert.deepEqual((await loadHead(path, { model })).classify(feature), near.classify(feature));
  assert.deepEqual(readdirSync(folder), ["head.safetensors"], "nothing else is left");
});

test("a head of another model is refused with both named; the same weights under another name are not", async () => {
  const path = join(folder, "other.safetensors");
  const at = "tests/fixtures/checkpoints/hf-vit";
  using model = await load(at);
  await (await fewShot(await model.embed(PHOTOS), ["cat", "dog"], { model })).save(path);

  const json = (name: string) => JSON.parse(readFileSync(join(at, name), "utf8"));
  const parts = { config: json("config.json"), preprocessor: json("preprocessor_config.json") };
  const weights = readFileSync(join(at, "model.safetensors"));
  using same = await load({ ...parts, weights }, { backend: "reference" });
  assert.equal(model.identity.model, "hf-vit");
  assert.equal((await loadHead(path, { model: same })).width, 36);

  const [info] = [
    ...parseHeader(weights.subarray(8, 8 + weights.readUInt32LE(0)), { name: "", fileSize: weights.length }),
  ].filter(({ name }) => name.endsWith("encoder.layer.0.output.dense.weight"));
  const changed = Buffer.from(weights);
  for (let i = info!.begin; i < info!.end; i += 2) changed[i + 1]! ^= 0x80;
  const both =
    /^Error: (load: the )?head:? "[^"]*other\.safetensors" was made by "hf-vit" in f32, and this model is "weights" in f32: /;
  using other = await load({ ...parts, weights: changed });
  await assert.rejects(loadHead(path, { model: other }), both);
  await assert.rejects(load({ ...parts, weights: changed }, { head: path }), both);

  using rounded = await load(at, { precision: "int8" });
  await assert.rejects(
    loadHead(path, { model: rounded }),
    /this model is "hf-vit" in int8: precision is "f32", and not "int8"$/,
  );
  using larger = await load({
    ...parts,
    preprocessor: { ...parts.preprocessor, image_mean: [0.1, 0.1, 0.1] },
    weights,
  });
  await assert.rejects(loadHead(path, { model: larger }), /: preprocessing\.mean is \[0\.\d+,.*and not \[0\.1/);
});

test("what is no head, or does not fit, is refused in one sentence", async () => {
  const two = [Float32Array.of(1, 2), Float32Array.of(3, 4)];
  const cases: [attempt: () => Promise<unknown>, error: RegExp][] = [
    [() => fewShot(two, ["a"]), /^RangeError: fewShot: features must be a row for each of 1 labels; got 2 rows$/],
    [() => fewShot(two, ["a", "a"]), /^RangeError: fewShot: labels must name two classes at least; got \["a"\]$/],
    [() => fewShot(two, []), /^RangeError: fewShot: features must be a row for each of 0 labels; got 4 numbers$/],
    [() => fewShot(two, ["a", "b"], { l2: 0 }), /^RangeError: fewShot: l2 must be a positive number; got 0$/],
    [() => fewShot([Float32Array.of(1), two[0]!], ["a", "b"]), /rows must be of one length; row 0 has 1, row 1 2$/],
    [
      () => fewShot([1, 2] as never, ["a", "b"]),
      /^TypeError: fewShot: features must be a Float32Array or a list of them/,
    ],
    [() => fewShot(Float32Array.of(1, NaN), ["a", "b"]), /fewShot: features must be finite; row 1 has NaN$/],
    [() => fewShot(two, ["a", {}] as never), /^TypeError: fewShot: labels must be strings or numbers, one a row/],
    [() => nearestNeighbors(two, ["a", "b"], { k: 3 }), /k must be from 1 to 2, the number of examples; got 3$/],
    [async () => (await fewShot(two, ["a", "b"])).classify(Float32Array.of(1)), /must be a Float32Array of 2.*got 1$/],
    [
      async () => (await fewShot(two, ["a", "b"])).save(join(folder, "no/h")),
      /cannot be written: its folder does not exist$/,
    ],
    [() => loadHead("tests/fixtures/heads/clip-probe/probe.safetensors"), /must have "classes" in its metadata/],
    [() => loadHead(join(folder, "absent")), /does not exist$/],
    [() => loadHead(Uint8Array.of(1, 2)), /"head" has 2 bytes; the length of the header alone takes 8$/],
  ];
  for (const [attempt, error] of cases) await assert.rejects(attempt, error);
});

const CIFAR = "../shared/data/cifar10/train.tar.gz";
const VIT_TINY = "../shared/models/vit-tiny-patch16-224/hf";
const absent = [CIFAR, VIT_TINY].find((path) => !existsSync(path));

/** Photos of CIFAR-10: so many of each class. */
async function cifar(each: number): Promise<{ label: string; bytes: Uint8Array }[]> {
  const photos: { label: string; bytes: Uint8Array }[] = [];
  const counts = new Map<string, number>();
  const stream = createReadStream(CIFAR).pipe(createGunzip());
  for await (const { name, bytes } of tarEntries(stream, CIFAR)) {
    const label = name.split("/").at(-2)!;
    const count = counts.get(label) ?? 0;
    if (count >= each || !name.endsWith(".jpg")) continue;
    counts.set(label, count + 1);
    photos.push({ label, bytes: await bytes() });
  }
  return photos;
}

test("CIFAR-10 by ViT-Ti's features: weights and probabilities are scikit-learn's to 1e-4", {
  skip: withoutPython || (absent !== undefined && `${absent} is not there`),
}, async (t) => {
  const photos = await cifar(30);
  assert.equal(photos.length, 300);
  using model = await load(VIT_TINY);
  const features = await model.embed(photos.map(({ bytes }) => bytes));
  const labels = photos.map(({ label }) => label);
  const [at, names, out] = ["features.npy", "labels.json", "expected.json"].map((name) => join(folder, name));
  writeFileSync(at!, encodeNpy({ dims: [300, 192], data: features }));
  writeFileSync(names!, JSON.stringify(labels));
  runPython("tests/fixtures/collection/make.py", at!, names!, out!);
  const { heads, chosen, neighbors } = JSON.parse(readFileSync(out!, "utf8")) as Case;
  for (const { l2, weight, bias } of [...heads, chosen]) {
    const head = await fewShot(features, labels, l2 === chosen.l2 ? {} : { l2 });
    const { tensors } = decode(head.encode(), "head");
    assert.equal(head.l2, l2);
    assertNear(tensors.get("weight")!.data, weight.flat(), 1e-4, "weight");
    assertNear(tensors.get("bias")!.data, bias, 1e-4, "bias");
    const { share, interval } = head.leaveOneOut.accuracy;
    t.diagnostic(`λ ${l2}: ${share} by leave-one-out, ${interval.map((x) => x.toFixed(3)).join(" to ")}`);
  }
  const near = await nearestNeighbors(features, labels);
  for (const [i, expected] of neighbors.entries()) {
    const top = near.classify(features.subarray(192 * i, 192 * (i + 1)), { topK: 10 });
    const found = top.sort((a, b) => a.index - b.index).map(({ probability }) => probability);
    assertNear(found, expected, 1e-6, `photo ${i}`);
  }
});
