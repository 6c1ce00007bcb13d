/**
 * A task: a method of a model that takes images, and maybe a command of the command line. It asks the model for outputs of a
 * forward pass and makes of them a result in the photo's coordinates. A task is a file here and a row of index.ts.
 */

import type { Config } from "../checkpoint/config.js";
import type { Crop } from "../image/affine.js";
import type { RgbImage } from "../image/decode/file.js";
import type { Box, Geometry } from "../image/geometry.js";
import type { SeenImage } from "../image/preprocess.js";
import type { ImageInput } from "../image/source.js";
import type { Trimap } from "../image/trimap.js";
import type { Inputs } from "../vit/inputs.js";
import type { OutputName, Outputs, Tensor } from "../vit/outputs.js";

/** A loaded model, as far as a task is concerned. */
export interface TaskModel {
  readonly config: Config;
  /** Class names by index. */
  readonly labels: readonly string[];
  /** True if images are cut into windows, each of which the model sees by itself. */
  readonly windows: boolean;
  /** Images of the call, if they are a list. */
  readonly listed: number | undefined;
  /** How scores of images and texts are made of cosines, and whether those of different texts are independent. */
  readonly similarity: { readonly scale: number; readonly bias: number; readonly independent: boolean } | undefined;
  /** Features of texts as they are, kept as those of embedTexts. */
  featuresOf(texts: readonly string[]): Promise<Float32Array[]>;
  /** Features of texts, of length 1. They are kept, so that the same texts cost nothing the next time. */
  embedTexts(texts: readonly string[]): Promise<Float32Array[]>;
  /** Directions of classes by the texts of each (directions.ts). */
  directionsOf(classes: readonly (readonly string[])[]): Promise<Float32Array[]>;
  /** Embedding of an image that is looked for in others, [1, D]. That of a Blob is kept, which cannot change. */
  embedQuery(image: ImageInput): Promise<Tensor>;
  /** Levels of a trimap, opened as images are. */
  openTrimap(trimap: ImageInput | Trimap): Promise<Trimap>;
}

/** An image that is ready for the model. */
export interface TaskImage {
  readonly geometry: Geometry;
  /** Its parts that the model sees by themselves, as the images of a batch. */
  readonly crops?: readonly Crop[];
  /** Its place in the list. */
  readonly place: number;
  /** Its pixels as the model sees them, and their values beside a trimap, [1, 4, H, W], where the task has these. */
  readonly pixels?: () => { readonly seen: SeenImage; withTrimap(trimap: Trimap): Tensor };
  /** Runs the model on it, with more inputs where the task has them. */
  run<Name extends OutputName>(outputs: readonly Name[], inputs?: Inputs): Promise<Pick<Outputs, Name>>;
}

export interface Task<Options extends object, Args extends readonly unknown[], Result, Joined = Result[]> {
  /** Its options besides `signal`, which all have. */
  readonly options: Readonly<Record<Exclude<keyof Options, "signal">, true>>;
  /** Those of them that are images, each. */
  readonly images?: readonly (keyof Options)[];
  /** True if it reads pixels of the image, which a GPU then does not take by itself. */
  readonly pixels?: true;
  /** Number of arguments between the images and the options. */
  readonly arguments: Args["length"];
  /** Why a checkpoint cannot do it, to continue "the checkpoint must have …"; undefined if it can. */
  lacks?(config: Config): string | undefined;
  /**
   * Checks the arguments, and gives what computes the result of an image.
   * @throws RangeError or TypeError: one sentence that names the argument.
   */
  begin(
    model: TaskModel,
    options: Options,
    ...args: Args
  ): ((image: TaskImage) => Promise<Result>) | Promise<(image: TaskImage) => Promise<Result>>;
  /**
   * Boxes that the model is to see, each by itself, of the image at a place in the list; undefined for the whole of it.
   * @param images how many there are in the list; undefined for one image without a list.
   * @throws TypeError: one sentence that names the argument.
   */
  boxes?(options: Options, images: number | undefined): (place: number) => readonly Box[] | undefined;
  /** Makes one value of the results of a list; by default it is the list. */
  join?(results: Result[]): Joined;
  readonly command?: Command<Options, Result>;
}

/**
 * Kinds of values on the command line: a count from 1 on, a number from 0 on, a number from 0 to 1, texts with commas between, points
 * or boxes with semicolons between, or a file or address.
 */
export type CommandKind = "count" | "index" | "part" | "texts" | "text" | "points" | "boxes" | "image";

/** An option of a command. */
export interface CommandOption<Options extends object> {
  /** The option of the task that it is, or the number of the argument behind the images, from 0. */
  readonly option: keyof Options | number;
  readonly kind: CommandKind;
  /** The value where it is left out, as it is shown; the task's own if not given. */
  readonly absent?: string;
  readonly help: string;
}

/** A command of the command line that does a task on each image. */
export interface Command<Options extends object, Result> {
  /** Its name, if it is not the method's. */
  readonly name?: string;
  /** Line of the help. */
  readonly help: string;
  /** Options by their names on the command line. */
  readonly options: Readonly<Record<string, CommandOption<Options>>>;
  /** Fields of a line of JSON. */
  json(result: Result): object;
  /** Lines for people. */
  lines(result: Result): string[];
  /**
   * PNG files that show the result, by what comes behind the photo's name; they are written to the folder of --out.
   * @param photo gives the photo's pixels, upright.
   */
  pictures?(
    result: Result,
    photo: () => Promise<RgbImage>,
    model: { readonly config: Config },
  ): Promise<Readonly<Record<string, Uint8Array>>>;
}

/** Size of a map: the photo's, or that in which the model gives it, which is small. */
export type MapSize = "photo" | "model";

export function checkSize(call: string, size: unknown): void {
  if (size === "photo" || size === "model") return;
  throw new RangeError(`${call}: size must be photo or model; got ${JSON.stringify(size)}`);
}

export function checkTopK(call: string, topK: unknown): void {
  if (!Number.isSafeInteger(topK) || (topK as number) < 1) {
    throw new RangeError(`${call}: topK must be a positive integer; got ${JSON.stringify(topK)}`);
  }
}

/** Refuses what is no number from 0 to 1. */
export function checkPart(call: string, name: string, value: unknown): void {
  if (typeof value !== "number" || !(value >= 0 && value <= 1)) {
    throw new RangeError(`${call}: ${name} must be a number from 0 to 1; got ${JSON.stringify(value)}`);
  }
}

/** A list of texts, if it is one and not empty. */
export function textsOf(call: string, texts: unknown, name = "texts"): readonly string[] {
  if (Array.isArray(texts) && texts.length > 0 && texts.every((text) => typeof text === "string")) return texts;
  throw new TypeError(`${call}: ${name} must be strings, one at least; got ${JSON.stringify(texts)?.slice(0, 60)}`);
}

/** Refuses an option that is misspelled, or of another version, which would do nothing. */
export function checkNames(call: string, options: unknown, known: Readonly<Record<string, true>>): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`${call}: options must be an object; got ${JSON.stringify(options)}`);
  }
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(known, name));
  if (unknown !== undefined) {
    throw new RangeError(`${call}: options are ${Object.keys(known).join(", ")}; got "${unknown}"`);
  }
  const { signal } = options as { signal?: unknown };
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError(`${call}: signal must be an AbortSignal; got ${JSON.stringify(signal)}`);
  }
}
