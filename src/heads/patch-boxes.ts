/**
 * Boxes of patches: each patch is a box, whose class is what its embedding is close to, texts or a part of another image
 * (OWL-ViT, Minderer et al. 2022; with objectness OWLv2, Minderer et al. 2023). The arithmetic is transformers'.
 */
import type { Backend, Linear, Tensor as Matrix, Norm } from "../backend.js";
import { dot } from "../numerics/vectors.js";
import type { Planned, Planner } from "../planned.js";
import { type Call, tensorOf } from "../vit/call.js";
import { checkRows, type Inputs } from "../vit/inputs.js";
import type { OutputName, Outputs, Tensor } from "../vit/outputs.js";
import type { Encoded } from "../vit/reader.js";
import type { Arrival, Head } from "./head.js";
import { mlpProducts, planExact, planMlp, runMlp, sigmoid } from "./mlp.js";

export interface PatchBoxesConfig {
  /** True if patches say how much of an object they are: a query image then is its largest object (OWLv2). */
  readonly objectness: boolean;
}

export interface PatchBoxes {
  /** LN of the products of patches and class token. */
  readonly norm: Norm;
  /** D → 4 */
  readonly boxes: readonly Linear[];
  /** D → columns of the features that images and texts share */
  readonly embedding: Linear;
  /** D → 1 */
  readonly shift: Linear;
  readonly scale: Linear;
  /** D → 1 */
  readonly objectness: readonly Linear[] | undefined;
}

export interface PatchBoxesNames {
  readonly norm: string;
  readonly boxes: readonly string[];
  readonly embedding: string;
  readonly shift: string;
  readonly scale: string;
  readonly objectness: readonly string[];
}

const planPatchBoxes = (
  planner: Planner,
  names: PatchBoxesNames,
  { width, eps, features }: { readonly width: number; readonly eps: number; readonly features: number },
  { objectness }: PatchBoxesConfig,
): Planned<PatchBoxes> => ({
  norm: planner.norm(names.norm, width, eps),
  boxes: planMlp(planner, names.boxes, width, 4),
  embedding: planExact(planner, names.embedding, features, width),
  shift: planExact(planner, names.shift, 1, width),
  scale: planExact(planner, names.scale, 1, width),
  objectness: objectness ? planMlp(planner, names.objectness, width, 1) : undefined,
});

const NAMES = ["predBoxes", "objectnessLogits", "classEmbeds", "logitShift", "logitScale", "imageEmbeds"] as const;

/**
 * Gives what is asked for of {@link NAMES}: boxes, objectness, embeddings as they are, and the patches' own numbers of which
 * scores are made (`compareBoxes`).
 * @param norm of all tokens, before the patches are multiplied.
 */
async function runPatchBoxes(
  backend: Backend,
  weights: PatchBoxes,
  norm: Norm,
  { z, images, tokens, grid }: Encoded,
  { wants, outputs }: Call,
): Promise<void> {
  if (!NAMES.some(wants)) return;
  const patches = grid[0] * grid[1];
  const normed = backend.createTensor(z.rows, z.cols);
  backend.layerNorm(normed, z, norm);
  const products = timesFirst(await backend.read(normed), { images, tokens, patches });
  const x = backend.createTensor(images * patches, z.cols, products);
  backend.layerNorm(x, x, weights.norm);

  const read = (matrix: Matrix, ...dims: number[]) => tensorOf(backend.read(matrix), [images, ...dims]);
  const layer = (linear: Linear) => {
    const out = backend.createTensor(x.rows, linear.outputs);
    backend.linear(out, x, linear);
    return out;
  };
  if (wants("imageEmbeds")) outputs.imageEmbeds = read(x, ...grid, z.cols);
  if (wants("predBoxes")) {
    const bias = boxBias(grid);
    const boxes = backend.read(runMlp(backend, weights.boxes, x, "gelu"));
    const placed = boxes.then((rows) => rows.map((value, i) => sigmoid(value + bias[i % bias.length]!)));
    outputs.predBoxes = tensorOf(placed, [images, patches, 4]);
  }
  if (wants("objectnessLogits") && weights.objectness) {
    outputs.objectnessLogits = read(runMlp(backend, weights.objectness, x, "gelu"), patches);
  }
  if (wants("classEmbeds")) outputs.classEmbeds = read(layer(weights.embedding), patches, weights.embedding.outputs);
  if (wants("logitShift")) outputs.logitShift = read(layer(weights.shift), patches, 1);
  if (wants("logitScale")) {
    // ELU(x) + 1
    const scale = backend.read(layer(weights.scale)).then((rows) => rows.map((y) => (y > 0 ? y : Math.expm1(y)) + 1));
    outputs.logitScale = tensorOf(scale, [images, patches, 1]);
  }
}

/** Patches times the class token before them, element by element: [B·patches, D] of [B·tokens, D]. */
function timesFirst(
  data: Float32Array,
  { images, tokens, patches }: { readonly images: number; readonly tokens: number; readonly patches: number },
): Float32Array {
  const width = data.length / (images * tokens);
  const result = new Float32Array(images * patches * width);
  for (let image = 0; image < images; image++) {
    const first = image * tokens * width;
    const from = first + (tokens - patches) * width;
    const to = image * patches * width;
    for (let i = 0; i < patches * width; i++) result[to + i] = data[from + i]! * data[first + (i % width)]!;
  }
  return result;
}

/** logit with what transformers adds, so that 0 and 1 are finite. */
const logit = (x: number): number => Math.log(x + 1e-4) - Math.log1p(1e-4 - x);

/** Boxes before anything is known of the image: each at its patch's lower right corner, of a patch's size. */
function boxBias([rows, columns]: readonly [number, number]): Float64Array {
  const bias = new Float64Array(4 * rows * columns);
  const size = [logit(1 / columns), logit(1 / rows)];
  for (let row = 0, at = 0; row < rows; row++)
    for (let column = 0; column < columns; column++, at += 4) {
      bias.set([logit((column + 1) / columns), logit((row + 1) / rows), ...size], at);
    }
  return bias;
}

/** Score of a query that is padding: the lowest f32. */
const LOWEST = -3.4028234663852886e38;

/** Rows scaled to length 1, as transformers does it here. */
function units({ dims, data }: Tensor): Tensor {
  const width = dims.at(-1)!;
  const out = new Float32Array(data.length);
  for (let at = 0; at < data.length; at += width) {
    const row = data.subarray(at, at + width);
    const length = Math.sqrt(dot(row, row)) + 1e-6;
    for (let i = 0; i < width; i++) out[at + i] = row[i]! / length;
  }
  return { dims, data: out };
}

/**
 * Scores of all boxes and queries, (cosine + shift) · scale, [B, patches, queries], and the patches' embeddings of length 1.
 * @param queries [queries, D] for all images, or [B, queries, D].
 * @param padding tells which queries are none, [queries] or [B · queries].
 */
function compareBoxes(
  { classEmbeds, logitShift, logitScale }: Pick<Outputs, "classEmbeds" | "logitShift" | "logitScale">,
  queries: Tensor,
  padding: readonly boolean[] = [],
): Pick<Outputs, "logits" | "classEmbeds"> {
  const embeds = units(classEmbeds);
  const { data: asked } = units(queries);
  const [images, patches, width] = classEmbeds.dims as [number, number, number];
  const count = queries.dims.at(-2)!;
  const own = queries.dims.length === 3;
  const rowsOf = (data: Float32Array) =>
    Array.from({ length: data.length / width }, (_, i) => data.subarray(i * width, (i + 1) * width));
  const texts = rowsOf(asked);
  const logits = new Float32Array(images * patches * count);
  let at = 0;
  for (const [row, embed] of rowsOf(embeds.data).entries()) {
    const [shift, scale] = [logitShift.data[row]!, logitScale.data[row]!];
    const first = own ? Math.floor(row / patches) * count : 0;
    for (let query = first; query < first + count; query++) {
      logits[at++] = padding[query] ? LOWEST : (dot(embed, texts[query]!) + shift) * scale;
    }
  }
  return { logits: { dims: [images, patches, count], data: logits }, classEmbeds: embeds };
}

/**
 * The embedding that stands for each query image, [B, D]: of the patch that is most of an object (OWLv2), or, of the boxes that
 * cover the image nearly as well as the best, the one whose embedding is least like the mean of all (OWL-ViT).
 */
function queriesOf({
  classEmbeds,
  predBoxes,
  objectnessLogits,
}: Pick<Outputs, "classEmbeds" | "predBoxes"> & Partial<Pick<Outputs, "objectnessLogits">>): Tensor {
  const [images, patches, width] = classEmbeds.dims as [number, number, number];
  const data = new Float32Array(images * width);
  for (let image = 0; image < images; image++) {
    const first = image * patches;
    const embeds = classEmbeds.data.subarray(first * width, (first + patches) * width);
    const best = objectnessLogits
      ? largest(objectnessLogits.data.subarray(first, first + patches))
      : coveringBox(embeds, predBoxes.data.subarray(4 * first, 4 * (first + patches)));
    data.set(embeds.subarray(best * width, (best + 1) * width), image * width);
  }
  return { dims: [images, width], data };
}

const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((best, value, i) => (value > values[best]! ? i : best), 0);

/** OwlViTForObjectDetection.embed_image_query: the number of a patch. */
function coveringBox(embeds: Float32Array, boxes: Float32Array): number {
  const patches = boxes.length / 4;
  const width = embeds.length / patches;
  const overlaps = Array.from({ length: patches }, (_, i) => overlapWithAll(boxes.subarray(4 * i, 4 * i + 4)));
  const ious = overlaps.map(({ iou }) => iou);
  const values = ious.every((iou) => iou === 0) ? overlaps.map(({ generalized }) => generalized) : ious;
  const least = 0.8 * Math.max(...values);
  const mean = Float32Array.from({ length: width }, (_, i) => {
    let sum = 0;
    for (let patch = 0; patch < patches; patch++) sum += embeds[patch * width + i]!;
    return sum / patches;
  });
  const chosen = values.flatMap((value, i) => (value >= least ? [i] : []));
  const similarity = (i: number) => dot(mean, embeds.subarray(i * width, (i + 1) * width));
  return chosen.reduce((best, i) => (similarity(i) < similarity(best) ? i : best), chosen[0] ?? 0);
}

/** Intersection over union of a box and the whole image, and the generalized one (Rezatofighi et al. 2019). */
function overlapWithAll(box: Float32Array): { iou: number; generalized: number } {
  const [x, y, width, height] = box as unknown as [number, number, number, number];
  const [left, top, right, bottom] = [x - width / 2, y - height / 2, x + width / 2, y + height / 2];
  const inside =
    Math.max(Math.min(right, 1) - Math.max(left, 0), 0) * Math.max(Math.min(bottom, 1) - Math.max(top, 0), 0);
  const union = 1 + (right - left) * (bottom - top) - inside;
  const hull = (Math.max(right, 1) - Math.min(left, 0)) * (Math.max(bottom, 1) - Math.min(top, 0));
  return { iou: inside / union, generalized: inside / union - (hull - union) / hull };
}

/** Inputs that say what is looked for. */
const QUERIES = ["inputIds", "queryPixelValues", "queryEmbeds"] as const;
type Queries = (typeof QUERIES)[number];

/**
 * The input that says what is looked for; undefined where nothing has to be.
 * @throws RangeError if there is none, or not one for each image.
 */
function checkQueries(inputs: Inputs, wanted: readonly OutputName[], features: number): Queries | undefined {
  const given = QUERIES.filter((name) => inputs[name] !== undefined);
  const [queries] = given;
  if (given.length > 1 || (queries === undefined && wanted.includes("logits"))) {
    throw new RangeError(
      `forward: boxes are compared with one of inputIds, queryPixelValues and queryEmbeds; got ${given.join(" and ") || "none"}`,
    );
  }
  const images = inputs.pixelValues?.dims?.[0];
  const count = queries && inputs[queries]?.dims?.[0];
  if (queries === "queryEmbeds") checkRows(queries, "queries", inputs.queryEmbeds!, features);
  if (queries === "queryEmbeds" || images === undefined || count === undefined) return queries;
  const [whole, rule] =
    queries === "inputIds"
      ? [count % images === 0, "as many texts for each image"]
      : [count === images, "an image for each"];
  if (!whole) throw new RangeError(`forward: ${queries} must have ${rule}; got ${count} for ${images}`);
  return queries;
}

/** Scores of boxes and queries, and what both are compared by. */
function compared(inputs: Inputs, queries: Queries, outputs: Partial<Outputs>): Partial<Outputs> {
  const images = outputs.classEmbeds!.dims[0]!;
  const made = outputs as Outputs;
  if (queries === "queryEmbeds") return compareBoxes(made, inputs.queryEmbeds!);
  const rows = queries === "inputIds" ? made.textEmbeds : made.queryEmbeds;
  const [count, width] = rows.dims as [number, number];
  const embeds = { dims: [images, count / images, width], data: rows.data };
  if (queries === "queryPixelValues") return compareBoxes(made, embeds);
  const { dims, data } = inputs.inputIds!;
  // A text whose first token is 0 is none: it fills up the texts of an image that has fewer.
  const padding = Array.from({ length: count }, (_, text) => Number(data[text * dims[1]!]) === 0);
  return { ...compareBoxes(made, embeds, padding), textEmbeds: embeds };
}

/** Outputs that a comparison is made of, and what each input of queries adds. */
const NEEDED: readonly OutputName[] = ["classEmbeds", "logitShift", "logitScale"];
const NEEDED_OF: Readonly<Record<Queries, readonly OutputName[]>> = {
  inputIds: ["textEmbeds"],
  queryPixelValues: ["queryEmbeds"],
  queryEmbeds: [],
};

/** Outputs of query images, and those of such an image by which the patch is chosen that stands for it. */
const OF_QUERIES: readonly OutputName[] = ["queryEmbeds", "queryPredBoxes", "queryImageEmbeds"];
const CHOSEN_BY: readonly OutputName[] = ["classEmbeds", "predBoxes", "objectnessLogits"];

/** Config of a model that may have the head. */
interface Config {
  readonly patchBoxes: PatchBoxesConfig | undefined;
  readonly width: number;
  readonly eps: number;
  readonly features: number;
}

interface Weights {
  readonly patchBoxes: PatchBoxes | undefined;
  /** Norm behind the encoder. */
  readonly norm: Norm | undefined;
}

/** Takes inputIds, queryPixelValues or queryEmbeds; gives logits and what they are made of, and boxes. */
export const patchBoxes: Head<Config, Weights, PatchBoxes, PatchBoxesNames> = {
  plan: (planner, config, { names }) => planPatchBoxes(planner, names, config, config.patchBoxes!),
  costs({ width, features, patchBoxes }, grid) {
    const scores = width * (features + 2);
    const row = mlpProducts(width, 4) + (patchBoxes!.objectness ? mlpProducts(width, 1) : 0) + scores;
    return { products: grid[0] * grid[1] * row, elements: 0 };
  },
  begin({ weights, config }, inputs, wanted) {
    const compares = wanted.includes("logits") || wanted.includes("classEmbeds");
    const queries = compares ? checkQueries(inputs, wanted, config.features) : undefined;
    const needs: OutputName[] = queries ? [...NEEDED, ...NEEDED_OF[queries]] : [];
    if (wanted.includes("targetPredBoxes")) needs.push("predBoxes");
    const asked = [...wanted, ...needs];
    let ofQueries: Arrival | undefined;
    return {
      needs,
      async before({ images }) {
        if (!OF_QUERIES.some((name) => asked.includes(name))) return;
        const seen = [...CHOSEN_BY, ...(asked.includes("queryImageEmbeds") ? (["imageEmbeds"] as const) : [])];
        ofQueries = await images("queryPixelValues", (name) => seen.includes(name));
      },
      pass: (backend, call) => ({
        run: (encoded) => runPatchBoxes(backend, weights.patchBoxes!, weights.norm!, encoded, call),
      }),
      async finish(outputs) {
        const made: Partial<Outputs> = { ...outputs, targetPredBoxes: outputs.predBoxes };
        if (ofQueries) {
          const seen = await ofQueries();
          made.queryEmbeds = queriesOf(seen as Outputs);
          made.queryPredBoxes = seen.predBoxes;
          made.queryImageEmbeds = seen.imageEmbeds;
        }
        return queries ? { ...made, ...compared(inputs, queries, made) } : made;
      },
    };
  },
};
