/**
 * Few-shot heads as the paper has them (Dosovitskiy et al. 2021, section 4.1): least squares with an L2 penalty from features to
 * {−1, 1}^K, solved in closed form. Features are standardized and get a large constant, as in big_vision's
 * evaluators/fewshot_lsr.py. The penalty is chosen by leave-one-out, in closed form as well (Allen 1974).
 */
import { type Identity, identityOf } from "../identity.js";
import { factor, type Tridiagonal, tridiagonalize } from "../numerics/tridiagonal.js";
import { type Assessment, assess } from "./assessment.js";
import { type Examples, examplesOf, type Features } from "./examples.js";
import { type Head, type HeadOptions, linearHead } from "./head.js";

export interface FewShotOptions extends HeadOptions {
  /** The penalty λ on squared weights; by default the power of two whose squared errors by leave-one-out are least. */
  l2?: number;
}

/** A linear head. */
export interface FewShotHead extends Head {
  /** The penalty. */
  readonly l2: number;
  /** How well each example is classified by a head of all the others. */
  readonly leaveOneOut: Assessment;
}

/** A constant of this size beside standardized features makes a bias that the penalty hardly touches. */
const CONSTANT = 100;
/** Added to standard deviations, so that a feature that never changes counts nothing. */
const EPSILON = 1e-5;
/** Penalties that are tried. */
const PENALTIES = Array.from({ length: 31 }, (_, i) => 2 ** (i - 10));

/**
 * Learns a linear head from features of a few images of each class. Sums are f64.
 * @param features [N, D], as `embed` gives them.
 * @param labels the class of each row.
 * @throws TypeError or RangeError: one sentence, for rows and labels that do not fit together, and numbers that are not finite.
 * @example
 * const head = await fewShot(await vit.embed(["cat.jpg", "dog.png"]), ["cat", "dog"], { model: vit });
 * console.log(head.classify(await vit.embed("cat.jpg"))[0]?.label);
 */
export async function fewShot(
  features: Features,
  labels: readonly (string | number)[],
  { l2, model }: FewShotOptions = {},
): Promise<FewShotHead> {
  if (l2 !== undefined && !(typeof l2 === "number" && l2 > 0 && l2 < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`fewShot: l2 must be a positive number; got ${l2}`);
  }
  const examples = examplesOf("fewShot", features, labels);
  return learn(examples, l2, model && (await identityOf(model)));
}

function learn(examples: Examples, given: number | undefined, identity: Identity | undefined): FewShotHead {
  const { count, width, classes, truth } = examples;
  const { x, mean, scale } = standardized(examples);
  const columns = width + 1;
  // (XᵀX + λI)⁻¹·XᵀY = Xᵀ·(XXᵀ + λI)⁻¹·Y: the smaller of the two matrices is taken apart.
  const primal = count >= columns;
  const matrix = primal ? gramOfColumns(x, count, columns) : gramOfRows(x, count, columns);
  const form = tridiagonalize(matrix, primal ? columns : count);
  /** Right sides Qᵀ·XᵀY or Qᵀ·Y, one a class. */
  const right = classes.map((_, k) => {
    const y = Float64Array.from(truth, (own) => (own === k ? 1 : -1));
    const side = primal ? transposedProduct(x, y, columns) : y;
    form.rotate(side);
    return side;
  });
  const rows = rotatedRows(form, primal ? x : undefined, count);

  let best = scoresWithout(given ?? PENALTIES[0]!);
  for (const l2 of given === undefined ? PENALTIES.slice(1) : []) {
    const other = scoresWithout(l2);
    if (other.squares < best.squares) best = other;
  }
  const { l2, solutions, scores } = best;

  // Back to features as they are: w·(x − μ)/σ + 100·b.
  const weight = new Float32Array(classes.length * width);
  const bias = new Float32Array(classes.length);
  for (const [k, solution] of solutions.entries()) {
    form.rotateBack(solution);
    const w = primal ? solution : transposedProduct(x, solution, columns);
    let shift = CONSTANT * w[width]!;
    for (let j = 0; j < width; j++) {
      weight[k * width + j] = w[j]! / scale[j]!;
      shift -= (w[j]! / scale[j]!) * mean[j]!;
    }
    bias[k] = shift;
  }
  const head = linearHead({
    weight,
    bias,
    classes,
    width,
    sharpness: sharpnessOf(scores, truth, classes.length),
    identity,
  });
  return { ...head, l2, leaveOneOut: assess(classes, truth, scores) };

  /**
   * The solutions at a penalty, still rotated, and the scores of each example by the head of all the others. Its residual is
   * (y − ŷ)/(1 − h), h being xᵀ(XᵀX + λI)⁻¹x; by the other matrix, α/g with α = (XXᵀ + λI)⁻¹y and g the diagonal of that inverse.
   */
  function scoresWithout(l2: number) {
    const { solve, form: quadratic } = factor(form, l2);
    const solutions = right.map((side) => {
      const solution = side.slice();
      solve(solution);
      return solution;
    });
    const scores = new Float64Array(count * classes.length);
    let squares = 0;
    for (let i = 0; i < count; i++) {
      const row = rows(i);
      const inverse = quadratic(row);
      for (const [k, solution] of solutions.entries()) {
        const y = truth[i] === k ? 1 : -1;
        let product = 0;
        for (let j = 0; j < row.length; j++) product += row[j]! * solution[j]!;
        const residual = primal ? (y - product) / (1 - inverse) : product / inverse;
        scores[i * classes.length + k] = y - residual;
        squares += residual * residual;
      }
    }
    return { l2, squares, solutions, scores };
  }
}

/** (x − μ)/σ of each feature, and the constant behind them: [count, width + 1]. */
function standardized({ features, count, width }: Examples) {
  const mean = new Float64Array(width);
  const scale = new Float64Array(width);
  for (let i = 0; i < features.length; i++) mean[i % width]! += features[i]! / count;
  for (let i = 0; i < features.length; i++) scale[i % width]! += (features[i]! - mean[i % width]!) ** 2 / count;
  for (let j = 0; j < width; j++) scale[j] = Math.sqrt(scale[j]!) + EPSILON;
  const x = new Float64Array(count * (width + 1)).fill(CONSTANT);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < width; j++) x[i * (width + 1) + j] = (features[i * width + j]! - mean[j]!) / scale[j]!;
  }
  return { x, mean, scale };
}

/** XᵀX, its lower triangle. */
function gramOfColumns(x: Float64Array, count: number, columns: number): Float64Array {
  const gram = new Float64Array(columns * columns);
  for (let i = 0; i < count; i++) {
    const row = x.subarray(i * columns, (i + 1) * columns);
    for (let j = 0; j < columns; j++) {
      const own = row[j]!;
      for (let k = 0, at = j * columns; k <= j; k++, at++) gram[at]! += own * row[k]!;
    }
  }
  return gram;
}

/** XXᵀ, its lower triangle. */
function gramOfRows(x: Float64Array, count: number, columns: number): Float64Array {
  const gram = new Float64Array(count * count);
  for (let i = 0; i < count; i++) {
    for (let k = 0; k <= i; k++) {
      let sum = 0;
      for (let j = 0; j < columns; j++) sum += x[i * columns + j]! * x[k * columns + j]!;
      gram[i * count + k] = sum;
    }
  }
  return gram;
}

/** Xᵀ·y. */
function transposedProduct(x: Float64Array, y: Float64Array, columns: number): Float64Array {
  const product = new Float64Array(columns);
  for (const [i, own] of y.entries()) {
    for (let j = 0, at = i * columns; j < columns; j++, at++) product[j]! += own * x[at]!;
  }
  return product;
}

/** Gives rows of X·Q, in the place of those of X; or of Q, without it. */
function rotatedRows(form: Tridiagonal, x: Float64Array | undefined, count: number): (i: number) => Float64Array {
  const { size } = form;
  const rows = x ?? Float64Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
  for (let i = 0; i < count; i++) form.rotate(rows.subarray(i * size, (i + 1) * size));
  return (i) => rows.subarray(i * size, (i + 1) * size);
}

/**
 * The factor by which scores are multiplied before their softmax, so that it gives the most likely probabilities to scores that were
 * left out (temperature scaling, Guo et al. 2017): scores between −1 and 1 alone make no class likely. The likelihood has one
 * maximum; it is found by thirds.
 */
function sharpnessOf(scores: Float64Array, truth: Int32Array, classes: number): number {
  function likelihood(log: number): number {
    const sharpness = 2 ** log;
    let total = 0;
    for (const [i, own] of truth.entries()) {
      const row = scores.subarray(i * classes, (i + 1) * classes);
      const max = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      const sum = row.reduce((all, score) => all + Math.exp(sharpness * (score - max)), 0);
      total += sharpness * (row[own]! - max) - Math.log(sum);
    }
    return total;
  }
  // As 2^±6: an example that is never wrong would have it go on.
  let [low, high] = [-6, 6];
  for (let i = 0; i < 40; i++) {
    const [a, b] = [low + (high - low) / 3, high - (high - low) / 3];
    if (likelihood(a) < likelihood(b)) low = a;
    else high = b;
  }
  return 2 ** ((low + high) / 2);
}
