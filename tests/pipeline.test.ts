/**
 * Programs that were written for Transformers.js, with the import changed and nothing else: they compile strictly and print what
 * transformers gives, in Transformers.js's shapes.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openImage } from "../src/image/index.js";
import { load } from "../src/index.js";
import { pipeline } from "../src/pipeline.js";

const FIXTURES = "tests/fixtures/checkpoints";
const FOLDERS: Readonly<Record<string, string>> = {
  "Xenova/vit": `${FIXTURES}/hf-vit`,
  "Xenova/clip": `${FIXTURES}/hf-clip`,
  "Xenova/owlv2": `${FIXTURES}/hf-owlv2`,
  "Xenova/yolos": `${FIXTURES}/hf-yolos`,
  "onnx-community/depth-anything": "tests/fixtures/dense/hf-depth-anything",
  "Xenova/dpt-ade": "tests/fixtures/dense/hf-dpt-segmentation",
};
const caseOf = (folder: string) => JSON.parse(readFileSync(`${FIXTURES}/${folder}/case.json`, "utf8"));

/** A project with the package as compiled here, models by name, and a photo. */
const project = mkdtempSync(join(tmpdir(), "vitrail-pipeline-"));
after(() => rmSync(project, { recursive: true }));
mkdirSync(join(project, "node_modules/vitrail"), { recursive: true });
cpSync("package.json", join(project, "node_modules/vitrail/package.json"));
symlinkSync(fileURLToPath(new URL("..", import.meta.url)), join(project, "node_modules/vitrail/dist"), "junction");
symlinkSync(resolve("node_modules/@types"), join(project, "node_modules/@types"), "junction");
cpSync("tests/fixtures/image/rgb-420.jpg", join(project, "cat.jpg"));
for (const [name, path] of Object.entries(FOLDERS)) cpSync(path, join(project, name), { recursive: true });

const owl = caseOf("hf-owlv2").detect[0] as { labels: string[]; threshold: number; found: { scores: number[] } };
const yolos = caseOf("hf-yolos").detect[0] as { threshold: number; found: { scores: number[]; boxes: number[][] } };

/** As in Transformers.js's documentation. */
const PROGRAMS: Readonly<Record<string, string>> = {
  classification: `
    const classifier = await pipeline("image-classification", "Xenova/vit", { device: "wasm" });
    const output = await classifier("cat.jpg", { top_k: 2 });
    const several = await classifier(["cat.jpg", "cat.jpg"]);
    console.log(JSON.stringify({ output, count: several.map((row) => row.length) }));
    await classifier.dispose();`,
  zeroShot: `
    const classifier = await pipeline("zero-shot-image-classification", "Xenova/clip");
    const output = await classifier("cat.jpg", ["cat", "the dog"], { hypothesis_template: "a photo of a {}." });
    console.log(JSON.stringify(output));`,
  features: `
    const extractor = await pipeline("image-feature-extraction", "Xenova/vit", { dtype: "fp32" });
    const features = await extractor("cat.jpg");
    console.log(JSON.stringify({ dims: features.dims, type: features.type, size: features.size, list: features.tolist() }));`,
  detection: `
    const detector = await pipeline("object-detection", "Xenova/yolos");
    const output = await detector("cat.jpg", { threshold: ${yolos.threshold} });
    const parts = await detector("cat.jpg", { threshold: ${yolos.threshold}, percentage: true });
    console.log(JSON.stringify({ output, parts }));`,
  zeroShotDetection: `
    const detector = await pipeline("zero-shot-object-detection", "Xenova/owlv2");
    const output = await detector("cat.jpg", ${JSON.stringify(owl.labels)}, { threshold: ${owl.threshold}, top_k: 2 });
    for (const { score, label, box } of output) console.log(JSON.stringify([score, label, box.xmin]));`,
  depth: `
    const estimator = await pipeline("depth-estimation", "onnx-community/depth-anything");
    const { predicted_depth, depth } = await estimator("cat.jpg");
    await depth.save("depth.png");
    console.log(JSON.stringify({ dims: predicted_depth.dims, size: depth.size, channels: depth.channels }));`,
  segmentation: `
    const segmenter = await pipeline("image-segmentation", "Xenova/dpt-ade");
    const output = await segmenter("cat.jpg");
    const pixels = output.reduce((sum, { mask }) => sum + mask.data.reduce((all, level) => all + level / 255, 0), 0);
    console.log(JSON.stringify({ pixels, labels: output.map(({ label }) => label), size: output[0]!.mask.size }));`,
};

const names = Object.keys(PROGRAMS);
for (const name of names) {
  const written = `import { pipeline } from "@huggingface/transformers";\n${PROGRAMS[name]}\n`;
  writeFileSync(join(project, `${name}.mts`), written.replace("@huggingface/transformers", "vitrail/pipeline"));
}
const node = (...args: string[]) => execFileSync(process.execPath, args, { cwd: project, encoding: "utf8" });

test("programs for Transformers.js compile strictly with the import changed", () => {
  const options = ["--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", "nodenext"];
  const files = names.map((name) => `${name}.mts`);
  const lib = ["--lib", "es2022,esnext.disposable,dom", "--types", "node"];
  assert.doesNotThrow(() => node(resolve("node_modules/typescript/bin/tsc"), ...options, ...lib, ...files));
});

const printed = (name: string) =>
  node(`${name}.mjs`)
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
const near = (got: number, want: number) => assert.ok(Math.abs(got - want) < 2e-5, `${got}, not ${want}`);

test("classes, and features as nested lists", async () => {
  const [{ output, count }] = printed("classification");
  const want = caseOf("hf-vit").classify.probabilities as number[];
  const best = [...want].sort((a, b) => b - a);
  assert.deepEqual(Object.keys(output[0]).sort(), ["label", "score"]);
  assert.deepEqual(count, [5, 5]);
  for (const [i, { score }] of output.entries()) near(score, best[i]!);

  using clip = await load(`${FIXTURES}/hf-clip`);
  const texts = ["cat", "the dog"];
  const [first] = await clip.zeroShot("tests/fixtures/image/rgb-420.jpg", texts, { template: "a photo of a {}." });
  const [zeroShot] = printed("zeroShot");
  assert.equal(zeroShot[0].label, first!.label);
  near(zeroShot[0].score, first!.probability);

  const [{ dims, type, size, list }] = printed("features");
  assert.deepEqual([dims, type, size], [[1, 13, 36], "float32", 13 * 36]);
  assert.deepEqual([list.length, list[0].length, list[0][0].length], [1, 13, 36]);
});

test("boxes in whole pixels, or parts of the photo", async () => {
  const { width, height } = await openImage("tests/fixtures/image/rgb-420.jpg");
  const [{ output, parts }] = printed("detection");
  const order = yolos.found.scores.map((_, i) => i).sort((a, b) => yolos.found.scores[b]! - yolos.found.scores[a]!);
  assert.equal(output.length, order.length);
  for (const [i, at] of order.entries()) {
    near(output[i].score, yolos.found.scores[at]!);
    const want = yolos.found.boxes[at]!;
    assert.deepEqual(Object.values(output[i].box), want.map(Math.trunc));
    const sides = Object.values(parts[i].box) as number[];
    for (const [j, side] of sides.entries()) near(side, want[j]! / (j % 2 === 0 ? width : height));
  }
  const found = printed("zeroShotDetection");
  const scores = [...owl.found.scores].sort((a, b) => b - a).slice(0, 2);
  assert.equal(found.length, 2);
  for (const [i, [score, label, xmin]] of found.entries()) {
    near(score, scores[i]!);
    assert.ok(owl.labels.includes(label) && Number.isInteger(xmin));
  }
});

test("depth as a picture of the photo's size, and masks that cover every pixel once", async () => {
  const { width, height } = await openImage("tests/fixtures/image/rgb-420.jpg");
  const [{ dims, size, channels }] = printed("depth");
  assert.deepEqual([dims.length, size, channels], [2, [width, height], 1]);
  const saved = await openImage(join(project, "depth.png"));
  assert.deepEqual([saved.width, saved.height], [width, height]);
  assert.deepEqual([Math.min(...saved.data), Math.max(...saved.data)], [0, 255]);
  const [{ pixels, labels, size: mask }] = printed("segmentation");
  assert.deepEqual([pixels, mask], [width * height, [width, height]]);
  assert.equal(new Set(labels).size, labels.length);
});

test("what there is not is one sentence", async () => {
  const cases: [run: () => Promise<unknown>, message: RegExp][] = [
    [
      () => pipeline("text-generation" as never),
      /^pipeline: task must be one of image-classification, .*; got "text-generation"$/,
    ],
    [
      () => pipeline("depth-estimation", "x", { dtype: "q4" as never }),
      /^pipeline: dtype must be one of fp32, .*; got "q4"$/,
    ],
    [
      () => pipeline("depth-estimation", "x", { session_options: {} } as never),
      /^pipeline: options are device, .*; got "session_options"$/,
    ],
  ];
  for (const [run, message] of cases) await assert.rejects(run, { name: "RangeError", message });
  const classifier = await pipeline("image-classification", `${FIXTURES}/hf-vit`);
  await assert.rejects(classifier("tests/fixtures/image/rgb-8.png", { topk: 1 } as never), /got "topk"$/);
  await classifier.dispose();
});
