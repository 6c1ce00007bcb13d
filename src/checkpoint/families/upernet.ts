/** transformers' segmentation by BEiT and data2vec: what config.json says of a UPerNet head. */
import { UPERNET_CLASSIFIER, type UpernetConfig } from "../../heads/upernet.js";
import { reader } from "../json.js";
import type { Facts } from "../observe.js";

/** Levels that there are, and the most parts of a side whose means are taken; published are 6. */
const LEVELS = 4;
const MOST_PARTS = 64;

/** @param depth blocks of the encoder. */
export function upernetOf({ name, file, tensors }: Facts, depth: number): UpernetConfig {
  const read = reader(name, file);
  const classifier = tensors.get(`${UPERNET_CLASSIFIER}.weight`);
  if (!classifier)
    throw new Error(`load: "${name}" must have a UPerNet head; it has no "${UPERNET_CLASSIFIER}.weight"`);
  const isState = (i: number) => Number.isInteger(i) && i >= 1 && i <= depth;
  const rule = `the numbers of ${LEVELS} hidden states, from 1 to ${depth}`;
  const states = read.numbers("out_indices", [3, 5, 7, 11], rule, isState);
  if (states.length !== LEVELS) {
    throw new Error(`load: "out_indices" of "${name}" must be ${rule}; got ${states.join(", ")}`);
  }
  const isCount = (n: number) => Number.isInteger(n) && n >= 1 && n <= MOST_PARTS;
  return {
    // The first hidden state is what the first block reads.
    blocks: states.map((state) => state - 2),
    scales: read.numbers("pool_scales", [1, 2, 3, 6], `whole numbers from 1 to ${MOST_PARTS}`, isCount),
    classes: classifier.shape[0] ?? 0,
  };
}
