/** Headers that the format allows and forbids, with the exact messages; values against NumPy's and PyTorch's. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type ConvertibleTensor, encode, headerLength, isConvertible, parseHeader } from "../src/io/safetensors.js";
import { widen } from "../src/numerics/elements.js";

const fixture = (name: string) => readFileSync(`tests/fixtures/safetensors/${name}`);
const golden = JSON.parse(fixture("widened.json").toString()) as {
  mixed: Record<string, number[]>;
  allF16: string;
  allBF16: string;
};

/** A file of this header and as many zeros as data. */
function file(header: string | Uint8Array, dataBytes = 0, length?: bigint): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const parse = (bytes: Uint8Array, fileSize = bytes.length) => {
  const length = headerLength(bytes.subarray(0, 8), fileSize, "a.safetensors");
  return parseHeader(bytes.subarray(8, 8 + length), { name: "a.safetensors", fileSize });
};

/** JSON of a header; entries as [name, dtype, shape, begin, end]. */
const header = (...entries: [name: string, dtype: unknown, shape: unknown, begin: unknown, end: unknown][]) =>
  `{${entries
    .map(([name, dtype, shape, ...data_offsets]) => `"${name}":${JSON.stringify({ dtype, shape, data_offsets })}`)
    .join()}}`;

const latin1 = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));
const shape2x3 = (end: number) => header(["x", "F32", [2, 3], 0, end]);

const forbidden: [what: string, bytes: Uint8Array, message: string][] = [
  ["empty file", new Uint8Array(0), '"a.safetensors" has 0 bytes; the length of the header alone takes 8'],
  ["7 bytes", new Uint8Array(7), '"a.safetensors" has 7 bytes; the length of the header alone takes 8'],
  [
    "header longer than the file",
    file("{}", 502, 9007n),
    'header of "a.safetensors" says 9,007 bytes but the file has 512',
  ],
  [
    "header one byte longer than the file",
    file("{}", 0, 3n),
    'header of "a.safetensors" says 3 bytes but the file has 10',
  ],
  [
    "header of 10 GB",
    file("{}", 0, 10_000_000_000n),
    'header of "a.safetensors" says 10,000,000,000 bytes but the file has 10',
  ],
  [
    "header of 2^64 - 1",
    file("{}", 0, 2n ** 64n - 1n),
    'header of "a.safetensors" says 2^53 bytes or more but the file has 10',
  ],
  [
    "Git LFS pointer",
    latin1("version https://git-lfs.github.com/spec/v1\n"),
    '"a.safetensors" is a Git LFS pointer, not the file that it stands for',
  ],
  ["empty header", file(""), 'header of "a.safetensors" must start with "{"'],
  ["array as header", file("[1]"), 'header of "a.safetensors" must start with "{"'],
  ["space before", file(" {}"), 'header of "a.safetensors" must start with "{"'],
  ["byte order mark", file(latin1("\xef\xbb\xbf{}")), 'header of "a.safetensors" must start with "{"'],
  ["bad UTF-8", file(latin1('{"\xff":0}')), 'header of "a.safetensors" is not valid UTF-8'],
  ["cut JSON", file('{"a":{"dtype"'), 'header of "a.safetensors" is not valid JSON'],
  ["zeros after", file("{}\0\0"), 'header of "a.safetensors" is not valid JSON'],
  [
    "same name twice",
    file(
      `{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`,
      1,
    ),
    'header of "a.safetensors" has "x" twice',
  ],
  [
    "same name twice, spelled differently",
    file(String.raw`{"\"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0022x" :{"shape":[1]}}`, 1),
    String.raw`header of "a.safetensors" has "\"x" twice`,
  ],
  [
    "same field twice",
    file('{"x":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}', 1),
    'header of "a.safetensors" has "dtype" twice',
  ],
  [
    "metadata not texts",
    file('{"__metadata__":{"epoch":3}}'),
    'header of "a.safetensors" must map texts to texts in "__metadata__"; it holds {"epoch":3}',
  ],
  ["tensor not an object", file('{"x":[1]}'), 'header of "a.safetensors" must describe "x" by an object; it holds [1]'],
  ["tensor null", file('{"x":null}'), 'header of "a.safetensors" must describe "x" by an object; it holds null'],
  [
    "unknown dtype",
    file(header(["x", "F128", [1], 0, 16]), 16),
    'header of "a.safetensors" gives "x" the dtype "F128", which the format does not have',
  ],
  [
    "dtype of a prototype",
    file(header(["x", "constructor", [1], 0, 16]), 16),
    'header of "a.safetensors" gives "x" the dtype "constructor", which the format does not have',
  ],
  [
    "no dtype",
    file('{"x":{"shape":[],"data_offsets":[0,4]}}', 4),
    'header of "a.safetensors" gives "x" the dtype nothing, which the format does not have',
  ],
  [
    "negative size",
    file(header(["x", "F32", [-1], 0, 4]), 4),
    'header of "a.safetensors" must give "x" a shape of whole numbers; it holds [-1]',
  ],
  [
    "broken size",
    file(header(["x", "F32", [0.5], 0, 2]), 2),
    'header of "a.safetensors" must give "x" a shape of whole numbers; it holds [0.5]',
  ],
  [
    "size of 2^53",
    file(header(["x", "U8", [2 ** 53], 0, 2]), 2),
    'header of "a.safetensors" must give "x" a shape of whole numbers; it holds [9007199254740992]',
  ],
  ...["1.0", "1e0", "1E0", "0.1e1", "10e-1"].map((one): (typeof forbidden)[number] => [
    `size of ${one}`,
    file(`{"x":{"dtype":"F32","shape":[${one}],"data_offsets":[0,4]}}`, 4),
    `header of "a.safetensors" must write the whole numbers of "shape" in digits alone; it holds ${one}`,
  ]),
  ...["-0", "0.0", "-0.0", "0e5"].map((zero): (typeof forbidden)[number] => [
    `offset of ${zero}`,
    file(`{"x":{"dtype":"F32","shape":[1],"data_offsets":[${zero},4]}}`, 4),
    `header of "a.safetensors" must write the whole numbers of "data_offsets" in digits alone; it holds ${zero}`,
  ]),
  [
    "number out of range",
    file('{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"scale":-1e999}}', 4),
    'header of "a.safetensors" has a number out of range: -1e999',
  ],
  [
    "nesting of 128 levels",
    file(`{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"y":${"[".repeat(126)}${"]".repeat(126)}}}`, 4),
    'header of "a.safetensors" nests values deeper than 127 levels',
  ],
  [
    "half a character",
    file(String.raw`{"x\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4),
    String.raw`header of "a.safetensors" has a text that is no Unicode: "x\ud800"`,
  ],
  [
    "shape a text",
    file(header(["x", "F32", "1", 0, 4]), 4),
    'header of "a.safetensors" must give "x" a shape of whole numbers; it holds "1"',
  ],
  [
    "no shape",
    file('{"x":{"dtype":"F32","data_offsets":[0,4]}}', 4),
    'header of "a.safetensors" must give "x" a shape of whole numbers; it holds nothing',
  ],
  [
    "shape that overflows",
    file(header(["x", "F32", [2 ** 40, 2 ** 40], 0, 0])),
    'header of "a.safetensors" gives "x" the shape [1099511627776,1099511627776], too large for any file',
  ],
  [
    "shape that overflows before it is zero",
    file(header(["x", "F32", [2 ** 52, 2 ** 52, 0], 0, 0])),
    'header of "a.safetensors" gives "x" the shape [4503599627370496,4503599627370496,0], too large for any file',
  ],
  [
    "one offset",
    file('{"x":{"dtype":"F32","shape":[1],"data_offsets":[4]}}', 4),
    'header of "a.safetensors" must give "x" two data_offsets, whole numbers; it holds [4]',
  ],
  [
    "negative offset",
    file(header(["x", "F32", [1], -4, 0])),
    'header of "a.safetensors" must give "x" two data_offsets, whole numbers; it holds [-4,0]',
  ],
  [
    "offsets swapped",
    file(header(["x", "F32", [1], 4, 0]), 4),
    'header of "a.safetensors" lets "x" begin at 4 and end before, at 0',
  ],
  [
    "too few bytes",
    file(shape2x3(20), 20),
    'header of "a.safetensors" gives "x", F32 of shape [2,3], 20 bytes; it takes 24',
  ],
  [
    "bytes for a shape with zero",
    file(header(["x", "F32", [0, 3], 0, 12]), 12),
    'header of "a.safetensors" gives "x", F32 of shape [0,3], 12 bytes; it takes 0',
  ],
  [
    "half a byte",
    file(header(["x", "F4", [3], 0, 2]), 2),
    'header of "a.safetensors" gives "x", F4 of shape [3], 2 bytes; it takes 1.5',
  ],
  [
    "overlap",
    file(header(["x", "U8", [8], 0, 8], ["y", "U8", [8], 4, 12]), 12),
    'header of "a.safetensors" lets tensors overlap: "y" begins at byte 118, "x" ends at 122',
  ],
  [
    "two tensors in one place",
    file(header(["x", "U8", [8], 0, 8], ["y", "I8", [8], 0, 8]), 8),
    'header of "a.safetensors" lets tensors overlap: "y" begins at byte 113, "x" ends at 121',
  ],
  [
    "hole",
    file(header(["x", "U8", [4], 0, 4], ["y", "U8", [4], 8, 12]), 12),
    'header of "a.safetensors" leaves a hole: bytes 118 to 122 belong to no tensor',
  ],
  [
    "hole at the start",
    file(header(["x", "U8", [4], 4, 8]), 8),
    'header of "a.safetensors" leaves a hole: bytes 61 to 65 belong to no tensor',
  ],
  [
    "truncated data",
    file(shape2x3(24), 23),
    'header of "a.safetensors" describes a file of 89 bytes but the file has 88',
  ],
  [
    "bytes after the data",
    file(shape2x3(24), 25),
    'header of "a.safetensors" describes a file of 89 bytes but the file has 90',
  ],
  [
    "bytes after an empty header",
    file("{}", 1),
    'header of "a.safetensors" describes a file of 10 bytes but the file has 11',
  ],
];

for (const [what, bytes, message] of forbidden) {
  test(`refuses ${what}`, () => {
    assert.throws(() => parse(bytes), { name: "Error", message: `safetensors: ${message}` });
  });
}

test("refuses a header above 100 MB, whatever the size of the file", () => {
  const message = 'safetensors: header of "a" says 100,000,001 bytes; the format allows 100,000,000';
  const first8 = file("", 0, 100_000_001n);
  assert.throws(() => headerLength(first8, 1e9, "a"), { message });
  assert.throws(() => headerLength(first8, Number.POSITIVE_INFINITY, "a"), { message });
  assert.equal(headerLength(file("", 0, 100_000_000n), 1e9, "a"), 100_000_000);
});

test("takes what the format allows", () => {
  assert.deepEqual(parse(file("{}")), []);
  assert.deepEqual(parse(file('{"__metadata__":{"x":"y"}}   ')), []);
  // Any order in the header, empty tensors anywhere, scalars, fields of later versions, types without an f32 value.
  const bytes = file(
    `{"b":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[4,7],"new":{"a":1}},"e":{"dtype":"I64","shape":[3,0],` +
      `"data_offsets":[4,4]},"__proto__":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`,
    7,
  );
  const start = bytes.length - 7;
  const base = { file: "a.safetensors" };
  assert.deepEqual(parse(bytes), [
    { ...base, name: "__proto__", dtype: "F32", shape: [], begin: start, end: start + 4 },
    { ...base, name: "e", dtype: "I64", shape: [3, 0], begin: start + 4, end: start + 4 },
    { ...base, name: "b", dtype: "F6_E2M3", shape: [4], begin: start + 4, end: start + 7 },
  ]);
});

test("what Rust's reader takes beside the rules is taken: unknown fields of numbers, 127 levels, escaped pairs", () => {
  const nested = `${"[".repeat(125)}${"]".repeat(125)}`;
  const entry = `{"dtype":"F32","shape":[1],"data_offsets":[0,4],"y":${nested},"z":[1.5,-1e-3]}`;
  const [info] = parse(file(`{"${String.raw`\ud83d\ude00`}":${entry}}`, 4));
  assert.deepEqual([info!.name, info!.shape], ["😀", [1]]);
});

test("a long header is checked without exhausting the stack", () => {
  const name = '\\"'.repeat(2e6);
  assert.equal(parse(file(`{"${name}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`)).length, 1);
  const deep = `${'{"a":'.repeat(1e5)}0${"}".repeat(1e5)}`;
  assert.throws(() => parse(file(`{"x":${deep}}`)), /nests values deeper than 127 levels/);
});

test("where the size of a stream is unknown, its end is not compared", () => {
  assert.equal(parse(file(shape2x3(24)), Number.POSITIVE_INFINITY)[0]!.end, 89);
});

/** Bits of every value, for comparisons that tell 0 from -0. */
const bitsOf = (values: Float32Array) => [...new Uint32Array(values.buffer, values.byteOffset, values.length)];

test("a file written by PyTorch: every convertible type has PyTorch's values as float32", () => {
  const bytes = fixture("mixed.safetensors");
  const infos = parse(bytes);
  assert.deepEqual(
    infos.filter((info) => !isConvertible(info)).map(({ name, dtype }) => [name, dtype]),
    [
      ["u16", "U16"],
      ["f8", "F8_E4M3"],
    ],
  );
  const convertible = infos.filter(isConvertible);
  assert.deepEqual(convertible.map(({ name }) => name).sort(), Object.keys(golden.mixed).sort());
  for (const { name, dtype, begin, end } of convertible) {
    assert.deepEqual(bitsOf(widen(bytes.subarray(begin, end), dtype)), golden.mixed[name], name);
  }
});

test("all 65,536 values of F16 and BF16 widen as NumPy's", () => {
  const every = new Uint8Array(Uint16Array.from({ length: 65536 }, (_, i) => i).buffer);
  for (const dtype of ["F16", "BF16"] as const) {
    const values = widen(every, dtype);
    const numbers = values.filter((value) => !Number.isNaN(value));
    const digest = createHash("sha256").update(new Uint8Array(numbers.buffer)).digest("hex");
    assert.equal(digest, golden[`all${dtype}`], dtype);
    const [exponent, fraction] = dtype === "F16" ? [0x7c00, 0x3ff] : [0x7f80, 0x7f];
    const isNaNBits = (i: number) => (i & exponent) === exponent && (i & fraction) !== 0;
    assert.ok(values.every((value, i) => Number.isNaN(value) === isNaNBits(i)));
  }
});

test("encode writes the bytes that the Python library writes", () => {
  const tensors = [
    { name: "a", shape: [2, 3], data: Float32Array.of(0, 1, 2, 3, 4, 5) },
    { name: 'b "é', shape: [1], data: Float32Array.of(9, 0.5).subarray(1) },
  ];
  assert.deepEqual(encode(tensors, { k: "v" }), new Uint8Array(fixture("f32.safetensors")));
});

test("encode and parse agree on any names and shapes", () => {
  const names = ["__proto__", "1", "0", "", '\u2028"\\'];
  const tensors = names.map((name, i) => ({ name, shape: [i, 2], data: new Float32Array(2 * i).fill(i) }));
  const bytes = encode(tensors);
  const read = parse(bytes).map(({ name, dtype, shape, begin, end }) => ({
    name,
    shape,
    data: widen(bytes.subarray(begin, end), dtype as ConvertibleTensor["dtype"]),
  }));
  assert.deepEqual(read, tensors);
  assert.deepEqual(encode([]), file("{}      "));
});

test("encode refuses what would not read back", () => {
  const x = { name: "x", shape: [2, 2], data: new Float32Array(4) };
  assert.throws(() => encode([x, x]), { name: "RangeError", message: 'safetensors: "x" is given twice' });
  assert.throws(() => encode([{ ...x, shape: [4, 2] }]), {
    name: "RangeError",
    message: 'safetensors: "x" of shape [4,2] takes 8 elements, got 4',
  });
});
