// JPEG against Pillow: the pixels by SHA-256, also of `Image.draft`, or a refusal where Pillow refuses.
// tests/fixtures/jpeg/cases.json (make.py there) and, where it is beside the repository, every JPEG of ../shared: its
// goldens, its hostile files and those of public reports; decode.test.ts has those of decode.json. And that damage,
// slices and other images leave a decoder as it was.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { readJpeg } from "../src/image/decode/jpeg.js";
import { decode } from "../src/image/index.js";
import { atOnce } from "../src/image/slices.js";

const shared = "../shared";
const skip = existsSync(shared) ? false : `${shared} is absent: its JPEG files are not compared with Pillow`;

interface Expected {
  size?: readonly [number, number];
  sha256?: string;
  error?: string;
}

const sha256 = (...data: Uint8Array[]) => {
  const hash = createHash("sha256");
  for (const part of data) hash.update(part);
  return hash.digest("hex");
};
const read = (file: string) => new Uint8Array(readFileSync(file));
const parse = (file: string) => JSON.parse(readFileSync(file, "utf8"));

/** As it is stored, at 1/scale. */
function pixels(name: string, bytes: Uint8Array, [width, height]: readonly [number, number] = [1, 1], scale = 1) {
  const draft = { width: Math.max(1, Math.floor(width / scale)), height: Math.max(1, Math.floor(height / scale)) };
  const file = { bytes, label: `"${name}"`, pixelLimit: 178_956_970, ...(scale > 1 && { draft }) };
  const image = atOnce(readJpeg(file));
  const found = { data: image.data.slice(), size: [image.width, image.height] };
  image.free?.();
  return found;
}

/** None of these references turns pictures by their EXIF orientation. */
function check(name: string, bytes: Uint8Array, expected: Expected): void {
  if (expected.error === undefined) {
    const { data, size } = pixels(name, bytes);
    assert.deepEqual({ size, sha256: sha256(data) }, { size: expected.size, sha256: expected.sha256 }, name);
    return;
  }
  assert.throws(
    () => pixels(name, bytes),
    ({ message }: Error) => message.startsWith(`decode: "${name}" `) && !/[\n.]$|undefined|NaN/.test(message),
    `${name}: ${expected.error}`,
  );
}

interface Case extends Expected {
  jpeg: string;
  drafts?: string;
}
const cases = Object.entries(parse("tests/fixtures/jpeg/cases.json") as Record<string, Case>).map(
  ([name, { jpeg, ...expected }]) => ({ name, bytes: new Uint8Array(Buffer.from(jpeg, "base64")), ...expected }),
);

test("every case has Pillow's bytes, or is refused as by Pillow", () => {
  assert.ok(cases.length > 200);
  for (const { name, bytes, drafts, ...expected } of cases) {
    check(name, bytes, expected);
    if (drafts === undefined) continue;
    const found = [2, 4, 8].map((scale) => pixels(name, bytes, expected.size, scale).data);
    assert.equal(sha256(...found), drafts, `${name}: drafts`);
  }
});

test("every file of goldens-jpeg has Pillow's bytes, drafts as well, or is refused as by Pillow", { skip }, () => {
  const folder = `${shared}/goldens-jpeg`;
  const { files }: { files: Record<string, Expected & Record<string, Expected | undefined>> } = parse(
    `${folder}/expected.json`,
  );
  assert.equal(Object.keys(files).length, 97);
  let drafts = 0;
  for (const [name, expected] of Object.entries(files)) {
    const bytes = read(`${folder}/${name}`);
    check(name, bytes, expected);
    for (const scale of [2, 4, 8]) {
      const draft = expected[`draft${scale}`];
      if (!draft) continue;
      const { data, size } = pixels(name, bytes, expected.size, scale);
      assert.deepEqual({ size, sha256: sha256(data) }, draft, `${name} at 1/${scale}`);
      drafts++;
    }
  }
  assert.equal(drafts, 211);
});

test("every JPEG of the hostile set and of public reports has Pillow's bytes, or is refused as by Pillow", {
  skip,
}, () => {
  const { files }: { files: Record<string, Expected> } = parse(`${shared}/hostile/expected.json`);
  const hostile = Object.entries(files).filter(([name]) => name.endsWith(".jpg"));
  assert.ok(hostile.length > 5);
  for (const [name, { size, sha256, error }] of hostile)
    check(name, read(`${shared}/hostile/${name}`), { size, sha256, error });
  const reports = readdirSync(`${shared}/wild`).filter((name) => name.startsWith("jpeg-"));
  assert.ok(reports.length > 5);
  for (const name of reports) {
    const { data } = pixels(name, read(`${shared}/wild/${name}/image.jpg`));
    assert.equal(sha256(data), sha256(read(`${shared}/wild/${name}/pillow.rgb`)), name);
  }
});

test("scans that work without data are bounded", () => {
  // 10,000 × 10,000 pixels, lossless, and scans of one component without any, which Pillow would take one after the
  // other.
  const table = `ffc4001400${"01".padEnd(32, "0")}00`;
  const frame = "ffc300110827102710" + "03" + "011100" + "021100" + "031100";
  const scan = "ffda000801" + "0100" + "010000";
  const bytes = new Uint8Array(Buffer.from(`ffd8${table}${frame}${scan.repeat(50)}ffd9`, "hex"));
  assert.throws(
    () => atOnce(readJpeg({ bytes, label: "it", pixelLimit: 1e8 })),
    /^Error: decode: it has JPEG data that cannot be decoded: 11 scans ask for more work than a picture is worth$/,
  );
});

const named = (name: string) => cases.find((other) => other.name === name)!;

test("images that are decoded by turns do not meet in a decoder", () => {
  const chosen = ["baseline 2x2", "progressive 2x2", "CMYK", "lossless, predictor 4", "arithmetic"].map(named);
  const label = "the image";
  const slices = chosen.map(({ bytes }) => readJpeg({ bytes, label, pixelLimit: 1e6 }));
  const done = new Map<number, string>();
  while (done.size < slices.length) {
    for (const [i, slice] of slices.entries()) {
      if (done.has(i)) continue;
      const { done: isDone, value } = slice.next();
      if (isDone) done.set(i, sha256(value.data));
    }
  }
  assert.deepEqual(
    chosen.map((_, i) => done.get(i)),
    chosen.map((expected) => expected.sha256),
  );
});

test("what one image leaves in a decoder, the next does not see", () => {
  const accepted = cases.filter(({ error }) => error === undefined);
  for (const { name, bytes, sha256: expected } of [...accepted, ...[...accepted].reverse()]) {
    const slices = readJpeg({ bytes, label: name, pixelLimit: 1e6 });
    slices.next();
    slices.return(undefined as never);
    assert.equal(sha256(pixels(name, bytes).data), expected, name);
  }
});

test("draft is Pillow's: the smallest of 1/1, 1/2, 1/4 and 1/8 that has the size asked for, before it is turned upright", async () => {
  const { bytes } = named("baseline 2x2");
  const sizeOf = async (width: number, height: number) => {
    const image = await decode(bytes, { draft: { width, height } });
    return [image.width, image.height];
  };
  assert.deepEqual(await sizeOf(27, 21), [27, 21]);
  assert.deepEqual(await sizeOf(14, 10), [27, 21]);
  assert.deepEqual(await sizeOf(13, 10), [14, 11]);
  assert.deepEqual(await sizeOf(4, 5), [7, 6]);
  assert.deepEqual(await sizeOf(1, 1), [4, 3]);
  assert.deepEqual(await sizeOf(1, 21), [27, 21]);
  const png = read("tests/fixtures/image/rgb-8.png");
  assert.deepEqual(await decode(png, { draft: { width: 1, height: 1 } }), await decode(png));
  for (const draft of [{ width: 0, height: 1 }, { width: 1.5, height: 1 }, { width: 1 } as never]) {
    await assert.rejects(decode(bytes, { draft }), {
      name: "RangeError",
      message: /^decode: draft must have a width and a height that are positive integers; got /,
    });
  }
});
