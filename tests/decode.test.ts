// Decoded bytes against Pillow's, by SHA-256: the images of tests/fixtures/image (make.py there) and, where it is beside
// the repository, all 450 files of ../shared/goldens-image/decode.json; and what is said about files that are broken.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { decode, type ImageInput, openImage } from "../src/image/index.js";
import { sha256 } from "./pillow.js";

const fixtures = "tests/fixtures/image";
const shared = "../shared";
const skip = existsSync(shared) ? false : `${shared} is absent: its 450 files are not compared with Pillow`;

const readFixture = (name: string) => new Uint8Array(readFileSync(`${fixtures}/${name}`));

test("decode: every fixture has Pillow's bytes", async () => {
  const expected: { file: string; width: number; height: number; sha256: string }[] = JSON.parse(
    readFileSync(`${fixtures}/decode.json`, "utf8"),
  );
  for (const { file, ...image } of expected) {
    const { data, width, height } = await decode(readFixture(file), { name: file });
    assert.deepEqual({ width, height, sha256: sha256(data) }, image, file);
  }
});

test("decode: every file of the shared set has Pillow's bytes, or is refused where Pillow refuses", {
  skip,
}, async () => {
  interface Expected {
    file: string;
    error?: string;
    rgb_width: number;
    rgb_height: number;
    rgb_sha256: string;
    high_byte_rgb_sha256?: string;
  }
  const { files } = JSON.parse(readFileSync(`${shared}/goldens-image/decode.json`, "utf8")) as { files: Expected[] };
  assert.equal(files.length, 450);
  for (const { file, error, ...expected } of files) {
    const bytes = new Uint8Array(readFileSync(`${shared}/images/${file}`));
    if (error) {
      await assert.rejects(decode(bytes, { name: file }), (e: Error) => {
        assert.ok(e.message.startsWith(`decode: "${file}" `) && !e.message.includes("\n"), e.message);
        return true;
      });
      continue;
    }
    const { data, width, height } = await decode(bytes, { name: file });
    assert.deepEqual([width, height], [expected.rgb_width, expected.rgb_height], file);
    // Pillow saturates 16-bit gray; the upper byte is meant.
    assert.equal(sha256(data), expected.high_byte_rgb_sha256 ?? expected.rgb_sha256, file);
  }
});

test("decode: PNG and GIF by every rule of Pillow's, or refused in one sentence where Pillow refuses", async (t) => {
  interface Rule {
    name: string;
    parts: [string, number][];
    error?: string;
    width?: number;
    height?: number;
    sha256?: string;
  }
  const { files } = JSON.parse(readFileSync(`${fixtures}/rules.json`, "utf8")) as { files: Rule[] };
  for (const { name, parts, error, ...expected } of files) {
    await t.test(name, async () => {
      const bytes = new Uint8Array(
        Buffer.concat(parts.flatMap(([base64, times]) => Array(times).fill(Buffer.from(base64, "base64")))),
      );
      if (error) {
        await assert.rejects(decode(bytes), /^Error: decode: the image [^\n]+$/);
        return;
      }
      const { data, width, height } = await decode(bytes);
      assert.deepEqual({ width, height, sha256: sha256(data) }, expected);
    });
  }
});

/** A PNG that is nothing but a header, with a right checksum. */
function pngHeader(width: number, height: number): Uint8Array {
  const bytes = readFixture("rgb-8.png").slice();
  const view = new DataView(bytes.buffer);
  view.setUint32(16, width);
  view.setUint32(20, height);
  let crc = 0xffffffff;
  for (const byte of bytes.subarray(12, 29)) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  }
  view.setUint32(29, ~crc >>> 0);
  return bytes;
}

/** The fixture with the frame header's height and width replaced. */
function jpegOfSize(name: string, width: number, height: number): Uint8Array {
  const bytes = readFixture(name).slice();
  const at = bytes.findIndex((byte, i) => byte === 0xff && bytes[i + 1] === 0xc0);
  new DataView(bytes.buffer).setUint16(at + 5, height);
  new DataView(bytes.buffer).setUint16(at + 7, width);
  return bytes;
}

const cut = (name: string, share = 0.7) => {
  const bytes = readFixture(name);
  return bytes.subarray(0, Math.floor(bytes.length * share));
};

const ascii = (bytes: Uint8Array, at: number) => String.fromCharCode(...bytes.subarray(Math.max(0, at), at + 4));

/** How files of formats begin that are not decoded here. */
const OTHERS = [
  ["AVIF", "\0\0\0\x1cftypavif\0\0\0\0"],
  ["HEIC", "\0\0\0\x24ftypheic\0\0\0\0"],
  ["JPEG XL", "\xff\x0a\xfa\x1f"],
  ["JPEG 2000", "\0\0\0\x0cjP  \r\n\x87\n"],
  ["ICO", "\0\0\x01\0\x01\0"],
  ["SVG", '\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a <picture> -->\n<svg xmlns="x">'],
  ["PSD", "8BPS\0\x01"],
  ["PDF", "%PDF-1.7"],
] as const;

const broken: [string, Uint8Array, RegExp][] = [
  ["empty.jpg", new Uint8Array(), /is not a JPEG, PNG, WebP, GIF, BMP, TIFF or PPM file; it is empty$/],
  ...OTHERS.map(([name, start]): [string, Uint8Array, RegExp] => [
    `${name} image`,
    Uint8Array.from(start, (c) => c.charCodeAt(0)),
    new RegExp(`is in the format ${name}, which is decoded only by some browsers; convert it to PNG or JPEG$`),
  ]),
  ["notes.jpg", new TextEncoder().encode("Dear diary"), /is not a JPEG.*; it begins with "Dear dia"$/],
  ["binary.png", Uint8Array.of(0, 1, 0x80, 0x41), /; it begins with "\\x00\\x01\\x80A"$/],
  ["cut.jpg", cut("rgb-420.jpg"), /ends before the last of its 29 scan lines; [\d,]+ bytes were read$/],
  ["end.jpg", readFixture("rgb-420.jpg").slice(0, -1), /ends before the last of its 29 scan lines/],
  ["head.jpg", readFixture("rgb-420.jpg").subarray(0, 100), /ends inside its JPEG header; 100 bytes were read$/],
  ["cut-cmyk.jpg", cut("cmyk.jpg"), /ends before the last of its 29 scan lines/],
  ["zero.jpg", jpegOfSize("rgb-420.jpg", 0, 29), /says that it is 0×29 pixels; both must be at least 1$/],
  [
    "bomb.jpg",
    jpegOfSize("rgb-420.jpg", 65000, 65000),
    /65000×65000, 4,225,000,000 pixels, and the limit is 178,956,970; /,
  ],
  // With its end marker it would be gray from there on, as in Pillow.
  ["lie.jpg", jpegOfSize("rgb-420.jpg", 13000, 13000).slice(0, -2), /ends before the last of its 13000 scan lines/],
  [
    "12-bit.jpg",
    readFixture("gray.jpg").map((b, i, all) => (all[i - 4] === 0xff && all[i - 3] === 0xc0 ? 12 : b)),
    /12 bits/,
  ],
  ["cut.png", cut("rgba-8.png"), /ends before its last row: [\d,]+ bytes of IDAT cannot hold 13×11 pixels$/],
  ["zero.png", pngHeader(0, 5), /says that it is 0×5 pixels/],
  [
    "bomb.png",
    pngHeader(60000, 60000),
    /3,600,000,000 pixels, and the limit is 178,956,970; raise the option pixelLimit/,
  ],
  ["lie.png", pngHeader(13000, 13000), /ends before its last row/],
  [
    "checksum.png",
    readFixture("rgb-8.png").map((b, i) => (i === 19 ? 14 : b)),
    /wrong checksum in its PNG chunk IHDR$/,
  ],
  [
    "adler.png",
    readFixture("rgb-8.png").map((b, i, { length }) => (i === length - 17 ? b ^ 1 : b)),
    /has PNG data that cannot be decompressed: its checksum is wrong$/,
  ],
  [
    "frame.webp",
    readFixture("animated.webp").map((b, i, all) => (ascii(all, i - 8) === "ANMF" ? 9 : b)),
    /has a frame of 37×29 at \(18, 0\), which is not inside its 37×29 pixels$/,
  ],
  ["cut.webp", cut("lossy.webp"), /is cut off: its header says [\d,]+ bytes and it has [\d,]+$/],
  ["data.webp", readFixture("lossless-alpha.webp").map((b, i) => (i > 60 ? 0x5a : b)), /WebP/],
  ["cut.gif", cut("plain.gif"), /ends before its last row; [\d,]+ bytes were read$/],
];

for (const [name, bytes, message] of broken) {
  test(`decode: ${name} is refused in one sentence`, async () => {
    await assert.rejects(decode(bytes, { name }), (error: Error) => {
      assert.match(error.message, message);
      assert.ok(error.message.startsWith(`decode: "${name}" `), error.message);
      return true;
    });
  });
}

test("decode: a file that fails leaves the decoder as it was", async () => {
  const good = readFixture("rgb-420.jpg");
  const damaged = good.slice();
  // A Huffman table that the scan does not have.
  damaged[damaged.findIndex((byte, i) => byte === 0xff && damaged[i + 1] === 0xda) + 6] = 0x33;
  const expected = sha256((await decode(good)).data);
  for (let i = 0; i < 3; i++)
    await assert.rejects(decode(damaged), /^Error: decode: the image has JPEG data that cannot/);
  assert.equal(sha256((await decode(good)).data), expected);
});

test("decode: the pixel limit can be lowered and raised", async () => {
  const bytes = readFixture("rgb-420.jpg");
  await assert.rejects(decode(bytes, { pixelLimit: 37 * 29 - 1 }), /37×29, 1,073 pixels, and the limit is 1,072/);
  assert.equal((await decode(bytes, { pixelLimit: 37 * 29 })).data.length, 3 * 37 * 29);
});

test("openImage: the same pixels from a path, a URL, bytes, a buffer, a blob and pixels", async () => {
  const path = `${fixtures}/rgba-8.png`;
  const bytes = readFixture("rgba-8.png");
  const { data, width, height } = await decode(bytes);
  const rgba = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < width * height; i++) rgba.set([...data.subarray(3 * i, 3 * i + 3), i], 4 * i);
  const shifted = new Uint8Array(rgba.length + 1);
  shifted.set(rgba, 1);
  const inputs: ImageInput[] = [
    path,
    pathToFileURL(path),
    pathToFileURL(path).href,
    bytes,
    bytes.slice().buffer,
    new Blob([bytes]),
    { data, width, height },
    { data: rgba, width, height },
    { data: shifted.subarray(1), width, height },
  ];
  for (const input of inputs) assert.deepEqual(await openImage(input), { data, width, height });
});

test("openImage: alpha is dropped, at sizes where the kernel's groups and bands end", async () => {
  for (const width of [1, 2, 3, 4, 5, 32767, 32768, 32769, 32773, 70001]) {
    const rgba = Uint8ClampedArray.from({ length: 4 * width }, (_, i) => (i * 2654435761) >>> 24);
    const expected = Uint8Array.from({ length: 3 * width }, (_, i) => rgba[4 * Math.floor(i / 3) + (i % 3)]!);
    const { data } = await openImage({ data: rgba, width, height: 1 });
    assert.ok(Buffer.compare(data, expected) === 0, `${width} pixels`);
  }
});

test("openImage: errors name the image", async () => {
  await assert.rejects(openImage("no/such.jpg"), /"no\/such\.jpg" does not exist/);
  await assert.rejects(
    openImage(`${fixtures}/make.py`),
    /^Error: decode: "tests\/fixtures\/image\/make\.py" is not a JPEG/,
  );
  await assert.rejects(openImage(new Uint8Array(9), { name: "third" }), /decode: "third" is not/);
  const data = new Uint8Array(10);
  await assert.rejects(
    openImage({ data, width: 2, height: 2 }),
    /^RangeError: image: data of the image, 2×2, must have 12 bytes \(RGB\) or 16 \(RGBA\); got 10$/,
  );
  await assert.rejects(openImage({ data, width: 0, height: 2 }), /says that it is 0×2 pixels/);
  await assert.rejects(
    openImage(5 as unknown as ImageInput),
    /^TypeError: image: the image must be a path, .*; got Number$/,
  );
  const aborted = AbortSignal.abort(new Error("enough"));
  await assert.rejects(openImage(data, { signal: aborted }), /enough/);
});

test("decoding leaves the globals that it hides from decoders as they were", async () => {
  const names = ["Uint8ClampedArray", "ImageData"];
  const before = names.map((name) => Object.getOwnPropertyDescriptor(globalThis, name));
  await decode(new Uint8Array(readFileSync("tests/fixtures/image/rgb-420.jpg")));
  await assert.rejects(decode(new Uint8Array(readFileSync("tests/fixtures/image/rgb-420.jpg")).subarray(0, 700)));
  assert.deepEqual(
    names.map((name) => Object.getOwnPropertyDescriptor(globalThis, name)),
    before,
  );
});
