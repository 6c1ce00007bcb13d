// TIFF against Pillow: the pixels by SHA-256, dropped alpha and laid on white, or a refusal where Pillow refuses, and of what is not
// decoded here. tests/fixtures/tiff/cases.json (make.py there) and, where it is beside the repository, the one of ../shared.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { readTiff } from "../src/image/decode/tiff.js";
import { decode } from "../src/image/index.js";
import { type Expected, fileOf, sha256 } from "./pillow.js";
import { tiff } from "./tiffs.js";

const shared = "../shared";
const skip = existsSync(shared) ? false : `${shared} is absent: its TIFF is not compared with Pillow`;

const parse = (file: string) => JSON.parse(readFileSync(file, "utf8"));
const cases: Record<string, Expected & { tiff: string; white?: string }> = parse("tests/fixtures/tiff/cases.json");
const bytesOf = (name: string) => new Uint8Array(Buffer.from(cases[name]!.tiff, "base64"));

test("every case has Pillow's bytes, upright, or is refused as by Pillow", async () => {
  assert.ok(Object.keys(cases).length > 400);
  for (const [name, { size, sha256: expected, white, error }] of Object.entries(cases)) {
    for (const alpha of ["drop", "white"] as const) {
      const image = decode(bytesOf(name), { name, alpha });
      if (error !== undefined) {
        await assert.rejects(
          image,
          ({ message }: Error) => message.startsWith(`decode: "${name}" `) && !/[\n.]$|undefined|NaN/.test(message),
          `${name}: ${error}`,
        );
        continue;
      }
      const { width, height, data } = await image;
      const wanted = alpha === "white" ? (white ?? expected) : expected;
      assert.deepEqual([width, height, sha256(data)], [...size!, wanted], `${name}, alpha ${alpha}`);
    }
  }
});

test("the TIFF of public reports has Pillow's bytes", { skip }, async () => {
  const { width, height, sha256: expected } = parse(`${shared}/wild/format-tiff/expected.json`);
  const image = await decode(new Uint8Array(readFileSync(`${shared}/wild/format-tiff/image.tiff`)));
  assert.deepEqual([image.width, image.height, sha256(image.data)], [width, height, expected]);
});

const RGB = { 258: [8, 8, 8], 262: [2], 277: [3] };

test("a large picture is read in slices", () => {
  const side = 2048;
  const yieldsOf = (bytes: Uint8Array) => {
    const slices = readTiff(fileOf(bytes));
    let yields = 0;
    while (!slices.next().done) yields++;
    return yields;
  };
  const size = { 256: [side], 257: [side] };
  assert.ok(yieldsOf(tiff({ ...size, ...RGB, 273: [0] }, new Uint8Array(3 * side * side))) >= 16);
  // PackBits of 128 bytes that are the same.
  const packed = new Uint8Array((2 * 3 * side * side) / 128).map((_, i) => (i % 2 === 0 ? 129 : i));
  assert.ok(
    yieldsOf(tiff({ ...size, ...RGB, 259: [32773], 273: [0], 278: [side], 279: [packed.length] }, packed)) >= 64,
  );
});

test("pieces that ask for much more than the picture are refused before they are made", () => {
  const refused = (tags: Record<number, readonly number[]>, message: RegExp, pixels = new Uint8Array(1000)) => {
    const before = process.memoryUsage().arrayBuffers;
    const slices = readTiff(fileOf(tiff({ 256: [1], 257: [1], ...RGB, 273: [0], ...tags }, pixels)));
    assert.throws(() => {
      while (!slices.next().done);
    }, message);
    assert.ok(process.memoryUsage().arrayBuffers - before < 64 << 20);
  };
  const tiles = { 324: [0], 325: [1000] };
  refused({ 259: [5], ...tiles, 322: [2 ** 31], 323: [1] }, /more than its 1×1 pixels are worth/);
  refused({ 259: [5], ...tiles, 322: [2 ** 15], 323: [2 ** 15] }, /more than its 1×1 pixels are worth/);
  refused({ 259: [32773], 257: [100_000], ...tiles, 322: [2 ** 12], 323: [1] }, /more than its 1×100000 pixels are/);
  // No-operations of PackBits, which all strips of a row share.
  const rows = 1000;
  const idle = new Uint8Array(1 << 20).fill(128);
  idle.set([2, 1, 1, 1], idle.length - 4);
  const same = Array(rows);
  refused(
    { 257: [rows], 259: [32773], 273: same.fill(0), 278: [1], 279: Array(rows).fill(idle.length) },
    /are the same bytes/,
    idle,
  );
  refused({ 256: [100_000], 257: [100_000] }, /and the limit is 178,956,970/);
});
