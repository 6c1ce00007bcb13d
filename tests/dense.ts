/**
 * Tiny checkpoints of dense tasks (depth, boxes, masks, poses) with what transformers makes of them, in folders beside a
 * developer's checkout: every stored stage of the forward pass in f64, and what its post-processing gives.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Inputs, type LoadOptions, load, type Model, type OutputName, type Tensor } from "../src/index.js";
import { OUTPUT_NAMES } from "../src/vit/outputs.js";
import { assertClose } from "./backend.cases.js";
import { tensorsOf } from "./tensors.js";

export const DENSE = process.env.VITRAIL_DENSE ?? "../shared/goldens-dense";

/** Why there is nothing to compare with, for the option skip of a test. */
export const skipDense = existsSync(DENSE) ? false : `${DENSE} is absent: it is not part of the package`;

/** Largest difference, as a part of the largest magnitude of a tensor or as a multiple of PyTorch's own error in f32. */
const TOLERANCE = 3e-5;
const MULTIPLE = 20;

/** Scores of padding, which are the lowest f32, are no magnitude. */
const LOWEST = -1e38;

export interface DenseGolden {
  readonly file: string;
  readonly call: string;
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  readonly outputs: Readonly<Record<string, readonly number[]>>;
  readonly float32_error: Readonly<Record<string, { readonly max_abs_f32_vs_f64: number }>>;
  /** A call of the library's post-processing; its results are tensors post.IMAGE.NAME. */
  readonly post?: { readonly call: string };
}

export interface DenseCase {
  readonly name: string;
  readonly goldens: readonly DenseGolden[];
}

/** A golden's tensors, the model, and what `forward` gave. */
export interface DenseRun {
  readonly model: Model;
  readonly golden: DenseGolden;
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly outputs: Readonly<Record<string, Tensor | Tensor[]>>;
}

/** Results of a post-processing by the names of the goldens' tensors, from the outputs and the call's arguments. */
export type Post = (run: DenseRun, args: Readonly<Record<string, unknown>>) => Map<string, readonly number[]>;

export const denseCase = (folder: string, root = DENSE): DenseCase =>
  JSON.parse(readFileSync(join(root, folder, "case.json"), "utf8")) as DenseCase;

/** Names that are not transformers' in camel case: outputs of a tower in a larger model. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  vision_last_hidden_state: "lastHiddenState",
  vision_hidden_states: "hiddenStates",
};

const camelCase = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** The output of a golden's tensor, and its place in it where that is a list: `hidden_states.3`. */
function outputOf(key: string): { name: string; index: number | undefined } {
  const [, base, index] = /^(.*?)(?:\.(\d+))?$/.exec(key)!;
  return { name: OTHER_NAMES[base!] ?? camelCase(base!), index: index === undefined ? undefined : Number(index) };
}

/** Arguments of a call in Python, those that have names: numbers, lists and dictionaries. */
export function argumentsOf(call: string): Record<string, unknown> {
  const [, inside = ""] = /^[\w.]+\((.*)\)(?:: .*)?$/s.exec(call) ?? [];
  const named = inside.split(/, (?=\w+=)/).filter((part) => /^\w+=/.test(part));
  return Object.fromEntries(
    named.map((part) => {
      const [, name, value] = /^(\w+)=(.*)$/s.exec(part)!;
      const json = value!
        .replace(/\bNone\b/g, "null")
        .replace(/\b(True|False)\b/g, (word) => word.toLowerCase())
        .replaceAll("(", "[")
        .replaceAll(")", "]")
        .replaceAll("'", '"');
      return [name, JSON.parse(json)];
    }),
  );
}

const largest = (data: Float32Array): number =>
  data.reduce((max, x) => (x < LOWEST ? max : Math.max(max, Math.abs(x))), 0);

/**
 * Compares everything that a folder stores: outputs of every call, and results of post-processing by `posts`, the method's name
 * in the library.
 * @param root of the folder: by default that beside the checkout.
 * @param left outputs that are not given here, by the goldens' names; each must be stored.
 */
export async function compareDense(
  folder: string,
  options: LoadOptions,
  {
    root = DENSE,
    posts = {},
    left = [],
  }: {
    readonly root?: string;
    readonly posts?: Readonly<Record<string, Post>>;
    readonly left?: readonly RegExp[];
  } = {},
): Promise<void> {
  const { goldens } = denseCase(folder, root);
  using model = await load(join(root, folder), options);
  for (const golden of goldens) {
    const { file, call, inputs: given, outputs: stored, float32_error: errors, post } = golden;
    const tensors = tensorsOf(readFileSync(join(root, folder, file)), file);
    const inputs: Record<string, Tensor> = {};
    for (const key of Object.keys(given)) inputs[camelCase(key)] = tensors.get(key)!;
    const keys = Object.keys(stored).filter((key) => !left.some((pattern) => pattern.test(key)));
    const wanted = [...new Set(keys.map((key) => outputOf(key).name))];
    for (const name of wanted) {
      assert.ok((OUTPUT_NAMES as readonly string[]).includes(name), `${folder}/${file}: there is no output "${name}"`);
    }
    const outputs = await model.forward(inputs as Inputs, {
      outputs: wanted as OutputName[],
      interpolatePositions: /interpolate_pos_encoding=True/.test(call),
    });
    for (const key of keys) {
      const { name, index } = outputOf(key);
      const output = outputs[name as OutputName] as Tensor | Tensor[];
      const { dims, data } = index === undefined ? (output as Tensor) : (output as Tensor[])[index]!;
      const want = tensors.get(key)!;
      const what = `${folder}/${file} ${key}`;
      assert.deepEqual(dims, want.dims, what);
      const error = errors[key]?.max_abs_f32_vs_f64 ?? 0;
      assertClose(data, want.data, Math.max(TOLERANCE * largest(want.data), MULTIPLE * error), what);
    }
    if (!post) continue;
    const [, method] = /^\w+\.(\w+)\(/.exec(post.call)!;
    const compute = posts[method!] ?? assert.fail(`${folder}/${file}: nothing computes ${method}`);
    const results = compute({ model, golden, tensors, outputs: outputs as never }, argumentsOf(post.call));
    comparePost(`${folder}/${file}`, tensors, results);
  }
}

/** Most pixels that a box may be off, and most that a score may be off. */
const PIXELS = 1e-3;
const SCORE = 1e-5;

/** Every stored result, and no other: counts and integers are equal, coordinates within a thousandth of a pixel. */
function comparePost(
  what: string,
  tensors: ReadonlyMap<string, Tensor>,
  results: ReadonlyMap<string, readonly number[]>,
): void {
  const stored = [...tensors.keys()].filter((key) => key.startsWith("post."));
  assert.deepEqual([...results.keys()].sort(), stored.sort(), `${what}: names of results`);
  for (const key of stored) {
    const { data } = tensors.get(key)!;
    const got = results.get(key)!;
    assert.equal(got.length, data.length, `${what} ${key}: number of values`);
    if (data.length === 0) continue;
    let tolerance = /\.boxes$/.test(key) ? PIXELS : /\.(labels|segmentation)$/.test(key) ? 0 : SCORE;
    if (/\.predicted_depth$/.test(key)) tolerance = TOLERANCE * largest(data);
    assertClose(Float32Array.from(got), data, tolerance, `${what} ${key}`);
  }
}
