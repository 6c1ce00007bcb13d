/**
 * Images by words: paths and addresses as they are; folders, in whose folders too all files are taken that are named as images;
 * patterns with *, ? and [ ], ** for any number of folders; and lists, @FILE, of any of these, one a line.
 */
import { diskTools, pathExists, readFile } from "../platform/files.js";
import { reasonOf } from "../platform/web.js";

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

/** All images that the words stand for, in their order, each when it is asked for; those of a folder by name. */
export async function* listImages(words: Iterable<string>, signal: AbortSignal, nested = 0): AsyncGenerator<Operand> {
  for (const word of words) {
    signal.throwIfAborted();
    try {
      yield* ofWord(word, signal, nested);
    } catch (error) {
      signal.throwIfAborted();
      yield { image: word, error: error as Error };
    }
  }
}

async function* ofWord(word: string, signal: AbortSignal, nested: number): AsyncGenerator<Operand> {
  const image = { image: word };
  if (word === "-" || /^(https?|file|data):/i.test(word)) return yield image;
  const found = await diskTools()
    .fs.stat(word)
    .catch(() => undefined);
  if (found?.isDirectory()) return yield* inFolder(word, signal);
  if (found) return yield image;
  if (word.startsWith("@")) return yield* inList(word, signal, nested);
  if (/[*?[]/.test(word)) return yield* ofPattern(word, signal);
  yield image;
}

async function* inList(word: string, signal: AbortSignal, nested: number): AsyncGenerator<Operand> {
  const path = word.slice(1);
  if (!(await pathExists(path))) throw new Error(`images: ${JSON.stringify(word)} names a list that does not exist`);
  if (nested === MAX_NESTED)
    throw new Error(`images: ${JSON.stringify(word)} is in ${MAX_NESTED} lists, one in the other`);
  const text = new TextDecoder().decode(await readFile(path, { signal, maxBytes: MAX_LIST }));
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  if (lines.length === 0) throw new Error(`images: ${JSON.stringify(word)} is a list without images`);
  yield* listImages(lines, signal, nested + 1);
}

async function* inFolder(folder: string, signal: AbortSignal): AsyncGenerator<Operand> {
  let empty = true;
  for await (const path of files(folder, Number.POSITIVE_INFINITY, signal)) {
    if (!IMAGE.test(path)) continue;
    empty = false;
    yield { image: diskTools().path.join(folder, path) };
  }
  if (empty) throw new Error(`images: ${JSON.stringify(folder)} is a folder without images`);
}

async function* ofPattern(pattern: string, signal: AbortSignal): AsyncGenerator<Operand> {
  const parts = pattern.split("/");
  const fixed = parts.findIndex((part) => /[*?[]/.test(part));
  const folder = parts.slice(0, fixed).join("/") || (pattern.startsWith("/") ? "/" : ".");
  const rest = parts.slice(fixed);
  const depth = rest.includes("**") ? Number.POSITIVE_INFINITY : rest.length;
  const expression = expressionOf(rest);
  let empty = true;
  if (await pathExists(folder)) {
    for await (const path of files(folder, depth, signal)) {
      if (!expression.test(path)) continue;
      empty = false;
      yield { image: fixed === 0 ? path : diskTools().path.join(folder, path) };
    }
  }
  if (empty) throw new Error(`images: ${JSON.stringify(pattern)} is a pattern that no file has`);
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
  const { fs, path: paths } = diskTools();
  const here = paths.join(folder, before);
  const entries = await fs.readdir(here, { withFileTypes: true }).catch((error) => {
    throw new Error(`images: ${JSON.stringify(here)} cannot be listed: ${reasonOf(error)}`, { cause: error });
  });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = before === "" ? entry.name : `${before}/${entry.name}`;
    if (entry.name.startsWith(".")) continue;
    // Links are followed to files, not to folders, which may hold them.
    if (entry.isDirectory()) {
      if (depth > 1) yield* files(folder, depth - 1, signal, path);
    } else if (entry.isFile() || (entry.isSymbolicLink() && (await isLinkToFile(paths.join(folder, path))))) yield path;
  }
}

const isLinkToFile = async (path: string): Promise<boolean> =>
  (
    await diskTools()
      .fs.stat(path)
      .catch(() => undefined)
  )?.isFile() ?? false;
