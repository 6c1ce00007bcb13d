/** Parquet of a collection: written by hyparquet-writer, read here in bounded time, and by hyparquet as it is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parquetReadObjects } from "hyparquet";
import { digestOf, encodeRows, type PhotoRow, readRows } from "../src/collection/parquet.js";
import { readParquet } from "../src/io/parquet.js";
import { fromBytes } from "../src/io/source.js";

const FAILURES = [{ id: "none.jpg", error: "not an image" }];
/** Nulls in runs and one by one, as levels have them. */
const rowOf = (i: number): PhotoRow => ({
  id: `photos/${i} ü🙂.jpg`,
  size: i % 7 === 3 ? null : i * 1000,
  time: i % 2 ? null : 1.7e12 + i + 0.25,
  hash: i > 10 && i < 1090 ? null : "0a".repeat(32),
  metadata: i % 5 ? null : JSON.stringify({ i }),
});
const rowsOf = (count: number) => Array.from({ length: count }, (_, i) => rowOf(i));
const read = (bytes: Uint8Array, count?: number) =>
  readRows(fromBytes(bytes, "name"), "name", { count, digest: digestOf(bytes) });

test("rows come back as they were, and hyparquet reads the same", async () => {
  for (const count of [0, 1, 7, 8, 9, 64, 1200]) {
    const rows = rowsOf(count);
    const bytes = await encodeRows(rows, FAILURES);
    assert.deepEqual(await read(bytes, count), { rows, failures: FAILURES });
    const theirs = await parquetReadObjects({ file: bytes.slice().buffer });
    assert.deepEqual(
      theirs.map(({ image_path: id, ...rest }) => ({ id, ...rest })),
      rows,
    );
  }
  await assert.rejects(
    read(await encodeRows(rowsOf(3)), 4),
    /^Error: collection: "name" must have a row for each of 4/,
  );
});

test("whatever a file says whose digest is right, its rows are bounded by its bytes, and a fault is one sentence", async () => {
  const whole = await encodeRows(rowsOf(30), FAILURES);
  const head = whole.length - 8 - new DataView(whole.buffer).getUint32(whole.length - 8, true);
  let random = 1;
  const below = (n: number) => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    return Math.floor((random / 2 ** 32) * n);
  };
  let refused = 0;
  for (let i = 0; i < 4000; i++) {
    const bytes = whole.slice();
    for (let changes = 0; changes <= i % 4; changes++) {
      // Metadata more often than pages; ends of numbers more often than others.
      const at = i % 3 ? head + below(bytes.length - head) : below(bytes.length);
      bytes[at] = i % 2 ? below(256) : [0, 1, 127, 128, 255][below(5)]!;
    }
    const cut = i % 10 ? bytes : bytes.subarray(0, below(bytes.length));
    try {
      assert.ok(4 * (await read(cut)).rows.length <= cut.length);
    } catch (error) {
      refused++;
      assert.match(String(error), /^Error: collection: [^\n]{1,300}$/);
    }
  }
  assert.ok(refused > 1000, `${refused}`);
});

test("claims of more than there is are refused before they are believed", async () => {
  const bytes = await encodeRows(rowsOf(8));
  const refuse = (fault: string): never => {
    throw new Error(fault);
  };
  const names = ["image_path", "size", "time", "hash", "metadata"];
  const refuses = (bytes: Uint8Array, fault: RegExp) => assert.throws(() => readParquet(bytes, names, refuse), fault);
  refuses(new Uint8Array(3), /^Error: must begin and end with PAR1$/);
  refuses(
    new TextEncoder().encode("PAR1 nothing PAR1"),
    /^Error: must have room for its \d+ bytes of metadata; it has 17 in all$/,
  );
  assert.throws(
    () => readParquet(bytes, ["other"], refuse),
    /^Error: must have the column other; it has \["image_path"/,
  );
  // The compressed size of the first page, behind its kind and its size, becomes -1: other readers go back and read it again.
  assert.deepEqual([...bytes.subarray(4, 7)], [0x15, 6, 0x15]);
  const at = 7 + bytes.subarray(7).findIndex((byte) => byte < 128) + 1;
  assert.ok(bytes[at] === 0x15 && bytes[at + 1]! >= 128 && bytes[at + 2]! < 128);
  bytes.set([0x81, 0], at + 1);
  refuses(bytes, /^Error: must say the size of a page$/);
});
