/** Embeddings of points and boxes (Kirillov et al. 2023, appendix A): positions as sums of sines (Tancik et al. 2020). */

/** Points and boxes of the objects of an image, in pixels of the model's image. */
export interface Prompts {
  /** [objects, points, 2], and 1 on the object, 0 beside it, -1 for none, -10 for padding; a point is as wide as a pixel. */
  readonly points:
    | { readonly count: number; readonly xy: Float32Array; readonly labels: readonly number[] }
    | undefined;
  /** Corners, [objects, 4]: left, top, right, bottom. */
  readonly boxes: Float32Array | undefined;
  readonly objects: number;
}

interface Embeddings {
  /** [2, C/2] */
  readonly frequencies: Float32Array;
  readonly kinds: readonly Float32Array[];
  readonly none: Float32Array;
}

/** [sin, cos] of 2π (2p - 1) F for the place p, parts of the image's sides, written to `out` from `at` on. */
function position(out: Float32Array, at: number, frequencies: Float32Array, [x, y]: readonly [number, number]): void {
  const half = frequencies.length / 2;
  for (let i = 0; i < half; i++) {
    const angle = 2 * Math.PI * ((2 * x - 1) * frequencies[i]! + (2 * y - 1) * frequencies[half + i]!);
    out[at + i] = Math.sin(angle);
    out[at + half + i] = Math.cos(angle);
  }
}

/** Positions of the centers of a grid's cells, [N, C]. */
export function cellPositions(frequencies: Float32Array, [rows, columns]: readonly [number, number]): Float32Array {
  const out = new Float32Array(rows * columns * frequencies.length);
  for (let y = 0, at = 0; y < rows; y++)
    for (let x = 0; x < columns; x++, at += frequencies.length) {
      position(out, at, frequencies, [(x + 0.5) / columns, (y + 0.5) / rows]);
    }
  return out;
}

/** Label of a point that takes no part but has a token, and of one whose token is zeros. */
const NONE = -1;
const PADDING = -10;

/**
 * Tokens of the prompts of each object, [objects, n, C]: its points, and one that is none where there is no box, then the corners
 * of its box.
 * @param size of the model's image: height and width.
 */
export function embedPrompts(
  { frequencies, kinds, none }: Embeddings,
  { points, boxes, objects }: Prompts,
  [height, width]: readonly [number, number],
): { readonly tokens: Float32Array; readonly count: number } {
  const channels = frequencies.length;
  const ofPoints = points ? points.count + (boxes ? 0 : 1) : 0;
  const count = ofPoints + (boxes ? 2 : 0);
  const tokens = new Float32Array(objects * count * channels);
  const [beside, on, first, second] = kinds as [Float32Array, Float32Array, Float32Array, Float32Array];

  function put(token: number, x: number, y: number, kind: Float32Array | undefined): void {
    const at = token * channels;
    // Coordinates are of pixels, whose centers are meant.
    position(tokens, at, frequencies, [(x + 0.5) / width, (y + 0.5) / height]);
    if (kind) for (let i = 0; i < channels; i++) tokens[at + i]! += kind[i]!;
  }

  for (let object = 0; object < objects; object++) {
    for (let i = 0; points && i < points.count; i++) {
      const [point, token] = [object * points.count + i, object * count + i];
      const label = points.labels[point]!;
      if (label === NONE) tokens.set(none, token * channels);
      else if (label !== PADDING)
        put(token, points.xy[2 * point]!, points.xy[2 * point + 1]!, label === 1 ? on : beside);
    }
    if (points && !boxes) tokens.set(none, (object * count + points.count) * channels);
    if (boxes) {
      const [left, top, right, bottom] = boxes.subarray(4 * object, 4 * object + 4) as unknown as readonly number[];
      put(object * count + ofPoints, left!, top!, first);
      put(object * count + ofPoints + 1, right!, bottom!, second);
    }
  }
  return { tokens, count };
}
