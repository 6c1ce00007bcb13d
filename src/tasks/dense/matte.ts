/** Mattes: what is made of a model's outputs. */
import type { SeenImage } from "../../image/preprocess.js";
import { inSlices, type Slices } from "../../image/slices.js";
import { BACKGROUND, OBJECT, type Trimap, UNKNOWN } from "../../image/trimap.js";
import { encodePng } from "../../image/write-png.js";
import type { Matte, MatteOptions, TrimapInput } from "../matte.js";
import type { TaskImage, TaskModel } from "../task.js";

/** Checks the options, and gives what makes the matte of an image. */
export function begin(model: TaskModel, { trimap: given, signal }: MatteOptions): (image: TaskImage) => Promise<Matte> {
  const trimapOf = placesOf(given, model.listed);
  return async (image) => {
    const { seen, withTrimap } = image.pixels!();
    const trimap = await model.openTrimap(trimapOf(image.place));
    checkLevels(trimap);
    const { data, dims } = (await image.run(["alphas"], { pixelValues: withTrimap(trimap) })).alphas;
    const { photo } = image.geometry;
    const late = () => new Error("matte: it is late");
    const own = await inSlices(() => partOf(data, dims[3]!, photo), { signal }, late);
    const rgba = await inSlices(() => cutOut(seen, own, photo), { signal }, late);
    return { ...photo, data: own, cutout: await encodePng({ ...photo, channels: 4, data: rgba }) };
  };
}

/** The trimap of the image at a place: the only one of an image that is no list. */
function placesOf(given: MatteOptions["trimap"], images: number | undefined): (place: number) => TrimapInput {
  if (given === undefined || given === null) {
    throw new TypeError("matte: trimap must be an image, 0 beside the object, 255 on it and 128 between; got none");
  }
  if (images === 0 || (images === undefined && !Array.isArray(given))) return () => given as TrimapInput;
  if (Array.isArray(given) && given.length === images) return (place) => given[place];
  const got = Array.isArray(given) ? `a list of ${given.length}` : "one";
  throw new TypeError(
    `matte: trimap must be ${images === undefined ? "an image" : `a list, one for each of ${images} images`}; got ${got}`,
  );
}

/** Refuses other levels than there are, and a trimap that leaves nothing to be told. */
function checkLevels({ data, width }: Trimap): void {
  let unknown = false;
  for (let i = 0; i < data.length; i++) {
    if (data[i] === UNKNOWN) unknown = true;
    else if (data[i] !== BACKGROUND && data[i] !== OBJECT) {
      const place = `at ${i % width}, ${Math.floor(i / width)}`;
      throw new RangeError(`matte: trimap must have levels 0, 128 and 255 alone; got ${data[i]} ${place}`);
    }
  }
  if (unknown) return;
  throw new RangeError("matte: trimap must have pixels of 128, which the model is to tell; it has none");
}

/** Results between two yields: about a millisecond. */
const SLICE = 2 ** 16;

/** The upper left part of a map. */
function* partOf(map: Float32Array, columns: number, { width, height }: { width: number; height: number }) {
  const part = new Float32Array(width * height);
  for (let y = 0, made = 0; y < height; y++) {
    part.set(map.subarray(y * columns, y * columns + width), y * width);
    made += width;
    if (made < SLICE) continue;
    made = 0;
    yield;
  }
  return part;
}

/** RGBA of a photo, which is in the upper left corner of what the model sees. */
function* cutOut(
  seen: SeenImage,
  alphas: Float32Array,
  { width, height }: { width: number; height: number },
): Slices<Uint8Array> {
  const rgba = new Uint8Array(4 * width * height);
  for (let y = 0, made = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [from, to] = [3 * (y * seen.width + x), 4 * (y * width + x)];
      for (let c = 0; c < 3; c++) rgba[to + c] = seen.data[from + c]!;
      rgba[to + 3] = Math.round(255 * alphas[y * width + x]!);
    }
    made += width;
    if (made < SLICE) continue;
    made = 0;
    yield;
  }
  return rgba;
}

/** The object cut out, and the alpha map in gray. */
export async function pictures({ width, height, data, cutout }: Matte): Promise<Readonly<Record<string, Uint8Array>>> {
  const gray = Uint8Array.from(data, (x) => Math.round(255 * x));
  return { cutout, alpha: await encodePng({ width, height, channels: 1, data: gray }) };
}
