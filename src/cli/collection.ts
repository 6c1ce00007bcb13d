/** `vitrail index`, `search` and `duplicates`: photos whose vectors are in a folder. */
import { constants } from "node:fs";
import { copyFile, mkdir, rename, rm } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import process from "node:process";
import { type AddProgress, openCollection, type Source } from "../collection/index.js";
import type { Identity } from "../identity.js";
import type { LoadOptions, Model } from "../index.js";
import { excerpt } from "../json.js";
import { latin1 } from "../platform/bytes.js";
import { isFile, pathExists } from "../platform/files.js";
import { sleep } from "../waiting.js";
import { grouped, type Invocation, loadModel, rounded } from "./invocation.js";
import { messageOf } from "./terminal.js";

/** Milliseconds between two looks at what is watched. */
const WATCH = 5_000;
/** Failures that are shown; the store lists all. */
const SHOWN = 10;

export async function index(invocation: Invocation): Promise<void> {
  const { args, terminal, signal } = invocation;
  const { operands, out, json, collection, embed } = args;
  const { vectors, hash, watch } = collection;
  if (operands.length === 0) throw new Error("index takes photos, folders, archives or lists; got none");
  if (out === undefined) throw new Error("index needs --out STORE, a folder for the vectors");
  if (args.jobs.plan || args.jobs.queue !== undefined) return (await import("./jobs.js")).planJobs(invocation);
  using model = await loadModel(invocation);
  const pooling = embed.pooling === "none" ? undefined : embed.pooling;
  const photos = await openCollection(out, { model, ...(pooling && { pooling }), ...(vectors && { vectors }), signal });
  const sources = operands.includes("-") ? withInput(operands) : operands;
  const onProgress = ({ added, skipped, failed, perSecond, secondsLeft, total }: AddProgress) => {
    const left = secondsLeft === undefined || !Number.isFinite(secondsLeft) ? "" : `, ${durationOf(secondsLeft)} left`;
    const bad = failed > 0 ? `, ${failed} failed` : "";
    terminal.progress(`${perSecond.toFixed(1)} a second${left}${bad}`, added + skipped + failed, total);
  };
  for (;;) {
    const begin = performance.now();
    const counts = await photos.add(sources, { hash, signal, onProgress }).catch((error) => {
      if (signal.aborted) terminal.note(`${out}: ${grouped(photos.size)} photos; the same command goes on`);
      throw error;
    });
    terminal.clear();
    const seconds = (performance.now() - begin) / 1000;
    if (counts.failed > 0) process.exitCode = 1;
    const { added, skipped, failed, removed } = counts;
    const changed = added + failed + removed > 0;
    if (json && (changed || !watch)) {
      for (const { id, error } of photos.failures) terminal.printJson({ image: id, error });
      terminal.printJson({ store: out, ...counts, photos: photos.size, seconds: rounded(seconds) });
    } else if (!json && (changed || !watch)) {
      for (const { error } of photos.failures.slice(0, SHOWN)) terminal.fail(error);
      if (photos.failures.length > SHOWN) terminal.note(`${join(out, "failures.jsonl")} lists all`);
      const others = Object.entries({ skipped, failed, removed }).filter(([, count]) => count > 0);
      const rest = others.map(([what, count]) => `, ${grouped(count)} ${what}`).join("");
      const rate = added > 0 ? `, ${(added / seconds).toFixed(1)} a second` : "";
      terminal.print(`${out}: ${grouped(photos.size)} photos, ${grouped(added)} added${rest}${rate}`);
    }
    if (!watch) return;
    await sleep(WATCH, signal);
  }
}

/** The words, and in the place of "-" what comes from standard input: a tar archive, or a word a line. */
async function* withInput(words: readonly string[]): AsyncGenerator<Source> {
  for (const word of words) {
    if (word !== "-") yield word;
    else yield* ofInput(process.stdin);
  }
}

async function* ofInput(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Source> {
  const iterator = stream[Symbol.asyncIterator]();
  let first = new Uint8Array(0);
  while (first.length < 512) {
    const { done, value } = await iterator.next();
    if (done) break;
    first = new Uint8Array(Buffer.concat([first, value]));
  }
  async function* all() {
    yield first;
    yield* { [Symbol.asyncIterator]: () => iterator };
  }
  if (latin1(first.subarray(257, 262)) === "ustar") return yield { id: "-", archive: all() };
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of all()) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r?\n/);
    rest = lines.pop()!;
    for (const line of lines) if (line.trim() !== "") yield line;
  }
  if (rest.trim() !== "") yield rest;
}

export async function search(invocation: Invocation): Promise<void> {
  const { args, terminal, signal } = invocation;
  const [store, ...words] = args.operands;
  if (store === undefined || words.length === 0)
    throw new Error("search takes a store, and a text or an image at least");
  const { topK, where } = args.collection;
  using loaded = await loadModelOf(invocation, store, (await openCollection(store)).identity);
  const photos = await openCollection(store, { model: loaded, signal });
  const filter = where && { filter: ({ metadata }: { metadata?: object }) => factOf(metadata, where[0]) === where[1] };
  const queries = await Promise.all(words.map(queryOf));
  const found = await photos.search(queries, { topK, signal, ...filter });
  for (const [i, hits] of found.entries()) {
    if (args.json) terminal.printJson({ query: words[i], hits });
    else terminal.print(words[i]!, ...hits.map(({ id, score }) => `  ${score.toFixed(4)}  ${id}`));
  }
}

/** The model of --model, or that which made a store. */
export function loadModelOf(invocation: Invocation, store: string, identity: Identity): Promise<Model> {
  const { args } = invocation;
  const model = args.model ?? sourceOf(identity);
  if (model === undefined) {
    const made = `${excerpt(store)} was made by ${excerpt(identity.model)}, a folder or file`;
    throw new Error(`${args.command} needs --model: ${made}`);
  }
  // Vectors of another precision could not be compared.
  const { precision = identity.precision as LoadOptions["precision"] } = args.load;
  const named = model === "default" ? undefined : model;
  return loadModel({ ...invocation, args: { ...args, model: named, load: { ...args.load, precision } } });
}

/** The place of the model that made a store, where its name says it. */
const sourceOf = ({ model, commit }: Identity): string | undefined =>
  commit === undefined ? (model === "default" ? model : undefined) : `${model}@${commit}`;

/** A word that is a file or an address is an image; else it is a text. */
const queryOf = async (word: string) =>
  (isFile(word) ? await pathExists(word) : true) ? { image: word } : { text: word };

const factOf = (metadata: object | undefined, name: string): string | undefined =>
  metadata && Object.hasOwn(metadata, name) ? String((metadata as Record<string, unknown>)[name]) : undefined;

export async function duplicates({ args, terminal, signal }: Invocation): Promise<void> {
  const [store, other] = args.operands;
  if (store === undefined || other !== undefined) throw new Error("duplicates takes one store");
  const { threshold, move } = args.collection;
  const photos = await openCollection(store);
  const onProgress = ({ done, total }: { done: number; total: number }) => terminal.progress("comparing", done, total);
  const groups = await photos.duplicates({ threshold, onProgress, signal });
  if (move !== undefined) await mkdir(move, { recursive: true });
  for (const { ids, scores } of groups) {
    const moved: string[] = [];
    for (const id of move === undefined ? [] : ids.slice(1)) {
      signal.throwIfAborted();
      try {
        moved.push(await moveTo(id, move!));
      } catch (error) {
        process.exitCode = 1;
        terminal.fail(`${excerpt(id)} cannot be moved: ${messageOf(error)}`);
      }
    }
    if (args.json) terminal.printJson({ ids, scores, ...(move !== undefined && { moved }) });
    else terminal.print(`${scores[0].toFixed(4)}  ${ids[0]}`, ...ids.slice(1).map((id) => `        ${id}`));
  }
  const count = groups.reduce((sum, { ids }) => sum + ids.length - 1, 0);
  terminal.note(`${grouped(groups.length)} groups, ${grouped(count)} photos beside the first ones`);
}

/** Moves a file into a folder, under another name where its own is taken; nothing is ever written over. */
async function moveTo(file: string, folder: string): Promise<string> {
  if (!(await pathExists(file))) throw new Error("it is no file that is there");
  const stem = basename(file, extname(file));
  for (let i = 1; ; i++) {
    const target = join(folder, `${stem}${i === 1 ? "" : `-${i}`}${extname(file)}`);
    try {
      // Takes the name, if nobody has it.
      await copyFile(file, target, constants.COPYFILE_EXCL);
    } catch (error) {
      if ((error as { code?: string }).code === "EEXIST") continue;
      throw error;
    }
    await rename(file, target).catch(async (error) => {
      // On another disk the copy is what is moved.
      if ((error as { code?: string }).code !== "EXDEV") throw error;
      await rm(file);
    });
    return target;
  }
}

/** Such as "2 h 5 min". */
function durationOf(seconds: number): string {
  if (seconds < 100) return `${Math.ceil(seconds)} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
