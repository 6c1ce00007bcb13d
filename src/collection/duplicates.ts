/** Groups of photos that look alike: cosines of all pairs, by blocks. */
import { nextTask } from "../waiting.js";
import type { Index } from "./photos.js";
import type { Searcher } from "./search.js";
import type { Store } from "./store.js";
import { BATCH, type Block, errorOf } from "./vectors.js";

export interface DuplicateOptions {
  /** The least cosine of a pair, 0.95 unless given. */
  threshold?: number;
  onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
  signal?: AbortSignal;
}

/** Photos that look alike. */
export interface Group {
  /** The largest file first; photos without one behind, in the order in which they were added. */
  readonly ids: readonly string[];
  /** The least and the largest cosine of the pairs by which they were found. */
  readonly scores: readonly [least: number, largest: number];
}

interface Parts {
  readonly width: number;
  readonly store: Store;
  readonly index: Index;
  readonly searcher: Searcher;
}

/** Rows that are compared with all blocks, which of a collection beyond memory are read once for so many. */
const ROWS = 4096;

export async function duplicatesOf(
  { width, store, index, searcher }: Parts,
  { threshold = 0.95, onProgress, signal }: DuplicateOptions,
): Promise<Group[]> {
  if (!(typeof threshold === "number" && threshold > -1 && threshold <= 1)) {
    throw new RangeError(`duplicates: threshold must be a cosine above −1 and at most 1; got ${threshold}`);
  }
  /** Each row's parent; the first of a group is its own. */
  const parents = new Map<number, number>();
  const pairs: { a: number; score: number }[] = [];
  function rootOf(row: number): number {
    let root = row;
    while ((parents.get(root) ?? root) !== root) root = parents.get(root)!;
    // Later ways are short.
    for (let at = row; at !== root; ) {
      const next = parents.get(at)!;
      parents.set(at, root);
      at = next;
    }
    return root;
  }
  function join(a: number, b: number, score: number): void {
    const [one, other] = [rootOf(a), rootOf(b)];
    parents.set(Math.max(one, other), Math.min(one, other));
    parents.set(Math.min(one, other), Math.min(one, other));
    pairs.push({ a, score });
  }

  const slack = errorOf(width, store.numbers);
  /** Joins rows, from `a` on, with later ones of a block. */
  function compare(a: number, queries: readonly Float32Array[], first: number, block: Block): void {
    const take = (chunk: number, scores: Float32Array, count: number) => {
      for (const [q, query] of queries.entries()) {
        for (let r = Math.max(0, a + q + 1 - first - chunk); r < count; r++) {
          if (scores[q * count + r]! < threshold - slack) continue;
          const b = first + chunk + r;
          if (!index.isLive(a + q) || !index.isLive(b)) continue;
          const score = block.cosine(query, chunk + r);
          if (score >= threshold) join(a + q, b, score);
        }
      }
    };
    block.scan(queries, take, Math.max(0, a - first));
  }

  let total = 0;
  for await (const { block } of searcher.blocks(signal)) total += block.count;
  for (let begin = 0; begin < total; begin += ROWS) {
    const end = Math.min(begin + ROWS, total);
    /** Copies of these rows, for their block may be read over. */
    const rows: Float32Array[] = [];
    for await (const { first, block } of searcher.blocks(signal)) {
      for (let row = begin + rows.length; row < Math.min(end, first + block.count); row++) {
        rows.push(block.row(row - first));
      }
      for (let from = 0; from < rows.length; from += BATCH) {
        compare(begin + from, rows.slice(from, from + BATCH), first, block);
        onProgress?.({ done: begin + from, total });
        await nextTask();
        signal?.throwIfAborted();
      }
    }
  }
  onProgress?.({ done: total, total });

  const groups = new Map<number, { rows: number[]; least: number; largest: number }>();
  for (const row of parents.keys()) {
    const root = rootOf(row);
    const group = groups.get(root) ?? { rows: [], least: 1, largest: -1 };
    group.rows.push(row);
    groups.set(root, group);
  }
  for (const { a, score } of pairs) {
    const group = groups.get(rootOf(a))!;
    group.least = Math.min(group.least, score);
    group.largest = Math.max(group.largest, score);
  }
  return [...groups.values()]
    .map(({ rows, least, largest }) => ({
      ids: rows
        .map((row) => ({ row, id: index.idOf(row), size: index.last(index.idOf(row))?.size ?? -1 }))
        .sort((a, b) => b.size - a.size || a.row - b.row)
        .map(({ id }) => id),
      scores: [least, largest] as const,
    }))
    .sort((a, b) => b.scores[1] - a.scores[1] || (a.ids[0]! < b.ids[0]! ? -1 : 1));
}
