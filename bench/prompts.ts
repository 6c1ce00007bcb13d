/** Prompts for CLIP's text tower of ViT-B/32, which dense.py writes, and its graph. */
import { existsSync } from "node:fs";
import { ROOT } from "./files.js";
import { random } from "./models.js";

export const PROMPTS_FOLDER = `${ROOT}clip-vit-base-patch32`;
export const PROMPTS_GRAPH = `${PROMPTS_FOLDER}/prompts.onnx`;
/** Tells whether dense.py has written it. */
export const arePromptsWritten = (): boolean => existsSync(PROMPTS_GRAPH);

/** Prompts of a run of the graph: as in a program that tokenizes a batch and fills its rows up to the longest. */
export const PROMPTS_AT_ONCE = 50;
/** Most tokens of a prompt, to which all of the graph's are filled up. */
export const PROMPT_LENGTH = 14;

/** Tokens by CLIP's tokenizer, and how many of "a photo of a NAME." for the first names of ImageNet's 1,000 classes have no more. */
const LENGTHS = [
  [8, 299],
  [9, 839],
  [10, 950],
  [11, 981],
  [12, 994],
  [13, 995],
  [14, 1000],
] as const;
const [BEGIN, END] = [49406, 49407];

/** Token ids of prompts as long as those, in any order, [count, PROMPT_LENGTH]; the end fills them up. */
export function promptIds(count: number): number[] {
  const [draws, ids] = [random(count, 1, 1), random(count * PROMPT_LENGTH, 1, 2)];
  // Uniform numbers of standard deviation 1 are from -√3 to √3.
  const place = (x: number) => x / Math.sqrt(12) + 0.5;
  return Array.from(draws, (draw, i) => {
    const length = LENGTHS.find(([, end]) => 1000 * place(draw) < end)?.[0] ?? PROMPT_LENGTH;
    return Array.from({ length: PROMPT_LENGTH }, (_, j) => {
      if (j === 0) return BEGIN;
      return j < length - 1 ? Math.floor(BEGIN * place(ids[i * PROMPT_LENGTH + j]!)) : END;
    });
  }).flat();
}

/** Floating-point operations of the products that a prompt needs, whose tokens end with the end. */
export function promptFlops(count: number): number {
  const ids = promptIds(count);
  let flops = 0;
  for (let i = 0; i < count; i++) {
    const tokens = ids.indexOf(END, i * PROMPT_LENGTH) - i * PROMPT_LENGTH + 1;
    flops += 2 * 12 * (tokens * 12 * 512 * 512 + 2 * tokens * tokens * 512) + 2 * 512 * 512;
  }
  return flops;
}
