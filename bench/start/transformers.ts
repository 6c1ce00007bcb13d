/** A program that classifies one photo with Transformers.js: PARENT NAME PHOTO; run by ../start.ts. */
import { thirdparty } from "../engines/thirdparty.js";

const { env, pipeline } = thirdparty("@huggingface/transformers");
const [parent, name, photo] = process.argv.slice(2);
env.allowRemoteModels = false;
env.localModelPath = parent;
const classifier = await pipeline("image-classification", name, { dtype: "fp32", device: "cpu" });
const [best] = await classifier(photo);
console.log(best.label);
