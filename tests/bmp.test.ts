// BMP against Pillow: the pixels by SHA-256, or a refusal where Pillow refuses. tests/fixtures/bmp/cases.json (make.py there) and,
// where it is beside the repository, the one of ../shared.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { readBmp } from "../src/image/decode/bmp.js";
import { decode } from "../src/image/index.js";
import { check, type Expected, fileOf, sha256 } from "./pillow.js";

const shared = "../shared";
const skip = existsSync(shared) ? false : `${shared} is absent: its BMP is not compared with Pillow`;

const parse = (file: string) => JSON.parse(readFileSync(file, "utf8"));
const cases: Record<string, Expected & { bmp: string }> = parse("tests/fixtures/bmp/cases.json");
const bytesOf = (name: string) => new Uint8Array(Buffer.from(cases[name]!.bmp, "base64"));

test("every case has Pillow's bytes, or is refused as by Pillow", () => {
  assert.ok(Object.keys(cases).length > 200);
  for (const [name, { bmp: _, ...expected }] of Object.entries(cases)) check(readBmp, name, bytesOf(name), expected);
});

test("the BMP of public reports has Pillow's bytes", { skip }, async () => {
  const { width, height, sha256: expected } = parse(`${shared}/wild/format-bmp/expected.json`);
  const image = await decode(new Uint8Array(readFileSync(`${shared}/wild/format-bmp/image.bmp`)));
  assert.deepEqual([image.width, image.height, sha256(image.data)], [width, height, expected]);
});

test("a large picture is read in slices, and run lengths are", () => {
  const side = 2048;
  const palette = 4 * 256;
  const bytes = new Uint8Array(54 + palette + side * side);
  bytes.set(bytesOf("8 bits, 8 wide").subarray(0, 54));
  const view = new DataView(bytes.buffer);
  view.setUint32(10, 54 + palette, true);
  view.setUint32(18, side, true);
  view.setUint32(22, side, true);
  const yieldsOf = () => {
    const slices = readBmp(fileOf(bytes));
    let yields = 0;
    while (!slices.next().done) yields++;
    return yields;
  };
  assert.ok(yieldsOf() >= 16);
  // One pixel a run, of two bytes: half a million rows of a pixel more are not read.
  view.setUint32(30, 1, true);
  view.setUint32(18, 1, true);
  view.setUint32(22, (side * side) / 4, true);
  bytes.fill(0, 54 + palette);
  for (let at = 54 + palette; at < bytes.length; at += 4) bytes[at] = 1;
  assert.ok(yieldsOf() >= 16);
});
