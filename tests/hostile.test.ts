/**
 * Small files that ask for much, each in a process of its own: what comes of them, for how long the event loop stands still
 * meanwhile, and how much memory they take. Those of ../shared/hostile, where it is beside the repository, and some that are made
 * here. `node dist/tests/hostile.test.js` prints the figures.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { crc32, deflateSync } from "node:zlib";
import type { Outcome } from "./hostile.child.js";
import { tiff } from "./tiffs.js";

const MB = 2 ** 20;
/** Milliseconds that the event loop may stand still: several times what it does, as machines that run tests have other work. */
const MOST_GAP = 250;
/** Bytes that a picture may take: of each pixel, and beside them. */
const PER_PIXEL = 16;
const BESIDE = 64 * MB;

/** The outcome of a file, in a process whose heap is small. */
async function outcomeOf(file: string): Promise<Outcome> {
  const program = new URL("./hostile.child.js", import.meta.url).pathname;
  const { stdout } = await promisify(execFile)(process.execPath, ["--max-old-space-size=96", program, file]);
  return JSON.parse(stdout);
}

function check(name: string, { seconds, gap, grown, size, error }: Outcome, pixels: number): string {
  if (error !== undefined) assert.match(error, /^decode: the image [^\n]+$/, name);
  assert.ok(gap < MOST_GAP, `${name}: the event loop stood still for ${gap.toFixed()} ms`);
  assert.ok(grown < PER_PIXEL * pixels + BESIDE, `${name}: ${(grown / MB).toFixed()} MB for ${pixels} pixels`);
  const took = seconds.map((s) => s.toFixed(2)).join(", ");
  return `${size ? `${size.join("×")} in ${took} s` : "refused"}; gap ${gap.toFixed()} ms; ${(grown / MB).toFixed()} MB`;
}

const folder = "../shared/hostile";
const skip = existsSync(folder) ? false : `${folder} is absent: its files are not compared with Pillow`;
test("hostile: files that are kept beside the repository are as Pillow has them, or refused", { skip }, async (t) => {
  interface Expected {
    size?: [number, number];
    sha256?: string;
    error?: string;
  }
  const { files } = JSON.parse(readFileSync(`${folder}/expected.json`, "utf8")) as { files: Record<string, Expected> };
  for (const name of readdirSync(folder).filter((name) => name in files)) {
    const { size, sha256, error } = files[name]!;
    await t.test(name, async (t) => {
      const outcome = await outcomeOf(`${folder}/${name}`);
      t.diagnostic(check(name, outcome, size ? size[0] * size[1] : 0));
      if (error) assert.ok(outcome.error, `${name} is ${outcome.size}, and Pillow refuses it: ${error}`);
      else assert.deepEqual([outcome.error, outcome.size, outcome.sha256], [undefined, size, sha256], name);
    });
  }
});

// ---- files that are made here ----

function chunk(type: string, data: Uint8Array): Uint8Array {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32BE(data.length);
  numbers.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([numbers.subarray(0, 4), body, numbers.subarray(4)]);
}

function png(width: number, height: number, depth: number, color: number, data: Uint8Array, ...before: Uint8Array[]) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  header.set([depth, color], 8);
  const signature = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    ...before,
    chunk("IDAT", data),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

const small = deflateSync(Buffer.alloc(4));
/** A block with a table of its own and nothing in it, as short as it can be, so often; and a whole stream of four bytes. */
function emptyBlocks(block: string, times: number): Uint8Array {
  const bits = block.repeat(8);
  const bytes = Uint8Array.from({ length: block.length }, (_, i) =>
    Number.parseInt([...bits.slice(8 * i, 8 * i + 8)].reverse().join(""), 2),
  );
  return Buffer.concat([small.subarray(0, 2), ...Array(Math.ceil(times / 8)).fill(bytes), small.subarray(2)]);
}
/** Bits of a number as deflate has them, lowest first. */
const lowFirst = (value: number, count: number) => Array.from({ length: count }, (_, i) => (value >> i) & 1).join("");
// Not the last; a table of 257 literals and 1 distance: lengths of 18 lengths, of which 18 (zeros) and 1 have codes of one bit.
const dynamic = [
  lowFirst(0, 1) + lowFirst(2, 2) + lowFirst(0, 5) + lowFirst(0, 5) + lowFirst(14, 4),
  ...[16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1].map((length) =>
    lowFirst(length === 18 || length === 1 ? 1 : 0, 3),
  ),
  // 256 zeros by two runs of 128, then twice a length of 1; and the end of the block, the one code of a bit.
  `1${lowFirst(117, 7)}`.repeat(2),
  "00",
  "0",
].join("");

const text = (bytes: number) => Buffer.concat([Buffer.from("key\0\0"), deflateSync(Buffer.alloc(bytes), { level: 9 })]);
const gifOf = (...bytes: (number | string)[]) =>
  Buffer.concat(bytes.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : Buffer.of(part))));

/** Files by what they ask for, the pixels that they have, and whether they are pictures. */
const MADE: readonly [string, () => Uint8Array, number, boolean][] = [
  ["PNG of 120,000 blocks with empty tables", () => png(1, 1, 8, 2, emptyBlocks(dynamic, 120_000)), 1, true],
  ["PNG of 800,000 empty fixed blocks", () => png(1, 1, 8, 2, emptyBlocks("0100000000", 800_000)), 1, true],
  ["PNG of 178,956,970×1", () => png(178_956_970, 1, 1, 0, deflateSync(Buffer.alloc(22_369_623))), 178_956_970, true],
  ["PNG of 2×89,478,485", () => png(2, 89_478_485, 1, 0, deflateSync(Buffer.alloc(2 * 89_478_485))), 178_956_970, true],
  [
    "PNG of 33,554,424×2, 64 bits a pixel",
    () => png(33_554_424, 2, 16, 6, deflateSync(Buffer.alloc(2 * (1 + 8 * 33_554_424)))),
    2 * 33_554_424,
    true,
  ],
  [
    "PNG that claims 13,377×13,377 and has a row",
    () => png(13_377, 13_377, 8, 2, deflateSync(Buffer.alloc(1 + 3 * 13_377))),
    178_956_970,
    true,
  ],
  ["PNG that claims 13,377×13,377 and has none", () => png(13_377, 13_377, 8, 2, small), 178_956_970, false],
  [
    "PNG of 100,000 chunks",
    () => png(1, 1, 8, 2, small, ...Array(100_000).fill(chunk("tIME", Buffer.alloc(0)))),
    1,
    true,
  ],
  ["PNG of 60 texts of a MiB", () => png(1, 1, 8, 2, small, ...Array(60).fill(chunk("zTXt", text(MB)))), 1, true],
  ["PNG of 70 texts of a MiB", () => png(1, 1, 8, 2, small, ...Array(70).fill(chunk("zTXt", text(MB)))), 1, false],
  ["PNG of 70 profiles of a MiB", () => png(1, 1, 8, 2, small, ...Array(70).fill(chunk("iCCP", text(MB)))), 1, false],
  ["PNG with a text of 100 MiB", () => png(1, 1, 8, 2, small, chunk("zTXt", text(100 * MB))), 1, false],
  [
    "PNG with 20 MB of line breaks for EXIF",
    () =>
      png(
        1,
        1,
        8,
        2,
        small,
        chunk("tEXt", Buffer.concat([Buffer.from("Raw profile type exif\0"), Buffer.alloc(20_000_000, 10)])),
      ),
    1,
    true,
  ],
  [
    "PNG with 20 MB of EXIF beginnings",
    () => png(1, 1, 8, 2, small, chunk("eXIf", Buffer.alloc(20_000_000, "Exif\0\0"))),
    1,
    true,
  ],
  [
    "GIF of 13,377×13,377 without a code",
    () => gifOf("GIF89a", "A4A4", 0, 0, 0, ",", "\0\0\0\0", "A4A4", 0, 8, 0, ";"),
    178_956_969,
    false,
  ],
  [
    "GIF of 4,000,000 clear codes",
    () =>
      gifOf(
        "GIF89a",
        "\x01\0\x01\0",
        0,
        0,
        0,
        ",",
        "\0\0\0\0\x01\0\x01\0",
        0,
        0,
        ...Array(2000).fill(`\xff${"\xff".repeat(255)}`),
        0,
        ";",
      ),
    1,
    false,
  ],
  [
    "GIF of 500,000 extensions",
    () =>
      gifOf(
        "GIF89a",
        "\x01\0\x01\0",
        0,
        0,
        0,
        "!\xfe\0".repeat(500_000),
        ",",
        "\0\0\0\0\x01\0\x01\0",
        0,
        8,
        4,
        "\0\x01\x04\x04",
        0,
        ";",
      ),
    1,
    true,
  ],
  [
    "TIFF of 13,377×13,377 bits in a strip of PackBits",
    () =>
      tiff(
        { 256: [13_377], 257: [13_377], 258: [1], 259: [32773], 262: [1], 273: [0], 279: [2 * 174_900] },
        Uint8Array.from({ length: 2 * 174_900 }, (_, i) => (i % 2 === 0 ? 129 : 0xaa)),
      ),
    178_944_129,
    true,
  ],
  [
    "TIFF of 178,956,970×1 bits by LZW, which ends at once",
    () =>
      tiff(
        { 256: [178_956_970], 257: [1], 258: [1], 259: [5], 262: [1], 273: [0], 279: [3] },
        Uint8Array.of(0x80, 0x20, 0x50),
      ),
    178_956_970,
    false,
  ],
  [
    "TIFF of 1×1,000,000 in as many strips, which are one",
    () =>
      tiff(
        {
          ...{ 256: [1], 257: [1_000_000], 258: [8], 259: [8], 262: [1], 278: [1] },
          ...{ 273: Array(1_000_000).fill(0), 279: Array(1_000_000).fill(9) },
        },
        deflateSync(Buffer.alloc(1)),
      ),
    1_000_000,
    true,
  ],
  [
    "TIFF of strips of a megabyte, which are one",
    () =>
      tiff(
        {
          ...{ 256: [1], 257: [10_000], 258: [8], 259: [5], 262: [1], 278: [1] },
          ...{ 273: Array(10_000).fill(0), 279: Array(10_000).fill(MB) },
        },
        // Codes of 9 bits that all forget the strings.
        Uint8Array.from({ length: MB }, (_, i) => [0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01, 0x00][i % 9]!),
      ),
    10_000,
    false,
  ],
  [
    "TIFF of 2^31 tiles' bytes",
    () =>
      tiff(
        { 256: [1], 257: [1], 258: [8], 259: [8], 262: [1], 322: [65_535], 323: [32_767], 324: [0], 325: [2_000_000] },
        deflateSync(Buffer.alloc(MB)),
      ),
    1,
    false,
  ],
  [
    "TIFF of 500,000 strips that come again and again",
    () => tiff({ 256: [1], 257: [1], 258: [8], 262: [1], 278: [9], 273: Array(500_000).fill(0) }, Uint8Array.of(7)),
    1,
    true,
  ],
  ["PGM of 20 MB of comments", () => Buffer.from(`P2 1 1 255\n${"#\n".repeat(10 * MB)}7`), 1, true],
  ["PBM of 13,377×13,377 that ends at once", () => Buffer.from("P1 13377 13377 10101"), 178_944_129, false],
  ["PPM of 13,377×13,377 of 16 bits without a pixel", () => Buffer.from("P6 13377 13377 65535\n"), 178_944_129, false],
];

const work = mkdtempSync(join(tmpdir(), "vitrail-hostile-"));
after(() => rmSync(work, { recursive: true }));

for (const [name, make, pixels, isPicture] of MADE) {
  test(`hostile: ${name}`, async (t) => {
    const file = join(work, `${MADE.findIndex(([other]) => other === name)}`);
    writeFileSync(file, make());
    const outcome = await outcomeOf(file);
    t.diagnostic(check(name, outcome, pixels));
    assert.equal(outcome.error === undefined, isPicture, outcome.error ?? `it is ${outcome.size}`);
  });
}
