/** Files of a collection: Parquet as it is written here, with hyparquet beside it in tests/parquet.test.ts; arrays; and tar archives. */
import { encodeRows } from "../../src/collection/parquet.js";
import { encodeNpy, readNpyHead } from "../../src/io/npy.js";
import { readParquet } from "../../src/io/parquet.js";
import { fromBytes } from "../../src/io/source.js";
import { tarEntries } from "../../src/io/tar.js";
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

/** A tar archive of files by name. */
function archive(files: Readonly<Record<string, string>>): Uint8Array {
  const blocks = Object.entries(files).flatMap(([name, text]) => {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write(`${text.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write("        0ustar\x0000", 148, "latin1");
    header.write(
      `${header
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, "0")}\0 `,
      148,
    );
    return [header, Buffer.from(text), Buffer.alloc((512 - (text.length % 512)) % 512)];
  });
  return new Uint8Array(Buffer.concat([...blocks, Buffer.alloc(1024)]));
}

export const tar: Target = {
  seeds: [archive({}), archive({ "a.jpg": "photo", "a.json": '{"b":1}' }), archive({ "long.jpg": "x".repeat(600) })],
  mutators: [],
  refusal: /^tar: "name" /,
  longest: 8192,
  milliseconds: 100,
  bytes: 8e6,
  async run(input) {
    async function* chunks() {
      for (let at = 0; at < input.length; at += 700) yield input.subarray(at, at + 700);
    }
    let all = 0;
    for await (const { size, bytes } of tarEntries(chunks(), "name")) {
      all += size % 2 ? (await bytes()).length : 0;
      expect(all <= input.length, () => `${all} bytes of ${input.length}`);
    }
    return undefined;
  },
};
