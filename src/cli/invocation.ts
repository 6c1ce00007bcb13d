/** One call of the command line, and what its commands share. */
import process from "node:process";
import { addAbortSignal } from "node:stream";
import { mostBytes } from "../image/source.js";
import { type Clip, defaultModel, type ImageInput, load, type Model, type Progress } from "../index.js";
import type { Operand } from "../io/images.js";
import { nameOf } from "../platform/web.js";
import type { Arguments } from "./arguments.js";
import { clipsOf, imagesOf } from "./images.js";
import { messageOf, type Terminal } from "./terminal.js";

export interface Invocation {
  readonly args: Arguments;
  readonly terminal: Terminal;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Loads the model of --model, or the default one. */
export const sourceOf = ({ model }: Arguments): string | URL => model ?? defaultModel();

/** The same for people. */
export const modelName = ({ model }: Arguments): string => model ?? "default";

/** The model, with a progress bar while its weights are downloaded or read. */
export function loadModel({ args, terminal, signal }: Invocation): Promise<Model> {
  return load(sourceOf(args), { ...args.load, ...args.hub, signal, onProgress: progressOf(terminal) });
}

export const progressOf =
  (terminal: Terminal) =>
  ({ phase, loaded, total }: Progress): void =>
    terminal.progress(phase === "download" ? "downloading" : "loading weights", loaded, total);

/**
 * Runs a task on each image that the command line names; one that fails is reported, sets exit status 1 and leaves the others to
 * be done.
 * @param task is told how many came before, and how many there are.
 */
export async function forEachImage(
  invocation: Invocation,
  task: (image: string, input: ImageInput, seen: number, all: number) => Promise<void>,
): Promise<void> {
  await forEachOf(invocation, await imagesOf(invocation.args.operands, invocation.signal), task);
}

/** The same of clips, for a model of videos: of a folder the frames in it are one. */
export async function forEachClip(
  invocation: Invocation,
  task: (image: string, input: ImageInput | Clip, seen: number, all: number) => Promise<void>,
): Promise<void> {
  await forEachOf(invocation, await clipsOf(invocation.args.operands, invocation.signal), task);
}

async function forEachOf<Given>(
  { args, terminal, signal }: Invocation,
  operands: readonly (Operand & { readonly input?: Given })[],
  task: (image: string, input: ImageInput | Given, seen: number, all: number) => Promise<void>,
): Promise<void> {
  for (const [seen, { image, error, input: given }] of operands.entries()) {
    signal.throwIfAborted();
    try {
      if (error) throw error;
      const input = given ?? (image === "-" ? await imageOf(addAbortSignal(signal, process.stdin)) : image);
      await task(image, input, seen, operands.length);
    } catch (error) {
      signal.throwIfAborted();
      process.exitCode = 1;
      const message = messageOf(error);
      // Without what an address may hold of secrets.
      const name = nameOf(image);
      const named = message.includes(name) ? message : `"${name}": ${message}`;
      if (args.json) terminal.printJson({ image, error: named });
      else terminal.fail(named);
    }
  }
}

/** An image from a stream, as a File, for the name in messages. */
export async function imageOf(stream: AsyncIterable<Uint8Array<ArrayBuffer>>, most = mostBytes()): Promise<File> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > most)
      throw new Error(`image: "-" has more than ${grouped(most)} bytes, and at most ${grouped(most)} are read`);
    chunks.push(chunk);
  }
  return new File(chunks, "-");
}

/** Milliseconds since `start`, to a thousandth. */
export const since = (start: number): number => rounded(performance.now() - start);

export const rounded = (x: number): number => Math.round(x * 1000) / 1000;

/** Such as "wasm, f32, 1 thread". */
export const describeBackend = ({ name, precision, threads }: Model["backend"]): string =>
  `${name}, ${precision}, ${threads} ${threads === 1 ? "thread" : "threads"}`;

export const grouped = (count: number): string => count.toLocaleString("en-US");

export const bytesText = (bytes: number): string =>
  bytes < 2 ** 20 ? `${(bytes / 2 ** 10).toFixed(1)} KB` : `${(bytes / 2 ** 20).toFixed(1)} MB`;
