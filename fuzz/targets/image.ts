/** Encoded images: `decode`, and Pillow beside it. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { decode } from "../../src/image/decode/index.js";
import { fromBase64 } from "../../src/platform/bytes.js";
import type { Mutator } from "../mutate/mutator.js";
import { type Answer, expect, PIXEL_LIMIT, type Target } from "../target.js";
import { outline } from "../verdict.js";
import { fixture } from "./json.js";

const MOST_SEED_BYTES = 2048;

/** Files that Pillow and tests/fixtures made, as they lie there or in a list of cases; see make.py in each folder. */
function fixturesOf(format: string): Uint8Array[] {
  const ending = format === "jpeg" ? ".jpg" : `.${format}`;
  const names = readdirSync(fixture("image/")).filter((name) => name.endsWith(ending));
  const files = names.map((name) => new Uint8Array(readFileSync(fixture(`image/${name}`))));
  const list = fixture(`${format}/cases.json`);
  if (!existsSync(list)) return files;
  const cases: Record<string, Case> = JSON.parse(readFileSync(list, "utf8"));
  const small = Object.values(cases).filter(({ size: [w, h] = [Infinity, 1] }) => w * h <= PIXEL_LIMIT);
  return [...files, ...small.map((given) => fromBase64(given[format] as string))];
}

/** A file, as base64 under the name of its format, and its size in pixels if Pillow reads it. */
type Case = { readonly size?: readonly [number, number] } & Readonly<Record<string, unknown>>;

/** The target of a format, by the name of its fixtures. */
export function imageTarget(format: string, mutators: readonly Mutator[]): Target {
  return {
    seeds: fixturesOf(format).filter(({ length }) => length <= MOST_SEED_BYTES),
    mutators,
    refusal: /^decode: the image /,
    turns: true,
    async run(input) {
      const { data, width, height } = await decode(input, { pixelLimit: PIXEL_LIMIT });
      expect(
        data instanceof Uint8Array && data.length === 3 * width * height,
        () => `${width}×${height} in ${data?.length} bytes`,
      );
      expect(width * height <= PIXEL_LIMIT, () => `${width}×${height} are more pixels than allowed`);
      return { width, height, sha256: createHash("sha256").update(data).digest("hex") };
    },
    against: { pillow: compare },
  };
}

function compare(ours: Answer, theirs: Answer): string | undefined {
  if ("error" in ours) return "error" in theirs ? undefined : `only Pillow reads it; here: ${outline(ours.error)}`;
  if ("error" in theirs) return `only read here; Pillow: ${outline(theirs.error)}`;
  const [a, b] = [ours.result, theirs.result];
  if (a.width !== b.width || a.height !== b.height) return `another size, in mode ${b.mode}`;
  return a.sha256 === b.sha256 ? undefined : `other pixels, in mode ${b.mode}`;
}
