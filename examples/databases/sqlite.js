import { DatabaseSync } from "node:sqlite";
import { load } from "vitrail";

const [query, ...photos] = process.argv.slice(2);
using vit = await load();
const rows = await vit.embed(photos, { normalize: true });
const width = rows.length / photos.length;

const db = new DatabaseSync(":memory:");
db.exec("CREATE TABLE photos (path TEXT PRIMARY KEY, embedding BLOB NOT NULL) WITHOUT ROWID");
const insert = db.prepare("INSERT OR REPLACE INTO photos VALUES (?, ?)");
const bytesOf = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength);
for (const [i, path] of photos.entries()) insert.run(path, bytesOf(rows.subarray(i * width, (i + 1) * width)));

// A blob need not lie at a multiple of four bytes: it is copied.
const vectorOf = (blob) => new Float32Array(blob.slice().buffer);
db.function("cosine", (a, b) => {
  const [x, y] = [vectorOf(a), vectorOf(b)];
  return x.reduce((sum, value, i) => sum + value * y[i], 0);
});
const nearest = db.prepare("SELECT path, cosine(embedding, ?) AS cosine FROM photos ORDER BY cosine DESC LIMIT 10");
for (const { path, cosine } of nearest.all(bytesOf(await vit.embed(query, { normalize: true })))) {
  console.log(path, cosine.toFixed(3));
}
db.close();
