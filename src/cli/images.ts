/** Images of a command, by the words that it was given (io/images.ts). */
import { listImages, type Operand } from "../io/images.js";

/** All images that the words stand for, in their order; those of a folder by name. */
export async function imagesOf(words: readonly string[], signal: AbortSignal): Promise<Operand[]> {
  const images: Operand[] = [];
  for await (const operand of listImages(words, signal)) images.push(operand);
  return images;
}
