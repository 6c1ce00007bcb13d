/** Tar archives: as tar, GNU and pax, write them, and as nobody should. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { tarEntries } from "../src/io/tar.js";

const root = mkdtempSync(join(tmpdir(), "vitrail-tar-"));
after(() => rmSync(root, { recursive: true }));

/** Names and texts of an archive that comes in pieces of `length` bytes. */
async function read(archive: Uint8Array, length = 100): Promise<[name: string, text: string][]> {
  async function* pieces() {
    for (let at = 0; at < archive.length; at += length) yield archive.subarray(at, at + length);
  }
  const found: [string, string][] = [];
  for await (const { name, bytes } of tarEntries(pieces(), "a.tar")) {
    found.push([name, name.endsWith("passed") ? "" : new TextDecoder().decode(await bytes())]);
  }
  return found;
}

test("archives of tar's formats, in pieces of any size; what is not asked for is passed over", async (t) => {
  const folder = join(root, "files");
  const deep = `${"long-".repeat(30)}name`;
  mkdirSync(join(folder, deep), { recursive: true });
  const files: Readonly<Record<string, string>> = {
    empty: "",
    "one.passed": "x".repeat(2000),
    räksmörgås: "a name of UTF-8",
    [`${deep}/file`]: "y".repeat(512),
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  for (const format of ["ustar", "gnu", "pax"]) {
    let archive: Buffer;
    try {
      const order = ["--sort=name", `--format=${format}`];
      archive = execFileSync("tar", [...order, "-cf", "-", "-C", folder, ...Object.keys(files)], {
        stdio: ["ignore", "pipe", "pipe"],
      });
    } catch (error) {
      t.diagnostic(`${format} is not written here: ${String((error as { stderr?: Buffer }).stderr).trim()}`);
      continue;
    }
    const expected = Object.entries(files).map(([name, text]) => [name, name.endsWith("passed") ? "" : text]);
    for (const length of [1, 100, 512, archive.length])
      assert.deepEqual(await read(archive, length), expected, `${format} ${length}`);
    // Without the zeros at its end, as some write it.
    const end = archive.length - [...archive].reverse().findIndex((byte) => byte !== 0);
    assert.deepEqual(await read(archive.subarray(0, Math.ceil(end / 512) * 512)), expected);
  }
});

/** An archive's header of these fields, with its sum. */
function header(fields: Readonly<Record<number, string>>): Buffer {
  const bytes = Buffer.alloc(512);
  for (const [at, text] of Object.entries({ 0: "a", 124: "00000000000", 156: "0", 257: "ustar\0", ...fields })) {
    bytes.write(text, Number(at), "latin1");
  }
  bytes.write("        ", 148);
  bytes.write(
    `${bytes
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `,
    148,
  );
  return bytes;
}

test("archives that lie are refused in one sentence, and cost what they have", async () => {
  const huge = header({ 124: "77777777777" });
  const cases: [archive: Buffer, error: RegExp][] = [
    [Buffer.alloc(600, 7), /^Error: tar: "a\.tar" must have a header at byte 0; it has none$/],
    [header({}).subarray(0, 400), /^Error: tar: "a\.tar" ends inside an entry$/],
    [Buffer.concat([huge, Buffer.alloc(1000)]), /ends inside an entry$/],
    [header({ 124: "9999" }), /must give the entry at byte 0 a size; it gives none$/],
    [header({ 124: "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" }), /must give the entry at byte 0 a size/],
    [header({ 156: "L", 124: "00077777777" }), /must have names of at most 1048576 bytes; it has one of 16777215$/],
    [Buffer.concat([header({}), Buffer.alloc(512, 65)]), /must have a header at byte 512; it has none$/],
  ];
  for (const [archive, error] of cases) await assert.rejects(read(archive), error, String(error));
  // Records that say a size which is none.
  const pax = Buffer.concat([
    header({ 156: "x", 124: "00000000013" }),
    Buffer.from("11 size=-5\n".padEnd(512, "\0")),
    header({}),
  ]);
  await assert.rejects(read(pax), /a size; it gives none$/);
  assert.deepEqual(await read(Buffer.alloc(0)), []);
});
