/**
 * Figure 7 of Dosovitskiy et al. 2021 for any checkpoint: filters, positions and attention distance side by side, as
 * bench/figure7.svg.
 *
 *     node dist/bench/figure7.js MODEL PHOTOS…
 */
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { load } from "../src/index.js";
import { picture } from "../src/pictures/index.js";
import { svgFile } from "../src/pictures/svg.js";

/** Photos that the paper takes the distance's mean over. */
const PHOTOS = 128;
const OUT = "bench/figure7.svg";

const [model, ...words] = process.argv.slice(2);
if (model === undefined || words.length === 0) {
  console.error("figure7 takes a model, and photos or a folder of them: node dist/bench/figure7.js MODEL PHOTOS…");
  process.exit(2);
}
const photos = words
  .flatMap((word) => (statSync(word).isDirectory() ? readdirSync(word).map((name) => join(word, name)) : [word]))
  .filter((path) => /\.(jpe?g|png|webp)$/i.test(path))
  .slice(0, PHOTOS);

using vit = await load(model);
const filters = await (await picture(vit, "filters")).svg({ width: 504 });
const positions = await (await picture(vit, "positions")).svg({ width: 440 });
const distances = await picture(vit, "distance", photos);
const distance = await distances.svg();

/** Files of one height beside each other, each as a drawing of its own inside of theirs. */
const panels = [filters, positions, distance].map((svg) => {
  const [, width, height] = /width="([\d.]+)" height="([\d.]+)"/.exec(svg)!.map(Number) as [number, number, number];
  return { svg: svg.trimEnd(), width, height };
});
const height = Math.max(...panels.map((panel) => panel.height));
let x = 0;
const inner = panels.map(({ svg, width }) => {
  const placed = svg.replace("<svg ", `<svg x="${x}" `);
  x += width;
  return placed;
});
writeFileSync(OUT, svgFile(x, height, `Figure 7 of ${vit.config.family}`, inner));
console.log(`${OUT}: ${photos.length} photos, ${vit.config.family}`);
const heads = distances.dims[1]!;
for (let layer = 0; layer < distances.dims[0]!; layer++) {
  const own = Array.from(distances.data.subarray(layer * heads, (layer + 1) * heads), (x) => x.toFixed(1));
  console.log(`layer ${layer + 1}: ${own.join(", ")} pixels`);
}
