/**
 * Symmetric matrices as A = Q·T·Qᵀ, with T tridiagonal and Q a product of Householder reflections (Golub & Van Loan 2013, section
 * 8.3.1), in f64. Where (A + λI)⁻¹ is asked for at many λ, as in ridge regression (Eldén 1977), each λ then costs O(n) a vector, and no
 * eigenvalues are needed.
 */

export interface Tridiagonal {
  readonly size: number;
  readonly diagonal: Float64Array;
  /** T[i, i − 1] = T[i − 1, i]; the first is 0. */
  readonly beside: Float64Array;
  /** x ← Qᵀ·x. */
  rotate(x: Float64Array): void;
  /** x ← Q·x. */
  rotateBack(x: Float64Array): void;
}

/**
 * Makes a symmetric matrix tridiagonal: 4/3·n³ operations.
 * @param a [n, n], of which the lower triangle is read; it is overwritten, and holds the reflections from then on.
 */
export function tridiagonalize(a: Float64Array, n: number): Tridiagonal {
  const diagonal = new Float64Array(n);
  const beside = new Float64Array(n);
  /** Row i has the reflection v of its first i places, H = I − v·vᵀ·factors[i], which leaves only the last of them. */
  const factors = new Float64Array(n);
  const p = new Float64Array(n);
  for (let i = n - 1; i > 0; i--) {
    const row = i * n;
    const last = row + i - 1;
    let rest = 0;
    for (let j = 0; j < i - 1; j++) rest += a[row + j]! ** 2;
    const x = a[last]!;
    beside[i] = x;
    if (rest === 0) continue;
    // The sign that adds: no digits cancel.
    const length = x > 0 ? -Math.sqrt(rest + x * x) : Math.sqrt(rest + x * x);
    beside[i] = length;
    a[last] = x - length;
    const factor = 2 / (rest + (x - length) ** 2);
    factors[i] = factor;
    // A ← H·A·H = A − v·wᵀ − w·vᵀ with p = factor·A·v and w = p − (factor·pᵀv / 2)·v.
    p.fill(0, 0, i);
    for (let j = 0; j < i; j++) {
      const v = a[row + j]!;
      let sum = 0;
      for (let k = 0; k < j; k++) {
        const element = a[j * n + k]!;
        sum += element * a[row + k]!;
        p[k]! += element * v;
      }
      p[j]! += sum + a[j * n + j]! * v;
    }
    let along = 0;
    for (let j = 0; j < i; j++) along += p[j]! * a[row + j]!;
    for (let j = 0; j < i; j++) p[j] = factor * (p[j]! - ((factor * along) / 2) * a[row + j]!);
    for (let j = 0; j < i; j++) {
      const [v, w] = [a[row + j]!, p[j]!];
      for (let k = 0; k <= j; k++) a[j * n + k]! -= v * p[k]! + w * a[row + k]!;
    }
  }
  for (let i = 0; i < n; i++) diagonal[i] = a[i * n + i]!;

  function reflect(x: Float64Array, i: number): void {
    const factor = factors[i]!;
    if (factor === 0) return;
    let sum = 0;
    for (let j = 0, at = i * n; j < i; j++, at++) sum += a[at]! * x[j]!;
    sum *= factor;
    for (let j = 0, at = i * n; j < i; j++, at++) x[j]! -= sum * a[at]!;
  }

  return {
    ...{ size: n, diagonal, beside },
    rotate(x) {
      for (let i = n - 1; i > 0; i--) reflect(x, i);
    },
    rotateBack(x) {
      for (let i = 1; i < n; i++) reflect(x, i);
    },
  };
}

/** T + λI = L·D·Lᵀ, where it is positive definite. */
export interface Factored {
  /** x ← (T + λI)⁻¹·x. */
  solve(x: Float64Array): void;
  /** xᵀ·(T + λI)⁻¹·x. */
  form(x: Float64Array): number;
}

export function factor({ size, diagonal, beside }: Tridiagonal, lambda: number): Factored {
  const pivots = new Float64Array(size);
  const below = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    below[i] = i > 0 ? beside[i]! / pivots[i - 1]! : 0;
    pivots[i] = diagonal[i]! + lambda - below[i]! * beside[i]!;
  }
  return {
    solve(x) {
      for (let i = 1; i < size; i++) x[i]! -= below[i]! * x[i - 1]!;
      for (let i = 0; i < size; i++) x[i]! /= pivots[i]!;
      for (let i = size - 2; i >= 0; i--) x[i]! -= below[i + 1]! * x[i + 1]!;
    },
    form(x) {
      let [sum, before] = [0, 0];
      for (let i = 0; i < size; i++) {
        before = x[i]! - below[i]! * before;
        sum += (before * before) / pivots[i]!;
      }
      return sum;
    },
  };
}
