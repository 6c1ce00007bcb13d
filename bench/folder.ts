/**
 * A folder of photos to a file of embeddings: photos a second and processors kept busy, beside what else people would take; and
 * where the time of a photo goes, one part after the other on one thread.
 */
import { start } from "./child.js";
import type { PartsQuestion, PartsSample } from "./folder-child.js";
import { type FolderWork, labelOf, type Setup } from "./work.js";

export interface Parts extends Pick<Setup, "precision" | "wide"> {
  readonly work: string;
  readonly parts: PartsSample;
}

/** A second or so of the fastest. Of photos of 12 megapixels decoding is most, whatever the model. */
export const FOLDERS: readonly FolderWork[] = [
  { kind: "folder", size: "Ti", picture: "photo", photos: 64 },
  { kind: "folder", size: "Ti", picture: "baseline", photos: 12 },
  { kind: "folder", size: "B/32", picture: "photo", photos: 32 },
];

const SETUPS = [
  { precision: "f32", wide: false },
  { precision: "int8", wide: true },
] as const;

export async function measureParts(): Promise<Parts[]> {
  const all: Parts[] = [];
  for (const work of FOLDERS)
    for (const setup of SETUPS) {
      const child = start<PartsQuestion, PartsSample>(new URL("./folder-child.js", import.meta.url), []);
      try {
        all.push({ ...setup, work: labelOf(work), parts: await child.ask({ ...setup, ...work }) });
      } finally {
        child.stop();
      }
    }
  return all;
}
