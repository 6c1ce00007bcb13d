/**
 * Checkpoints by the names that transformers 5 has for their tensors in memory (tests/fixtures/memory-names.json), as
 * torch.save(model.state_dict()) writes them: the same numbers as by those of their files.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { compareAll } from "./goldens.js";
import { type ReadTensor, readCheckpoint } from "./tensors.js";

const FOLDER = "tests/fixtures/checkpoints";
const { names } = JSON.parse(readFileSync("tests/fixtures/memory-names.json", "utf8")) as {
  readonly names: Readonly<Record<string, Readonly<Record<string, string>>>>;
};

/** A tensor of a file, or a part of its rows: "name 1/3". */
function partOf(tensors: ReadonlyMap<string, ReadTensor>, found: string): ReadTensor {
  const [name, part] = found.split(" ") as [string, string?];
  const { dtype, shape, bytes } = tensors.get(name)!;
  if (part === undefined) return { dtype, shape, bytes };
  const [i, count] = part.split("/").map(Number) as [number, number];
  const length = bytes.length / count;
  return { dtype, shape: [shape[0]! / count, ...shape.slice(1)], bytes: bytes.subarray(i * length, (i + 1) * length) };
}

/** A safetensors file. */
function fileOf(tensors: ReadonlyMap<string, ReadTensor>): Uint8Array {
  let end = 0;
  const header: Record<string, object> = {};
  for (const [name, { dtype, shape, bytes }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return new Uint8Array(Buffer.concat([length, json, ...[...tensors.values()].map(({ bytes }) => bytes)]));
}

for (const [name, other] of Object.entries(names)) {
  test(`${name} by the names in memory`, async () => {
    const folder = join(FOLDER, name);
    const stored = await readCheckpoint(folder);
    const moved = new Set(Object.values(other).map((found) => found.split(" ")[0]!));
    const kept = [...stored].filter(([tensor]) => !moved.has(tensor));
    const taken = Object.entries(other).map(([tensor, found]) => [tensor, partOf(stored, found)] as const);
    assert.ok(taken.length > 4, "there are other names");
    const weights = fileOf(new Map([...kept, ...taken]));
    const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
    await compareAll({ config, weights }, (file) => readFileSync(join(folder, file)), { backend: "wasm" });
  });
}
