/** What Pillow makes of a file, and whether a reader makes the same of it. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { ImageFile, Reader } from "../src/image/decode/file.js";
import { atOnce } from "../src/image/slices.js";

/** The size and the SHA-256 of `convert("RGB")`, or the error. */
export interface Expected {
  size?: readonly number[] | undefined;
  sha256?: string | undefined;
  error?: string | undefined;
}

/** SHA-256 of the bytes of an array. */
export const sha256 = (data: Uint8Array | Float32Array) => createHash("sha256").update(data).digest("hex");

export const fileOf = (bytes: Uint8Array, name = "picture", pixelLimit = 178_956_970): ImageFile => ({
  bytes,
  label: `"${name}"`,
  pixelLimit,
});

/** As it is stored: none of these references turns pictures by their EXIF orientation. What Pillow refuses takes one sentence. */
export function check(reader: Reader, name: string, bytes: Uint8Array, expected: Expected): void {
  const read = () => {
    const { data, width, height, free } = atOnce(reader(fileOf(bytes, name)));
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
