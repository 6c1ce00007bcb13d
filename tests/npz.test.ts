/** NumPy archives: what NumPy wrote is read, and what is broken is refused in one sentence. The golden test compares a model. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { arriving } from "../src/hub/download.js";
import { load } from "../src/index.js";
import { openCheckpoint } from "../src/io/checkpoint.js";
import { type Member, zip } from "./zip.js";

const FOLDER = "tests/fixtures/checkpoints/npz-vit";
const ROOT = mkdtempSync(join(tmpdir(), "vitrail-npz-"));
after(() => rmSync(ROOT, { recursive: true }));

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
/** Bytes 28 on of an archive are the name of its first member, then what is packed of it. */
const zeros = (length: number) => {
  const head = npy(HEAD.replace("(3,)", `(${length / 4},)`), []);
  const data = new Uint8Array(head.length + length);
  data.set(head);
  return data;
};
const LARGE = zeros(2 ** 25);
/** An archive whose end says other numbers of members, bytes and where the directory begins. */
function claiming(members: number, bytes: number, at: number): Uint8Array {
  const archive = one(npy(HEAD));
  const view = new DataView(archive.buffer, archive.length - 22);
  for (const field of [8, 10]) view.setUint16(field, members, true);
  view.setUint32(12, bytes, true);
  view.setUint32(16, at, true);
  return archive;
}
/** The same in 64 bits: record, locator and end, in place of the end. */
function claiming64(members: bigint, bytes: bigint, at: bigint): Uint8Array {
  const archive = one(npy(HEAD));
  const record = new DataView(new ArrayBuffer(56 + 20 + 22));
  record.setUint32(0, 0x06064b50, true);
  record.setBigUint64(32, members, true);
  record.setBigUint64(40, bytes, true);
  record.setBigUint64(48, at, true);
  record.setUint32(56, 0x07064b50, true);
  record.setBigUint64(64, BigInt(archive.length - 22), true);
  record.setUint32(76, 0x06054b50, true);
  record.setUint16(86, 0xffff, true);
  return new Uint8Array(Buffer.concat([archive.subarray(0, archive.length - 22), new Uint8Array(record.buffer)]));
}
const many = (count: number, data: Uint8Array) =>
  zip(Array.from({ length: count }, (_, i) => ({ name: `${i.toString(36)}.npy`, data })));
const REFUSED: Record<string, [Uint8Array | ReadableStream<Uint8Array>, RegExp]> = {
  "a zip that is cut": [
    one(npy(HEAD)).subarray(0, 150),
    /^npz: "weights" must end with the directory of a zip; .* cut short or broken$/,
  ],
  "another file in the zip": [
    zip([{ name: "readme.txt", data: new Uint8Array(3) }]),
    /^torch: "weights" must have a data\.pkl, as the zips of torch\.save have, or be an \.npz; it holds "[^"]+", which must be unpacked first if it has the weights$/,
  ],
  "another file beside an array": [
    zip([
      { name: "x.npy", data: npy(HEAD) },
      { name: "readme.txt", data: new Uint8Array(3) },
    ]),
    /^npz: "weights" must hold \.npy files only; got "readme\.txt"$/,
  ],
  "an array twice": [
    zip([
      { name: "x.npy", data: npy(HEAD) },
      { name: "x.npy", data: npy(HEAD) },
    ]),
    /^npz: "weights" must have each entry once; it has "x\.npy" twice$/,
  ],
  "another magic": [one(npy(HEAD, [], { magic: "NUMPY!" })), /must begin with NumPy's magic; got other bytes$/],
  "another version": [one(npy(HEAD, [], { version: 9 })), /must be of version 1, 2 or 3; got 9$/],
  "a head without a shape": [
    one(npy("{'descr': '<f4', 'fortran_order': False}")),
    /must have a head that says descr, fortran_order and shape; got /,
  ],
  "big-endian floats": [one(npy(HEAD.replace("<f4", ">f4"))), /must be of a type among <f8, .*; got ">f4"$/],
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
  "zeros that unpack to a thousand times their bytes": [
    one(LARGE, { deflate: true }),
    /^npz: "weights" of \d+ bytes may unpack to 16777216 at most; it claims 33554560$/,
  ],
  "members that claim more bytes than there are": [
    zip([
      { name: "x.npy", data: npy(HEAD), packed: 140 },
      { name: "y.npy", data: npy(HEAD), size: 2 ** 31, packed: 2 ** 31 },
    ]),
    /^npz: "weights" must have room for the 2147483648 bytes of "y\.npy"; there are fewer before what follows$/,
  ],
  "a member that claims more bytes than there are, deflated": [
    one(npy(HEAD), { deflate: true, packed: 2 ** 20 }),
    /^npz: "weights" must have room for the 1048576 bytes of "x\.npy"; there are fewer before what follows$/,
  ],
  "more members than a model has arrays": [many(2049, npy(HEAD)), /must have at most 2048 members; it has 2049$/],
  "a directory that is longer than it is": [
    claiming(1, 2 ** 20, 0),
    /must have its directory before its end; it is said to lie elsewhere$/,
  ],
  "a directory of more than four megabytes": [
    zip(Array.from({ length: 70 }, (_, i) => ({ name: `${String(i).padStart(65_000, "x")}.npy`, data: npy(HEAD) }))),
    /must have a directory of at most 4194304 bytes; it has 4553500$/,
  ],
  "more members than the directory has": [
    claiming(60000, 51, 175),
    /must have a directory of 60000 entries; it is too short$/,
  ],
  "2^60 members in a directory of one": [
    claiming64(2n ** 60n, 51n, 175n),
    /must have a directory of \d{19} entries; it is too short$/,
  ],
  "a directory of 2^60 bytes": [
    claiming64(1n, 2n ** 60n, 175n),
    /must have its directory before its end; it is said to lie elsewhere$/,
  ],
  "an array of 65 dimensions": [
    one(
      npy(
        HEAD.replace("(3,)", `(3,${"1,".repeat(64)})`)
          .replaceAll(" ", "")
          .padEnd(255),
        undefined,
      ),
    ),
    /must have at most 64 dimensions; got 65$/,
  ],
  "a stream": [
    new Blob([one(npy(HEAD)) as Uint8Array<ArrayBuffer>]).stream(),
    /must be a file, bytes or a Blob, as it is no safetensors; got a stream$/,
  ],
};
for (const [what, [weights, message]] of Object.entries(REFUSED)) {
  test(`refuses ${what}`, async () => {
    await assert.rejects(openCheckpoint({ weights }), { name: "Error", message });
  });
}

test("refuses a member that is larger than it says", async () => {
  const array = npy(HEAD);
  const data = new Uint8Array(array.length + 2 ** 15);
  data.set(array);
  await assert.rejects(valuesOf(one(data, { deflate: true, size: array.length })), {
    message: /^npz: "weights" must inflate "x\.npy" to 140 bytes; it gives more$/,
  });
});

test("a file that is no zip of a model says what it lacks", async () => {
  const path = join(ROOT, "other.npz");
  writeFileSync(path, one(npy(HEAD)));
  await assert.rejects(load(path), /^Error: load: ".*other\.npz" must hold a patch embedding named as one of /);
});

test("an archive at an address is given up behind its most bytes", async () => {
  let sent = 0;
  let stopped = false;
  async function* endless(): AsyncGenerator<Uint8Array, void> {
    try {
      for (; ; sent += 1000) yield new Uint8Array(1000).fill(0x4b).fill(0x50, 0, 1);
    } finally {
      stopped = true;
    }
  }
  await assert.rejects(arriving(endless(), "http://host/model.npz", 10_000), {
    message: 'file: "http://host/model.npz" has more than 10,000 bytes, the most of an archive',
  });
  assert.equal(sent, 10_000);
  assert.ok(stopped, "the server must be told");
});
