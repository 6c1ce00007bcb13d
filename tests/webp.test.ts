// WebP against Pillow: the pixels by SHA-256, or a refusal where Pillow refuses. tests/fixtures/webp/cases.json (make.py there) and,
// where it is beside the repository, every WebP of ../shared: its goldens and its hostile files; decode.test.ts has
// those of decode.json.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { atOnce } from "../src/image/slices.js";
import { readWebp } from "../src/image/webp.js";

const shared = "../shared";
const skip = existsSync(shared) ? false : `${shared} is absent: its WebP files are not compared with Pillow`;

interface Expected {
  size?: readonly number[];
  sha256?: string;
  error?: string;
}

const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
const parse = (file: string) => JSON.parse(readFileSync(file, "utf8"));

/** As it is stored: none of these references turns pictures by their EXIF orientation. */
function check(name: string, bytes: Uint8Array, expected: Expected): void {
  const file = { bytes, label: `"${name}"`, pixelLimit: 178_956_970 };
  const read = () => {
    const { data, width, height, free } = atOnce(readWebp(file));
    const found = { size: [width, height], sha256: sha256(data) };
    free?.();
    return found;
  };
  if (expected.error === undefined) {
    assert.deepEqual(read(), { size: expected.size, sha256: expected.sha256 }, name);
    return;
  }
  assert.throws(
    read,
    ({ message }: Error) => message.startsWith(`decode: "${name}" `) && !/[\n.]$|undefined|NaN/.test(message),
    `${name}: ${expected.error}`,
  );
}

test("every case has Pillow's bytes, or is refused as by Pillow", () => {
  const cases: Record<string, Expected & { webp: string }> = parse("tests/fixtures/webp/cases.json");
  assert.ok(Object.keys(cases).length > 200);
  for (const [name, { webp, ...expected }] of Object.entries(cases)) {
    check(name, new Uint8Array(Buffer.from(webp, "base64")), expected);
  }
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
