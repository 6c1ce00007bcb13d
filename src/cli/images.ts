/** Images of a command, by the words that it was given (io/images.ts), and names of what is made of them. */
import { stat } from "node:fs/promises";
import { basename, dirname, extname } from "node:path";
import type { Clip } from "../index.js";
import { listImages, type Operand } from "../io/images.js";
import { nameOf } from "../platform/web.js";

/** A clip, or why there is none; where it has no frames apart, the file itself. */
export interface ClipOperand extends Operand {
  readonly input?: Clip;
}

/** All images that the words stand for, in their order; those of a folder by name. */
export async function imagesOf(words: readonly string[], signal: AbortSignal): Promise<Operand[]> {
  const images: Operand[] = [];
  for await (const operand of listImages(words, signal)) images.push(operand);
  return images;
}

/** Frames in folders, a clip each by the numbers in their names; other words, and GIFs in folders, are clips by themselves. */
export async function clipsOf(words: readonly string[], signal: AbortSignal): Promise<ClipOperand[]> {
  const clips: ClipOperand[] = [];
  for (const word of words) {
    const images = await imagesOf([word], signal);
    const isFolder = await stat(word).then(
      (found) => found.isDirectory(),
      () => false,
    );
    const isFrame = ({ image, error }: Operand) => isFolder && !error && !/\.gif$/i.test(image);
    clips.push(...images.filter((image) => !isFrame(image)));
    const frames = images.filter(isFrame).map(({ image }) => image);
    for (const folder of new Set(frames.map((frame) => dirname(frame)))) {
      const own = frames.filter((frame) => dirname(frame) === folder).sort(inNumbers.compare);
      clips.push({ image: folder, input: { frames: own } });
    }
  }
  return clips;
}

/** Compares names by the numbers in them: frame-9 is before frame-10. */
const inNumbers = new Intl.Collator("en", { numeric: true });

/** The name of an image's pictures: its own without the ending, and a number where another image has it already. */
export function stemOf(image: string, taken: Set<string>): string {
  const name = basename(image === "-" ? "stdin" : nameOf(image).split(/[?#]/)[0]!);
  const own = name.slice(0, name.length - extname(name).length) || "image";
  let stem = own;
  for (let i = 2; taken.has(stem); i++) stem = `${own}-${i}`;
  taken.add(stem);
  return stem;
}
