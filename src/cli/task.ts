/** The commands that do a task on each image, and print each result as soon as it is known. */
import { mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Clip, isClip } from "../image/clip.js";
import type { RgbImage } from "../image/decode/file.js";
import { resize } from "../image/resize.js";
import { type ImageInput, openImage } from "../image/source.js";
import { isFile, readFile as readSource } from "../platform/files.js";
import { TASKS, type TaskName } from "../tasks/index.js";
import { stemOf } from "./images.js";
import { describeBackend, forEachClip, forEachImage, type Invocation, loadModel, since } from "./invocation.js";

/** Most bytes of a list of texts. */
const MAX_LIST = 2 ** 24;
/** Photos that are shown beside their classes, in a terminal: not hundreds. */
const SHOWN = 12;

export const taskCommand = (name: TaskName) => async (invocation: Invocation) => {
  const { args, terminal, signal } = invocation;
  const { images = [], command } = TASKS[name];
  const { json, lines, pictures } = command!;
  const given = await Promise.all(args.taskArguments.map(listed));
  const task = await Promise.all(Object.entries(args.task).map(async ([name, value]) => [name, await listed(value)]));
  using model = await loadModel(invocation);
  const options = { ...(await withFiles(Object.fromEntries(task), images)), signal };
  const perform = (input: unknown) =>
    (model[name] as (images: unknown, ...rest: unknown[]) => Promise<unknown>)(input, ...given, options);
  // A checkpoint that cannot do it is refused here, once, not with every image.
  await perform([]);
  const { out } = args;
  if (out !== undefined) mkdirSync(out, { recursive: true });
  const taken = new Set<string>();

  const perImage = async (image: string, input: ImageInput | Clip, _: number, all: number) => {
    // A clip is shown by its first frame.
    const [shown] = isClip(input) ? input.frames : [input];
    const start = performance.now();
    const result = await perform(input);
    const ms = since(start);
    const files: string[] = [];
    if (out !== undefined && pictures) {
      const drawn = await pictures(result, () => openImage(shown!, { signal }), model);
      const stem = stemOf(image, taken);
      for (const [kind, bytes] of Object.entries(drawn)) {
        const file = join(out, `${stem}.${kind}.png`);
        writeFileSync(file, bytes);
        files.push(file);
      }
    }
    if (name === "classify" && terminal.canvas && !args.json && all <= SHOWN) {
      const { most, draw } = terminal.canvas;
      await draw(await thumbnail(shown!, Math.ceil(most / 4), signal));
    }
    if (args.json) {
      const written = files.length > 0 ? { files } : {};
      terminal.printJson({ image, ...json(result), ...written, ms, backend: model.backend.name });
    } else {
      terminal.print(image, ...lines(result), ...files.map((file) => `  ${file}`));
      terminal.printDim(`  ${ms.toFixed(1)} ms, ${describeBackend(model.backend)}`);
    }
  };
  await (model.config.video ? forEachClip : forEachImage)(invocation, perImage);
};

/** Texts of a list in a file, "@labels.txt", a line each; other values as they are. */
async function listed(value: unknown): Promise<unknown> {
  const word = Array.isArray(value) && value.length === 1 ? value[0] : value;
  if (typeof word !== "string" || !/^@./.test(word)) return value;
  const text = new TextDecoder().decode(await readSource(word.slice(1), { maxBytes: MAX_LIST }));
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  if (lines.length === 0) throw new Error(`${word} must be a list with a text a line; it has none`);
  return lines;
}

/** Options whose images are files, read: what is made of them is kept from one image to the next. */
async function withFiles(options: Readonly<Record<string, unknown>>, images: readonly string[]): Promise<object> {
  const read = images.flatMap((name) => {
    const path = options[name];
    if (typeof path !== "string" || !isFile(path)) return [];
    // What cannot be read is opened by the task, whose message says why.
    return [
      readFile(path).then(
        (bytes) => [[name, new File([bytes], basename(path))]],
        () => [],
      ),
    ];
  });
  return { ...options, ...Object.fromEntries((await Promise.all(read)).flat()) };
}

/** A photo of at most so many pixels a side. */
async function thumbnail(input: ImageInput, most: number, signal: AbortSignal): Promise<RgbImage> {
  const photo = await openImage(input, { signal });
  const factor = Math.min(1, most / Math.max(photo.width, photo.height));
  const side = (pixels: number) => Math.max(1, Math.round(pixels * factor));
  return resize({ ...photo, channels: 3 }, { width: side(photo.width), height: side(photo.height), filter: "bicubic" });
}
