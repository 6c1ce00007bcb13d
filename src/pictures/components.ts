/**
 * Principal components of rows, by Lanczos' method (Lanczos 1950) with every vector held orthogonal to all before it: the few largest
 * eigenvalues of a matrix of hundreds of columns converge within some dozens of its products, where a full decomposition takes the
 * cube of its size. All in float64.
 */

export interface Components {
  /** Unit vectors, [count, width], the largest variance first; the element of the largest magnitude is positive. */
  readonly vectors: Float64Array;
  /** Variance of the rows along each, [count], divided by n - 1. */
  readonly variances: Float64Array;
  /** Share of all variance along each, [count]. */
  readonly shares: Float64Array;
  /** Mean of the rows, [width]. */
  readonly mean: Float64Array;
}

/**
 * The first `count` principal components of rows [n, width], fewer where the rows have no more.
 * @param kept which rows are fitted; all unless given.
 */
export function principalComponents(
  rows: Float32Array,
  width: number,
  count: number,
  kept: (row: number) => boolean = () => true,
): Components {
  const chosen = Array.from({ length: rows.length / width }, (_, row) => row).filter(kept);
  const n = chosen.length;
  const mean = new Float64Array(width);
  for (const row of chosen) for (let i = 0; i < width; i++) mean[i]! += rows[row * width + i]! / n;
  const x = new Float64Array(n * width);
  for (const [at, row] of chosen.entries())
    for (let i = 0; i < width; i++) x[at * width + i] = rows[row * width + i]! - mean[i]!;
  let total = 0;
  for (const value of x) total += value * value;

  const { values, vectors } = largestEigen((v) => productOfSquare(x, v), width, count);
  for (let at = 0; at < vectors.length; at += width) orient(vectors.subarray(at, at + width));
  return {
    vectors,
    variances: values.map((value) => value / Math.max(1, n - 1)),
    shares: values.map((value) => (total > 0 ? value / total : 0)),
    mean,
  };
}

/** Xᵀ·X·v of rows [n, width]: for the few products that are needed, less work than Xᵀ·X itself. */
function productOfSquare(x: Float64Array, v: Float64Array): Float64Array {
  const width = v.length;
  const out = new Float64Array(width);
  for (let at = 0; at < x.length; at += width) {
    const row = x.subarray(at, at + width);
    const along = dot(row, v);
    for (let i = 0; i < width; i++) out[i]! += along * row[i]!;
  }
  return out;
}

/** Coordinates of rows along components, [n, count]. */
export function projectedOn({ vectors, mean }: Components, rows: Float32Array, width: number): Float32Array {
  const count = vectors.length / width;
  const out = new Float32Array((rows.length / width) * count);
  for (let row = 0; row < rows.length / width; row++)
    for (let c = 0; c < count; c++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += (rows[row * width + i]! - mean[i]!) * vectors[c * width + i]!;
      out[row * count + c] = sum;
    }
  return out;
}

/** Length 1, and the element of the largest magnitude positive: a component has no sign of its own. */
function orient(vector: Float64Array): void {
  let [length, most] = [0, 0];
  for (const x of vector) {
    length += x * x;
    if (Math.abs(x) > Math.abs(most)) most = x;
  }
  const factor = length > 0 ? Math.sign(most) / Math.sqrt(length) : 0;
  for (let i = 0; i < vector.length; i++) vector[i]! *= factor;
}

/** Smallest part of the largest eigenvalue that counts as one. */
const RANK = 1e-12;
/** Part of the largest eigenvalue by which a wanted one may still be wrong. */
const CONVERGED = 1e-13;

/**
 * The `count` largest eigenvalues of a symmetric matrix without negative ones, and their vectors, [count, size].
 * @param product of the matrix with a vector, [size].
 */
function largestEigen(product: (v: Float64Array) => Float64Array, size: number, count: number) {
  const basis: Float64Array[] = [];
  const diagonal: number[] = [];
  const beside: number[] = [];
  let next = start(size, basis);
  for (;;) {
    const q = next;
    basis.push(q);
    const w = product(q);
    diagonal.push(dot(w, q));
    // Twice is enough (Parlett 1980, section 6.9).
    for (let pass = 0; pass < 2; pass++) for (const b of basis) subtract(w, b, dot(w, b));
    const length = Math.sqrt(dot(w, w));
    const steps = basis.length;
    const largest = Math.max(...diagonal.map(Math.abs));
    const invariant = length <= 1e-14 * largest || largest === 0;
    const full = steps === size;
    if (full || (steps >= 2 * count + 8 && steps % 16 === 0) || (invariant && steps >= count)) {
      const { values, vectors } = tridiagonalEigen(diagonal, beside);
      const order = Array.from(values.keys()).sort((a, b) => values[b]! - values[a]!);
      const wanted = order.slice(0, count);
      const top = values[order[0]!]!;
      // The residual of a Ritz vector is its last coordinate times what is left of w.
      const rough = wanted.some((k) => Math.abs(length * vectors[k * steps + steps - 1]!) > CONVERGED ** 0.5 * top);
      if (full || !rough) {
        const kept = wanted.filter((k) => values[k]! > RANK * top);
        const out = new Float64Array(kept.length * size);
        for (const [c, k] of kept.entries())
          for (const [step, b] of basis.entries()) {
            const factor = vectors[k * steps + step]!;
            for (let i = 0; i < size; i++) out[c * size + i]! += factor * b[i]!;
          }
        return { values: Float64Array.from(kept, (k) => values[k]!), vectors: out };
      }
    }
    if (invariant) {
      beside.push(0);
      next = start(size, basis);
    } else {
      beside.push(length);
      next = w.map((value) => value / length);
    }
  }
}

/** A unit vector orthogonal to those of the basis, the same in every run. */
function start(size: number, basis: readonly Float64Array[]): Float64Array {
  const v = Float64Array.from(
    { length: size },
    (_, i) => Math.sin(1 + (i + 1) * (basis.length + 1) * 0.7548776662466927) + 0.1,
  );
  for (let pass = 0; pass < 2; pass++) for (const b of basis) subtract(v, b, dot(v, b));
  const length = Math.sqrt(dot(v, v));
  return v.map((x) => x / length);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function subtract(a: Float64Array, b: Float64Array, factor: number): void {
  for (let i = 0; i < a.length; i++) a[i]! -= factor * b[i]!;
}

/**
 * Eigenvalues and vectors, [n, n], one a row, of a symmetric tridiagonal matrix: implicit QL (Golub & Van Loan 2013, section 8.3).
 */
function tridiagonalEigen(diagonal: readonly number[], beside: readonly number[]) {
  const n = diagonal.length;
  const d = Float64Array.from(diagonal);
  const e = new Float64Array(n);
  e.set(beside.slice(0, n - 1));
  const z = new Float64Array(n * n);
  for (let i = 0; i < n; i++) z[i * n + i] = 1;
  for (let l = 0; l < n; l++) {
    for (;;) {
      let m = l;
      while (m < n - 1 && Math.abs(e[m]!) > Number.EPSILON * (Math.abs(d[m]!) + Math.abs(d[m + 1]!))) m++;
      if (m === l) break;
      // Wilkinson's shift.
      let g = (d[l + 1]! - d[l]!) / (2 * e[l]!);
      let r = Math.hypot(g, 1);
      g = d[m]! - d[l]! + e[l]! / (g + (g >= 0 ? r : -r));
      let [s, c, p] = [1, 1, 0];
      let i = m - 1;
      for (; i >= l; i--) {
        const f = s * e[i]!;
        const b = c * e[i]!;
        r = Math.hypot(f, g);
        e[i + 1] = r;
        if (r === 0) {
          d[i + 1]! -= p;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1]! - p;
        r = (d[i]! - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        for (let k = 0; k < n; k++) {
          const [upper, lower] = [z[(i + 1) * n + k]!, z[i * n + k]!];
          z[(i + 1) * n + k] = s * lower + c * upper;
          z[i * n + k] = c * lower - s * upper;
        }
      }
      if (r === 0 && i >= l) continue;
      d[l]! -= p;
      e[l] = g;
      e[m] = 0;
    }
  }
  return { values: d, vectors: z };
}
