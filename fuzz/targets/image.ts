/** Encoded images: `decode`, and Pillow beside it. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { decode } from "../../src/image/decode.js";
import { fromBase64 } from "../../src/platform/bytes.js";
import type { Mutator } from "../mutate/mutator.js";
import { type Answer, expect, PIXEL_LIMIT, type Target } from "../target.js";
import { outline } from "../verdict.js";
import { fixture } from "./json.js";

/** Made by Pillow; see make.py there. */
const FIXTURES = fixture("image/");
const MOST_SEED_BYTES = 2048;

/** WebP files by what is special about them; see make.py there. */
const WEBP: Readonly<Record<string, { webp: string; error?: string }>> = JSON.parse(
  readFileSync(fixture("webp/cases.json"), "utf8"),
);

/** The target of a format, by the ending of its files. */
export function imageTarget(ending: string, mutators: readonly Mutator[]): Target {
  const names = readdirSync(FIXTURES).filter((name) => name.endsWith(ending));
  const files = names.map((name) => new Uint8Array(readFileSync(new URL(name, FIXTURES))));
  const cases = Object.values(ending === ".webp" ? WEBP : {}).filter(({ error }) => error === undefined);
  const seeds = [...files, ...cases.map(({ webp }) => fromBase64(webp))];
  return {
    seeds: seeds.filter(({ length }) => length <= MOST_SEED_BYTES),
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
