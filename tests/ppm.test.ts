// PBM, PGM and PPM against Pillow: the pixels by SHA-256, or a refusal where Pillow refuses. tests/fixtures/ppm/cases.json (make.py
// there) and, where it is beside the repository, the one of ../shared.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { readPpm } from "../src/image/decode/ppm.js";
import { decode } from "../src/image/index.js";
import { atOnce } from "../src/image/slices.js";
import { check, type Expected, fileOf, sha256 } from "./pillow.js";

const shared = "../shared";
const skip = existsSync(shared) ? false : `${shared} is absent: its PPM is not compared with Pillow`;

const parse = (file: string) => JSON.parse(readFileSync(file, "utf8"));
const cases: Record<string, Expected & { ppm: string }> = parse("tests/fixtures/ppm/cases.json");

test("every case has Pillow's bytes, or is refused as by Pillow", async () => {
  assert.ok(Object.keys(cases).length > 200);
  for (const [name, { ppm, ...expected }] of Object.entries(cases)) {
    const bytes = new Uint8Array(Buffer.from(ppm, "base64"));
    // The reader gets what begins as these formats do.
    if (/^P[1-6]\s/.test(String.fromCharCode(...bytes.subarray(0, 3)))) check(readPpm, name, bytes, expected);
    else await assert.rejects(decode(bytes), /^Error: decode: the image is not a/);
  }
});

test("the PPM of public reports has Pillow's bytes", { skip }, async () => {
  const { width, height, sha256: expected } = parse(`${shared}/wild/format-ppm/expected.json`);
  const image = await decode(new Uint8Array(readFileSync(`${shared}/wild/format-ppm/image.ppm`)));
  assert.deepEqual([image.width, image.height, sha256(image.data)], [width, height, expected]);
});

const text = (...parts: string[]) => new TextEncoder().encode(parts.join(""));

test("numbers and comments go on from a block of text to the next", () => {
  const block = 1 << 20;
  const head = "P2 2 1 255\n";
  const padded = (...parts: string[]) => {
    // What is after the head begins so many bytes before the end of the first block.
    const [before, behind] = parts as [string, string];
    return text(head, " ".repeat(block - before.length), before, behind);
  };
  for (const [before, behind] of [
    ["12", "3 45 "],
    ["#no", "thing\n123 45"],
    ["12#", "\n3 45"],
    ["123 45", ""],
  ] as const) {
    const { data } = atOnce(readPpm(fileOf(padded(before, behind))));
    assert.deepEqual([...data], [123, 123, 123, 45, 45, 45], `${before}|${behind}`);
  }
});

test("a large picture is read in slices", () => {
  const side = 1024;
  for (const bytes of [
    text(`P2 ${side} ${side} 9 `, "7 ".repeat(side * side)),
    text(`P1 ${side} ${side} `, "1".repeat(side * side)),
    text(`P5 ${side} ${side} 9 `, "\x07".repeat(side * side)),
    text(`P4 ${side} ${side} `, "\x07".repeat((side * side) / 8)),
  ]) {
    const slices = readPpm(fileOf(bytes));
    let yields = 0;
    while (!slices.next().done) yields++;
    assert.ok(yields >= 16, `${yields} slices`);
  }
});
