/**
 * Images by words of the command line: paths and addresses as they are; folders, in whose folders too all files are taken that
 * are named as images; patterns with *, ? and [ ], ** for any number of folders; and lists, @FILE, of any of these, one a line.
 */
import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { pathExists, readFile } from "../platform/files.js";
import { nameOf } from "../platform/web.js";
import { messageOf } from "./terminal.js";

/** A word that stands for an image, or why there is none. */
export interface Operand {
  readonly image: string;
  readonly error?: Error;
}

/** Ends of names that images in folders have. */
const IMAGE = /\.(jpe?g|jfif|png|webp|gif|bmp|dib|tiff?|p[bgpn]m|avif|heic)$/i;

/** Most bytes of a list, and lists in lists. */
const MAX_LIST = 2 ** 26;
const MAX_NESTED = 8;

/** All images that the words stand for, in their order; those of a folder by name. */
export async function imagesOf(words: readonly string[], signal: AbortSignal, nested = 0): Promise<Operand[]> {
  const images: Operand[] = [];
  for (const word of words) {
    signal.throwIfAborted();
    try {
      // Not spread: a folder may hold more than a call takes arguments.
      for (const operand of await ofWord(word, signal, nested)) images.push(operand);
    } catch (error) {
      signal.throwIfAborted();
      images.push({ image: word, error: error as Error });
    }
  }
  return images;
}

async function ofWord(word: string, signal: AbortSignal, nested: number): Promise<readonly Operand[]> {
  if (word === "-" || /^(https?|file|data):/i.test(word)) return [{ image: word }];
  const found = await stat(word).catch(() => undefined);
  if (found?.isDirectory()) return inFolder(word, signal);
  if (found) return [{ image: word }];
  if (word.startsWith("@")) return inList(word, signal, nested);
  return /[*?[]/.test(word) ? ofPattern(word, signal) : [{ image: word }];
}

async function inList(word: string, signal: AbortSignal, nested: number): Promise<Operand[]> {
  const path = word.slice(1);
  if (!(await pathExists(path))) throw new Error(`images: ${JSON.stringify(word)} names a list that does not exist`);
  if (nested === MAX_NESTED)
    throw new Error(`images: ${JSON.stringify(word)} is in ${MAX_NESTED} lists, one in the other`);
  const text = new TextDecoder().decode(await readFile(path, { signal, maxBytes: MAX_LIST }));
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  if (lines.length === 0) throw new Error(`images: ${JSON.stringify(word)} is a list without images`);
  return imagesOf(lines, signal, nested + 1);
}

async function inFolder(folder: string, signal: AbortSignal): Promise<Operand[]> {
  const images: Operand[] = [];
  for await (const path of files(folder, Number.POSITIVE_INFINITY, signal)) {
    if (IMAGE.test(path)) images.push({ image: join(folder, path) });
  }
  if (images.length === 0) throw new Error(`images: ${JSON.stringify(folder)} is a folder without images`);
  return images;
}

async function ofPattern(pattern: string, signal: AbortSignal): Promise<Operand[]> {
  const parts = pattern.split("/");
  const fixed = parts.findIndex((part) => /[*?[]/.test(part));
  const folder = parts.slice(0, fixed).join("/") || (pattern.startsWith("/") ? "/" : ".");
  const rest = parts.slice(fixed);
  const depth = rest.includes("**") ? Number.POSITIVE_INFINITY : rest.length;
  const expression = expressionOf(rest);
  const images: Operand[] = [];
  if (await pathExists(folder)) {
    for await (const path of files(folder, depth, signal)) {
      if (expression.test(path)) images.push({ image: fixed === 0 ? path : join(folder, path) });
    }
  }
  if (images.length === 0) throw new Error(`images: ${JSON.stringify(pattern)} is a pattern that no file has`);
  return images;
}

/** An expression of the paths that have a pattern. */
function expressionOf(parts: readonly string[]): RegExp {
  const sources = parts.map((part, i) => {
    const last = i === parts.length - 1;
    if (part === "**") return last ? ".+" : "(?:[^/]+/)*";
    const source = part.replace(
      /\[([!^]?)([^\]]+)\]|[\s\S]/g,
      (all, not: string | undefined, set: string | undefined) => {
        if (set !== undefined) return `[${not ? "^/" : ""}${set.replace(/[\\\]^]/g, "\\$&")}]`;
        if (all === "*") return "[^/]*";
        return all === "?" ? "[^/]" : all.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      },
    );
    return last ? source : `${source}/`;
  });
  return new RegExp(`^${sources.join("")}$`, "u");
}

/** Paths of files in a folder and, up to a depth, in its folders, by name; those whose names begin with a dot are left out. */
async function* files(folder: string, depth: number, signal: AbortSignal, before = ""): AsyncGenerator<string> {
  signal.throwIfAborted();
  const entries: Dirent[] = await readdir(join(folder, before), { withFileTypes: true }).catch((error) => {
    throw new Error(`images: ${JSON.stringify(join(folder, before))} cannot be listed: ${messageOf(error)}`, {
      cause: error,
    });
  });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = before === "" ? entry.name : `${before}/${entry.name}`;
    if (entry.name.startsWith(".")) continue;
    // Links are followed to files, not to folders, which may hold them.
    if (entry.isDirectory()) {
      if (depth > 1) yield* files(folder, depth - 1, signal, path);
    } else if (entry.isFile() || (entry.isSymbolicLink() && (await isLinkToFile(join(folder, path))))) yield path;
  }
}

const isLinkToFile = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined))?.isFile() ?? false;

/** The name of an image's pictures: its own without the ending, and a number where another image has it already. */
export function stemOf(image: string, taken: Set<string>): string {
  const name = basename(image === "-" ? "stdin" : nameOf(image).split(/[?#]/)[0]!);
  const own = name.slice(0, name.length - extname(name).length) || "image";
  let stem = own;
  for (let i = 2; taken.has(stem); i++) stem = `${own}-${i}`;
  taken.add(stem);
  return stem;
}
