/** From the numbers of forward passes to what users get. */

/** One class of a classification. */
export interface Prediction {
  readonly label: string;
  readonly index: number;
  /** Softmax over all classes; of SigLIP's zero-shot classes the sigmoid of each. */
  readonly probability: number;
  readonly logit: number;
}

/**
 * What a call on several images throws when some of them failed: `errors` has each image's error, in order, and `results`
 * what came of the others, undefined where an image failed.
 */
export interface BatchError<Result> extends AggregateError {
  readonly results: readonly (Result | undefined)[];
}

/**
 * What `compute` makes of the pixels of all images, one after the other; an error, when all are through, if any failed. A
 * second is begun before the first is there: a GPU then has work while its results are on their way.
 * @param check throws when nobody wants them any more.
 * @throws BatchError
 */
export async function collect<Pixels, Result>(
  name: string,
  images: AsyncIterable<Pixels | Error>,
  compute: (pixels: Pixels) => Promise<Result>,
  check: () => void,
): Promise<Result[]> {
  const results: (Result | undefined)[] = [];
  const failed: Error[] = [];
  async function take(place: number, pixels: Pixels | Error): Promise<void> {
    try {
      if (pixels instanceof Error) throw pixels;
      results[place] = await compute(pixels);
    } catch (error) {
      check();
      failed[place] = error as Error;
    }
  }
  let before: Promise<void> | undefined;
  for await (const pixels of images) {
    const taken = take(results.push(undefined) - 1, pixels);
    taken.catch(() => {});
    await before;
    before = taken;
  }
  await before;
  const errors = Object.values(failed);
  if (errors.length === 0) return results as Result[];
  const message = `${name}: ${errors.length} of ${results.length} images failed; ${errors[0]!.message}`;
  throw Object.assign(new AggregateError(errors, message), { results }) satisfies BatchError<Result>;
}

/** The best classes with their softmax, or the sigmoid of each, by logit, equal ones by index. */
export function predictions(
  logits: Float32Array,
  labels: readonly string[],
  topK: number,
  kind: "softmax" | "sigmoid" = "softmax",
): Prediction[] {
  const max = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, x) => total + Math.exp(x - max), 0);
  const probabilityOf = (logit: number) =>
    kind === "softmax" ? Math.exp(logit - max) / sum : 1 / (1 + Math.exp(-logit));
  return Array.from(logits, (logit, index) => ({
    label: labels[index]!,
    index,
    probability: probabilityOf(logit),
    logit,
  }))
    .sort((a, b) => b.logit - a.logit || a.index - b.index)
    .slice(0, topK);
}

/** One row of what a model gave for an image, [1, D], [1, tokens, D] or a feature map [1, C, h, w]. */
export function toRow(
  data: Float32Array,
  dims: readonly number[],
  { pooling, prefixTokens, normalize }: { pooling: string; prefixTokens: number; normalize: boolean },
): Float32Array {
  let row = data;
  if (pooling === "token") row = data.slice(0, dims.at(-1));
  if (pooling === "mean")
    row = dims.length === 4 ? meanOfMap(data, dims[1]!) : meanRow(data, dims.at(-1)!, prefixTokens);
  return normalize ? toUnit(row) : row;
}

function meanOfMap(data: Float32Array, channels: number): Float32Array {
  const area = data.length / channels;
  return Float32Array.from(
    { length: channels },
    (_, c) => data.subarray(c * area, (c + 1) * area).reduce((sum, x) => sum + x, 0) / area,
  );
}

/** Mean of the rows of [rows, width] from `first` on. */
function meanRow(data: Float32Array, width: number, first: number): Float32Array {
  const rows = data.length / width;
  return Float32Array.from({ length: width }, (_, i) => {
    let sum = 0;
    for (let row = first; row < rows; row++) sum += data[row * width + i]!;
    return sum / (rows - first);
  });
}

/** The direction of the mean of unit vectors. */
export function meanOfRows(rows: readonly Float32Array[]): Float32Array {
  return toUnit(Float32Array.from(rows[0]!, (_, i) => rows.reduce((sum, row) => sum + row[i]!, 0) / rows.length));
}

/** Of two unit vectors: their cosine, scaled and shifted as the checkpoint says. */
export function similarityOf(
  a: Float32Array,
  b: Float32Array,
  { scale, bias }: { readonly scale: number; readonly bias: number },
): number {
  return scale * a.reduce((sum, x, i) => sum + x * b[i]!, 0) + bias;
}

/** Scaled to length 1; a row of zeros stays. */
export function toUnit(row: Float32Array): Float32Array {
  const length = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
  return length > 0 ? row.map((x) => x / length) : row;
}

/** Rows one after the other, in an array of `kind`. */
export function concat<All extends Float32Array | Uint8Array>(
  rows: readonly ArrayLike<number>[],
  kind: new (length: number) => All,
): All {
  const all = new kind(rows.reduce((sum, row) => sum + row.length, 0));
  let at = 0;
  for (const row of rows) {
    all.set(row, at);
    at += row.length;
  }
  return all;
}

/** Patches of pixel values [3, H, W], row by row, each in the order (y, x, channel), and their grid. */
export function patchesOf(values: Float32Array, { width, height }: { width: number; height: number }, patch: number) {
  const grid = [height / patch, width / patch] as const;
  const data = new Float32Array(values.length);
  let i = 0;
  for (let row = 0; row < grid[0]; row++)
    for (let column = 0; column < grid[1]; column++)
      for (let y = row * patch; y < (row + 1) * patch; y++)
        for (let x = column * patch; x < (column + 1) * patch; x++)
          for (let c = 0; c < 3; c++) data[i++] = values[(c * height + y) * width + x]!;
  return {
    pixelValues: { dims: [1, grid[0] * grid[1], 3 * patch * patch], data },
    spatialShapes: { dims: [1, 2], data: grid },
  };
}
