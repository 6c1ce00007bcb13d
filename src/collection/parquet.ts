/** The metadata of a shard as Parquet, a row a photo, as clip-retrieval has it: image_path first. */
import { readParquet } from "../io/parquet.js";
import type { ByteSource } from "../io/source.js";
import { excerpt, parseJson } from "../json.js";
import { diskTools } from "../platform/files.js";

/** Facts of a photo when it was embedded. */
export interface PhotoRow {
  readonly id: string;
  /** Bytes of its file. */
  readonly size: number | null;
  /** Milliseconds since 1970 when its file was changed. */
  readonly time: number | null;
  /** SHA-256 of its bytes, where it was asked for. */
  readonly hash: string | null;
  /** Facts that came with it, as JSON. */
  readonly metadata: string | null;
}

/** A photo that could not be read. */
export interface Failure {
  readonly id: string;
  readonly error: string;
}

/** Metadata of a shard. */
export interface Rows {
  readonly rows: PhotoRow[];
  /** Photos of the shard's job that have no row, and why. */
  readonly failures: Failure[];
}

/** The key of failures in the file's own metadata, where other readers let them be. */
const FAILURES = "vitrail.failures";

const COLUMNS = ["image_path", "size", "time", "hash", "metadata"] as const;

/** Most bytes of a shard's metadata: of 4096 rows with 10 KB each, 40 MB. */
const MAX_BYTES = 2 ** 28;

export async function encodeRows(rows: readonly PhotoRow[], failures: readonly Failure[] = []): Promise<Uint8Array> {
  const { parquetWriteBuffer } = await import("hyparquet-writer");
  const text = { type: "STRING", nullable: true, encoding: "PLAIN" } as const;
  const number = { type: "DOUBLE", nullable: true, encoding: "PLAIN" } as const;
  const columnData = [
    { name: "image_path", data: rows.map(({ id }) => id), ...text, nullable: false },
    { name: "size", data: rows.map(({ size }) => size), ...number },
    { name: "time", data: rows.map(({ time }) => time), ...number },
    { name: "hash", data: rows.map(({ hash }) => hash), ...text },
    { name: "metadata", data: rows.map(({ metadata }) => metadata), ...text },
  ];
  const kvMetadata = failures.length > 0 ? [{ key: FAILURES, value: JSON.stringify(failures) }] : [];
  // As io/parquet.ts reads it.
  return new Uint8Array(parquetWriteBuffer({ columnData, kvMetadata, codec: "UNCOMPRESSED", createdBy: "vitrail" }));
}

/** Digest of a shard's metadata, as text. */
export const digestOf = (bytes: Uint8Array): string =>
  diskTools().crypto.createHash("sha256").update(bytes).digest("hex");

/**
 * Rows of a shard's metadata, and the failures beside them.
 * @param name of the file, in messages.
 * @param count how many rows there must be; any number unless given.
 * @param digest that of its bytes when they were written.
 * @throws Error: one sentence, for a file that is no Parquet, has other columns or another number of rows.
 */
export async function readRows(
  file: ByteSource,
  name: string,
  { count, digest }: { readonly count?: number; readonly digest: string | undefined },
): Promise<Rows> {
  const refuse = (found: string): never => {
    throw new Error(`collection: "${name}" ${found}`);
  };
  try {
    if (file.size > MAX_BYTES) refuse(`must have at most ${MAX_BYTES} bytes; it has ${file.size}`);
    const bytes = new Uint8Array(file.size);
    await file.read(bytes, 0);
    if (digestOf(bytes) !== digest) {
      refuse(
        "must be as it was written, by the digest beside it: remove both and its vectors, and its photos can be added again",
      );
    }
    const { rows: said, columns, notes } = readParquet(bytes, COLUMNS, refuse);
    if (count !== undefined && said !== count)
      refuse(`must have a row for each of ${count} vectors beside it; it has ${said}`);
    const noted = notes.get(FAILURES);
    const failures = noted === undefined ? [] : parseJson(new TextEncoder().encode(noted), `collection: "${name}"`);
    if (!Array.isArray(failures) || !failures.every(isFailure))
      refuse(`has failures of other types: ${excerpt(failures)}`);
    const [ids, sizes, times, hashes, facts] = columns;
    const rows = Array.from({ length: said }, (_, i) => {
      const [id, hash, metadata] = [ids![i]!, hashes![i]!, facts![i]!];
      const [size, time] = [sizes![i]!, times![i]!];
      const texts = typeof id === "string" && [hash, metadata].every((x) => x === null || typeof x === "string");
      const numbers = [size, time].every((x) => x === null || typeof x === "number");
      if (!texts || !numbers) refuse(`has row ${i} of other types: ${excerpt([id, size, time, hash, metadata])}`);
      return { id, size, time, hash, metadata } as PhotoRow;
    });
    return { rows, failures: failures as Failure[] };
  } finally {
    await file.close();
  }
}

const isFailure = (value: unknown): value is Failure => {
  const { id, error } = Object(value) as Failure;
  return typeof id === "string" && typeof error === "string";
};
