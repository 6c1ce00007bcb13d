/** Files that are no weights, under the names of weights: each is said to be what it is, and nothing of it is quoted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openCheckpoint } from "../src/io/checkpoint.js";
import { latin1 } from "../src/platform/bytes.js";

const text = (value: string) => new TextEncoder().encode(value);
const bytesOf = (value: string) => Uint8Array.from(value, (char) => char.charCodeAt(0));

const FILES: Readonly<Record<string, readonly [bytes: Uint8Array, is: RegExp]>> = {
  "no bytes": [new Uint8Array(), /it is empty$/],
  "a Git LFS pointer": [
    text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 346293852\n"),
    /a Git LFS pointer, .* which git lfs pull fetches$/,
  ],
  "a page": [text("<!DOCTYPE html>\n<html>secret</html>"), /an HTML page/],
  "a page behind a mark and blank lines": [text("\ufeff\r\n\n  <HTML lang=en>secret"), /an HTML page/],
  XML: [text('<?xml version="1.0"?><Error>secret</Error>'), /it is XML/],
  "an answer in JSON": [text('{"error":"secret"}'), /it is JSON/],
  "a config": [text('{\n  "architectures": ["secret"]\n}'), /it is JSON, such as a config/],
  "other text": [text("Entry not found: secret"), /it is text/],
  "text in UTF-16": [bytesOf("\xff\xfes\0e\0c\0r\0e\0t\0"), /it is text/],
  gzip: [bytesOf("\x1f\x8b\x08\0\0\0\0\0\0\x03secret"), /it is gzip/],
  HDF5: [bytesOf(`\x89HDF\r\n\x1a\n${"\0".repeat(100)}`), /it is HDF5/],
  ONNX: [bytesOf("\x08\x08\x12\x07pytorch\x1a\x05secret"), /an ONNX graph/],
  "an array of NumPy": [bytesOf("\x93NUMPY\x01\0v\0{'descr': '<f4'}"), /one array of NumPy/],
  GGUF: [bytesOf("GGUF\x03\0\0\0secret"), /it is GGUF/],
  "7-Zip": [bytesOf("7z\xbc\xaf\x27\x1csecret"), /a compressed archive/],
  "a tar": [bytesOf(`sys_info${"\0".repeat(249)}ustar  \0${"\0".repeat(300)}`), /a tar, as PyTorch 0\.1 wrote/],
  "a pickle of protocol 0": [text("(dp0\nVsecret\np1\nI1\ns."), /a pickle of something else/],
};

for (const [what, [bytes, is]] of Object.entries(FILES)) {
  test(`${what} in place of weights`, async () => {
    for (const name of ["pytorch_model.bin", "model.safetensors"]) {
      await assert.rejects(
        openCheckpoint({ weights: new File([bytes as Uint8Array<ArrayBuffer>], name) }),
        (error: Error) => {
          assert.match(error.message, new RegExp(`^checkpoint: "${name}" must be a file of weights; it is `));
          assert.match(error.message, is);
          assert.ok(!error.message.includes("secret"), error.message);
          return true;
        },
      );
    }
  });
}

test("safetensors under the name of a PyTorch file is read as what it is", async () => {
  const header = '{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}';
  const bytes = bytesOf(`${String.fromCharCode(header.length)}${"\0".repeat(7)}${header}ab`);
  const checkpoint = await openCheckpoint({
    weights: new File([bytes as Uint8Array<ArrayBuffer>], "pytorch_model.bin"),
  });
  assert.deepEqual([checkpoint.format, [...checkpoint.tensors.keys()]], ["safetensors", ["x"]]);
});

test("the option state is refused where there are no parts", async () => {
  for (const folder of ["hf-vit", "npz-vit"]) {
    await assert.rejects(openCheckpoint(`tests/fixtures/checkpoints/${folder}`, { state: "model" }), {
      name: "RangeError",
      message: /^load: state needs a training checkpoint of PyTorch; "[^"]+" is none$/,
    });
  }
});

test("a byte is a character of the same number, in every engine", () => {
  const all = Uint8Array.from({ length: 20_000 }, (_, i) => i % 256);
  assert.deepEqual(
    [...latin1(all)].map((character) => character.charCodeAt(0)),
    [...all],
  );
});
