// Transparency of files against Pillow: dropped, and laid on white as transformers' processors on torchvision do it. TIFF has it in
// tests/tiff.test.ts. tests/fixtures/alpha/cases.json is made by make.py there.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { decode, parsePreprocessing } from "../src/image/index.js";
import { pixelsOf } from "../src/image/pixels.js";
import { valuesOfSeen } from "../src/image/preprocess.js";
import { sha256 } from "./pillow.js";

const cases: Record<string, { file: string; drop: string; white: string }> = JSON.parse(
  readFileSync("tests/fixtures/alpha/cases.json", "utf8"),
);
const bytesOf = (name: string) => new Uint8Array(Buffer.from(cases[name]!.file, "base64"));

for (const format of ["PNG", "GIF", "WebP"]) {
  test(`${format} with transparency has Pillow's bytes, dropped and on white`, async () => {
    const names = Object.keys(cases).filter((name) => name.startsWith(format));
    assert.ok(names.length > 20);
    assert.ok(names.some((name) => cases[name]!.drop !== cases[name]!.white));
    for (const name of names) {
      for (const alpha of ["drop", "white", "drop"] as const) {
        const { data } = await decode(bytesOf(name), { alpha });
        assert.equal(sha256(data), cases[name]![alpha], `${name}, ${alpha}`);
      }
    }
  });
}

test("a processor that lays images on white does so with files, as with their pixels", async () => {
  const processor = { image_processor_type: "SiglipImageProcessor", size: { height: 8, width: 8 } };
  const preprocessing = parsePreprocessing(processor, {}, [8, 8], { processor: "torchvision" });
  assert.equal(preprocessing.alpha, "white");
  for (const name of ["PNG of color type 6, 8 bits", "WebP, lossless True, (17, 9), alpha 100, method 4"]) {
    const onWhite = await decode(bytesOf(name), { alpha: "white" });
    const [file, pixels] = [
      await pixelsOf(bytesOf(name), { preprocessing }),
      await pixelsOf(onWhite, { preprocessing }),
    ];
    assert.deepEqual(file.data, pixels.data, name);
  }
});

/** Settings of a processor of transformers, and the digest of what it makes of a picture (tests/fixtures/alpha/processors.py). */
const processed: readonly { type: string; settings: object; file: string; sha256: string }[] = JSON.parse(
  readFileSync("tests/fixtures/alpha/processors.json", "utf8"),
);

test("transformers' processors on PIL images lay transparent ones on white where they convert to RGB", async () => {
  for (const { type, settings, file, sha256: expected } of processed) {
    const preprocessing = parsePreprocessing({ image_processor_type: type, ...settings }, {}, [8, 8]);
    const seen = await pixelsOf(bytesOf(file), { preprocessing });
    const { buffer } = valuesOfSeen(seen, preprocessing);
    assert.equal(sha256(new Uint8Array(buffer)), expected, `${type}, ${file}`);
  }
  assert.ok(processed.length >= 16);
});
