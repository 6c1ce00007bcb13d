import { PGlite } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite-pgvector";
import { load } from "vitrail";

const [query, ...photos] = process.argv.slice(2);
using vit = await load();
const rows = await vit.embed(photos, { normalize: true });
const width = rows.length / photos.length;

const db = await PGlite.create({ extensions: { vector } });
await db.exec(`CREATE EXTENSION vector; CREATE TABLE photos (path text PRIMARY KEY, embedding vector(${width}))`);
// pgvector reads a vector as the text of a list.
const textOf = (vector) => JSON.stringify(Array.from(vector));
for (const [i, path] of photos.entries()) {
  const row = textOf(rows.subarray(i * width, (i + 1) * width));
  await db.query("INSERT INTO photos VALUES ($1, $2) ON CONFLICT (path) DO UPDATE SET embedding = excluded.embedding", [
    path,
    row,
  ]);
}
// Of vectors of length 1, the distance of <=> is 1 minus the cosine; an index (hnsw, vector_cosine_ops) makes it fast, and not exact.
const { rows: found } = await db.query(
  "SELECT path, 1 - (embedding <=> $1) AS cosine FROM photos ORDER BY embedding <=> $1 LIMIT 10",
  [textOf(await vit.embed(query, { normalize: true }))],
);
for (const { path, cosine } of found) console.log(path, cosine.toFixed(3));
await db.close();
