/** A program that classifies one photo with vitrail: FOLDER PHOTO OPTIONS; run by ../start.ts. */
import { load } from "../../src/index.js";

const [folder, photo, options] = process.argv.slice(2);
const model = await load(folder, JSON.parse(options!));
const [best] = await model.classify(photo!);
console.log(best!.label);
