/** The photos of a collection by their names: read once, and kept, about 150 bytes a photo. */
import { parseJson } from "../json.js";
import type { PhotoRow } from "./parquet.js";
import type { Shard, Store } from "./store.js";

export interface KnownPhoto {
  readonly id: string;
  /** Bytes of its file, and milliseconds since 1970 when it was changed, if it is one. */
  readonly size?: number;
  readonly time?: number;
  /** Facts that came with it. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** The last row of a photo. */
export interface Last {
  readonly row: number;
  readonly size: number | null;
  readonly time: number | null;
  readonly hash: string | null;
}

export interface Index {
  /** Photos that can be found. */
  readonly size: number;
  /** Reads what is new in the store. */
  update(): Promise<void>;
  last(id: string): Last | undefined;
  ids(): Iterable<string>;
  idOf(row: number): string;
  /** Tells of each row whether it is a photo that can be found: the last of its name, and not removed. */
  isLive(row: number): boolean;
  /** Rows of a shard with all that is known of them. */
  photosOf(shard: Shard): Promise<{ row: number; photo: KnownPhoto }[]>;
  photos(): AsyncGenerator<KnownPhoto>;
}

export function createIndex(store: Store): Index {
  const ids: string[] = [];
  const known = new Map<string, Last>();

  async function update(): Promise<void> {
    for (const shard of store.shards) {
      // A shard that took the place of the last one begins with its rows.
      const there = ids.length - shard.first;
      if (there >= shard.count) continue;
      for (const { id, size, time, hash } of (await store.rowsOf(shard)).slice(there)) {
        known.set(id, { row: ids.length, size, time, hash });
        ids.push(id);
      }
    }
  }

  const isLive = (row: number): boolean => {
    const id = ids[row]!;
    return known.get(id)!.row === row && !store.removed.has(id);
  };

  async function photosOf(shard: Shard) {
    const rows = await store.rowsOf(shard);
    return rows.flatMap((row, i) => (isLive(shard.first + i) ? [{ row: shard.first + i, photo: photoOf(row) }] : []));
  }

  return {
    get size() {
      return known.size - [...store.removed].filter((id) => known.has(id)).length;
    },
    ...{ update, isLive, photosOf },
    last: (id) => known.get(id),
    ids: () => known.keys(),
    idOf: (row) => ids[row]!,
    async *photos() {
      await update();
      for (const shard of store.shards) for (const { photo } of await photosOf(shard)) yield photo;
    },
  };
}

function photoOf({ id, size, time, metadata }: PhotoRow): KnownPhoto {
  const facts =
    metadata === null ? undefined : parseJson(new TextEncoder().encode(metadata), `collection: metadata of "${id}"`);
  return {
    id,
    ...(size !== null && { size }),
    ...(time !== null && { time }),
    ...(facts !== undefined && { metadata: facts as Record<string, unknown> }),
  };
}
