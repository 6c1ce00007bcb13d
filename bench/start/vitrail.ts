/** A program that classifies one photo with vitrail, as it is published: FOLDER PHOTO OPTIONS; run by ../start.ts. */
import type * as vitrail from "../../src/index.js";

const { load }: typeof vitrail = await import(new URL("../../lib/index.js", import.meta.url).href);
const [folder, photo, options] = process.argv.slice(2);
const model = await load(folder, JSON.parse(options!));
const [best] = await model.classify(photo!);
console.log(best!.label);
