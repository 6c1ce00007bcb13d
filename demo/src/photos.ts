/** Photos: the samples, and those of one's own, as the page draws them. */
import car from "../photos/car.jpg";
import carSmall from "../photos/car-small.jpg";
import lorikeet from "../photos/lorikeet.jpg";
import lorikeetSmall from "../photos/lorikeet-small.jpg";
import sunflower from "../photos/sunflower.jpg";
import sunflowerSmall from "../photos/sunflower-small.jpg";
import type { Photo } from "./state.js";

export interface Sample {
  readonly id: string;
  readonly title: string;
  readonly url: string;
  readonly small: string;
  /** The part that is worth pointing at first, [x, y] of 1. */
  readonly point: readonly [number, number];
}

export const SAMPLES: readonly Sample[] = [
  { id: "lorikeet", title: "Lorikeet", url: lorikeet, small: lorikeetSmall, point: [0.56, 0.45] },
  { id: "car", title: "Car", url: car, small: carSmall, point: [0.57, 0.57] },
  { id: "sunflower", title: "Sunflower", url: sunflower, small: sunflowerSmall, point: [0.5, 0.3] },
];

export const sampleOf = (id: string): Sample => SAMPLES.find((sample) => sample.id === id) ?? SAMPLES[0]!;

const blobs = new Map<string, Promise<Blob>>();

/** The bytes of a sample, fetched once. */
export function sampleBlob({ id, url }: Sample): Promise<Blob> {
  const known = blobs.get(id);
  if (known) return known;
  const blob = fetch(url).then((response) => response.blob());
  blobs.set(id, blob);
  blob.catch(() => blobs.delete(id));
  return blob;
}

/** The window is at most 720 CSS pixels wide. */
const LONGEST = 1440;

/**
 * A photo as it is drawn.
 * @param image its pixels, where the browser cannot read the file itself.
 * @throws what `createImageBitmap` does, for what the browser cannot draw.
 */
export async function drawable(
  id: string,
  title: string,
  blob: Blob,
  image: Blob | ImageData = blob,
  longest = LONGEST,
): Promise<Photo> {
  const bitmap = await createImageBitmap(image);
  const { width, height } = bitmap;
  const scale = Math.min(1, longest / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d")!;
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return { id, title, blob, canvas, width, height };
}
