// WebP against Pillow: the pixels by SHA-256, or a refusal where Pillow refuses. tests/fixtures/webp/cases.json (make.py there) and,
// where it is beside the repository, every WebP of ../shared: its goldens and its hostile files; decode.test.ts has
// those of decode.json.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { readWebp } from "../src/image/decode/webp.js";
import { atOnce } from "../src/image/slices.js";
import { check as checkWith, type Expected, fileOf, sha256 } from "./pillow.js";

const shared = "../shared";
const skip = existsSync(shared) ? false : `${shared} is absent: its WebP files are not compared with Pillow`;

const parse = (file: string) => JSON.parse(readFileSync(file, "utf8"));

const cases: Record<string, Expected & { webp: string }> = parse("tests/fixtures/webp/cases.json");
const check = checkWith.bind(undefined, readWebp);
const bytesOf = (name: string) => new Uint8Array(Buffer.from(cases[name]!.webp, "base64"));

test("every case has Pillow's bytes, or is refused as by Pillow", () => {
  assert.ok(Object.keys(cases).length > 200);
  for (const [name, { webp: _, ...expected }] of Object.entries(cases)) check(name, bytesOf(name), expected);
});

test("the orientation is that of EXIF", () => {
  assert.equal(atOnce(readWebp(fileOf(bytesOf("metadata")))).orientation, 3);
  assert.equal(atOnce(readWebp(fileOf(bytesOf("lossy 2x3")))).orientation, 1);
});

test("every file of goldens-webp has Pillow's bytes, or is refused as by Pillow", { skip }, () => {
  const folder = `${shared}/goldens-webp`;
  const cases: Record<string, { size?: number[]; sha256_rgb?: string; error?: string }> = parse(
    `${folder}/expected.json`,
  );
  assert.equal(Object.keys(cases).length, 102);
  for (const [name, { size, sha256_rgb: sha256, error }] of Object.entries(cases)) {
    check(name, new Uint8Array(readFileSync(`${folder}/${name}`)), { size, sha256, error });
  }
});

test("every WebP of the hostile set has Pillow's bytes, or is refused as by Pillow", { skip }, () => {
  const { files }: { files: Record<string, Expected> } = parse(`${shared}/hostile/expected.json`);
  const names = readdirSync(`${shared}/hostile`).filter((name) => name.endsWith(".webp"));
  assert.ok(names.length > 0);
  for (const name of names) {
    const { size, sha256, error } = files[name]!;
    check(name, new Uint8Array(readFileSync(`${shared}/hostile/${name}`)), { size, sha256, error });
  }
});

/** Bits as VP8L has them, the lowest first. */
class Bits {
  readonly bytes: number[] = [];
  #held = 0;
  #count = 0;

  /** Up to 16. */
  write(value: number, count: number): this {
    this.#held |= value << this.#count;
    for (this.#count += count; this.#count >= 8; this.#count -= 8, this.#held >>>= 8) this.bytes.push(this.#held & 255);
    return this;
  }

  /** Of one symbol, which takes no bits. */
  writeCode(symbol: number): this {
    return this.write(0b101, 3).write(symbol, 8);
  }
}

/** A lossless file: its bits after the header. */
function lossless(width: number, height: number, write: (bits: Bits) => void): Uint8Array {
  const bits = new Bits()
    .write(0x2f, 8)
    .write(width - 1, 14)
    .write(height - 1, 14)
    .write(0, 4);
  write(bits);
  bits.write(0, 15);
  const { bytes } = bits;
  if (bytes.length % 2) bytes.push(0);
  const file = new Uint8Array(20 + bytes.length);
  file.set(new TextEncoder().encode("RIFF    WEBPVP8L"));
  const view = new DataView(file.buffer);
  view.setUint32(4, 12 + bytes.length, true);
  view.setUint32(16, bytes.length, true);
  file.set(bytes, 20);
  return file;
}

/** No transform, no cache, one group of codes: all pixels are the same. */
const flat = (side: number) =>
  lossless(side, side, (bits) => {
    bits.write(0b000, 3);
    for (const symbol of [20, 10, 30, 255, 0]) bits.writeCode(symbol);
  });

test("a large picture is decoded in slices, in four bytes a pixel", () => {
  const bytes = flat(4096);
  assert.ok(bytes.length < 50);
  const slices = readWebp(fileOf(bytes));
  let yields = 0;
  let next = slices.next();
  for (; !next.done; next = slices.next()) yields++;
  // About 65,536 pixels are decoded in one, or written.
  assert.ok(yields > 400, `${yields} slices`);
  const { data } = next.value;
  assert.deepEqual([...data.subarray(0, 3), ...data.subarray(-3)], [10, 20, 30, 10, 20, 30]);
  const most = 4 * 4096 ** 2 + (2 << 20);
  assert.ok(data.buffer.byteLength < most, `${data.buffer.byteLength} bytes`);
});

test("a decoder that is dropped, or fails, is nobody's next decoder", () => {
  const [good, expected] = [bytesOf("lossy alpha ramp"), cases["lossy alpha ramp"]!];
  const first = readWebp(fileOf(flat(1000)));
  for (let i = 0; i < 5; i++) first.next();
  check("good", good, expected);
  first.return(undefined as never);
  assert.throws(() => atOnce(readWebp(fileOf(bytesOf("container: alpha of cut")))));
  check("good", good, expected);
  // Two at once, of which neither is given back before the other is done.
  const two = [readWebp(fileOf(good)), readWebp(fileOf(good))].map(atOnce);
  assert.deepEqual(
    two.map(({ data }) => sha256(data)),
    [expected.sha256, expected.sha256],
  );
});

test("prefix codes take memory in proportion to the pixels and no more than 48 MiB besides", () => {
  /** All 256 literals in 8 bits, lengths never. */
  const writeGreen = (bits: Bits) => {
    // The lengths' own code: symbols 8 and 18, by one bit; places 11 and 1 of 12.
    bits.write(0, 1).write(8, 4);
    for (let place = 0; place < 12; place++) bits.write(place === 1 || place === 11 ? 1 : 0, 3);
    bits.write(0, 1);
    for (let i = 0; i < 16; i++) bits.write(0, 16);
    bits.write(1, 1).write(24 - 11, 7);
  };
  /** All 256 in 8 bits, by a code of one symbol, which takes none. */
  const writeFull = (bits: Bits) => {
    bits.write(0, 1).write(8, 4);
    for (let place = 0; place < 12; place++) bits.write(place === 11 ? 1 : 0, 3);
    bits.write(0, 1);
  };
  const side = 1024;
  const bytes = lossless(side, side, (bits) => {
    // Tiles of 4×4, each with a group of its own: an image whose red and green are its number.
    bits.write(0b100, 3).write(0, 3).write(0, 1);
    writeGreen(bits);
    writeFull(bits);
    for (let code = 0; code < 3; code++) bits.writeCode(0);
    for (let tile = 0; tile < 65536; tile++) bits.write(tile, 16);
    for (let group = 0; group < 65536; group++) {
      writeGreen(bits);
      for (let code = 0; code < 3; code++) writeFull(bits);
      bits.writeCode(0);
    }
  });
  const message = 'decode: "picture" has WebP data whose prefix codes take too much memory for its pixels';
  assert.throws(() => atOnce(readWebp(fileOf(bytes))), { message });
});

test("a canvas beyond WebAssembly's memory is refused whatever the limit is", () => {
  const bytes = bytesOf("container: frame in a corner");
  bytes.set([0xfe, 0xff, 0, 0xfe, 0xff, 0], 24);
  assert.throws(() => atOnce(readWebp(fileOf(bytes, "large.webp", Number.POSITIVE_INFINITY))), {
    message: 'decode: "large.webp" is 65535×65535 pixels, for which there is not enough memory',
  });
  assert.throws(
    () => atOnce(readWebp(fileOf(bytes, "large.webp"))),
    /65535×65535, 4,294,836,225 pixels, and the limit is/,
  );
});
