/** Tar archives, cut into chunks of uneven sizes as a stream brings them: `tarEntries`, and the bytes of every other entry. */
import { tarEntries } from "../../src/io/tar.js";
import { join, type Mutator, splice } from "../mutate/mutator.js";
import { expect, type Target } from "../target.js";
import { noise } from "./json.js";

const BLOCK = 512;
const text = (value: string) => new TextEncoder().encode(value);

/** A header's checksum made right, which the code under test looks at first. */
function summed(archive: Uint8Array, at: number): Uint8Array {
  const header = archive.slice(at, at + BLOCK).fill(0x20, 148, 156);
  const sum = header.reduce((all, byte) => all + byte, 0);
  return splice(archive, at + 148, at + 156, text(`${sum.toString(8).padStart(6, "0")}\0 `));
}

/** An entry as POSIX's ustar has it. */
function entry(name: string, bytes: Uint8Array, kind = "0"): Uint8Array {
  const header = new Uint8Array(BLOCK);
  const fields = [
    [0, name],
    [124, `${bytes.length.toString(8).padStart(11, "0")}\0`],
    [136, "00000000017\0"],
    [156, kind],
    [257, "ustar\x0000"],
  ] as const;
  for (const [at, value] of fields) header.set(text(value), at);
  return join(summed(header, 0), bytes, new Uint8Array((BLOCK - (bytes.length % BLOCK)) % BLOCK));
}

/** Changes a field of a header, whose checksum is right again. */
const mutateTar: Mutator = (input, { random, dictionary }) => {
  const blocks = Math.floor(input.length / BLOCK);
  if (blocks === 0) return undefined;
  const at = BLOCK * random.below(blocks);
  const field = at + random.pick([0, 124, 125, 135, 136, 156, 257, 345]);
  const value = random.pick([...dictionary, text("7777777777"), text("x"), text("L"), [0x80], [0xff], [0]]);
  const changed = splice(input, field, Math.min(field + value.length, at + BLOCK), value.slice(0, at + BLOCK - field));
  return summed(changed, at);
};

const target: Target = {
  seeds: [
    join(entry("a.jpg", noise(700)), entry("b/c.png", noise(12)), new Uint8Array(2 * BLOCK)),
    join(entry("././@LongLink", text(`${"d/".repeat(60)}e.png\0`), "L"), entry("d", noise(512))),
    join(entry("x", text("14 path=e.jpg\n11 size=12\n"), "x"), entry("f", noise(12)), entry("g", noise(0), "5")),
  ],
  mutators: [mutateTar],
  refusal: /^tar: /,
  longest: 8 * BLOCK,
  bytes: 16e6,
  milliseconds: 100,
  async run(input) {
    async function* chunks() {
      for (let at = 0, length = 1; at < input.length; at += length, length = (length * 7 + 3) % 1021) {
        yield input.subarray(at, at + length);
      }
    }
    let taken = 0;
    let index = 0;
    for await (const { size, bytes } of tarEntries(chunks(), "archive")) {
      if (index++ % 2) continue;
      const { length } = await bytes();
      expect(length === size, () => `${length} bytes of an entry of ${size}`);
      taken += length;
    }
    expect(taken <= input.length, () => `${taken} bytes of an archive of ${input.length}`);
    return undefined;
  },
};
export default target;
