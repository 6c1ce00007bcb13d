/** NumPy archives: what NumPy wrote is read, and what is broken is refused in one sentence. The golden test compares a model. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { crc32, deflateRawSync } from "node:zlib";
import { load } from "../src/index.js";
import { openCheckpoint } from "../src/io/checkpoint.js";

const FOLDER = "tests/fixtures/checkpoints/npz-vit";
const ROOT = mkdtempSync(join(tmpdir(), "vitrail-npz-"));
after(() => rmSync(ROOT, { recursive: true }));

interface Member {
  readonly name: string;
  readonly data: Uint8Array;
  readonly deflate?: boolean;
  /** What the directory says in place of the truth. */
  readonly size?: number;
}

/** A zip as APPNOTE 6.3 has it: members, central directory, end. */
function zip(members: readonly Member[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const { name, data, deflate = false, size = data.length } of members) {
    const packed = deflate ? deflateRawSync(data) : data;
    const label = new TextEncoder().encode(name);
    const common = (view: DataView, from: number) => {
      view.setUint16(from, 20, true);
      view.setUint16(from + 4, deflate ? 8 : 0, true);
      view.setUint32(from + 10, crc32(data), true);
      view.setUint32(from + 14, packed.length, true);
      view.setUint32(from + 18, size, true);
      view.setUint16(from + 22, label.length, true);
    };
    const local = new DataView(new ArrayBuffer(30));
    local.setUint32(0, 0x04034b50, true);
    common(local, 4);
    const central = new DataView(new ArrayBuffer(46));
    central.setUint32(0, 0x02014b50, true);
    central.setUint16(4, 20, true);
    common(central, 6);
    central.setUint32(42, at, true);
    parts.push(new Uint8Array(local.buffer), label, packed);
    directory.push(new Uint8Array(central.buffer), label);
    at += 30 + label.length + packed.length;
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, members.length, true);
  end.setUint16(10, members.length, true);
  end.setUint32(12, length, true);
  end.setUint32(16, at, true);
  return new Uint8Array(Buffer.concat([...parts, ...directory, new Uint8Array(end.buffer)]));
}

/** An .npy file as numpy.lib.format describes it. */
function npy(head: string, data: ArrayLike<number> = [1, 2, 3], { version = 1, magic = "\x93NUMPY" } = {}): Uint8Array {
  const text = `${head.padEnd(117)}\n`;
  const before = version === 1 ? 10 : 12;
  const bytes = new Uint8Array(before + text.length + 4 * data.length);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < 6; i++) bytes[i] = magic.charCodeAt(i);
  bytes[6] = version;
  if (version === 1) view.setUint16(8, text.length, true);
  else view.setUint32(8, text.length, true);
  for (let i = 0; i < text.length; i++) bytes[before + i] = text.charCodeAt(i);
  for (let i = 0; i < data.length; i++) view.setFloat32(before + text.length + 4 * i, data[i]!, true);
  return bytes;
}

const HEAD = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }";

async function valuesOf(bytes: Uint8Array): Promise<Record<string, number[]>> {
  const checkpoint = await openCheckpoint({ weights: bytes });
  const values: Record<string, number[]> = {};
  await checkpoint.read({
    wanted: () => true,
    stage: (length) => new Uint8Array(length),
    store({ name }, _, bytes) {
      values[name] = [...(values[name] ?? []), ...new Float32Array(bytes.slice().buffer)];
      return -1;
    },
  });
  return values;
}

test("arrays that are stored and deflated, of both versions of the format", async () => {
  const bytes = zip([
    { name: "a/kernel.npy", data: npy(HEAD) },
    { name: "b.npy", data: npy(HEAD, [4, 5, 6], { version: 2 }), deflate: true },
    { name: "scalar.npy", data: npy(HEAD.replace("(3,)", "()"), [7]), deflate: true },
  ]);
  assert.deepEqual(await valuesOf(bytes), { "a/kernel": [1, 2, 3], b: [4, 5, 6], scalar: [7] });
});

test("a folder, a file and bytes are the same model", async () => {
  const bytes = new Uint8Array(readFileSync(join(FOLDER, "model.npz")));
  const image = { data: new Uint8Array(3 * 12 * 12).fill(99), width: 12, height: 12 };
  using folder = await load(FOLDER, { config: { heads: 3 } });
  const wanted = await folder.classify(image);
  for (const source of [join(FOLDER, "model.npz"), { weights: bytes }, { weights: new Blob([bytes]) }]) {
    using model = await load(source);
    assert.deepEqual(await model.classify(image), wanted);
  }
});

const one = (data: Uint8Array, more: Partial<Member> = {}) => zip([{ name: "x.npy", data, ...more }]);
const REFUSED: Record<string, [Uint8Array | ReadableStream<Uint8Array>, RegExp]> = {
  "a zip that is cut": [one(npy(HEAD)).subarray(0, 150), /^npz: "weights" must be a zip of \.npy files; /],
  "another file in the zip": [
    zip([{ name: "readme.txt", data: new Uint8Array(3) }]),
    /^npz: "weights" must hold \.npy files only; got "readme\.txt"$/,
  ],
  "an array twice": [
    zip([
      { name: "x.npy", data: npy(HEAD) },
      { name: "x.npy", data: npy(HEAD) },
    ]),
    /^npz: "weights" holds "x\.npy" twice$/,
  ],
  "another magic": [one(npy(HEAD, [], { magic: "NUMPY!" })), /must begin with NumPy's magic; got other bytes$/],
  "another version": [one(npy(HEAD, [], { version: 9 })), /must be of version 1, 2 or 3; got 9$/],
  "a head without a shape": [
    one(npy("{'descr': '<f4', 'fortran_order': False}")),
    /must have a head that says descr, fortran_order and shape; got /,
  ],
  "big-endian floats": [one(npy(HEAD.replace("<f4", ">f4"))), /must be of a type among <f8, .*; got >f4$/],
  "Fortran order": [
    one(npy(HEAD.replace("False", "True").replace("(3,)", "(3, 1)"))),
    /must be in C order; got Fortran order$/,
  ],
  "fewer elements than its shape": [
    one(npy(HEAD.replace("(3,)", "(4,)"))),
    /must have 16 bytes behind its head; got 12$/,
  ],
  "a shape of more than there is in the world": [
    one(npy(HEAD.replace("(3,)", "(999999999, 999999999)"))),
    /must have 4e\+18 bytes behind its head|must have 3999999992000000000 bytes behind its head; got 12$/,
  ],
  nothing: [one(new Uint8Array(3)), /must begin with the head of an array; got 3 bytes$/],
  "a stream": [
    new Blob([one(npy(HEAD)) as Uint8Array<ArrayBuffer>]).stream(),
    /must be a file or bytes, as a zip is read from its end; got a stream$/,
  ],
};
for (const [what, [weights, message]] of Object.entries(REFUSED)) {
  test(`refuses ${what}`, async () => {
    await assert.rejects(openCheckpoint({ weights }), { name: "Error", message });
  });
}

test("refuses a member that is larger than it says", async () => {
  const array = npy(HEAD);
  const data = new Uint8Array(array.length + 2 ** 20);
  data.set(array);
  await assert.rejects(valuesOf(one(data, { deflate: true, size: array.length })), /size|expected/);
});

test("a file that is no zip of a model says what it lacks", async () => {
  const path = join(ROOT, "other.npz");
  writeFileSync(path, one(npy(HEAD)));
  await assert.rejects(load(path), /^Error: load: ".*other\.npz" must hold a patch embedding named as one of /);
});
