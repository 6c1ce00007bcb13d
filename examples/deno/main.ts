// deno run --allow-read --allow-env --allow-sys main.ts cat.jpg dog.png: which images are alike.
import { load } from "vitrail";

const vit = await load();
const images = Deno.args;
const rows = await vit.embed(images, { normalize: true });
const width = rows.length / images.length;
const row = (i: number) => rows.subarray(i * width, (i + 1) * width);
for (let i = 1; i < images.length; i++) {
  const cosine = row(0).reduce((sum, x, j) => sum + x * row(i)[j], 0);
  console.log(images[0], images[i], cosine.toFixed(3));
}
