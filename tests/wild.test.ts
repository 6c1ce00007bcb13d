/**
 * Checkpoints as people have them: tiny ones of our own (tests/fixtures/wild, made by make.py there) and those of public reports,
 * which lie beside a developer's checkout. What the library gives for a photo, or a refusal that names the cause.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type LoadOptions, load, type Model } from "../src/index.js";

const ROOTS = ["tests/fixtures/wild", process.env.VITRAIL_WILD ?? "../shared/wild"];

interface Expected {
  readonly note: string;
  readonly scores?: readonly { readonly label: string; readonly score: number }[];
  readonly logits?: readonly number[];
  readonly features?: readonly number[] | readonly (readonly number[])[];
  readonly texts?: readonly string[];
  readonly features_with_clip_defaults?: readonly number[];
  readonly pixel_values_sum?: number;
  readonly pixel_values_sum_with_clip_defaults?: number;
  readonly labels?: readonly string[];
  /** Tags that a tagger gives by itself, and with another threshold. */
  readonly tags?: readonly { readonly label: string; readonly category: string }[];
  readonly threshold?: number;
  readonly tags_above_threshold?: readonly string[];
  readonly error?: string;
  /** Of our own: options of load, and what the error's message has in it. */
  readonly options?: LoadOptions;
  readonly ignore?: string;
  readonly names?: readonly string[];
}

/** Words that the message of a refusal must have, and options without which a checkpoint is refused. */
const CASES: Readonly<Record<string, { readonly names?: readonly string[]; readonly options?: LoadOptions }>> = {
  "do-resize-false": { names: ["32×32", "75×53"] },
  "lora-adapter": { names: ["adapter", "google/vit-base-patch16-224-in21k"] },
  "extra-tensors": {
    names: ["loss_fct.weight", "num_batches_tracked", "ignore"],
    options: { ignore: /^(loss_fct\.weight|num_batches_tracked)$/ },
  },
};

function close(got: ArrayLike<number>, want: readonly number[], bound: number, what: string): void {
  assert.equal(got.length, want.length, what);
  for (const [i, x] of want.entries()) {
    assert.ok(
      Math.abs(got[i]! - x) <= bound,
      `${what}: element ${i} is ${got[i]}, not ${x}, which is more than ${bound} off`,
    );
  }
}

const largest = (values: readonly number[]) => Math.max(...values.map(Math.abs));

async function compare(model: Model, photo: string, expected: Expected): Promise<void> {
  const { scores, logits, texts } = expected;
  const sum = expected.pixel_values_sum ?? expected.pixel_values_sum_with_clip_defaults;
  if (sum !== undefined) {
    const { data } = await model.preprocess(photo);
    const got = data.reduce((total, x) => total + x, 0);
    assert.ok(Math.abs(got - sum) < 1e-3, `pixel values make ${got}, not ${sum}`);
  }
  if (scores) {
    const top = await model.classify(photo, { topK: 99 });
    assert.deepEqual(
      top.map(({ label }) => label),
      scores.map(({ label }) => label),
    );
    close(
      top.map(({ probability }) => probability),
      scores.map(({ score }) => score),
      1e-5,
      "scores",
    );
  }
  if (expected.tags) {
    const got = await model.classify(photo);
    assert.deepEqual(
      got.map(({ label, category }) => ({ label, category })),
      expected.tags,
    );
    const { threshold } = expected;
    const above = await model.classify(photo, { threshold });
    assert.deepEqual(
      above.map(({ label }) => label),
      expected.tags_above_threshold,
    );
  }
  if (expected.labels) assert.deepEqual(model.labels, expected.labels);
  if (logits) {
    const top = await model.classify(photo, { topK: 99 });
    const got = top.sort((a, b) => a.index - b.index).map(({ logit }) => logit);
    close(got, logits, 2e-5 * largest(logits), "logits");
  }
  if (texts) {
    const rows = expected.features as readonly (readonly number[])[];
    const got = await model.text!.embed(texts);
    close(got, rows.flat(), 2e-5 * largest(rows.flat()), "features of texts");
    return;
  }
  const features = (expected.features ?? expected.features_with_clip_defaults) as readonly number[] | undefined;
  if (features) close(await model.embed(photo), features, 2e-5 * largest(features), "features");
}

/** A sentence that names the cause. */
async function refused(folder: string, photo: string, names: readonly string[], options: LoadOptions): Promise<void> {
  await assert.rejects(
    async () => {
      using model = await load(folder, options);
      await model.classify(photo);
    },
    ({ message }: Error) => {
      for (const name of names) assert.ok(message.includes(name), `"${message}" does not name ${name}`);
      assert.match(message, /^[^\n]{1,900}[^.\n]$/);
      return true;
    },
  );
}

for (const root of ROOTS) {
  if (!existsSync(root)) {
    test(root, { skip: `${root} is absent: it is not part of the package` }, () => {});
    continue;
  }
  for (const name of readdirSync(root)) {
    const folder = join(root, name, "model");
    // Its family has come since: tests/swin.test.ts.
    if (!existsSync(folder) || name === "swin-named") continue;
    const photo = [join(root, name, "photo.png"), join(root, "photo.png")].find(existsSync)!;
    const expected = JSON.parse(readFileSync(join(root, name, "expected.json"), "utf8")) as Expected;
    const { options, names = [] } = { ...expected, ...CASES[name] };
    const numbers = expected.scores ?? expected.logits ?? expected.features ?? expected.features_with_clip_defaults;
    for (const backend of ["wasm", "reference"] as const) {
      test(`${join(root, name)}, ${backend}: ${expected.note}`, async () => {
        // The base of an adapter is not asked for.
        if (!numbers || names.length > 0) await refused(folder, photo, names, { backend, offline: true });
        if (!numbers) {
          assert.ok(names.length > 0, "nothing says what the refusal must name");
          return;
        }
        const ignore = expected.ignore === undefined ? options?.ignore : new RegExp(expected.ignore);
        using model = await load(folder, { backend, ...options, ignore });
        await compare(model, photo, expected);
      });
    }
  }
}
