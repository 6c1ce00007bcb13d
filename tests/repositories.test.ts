/**
 * Stand-ins of the repositories that are downloaded most (tests/fixtures/repositories/make.py): each loads as it lies on the Hub and
 * gives what its library computes, or is refused by name. They need the libraries, so they are made where Python is at hand:
 *
 *     python tests/fixtures/repositories/make.py build/repositories && node --test dist/tests/repositories.test.js
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { load, type Model } from "../src/index.js";

const ROOT = process.env.VITRAIL_REPOSITORIES ?? "build/repositories";
const PHOTO = join(ROOT, "photo.png");

interface Expected {
  readonly repository: string;
  /** Part of the message by which it is refused. */
  readonly says?: string;
  readonly processor?: "torchvision";
  /** Probabilities by label. */
  readonly scores?: Readonly<Record<string, number>>;
  readonly pooling?: "pooler_output" | "token";
  readonly features?: readonly number[];
  /** Features of texts. */
  readonly texts?: Readonly<Record<string, readonly number[]>>;
  /** Ids of a text without its padding, and its features. */
  readonly ids?: readonly number[];
  readonly text?: readonly number[];
}

function assertRow(got: Float32Array, want: readonly number[], what: string): void {
  assert.equal(got.length, want.length, what);
  const largest = want.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  const furthest = want.reduce((max, x, i) => Math.max(max, Math.abs(x - got[i]!)), 0);
  assert.ok(furthest <= 2e-5 * largest, `${what}: ${furthest} from the library's, of ${largest}`);
}

async function compare(model: Model, want: Expected): Promise<void> {
  if (want.scores) {
    for (const { label, probability } of await model.classify(PHOTO, { topK: 100 })) {
      assert.ok(Math.abs(want.scores[label]! - probability) < 1e-5, `${label}: ${probability}`);
    }
  }
  if (want.features) {
    const ofPooler = model.config.pooled === "none" ? "head" : "pooler";
    const pooling = want.pooling === "pooler_output" ? ofPooler : want.pooling;
    assertRow(await model.embed(PHOTO, { pooling }), want.features, "the photo");
  }
  for (const [text, row] of Object.entries(want.texts ?? {})) assertRow(await model.text!.embed(text), row, text);
  if (want.ids) {
    const { length } = model.config.text!;
    const padded = Array.from({ length }, (_, i) => want.ids![i] ?? 0);
    const mask = padded.map((_, i) => Number(i < want.ids!.length));
    // OpenCLIP shows its own towers their padding.
    const attentionMask = model.config.text!.postNorm ? { dims: [1, length], data: mask } : undefined;
    const inputs = { inputIds: { dims: [1, length], data: padded }, attentionMask };
    const { textFeatures } = await model.forward(inputs, { outputs: ["textFeatures"] });
    assertRow(textFeatures.data, want.text!, "the text");
  }
}

if (!existsSync(PHOTO)) {
  const skip = `${ROOT} is absent: python tests/fixtures/repositories/make.py ${ROOT} makes it`;
  test("the repositories that are downloaded most", { skip }, () => undefined);
} else {
  const names = readdirSync(ROOT, { withFileTypes: true })
    .filter((owner) => owner.isDirectory())
    .flatMap(({ name: owner }) => readdirSync(join(ROOT, owner)).map((name) => join(owner, name)));
  for (const name of names) {
    const want = JSON.parse(readFileSync(join(ROOT, name, "expected.json"), "utf8")) as Expected;
    for (const backend of ["wasm", "reference"] as const) {
      test(`${want.repository} on ${backend}`, async () => {
        const loading = load(join(ROOT, name, "main"), { backend, processor: want.processor });
        if (want.says !== undefined) {
          await assert.rejects(loading, (error: Error) => error.message.includes(want.says!));
          return;
        }
        using model = await loading;
        await compare(model, want);
      });
    }
  }
}
