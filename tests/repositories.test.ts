/**
 * Stand-ins of the repositories that are downloaded most (tests/fixtures/repositories/make.py): each loads as it lies on the Hub and
 * gives what its library computes, or is refused by name. They need the libraries, so they are made where Python is at hand:
 *
 *     python tests/fixtures/repositories/make.py build/repositories && node --test dist/tests/repositories.test.js
 *
 * With VITRAIL_TABLE=1 it writes what came of each into the table of tests/fixtures/repositories/README.md.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { type EmbedOptions, type LoadOptions, load, type Model, type OutputName, type Tensor } from "../src/index.js";

const ROOT = process.env.VITRAIL_REPOSITORIES ?? "build/repositories";
const PHOTO = join(ROOT, "photo.png");
const README = "tests/fixtures/repositories/README.md";

/** The most used repositories, of which make.py has stand-ins, and why it has none of the others. */
const ROWS = 63;
const UNTRIED: Readonly<Record<number, readonly [repository: string, why: string]>> = {
  28: [
    "depth-anything/Depth-Anything-V2-Small",
    "refused by name: a .pth with a depth head in names of its own, without a config",
  ],
  29: ["depth-anything/DA3-GIANT", "refused by name: cameras and rays of several views, in a layout of its own"],
};

interface Expected {
  readonly repository: string;
  /** Place among the most used. */
  readonly row: number | null;
  /** File of a head, for the model in the folder base. */
  readonly head?: string;
  readonly options?: LoadOptions;
  /** Of a tagger: the tags above it. */
  readonly threshold?: number;
  /** Part of the message by which it is refused. */
  readonly says?: string;
  /** What it is, if it is refused. */
  readonly why?: string;
  readonly processor?: "torchvision";
  /** Probabilities by label. */
  readonly scores?: Readonly<Record<string, number>>;
  /** Of the model's size. */
  readonly depth?: readonly number[];
  /** Texts that are looked for. */
  readonly labels?: readonly string[];
  readonly detections?: readonly { readonly score: number; readonly index: number; readonly box: readonly number[] }[];
  readonly pooling?: "pooler_output" | "token" | "none";
  readonly features?: readonly number[];
  /** Features of texts. */
  readonly texts?: Readonly<Record<string, readonly number[]>>;
  /** Of a forward pass with the photo's pixel values and these inputs. */
  readonly inputs?: Readonly<Record<string, { readonly dims: number[]; readonly data: number[] }>>;
  readonly outputs?: Readonly<Partial<Record<OutputName, readonly number[]>>>;
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
    const top = await model.classify(PHOTO, { topK: 100, threshold: want.threshold });
    assert.equal(top.length, Object.keys(want.scores).length);
    for (const { label, probability } of top) {
      const score = want.scores[label]!;
      assert.ok(Math.abs(score - probability) < 1e-5 * Math.max(1, Math.abs(score)), `${label}: ${probability}`);
    }
  }
  if (want.depth) assertRow((await model.depth(PHOTO, { size: "model" })).data, want.depth, "depth");
  if (want.detections) {
    const found = await model.detect(PHOTO, { labels: want.labels, threshold: 0 });
    assert.equal(found.length, want.detections.length);
    // In any order: scores may be equal.
    for (const { score, index, box } of want.detections) {
      const like = found.some(({ index: other, probability, box: { xmin, ymin, xmax, ymax } }) => {
        const far = Math.max(...[xmin, ymin, xmax, ymax].map((x, i) => Math.abs(x - box[i]!)));
        return other === index && Math.abs(probability - score) < 1e-5 && far < 2e-3;
      });
      assert.ok(like, `no box ${box} of ${index}, ${score}`);
    }
  }
  if (want.features) {
    const ofPooler = model.config.pooled === "none" ? "head" : "pooler";
    const pooling: EmbedOptions["pooling"] = want.pooling === "pooler_output" ? ofPooler : want.pooling;
    assertRow(await model.embed(PHOTO, { pooling }), want.features, "the photo");
  }
  for (const [text, row] of Object.entries(want.texts ?? {})) assertRow(await model.text!.embed(text), row, text);
  if (want.outputs) {
    const names = Object.keys(want.outputs) as OutputName[];
    // Of points and boxes floats.
    const inputs = Object.entries(want.inputs ?? {}).map(([name, { dims, data }]) => {
      return [name, { dims, data: /Points|Boxes/.test(name) ? Float32Array.from(data as number[]) : data }];
    });
    const pixelValues = await model.preprocess(PHOTO);
    const got = await model.forward({ pixelValues, ...Object.fromEntries(inputs) }, { outputs: names });
    for (const name of names) assertRow(Float32Array.from((got[name] as Tensor).data), want.outputs[name]!, name);
  }
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
  const outcomes = new Map<number, { repository: string; outcome: string }[]>();
  for (const name of names) {
    const want = JSON.parse(readFileSync(join(ROOT, name, "expected.json"), "utf8")) as Expected;
    const note = (outcome: string) => {
      if (want.row === null) return;
      outcomes.set(want.row, [...(outcomes.get(want.row) ?? []), { repository: want.repository, outcome }]);
    };
    for (const backend of ["wasm", "reference"] as const) {
      test(`${want.repository} on ${backend}`, async () => {
        const head = want.head === undefined ? undefined : join(ROOT, name, "main", want.head);
        const place = join(ROOT, name, head === undefined ? "main" : "base");
        const loading = load(place, { backend, processor: want.processor, head, ...want.options });
        if (want.says !== undefined) {
          await assert.rejects(loading, ({ message }: Error) => {
            if (backend === "wasm") note(`refused by name: ${want.why}`);
            return message.includes(want.says!);
          });
          return;
        }
        using model = await loading;
        await compare(model, want);
        if (backend === "wasm") note(howOf(want));
      });
    }
  }

  after(() => {
    const rows = Array.from({ length: ROWS }, (_, i) => {
      const of = outcomes.get(i + 1) ?? [
        { repository: UNTRIED[i + 1]?.[0] ?? "?", outcome: UNTRIED[i + 1]?.[1] ?? "?" },
      ];
      return `| ${i + 1} | ${of.map(({ repository }) => repository).join(", ")} | ${[...new Set(of.map((one) => one.outcome))].join("; ")} |`;
    });
    const loaded = rows.filter((row) => row.includes("| loads")).length;
    const table = ["| # | repository | what came of its stand-in |", "| --- | --- | --- |", ...rows].join("\n");
    console.log(`${loaded} of ${ROWS} rows load`);
    if (process.env.VITRAIL_TABLE === undefined) return;
    const text = readFileSync(README, "utf8");
    const [before, rest] = text.split("<!-- table -->\n") as [string, string];
    const after = rest.slice(rest.indexOf("<!-- /table -->"));
    const said = `${loaded} of ${ROWS} load.\n\n${table}\n\n`;
    writeFileSync(README, `${before}<!-- table -->\n\n${said}${after}`);
  });
}

/** Words for a stand-in that gave its library's numbers. */
function howOf(of: Expected): string {
  const { scores, texts, head, options, text, threshold } = of;
  const { depth, detections, outputs } = of;
  const numbers = depth
    ? "depth"
    : outputs
      ? Object.keys(outputs).join(", ")
      : detections
        ? "boxes"
        : threshold !== undefined
          ? "tags"
          : scores
            ? "scores"
            : texts || text
              ? "features of images and texts"
              : "features";
  const how = head ? " of the option head" : options?.prefix ? ` of the image tower, by prefix ${options.prefix}` : "";
  return `loads: ${numbers}${how}`;
}
