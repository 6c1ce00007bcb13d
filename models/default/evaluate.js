// Top-1 of the default model on CIFAR-10's test set, through vitrail from the JPEG bytes on.
//
//   npm run build; node models/default/evaluate.js test.tar.gz [PREDICTIONS]
//
// test.tar.gz holds a folder of images a class. PREDICTIONS is what `export.py --predictions` wrote, timm's classes: they
// are compared one by one.
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { load } from "../../dist/src/index.js";

const [archive, predictions] = process.argv.slice(2);
if (!archive) throw new Error("evaluate: the archive must be given: node models/default/evaluate.js test.tar.gz");

/** Regular files of a tar archive (POSIX ustar: blocks of 512 bytes, the name at 0, the octal size at 124, the type at 156). */
function* filesOf(tar) {
  const text = (at, length) => tar.toString("latin1", at, at + length).split("\0")[0];
  for (let at = 0; at + 512 <= tar.length; ) {
    const size = Number.parseInt(text(at + 124, 12), 8) || 0;
    const prefix = text(at + 345, 155);
    const name = prefix ? `${prefix}/${text(at, 100)}` : text(at, 100);
    if (/[.](jpe?g|png)$/i.test(name)) yield { name, bytes: tar.subarray(at + 512, at + 512 + size) };
    at += 512 + Math.ceil(size / 512) * 512;
  }
}

const images = [...filesOf(gunzipSync(readFileSync(archive)))].sort((a, b) => (a.name < b.name ? -1 : 1));
const timm = predictions && JSON.parse(readFileSync(predictions, "utf8"));

const model = await load();
let right = 0;
let agreed = 0;
for (const [i, { name, bytes }] of images.entries()) {
  const [best] = await model.classify(bytes, { topK: 1 });
  right += Number(best.label === name.split("/").at(-2));
  agreed += Number(timm?.[i] === best.index);
}
console.log(
  `vitrail: top-1 ${((100 * right) / images.length).toFixed(2)} % of ${images.length.toLocaleString("en-US")}`,
);
if (timm)
  console.log(`same class as timm: ${agreed.toLocaleString("en-US")} of ${timm.length.toLocaleString("en-US")}`);
