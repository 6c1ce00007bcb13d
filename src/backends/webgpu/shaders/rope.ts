/** Rotary positions, in place: one thread a pair of a token's query or key. */
import { perThread, type Shader } from "../shader.js";

export const rope = ({ halves, own }: { halves: boolean; own: boolean }): Shader => ({
  name: `rope ${halves} ${own}`,
  reads: { cos: "f32", sin: "f32" },
  writes: { qkv: "f32" },
  params: ["rows", "heads", "d", "stride", "tokens", "tableStride"],
  code: perThread(`
  let pairs = p.d / 2u;
  let pair = i % pairs;
  // Heads of the queries, then of the keys.
  let head = i / pairs % (2u * p.heads);
  let row = i / (pairs * 2u * p.heads);
  if (row >= p.rows) { return; }
  let a = ${halves ? "pair" : "2u * pair"};
  let b = ${halves ? "pair + pairs" : "2u * pair + 1u"};
  let at = row * p.stride + head * p.d;
  let table = row % p.tokens * p.tableStride${own ? " + head % p.heads * p.d" : ""};
  let x = qkv[at + a];
  let y = qkv[at + b];
  qkv[at + a] = x * cos[table + a] + y * sin[table + a];
  qkv[at + b] = y * cos[table + b] + x * sin[table + b];`),
});
