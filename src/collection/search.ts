/** The nearest photos of a query: exactly those, by products with all of them. */
import { toUnit } from "../numerics/vectors.js";
import { checkTopK } from "../tasks/task.js";
import { nextTask } from "../waiting.js";
import { numberBytes } from "./numbers.js";
import type { Index, KnownPhoto } from "./photos.js";
import type { Store } from "./store.js";
import { BATCH, type Block, createBlock, errorOf, rowsOfBlock } from "./vectors.js";

export interface SearchOptions {
  /** How many, 10 unless given. */
  topK?: number;
  /** Photos that count, by what is known of them; all unless given. */
  filter?: (photo: KnownPhoto) => boolean;
  signal?: AbortSignal;
}

export interface Hit {
  readonly id: string;
  /** Cosine with the query. */
  readonly score: number;
}

/** A row that may be among the best, with its rounded score. */
interface Candidate {
  readonly row: number;
  readonly score: number;
}

/** Bytes of vectors that stay in memory; of a larger collection blocks are read for each search, one after the other. */
const MAX_RESIDENT = 2 ** 31;
/** Bytes that are read at once. */
const PIECE = 2 ** 24;

export interface Searcher {
  search(vectors: readonly Float32Array[], options: SearchOptions): Promise<Hit[][]>;
  /** Goes through all vectors, a block at a time; each begins at a row of the collection. */
  blocks(signal: AbortSignal | undefined): AsyncGenerator<{ readonly first: number; readonly block: Block }>;
}

export function createSearcher(store: Store, index: Index, width: number): Searcher {
  const kept: { first: number; block: Block }[] = [];
  const { numbers } = store;
  const line = numberBytes(numbers) * width;
  const most = rowsOfBlock(width, numbers);
  const error = errorOf(width, numbers);

  const rowsIn = ({ shards }: Store): number => {
    const last = shards.at(-1);
    return last ? last.first + last.count : 0;
  };

  /** Fills a block with rows from its place on, as many as fit. */
  async function fill(first: number, block: Block, signal: AbortSignal | undefined): Promise<void> {
    for (const shard of store.shards) {
      const from = Math.max(first + block.count, shard.first);
      const end = Math.min(first + block.room, shard.first + shard.count);
      for (let row = from; row < end; ) {
        signal?.throwIfAborted();
        const rows = Math.min(end - row, Math.max(1, Math.floor(PIECE / line)));
        await store.readVectors(shard, row - shard.first, block.free(rows));
        block.grow(rows);
        row += rows;
      }
    }
  }

  async function* blocks(signal: AbortSignal | undefined) {
    await index.update();
    const rows = rowsIn(store);
    const resident = line * rows <= MAX_RESIDENT;
    if (!resident) kept.length = 0;
    let spare: Block | undefined;
    for (let first = 0, place = 0; first < rows; first += most, place++) {
      const wanted = Math.min(most, rows - first);
      let { block } = kept[place] ?? {};
      if (!block || block.room < wanted) {
        block = spare ?? createBlock(width, numbers, resident ? wanted : Math.min(most, rows));
        block.clear();
        if (resident) kept[place] = { first, block };
        else spare = block;
      }
      await fill(first, block, signal);
      yield { first, block };
    }
  }

  async function search(vectors: readonly Float32Array[], { topK = 10, filter, signal }: SearchOptions) {
    checkTopK("search", topK);
    for (const vector of vectors) {
      if (vector.length === width && vector.every(Number.isFinite)) continue;
      const got = vector.length === width ? "numbers that are not finite" : vector.length;
      throw new RangeError(`search: a vector must have ${width} numbers, as those of the collection; got ${got}`);
    }
    const units = vectors.map(toUnit);
    const passed = filter && (await rowsThat(filter));
    const found = units.map(() => createBest(topK, 2 * error));
    const exact = units.map((): Candidate[] => []);
    for await (const { first, block } of blocks(signal)) {
      for (let begin = 0; begin < units.length; begin += BATCH) {
        const batch = units.slice(begin, begin + BATCH);
        block.scan(batch, (chunk, scores, count) => {
          for (let q = 0; q < batch.length; q++) {
            const best = found[begin + q]!;
            for (let r = 0, at = q * count; r < count; r++, at++) {
              if (scores[at]! < best.least) continue;
              const row = first + chunk + r;
              if (index.isLive(row) && (!passed || passed.has(row))) best.take(row, scores[at]!);
            }
          }
        });
        await nextTask();
        signal?.throwIfAborted();
      }
      // While the block is there, its candidates are scored in f64.
      for (const [q, best] of found.entries()) {
        for (const { row } of best.list()) {
          if (row < first || row >= first + block.count) continue;
          exact[q]!.push({ row, score: block.cosine(units[q]!, row - first) });
        }
        exact[q] = exact[q]!.sort((a, b) => b.score - a.score || a.row - b.row).slice(0, topK);
      }
    }
    return exact.map((list) => list.map(({ row, score }) => ({ id: index.idOf(row), score })));
  }

  /** Rows of photos that a filter takes. */
  async function rowsThat(filter: NonNullable<SearchOptions["filter"]>): Promise<ReadonlySet<number>> {
    await index.update();
    const rows = new Set<number>();
    for (const shard of store.shards) {
      for (const { row, photo } of await index.photosOf(shard)) if (filter(photo)) rows.add(row);
    }
    return rows;
  }

  return { search, blocks };
}

/** Collects the candidates for the `count` best: all whose rounded score is not below that of the last of them by more than `slack`. */
function createBest(count: number, slack: number) {
  let candidates: Candidate[] = [];
  const best = {
    /** Scores below this one are none of them. */
    least: Number.NEGATIVE_INFINITY,
    take(row: number, score: number): void {
      candidates.push({ row, score });
      if (candidates.length >= 2 * count + 64) prune();
    },
    list(): readonly Candidate[] {
      prune();
      return candidates;
    },
  };
  function prune(): void {
    if (candidates.length <= count) return;
    candidates.sort((a, b) => b.score - a.score || a.row - b.row);
    best.least = candidates[count - 1]!.score - slack;
    candidates = candidates.filter(({ score }) => score >= best.least);
  }
  return best;
}
