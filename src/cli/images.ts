/** Images of a command, by the words that it was given (io/images.ts), and names of what is made of them. */
import { basename, extname } from "node:path";
import { listImages, type Operand } from "../io/images.js";
import { nameOf } from "../platform/web.js";

/** All images that the words stand for, in their order; those of a folder by name. */
export async function imagesOf(words: readonly string[], signal: AbortSignal): Promise<Operand[]> {
  const images: Operand[] = [];
  for await (const operand of listImages(words, signal)) images.push(operand);
  return images;
}

/** The name of an image's pictures: its own without the ending, and a number where another image has it already. */
export function stemOf(image: string, taken: Set<string>): string {
  const name = basename(image === "-" ? "stdin" : nameOf(image).split(/[?#]/)[0]!);
  const own = name.slice(0, name.length - extname(name).length) || "image";
  let stem = own;
  for (let i = 2; taken.has(stem); i++) stem = `${own}-${i}`;
  taken.add(stem);
  return stem;
}
