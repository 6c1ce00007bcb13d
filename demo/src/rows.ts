/** Stand-in until vitrail/pictures is there. */
export function cosines(z: Float32Array, width: number, row: number): Float32Array {
  const n = z.length / width;
  const out = new Float32Array(n);
  const norm = (r: number) => { let s = 0; for (let i = 0; i < width; i++) s += z[r * width + i]! ** 2; return Math.sqrt(s); };
  const own = norm(row);
  for (let r = 0; r < n; r++) {
    let s = 0;
    for (let i = 0; i < width; i++) s += z[r * width + i]! * z[row * width + i]!;
    out[r] = s / (own * norm(r));
  }
  return out;
}
export function attentionRow(q: Float32Array, k: Float32Array, { heads, tokens, head, row }: { heads: number; tokens: number; head: number; row: number }): Float32Array {
  const d = q.length / heads / tokens;
  const out = new Float32Array(tokens);
  let most = -Infinity;
  for (let j = 0; j < tokens; j++) {
    let s = 0;
    for (let i = 0; i < d; i++) s += q[(head * tokens + row) * d + i]! * k[(head * tokens + j) * d + i]!;
    out[j] = s;
    most = Math.max(most, s);
  }
  let sum = 0;
  for (let j = 0; j < tokens; j++) { out[j] = Math.exp(out[j]! - most); sum += out[j]!; }
  for (let j = 0; j < tokens; j++) out[j]! /= sum;
  return out;
}
