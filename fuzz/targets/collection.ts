/** Files of a collection: Parquet as it is written here (tests/parquet.test.ts has hyparquet beside it), and heads of arrays. */
import { encodeRows } from "../../src/collection/parquet.js";
import { encodeNpy, readNpyHead } from "../../src/io/npy.js";
import { readParquet } from "../../src/io/parquet.js";
import { fromBytes } from "../../src/io/source.js";
import { expect, type Target } from "../target.js";

const refuse = (fault: string): never => {
  throw new Error(`collection: "name" ${fault}`);
};
const NAMES = ["image_path", "size", "time", "hash", "metadata"];
const row = (i: number) => ({
  ...{ id: `photos/${i}.jpg`, size: i % 3 ? i : null, time: 1.7e12 + i / 4 },
  ...{ hash: i % 20 > 10 ? null : "0a".repeat(32), metadata: i % 2 ? null : '{"year":2026}' },
});
const rows = (count: number) =>
  encodeRows(
    Array.from({ length: count }, (_, i) => row(i)),
    [{ id: "a", error: "b" }],
  );

export const parquet: Target = {
  seeds: [await rows(0), await rows(1), await rows(9), await rows(20)],
  mutators: [],
  refusal: /^collection: "name" must /,
  milliseconds: 50,
  bytes: 8e6,
  run(input) {
    const { rows, columns } = readParquet(input, NAMES, refuse);
    expect(
      columns.every(({ length }) => length === rows) && 4 * rows <= input.length,
      () => `${rows} rows of ${input.length} bytes`,
    );
    return undefined;
  },
};

export const npy: Target = {
  seeds: [
    encodeNpy({ dims: [3, 4], data: new Float32Array(12) }),
    encodeNpy({ dims: [0, 4], data: new Float32Array(0) }),
  ],
  mutators: [],
  refusal: /^npy: must /,
  milliseconds: 50,
  bytes: 8e6,
  async run(input) {
    const { shape, begin } = await readNpyHead(fromBytes(input, "name"), (rule, got) => {
      throw new Error(`npy: must ${rule}; got ${got}`);
    });
    expect(begin <= input.length && shape.every(Number.isSafeInteger), () => `begins at ${begin}`);
    return undefined;
  },
};
