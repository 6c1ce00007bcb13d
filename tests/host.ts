/** What tests/hosts.test.ts runs elsewhere: loads on two threads and classifies. Disposes of nothing: idle threads end. */
import { type LoadOptions, load } from "../src/index.js";

const [folder, photo, precision] = process.argv.slice(2) as [string, string, NonNullable<LoadOptions["precision"]>];
const model = await load(folder, { precision, threads: 2 });
const found = await model.classify(photo, { topK: model.labels.length });
const logits = found.sort((a, b) => a.index - b.index).map(({ logit }) => logit);
console.log(JSON.stringify({ logits, ...model.backend }));
