// node main.js cat.jpg dog.png: the classes of images, by the model that comes with vitrail.
import { load } from "vitrail";

const vit = await load();
const images = process.argv.slice(2);
const found = await vit.classify(images, { topK: 1 });
for (const [i, [best]] of found.entries()) console.log(images[i], best.label, best.probability.toFixed(3));
