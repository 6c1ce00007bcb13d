/**
 * Where a checkpoint's files lie side by side: a folder on disk, or what has the same few methods, a repository of the Hub
 * (src/hub/repository.ts) or a web address (src/hub/web.ts).
 */
import { excerpt } from "../json.js";
import { fingerprint, isDirectory, listDirectory, readFile } from "../platform/files.js";
import { nameOf } from "../platform/web.js";
import type { Progress } from "./parts.js";
import { type ByteSource, fromFile } from "./source.js";

/** The signal and the progress of those who wait for files. */
export interface Waiting {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

export interface Folder {
  /** For messages. */
  readonly name: string;
  /** The file of weights that was asked for by name; undefined where it is one of the usual names. */
  readonly file?: string;
  /** The commit of a repository of the Hub. */
  readonly commit?: string;
  /** The folder itself, where it is on disk. */
  readonly disk?: string | URL;
  /** Names of all files, sorted; undefined where files can be asked for, but not listed. */
  readonly names?: readonly string[];
  has(name: string, signal?: AbortSignal): Promise<boolean>;
  /** Says why it is not known of a file whether it is there, where `has` gave false; undefined where it is known. */
  doubt?(name: string): Promise<string | undefined>;
  /** A file's name for messages. */
  path(name: string): string;
  /** Brings files that are far away near, before they are read: together, for the sake of progress. */
  bring?(names: readonly string[], waiting?: Waiting): Promise<void>;
  /** @param signal ends also the reading of what is opened, if it comes from far. */
  open(name: string, signal?: AbortSignal): Promise<ByteSource>;
  /** All bytes of a file, refused if they are more than `maxBytes`, MAX_CONFIG_BYTES unless given. */
  bytes(name: string, options?: { signal?: AbortSignal; maxBytes?: number }): Promise<Uint8Array>;
  /** Key that tells these files from later ones; undefined if nothing does. */
  key(): Promise<string | undefined>;
  /** A folder in it, by its path, which {@link checkSubfolder} took. */
  within(path: string): Promise<Folder>;
}

/** Most folders in folders, and letters of a path. */
const MAX_DEPTH = 8;
const MAX_PATH = 200;

/**
 * A path to a folder in another, never out of it, nor to hidden files.
 * @throws RangeError for anything else.
 */
export function checkSubfolder(what: string, path: unknown): string {
  const parts = typeof path === "string" && path.length <= MAX_PATH ? path.replace(/\/$/, "").split("/") : [];
  const plain = parts.every((part) => /^[^.\\:\p{Cc}][^\\:\p{Cc}]*$/u.test(part));
  if (parts.length > 0 && parts.length <= MAX_DEPTH && plain) return parts.join("/");
  throw new RangeError(`${what} must be a path of folders, as "a/b"; got ${excerpt(path)}`);
}

/** JSON files of more bytes are not read: safetensors' own limit on a header, and of tokenizers some have 30 MB. */
export const MAX_JSON_BYTES = 100_000_000;

/** The same of a config, a preprocessor or an index of shards: the names of 21,841 classes, twice, take 2 MB. */
export const MAX_CONFIG_BYTES = 2 ** 24;

/** Names of files of torch.save. */
const TORCH_FILE = /\.(bin|pt|pth|pth\.tar|ptl|ckpt)$/;

/** Tells whether a path is one of a file of weights, or an index of some, by its name. */
export const isWeights = (path: string): boolean => /\.(safetensors|npz|index\.json)$/.test(path) || isTorchFile(path);

export const isTorchFile = (name: string): boolean => TORCH_FILE.test(name);

/** The folder of a path or a `file:` URL, which may also name one file in it. */
export async function openFolder(source: string | URL): Promise<Folder> {
  const at = typeof source === "string" && /^[a-z]+:\/\//i.test(source) ? new URL(source) : source;
  if (at instanceof URL && at.protocol !== "file:") {
    throw new Error(`checkpoint: "${nameOf(source)}" is not on disk; expected a folder, a file, a file: URL or bytes`);
  }
  const isFolder = await isDirectory(at);
  const folder = isFolder ? at : parent(at);
  // A missing file is found when it is opened, under the name that was given.
  const names = isFolder ? await listDirectory(folder) : await listDirectory(folder).catch(() => []);
  const file = isFolder ? undefined : String(at).replace(/^.*[/\\]/, "");
  const pathOf = (name: string) => (name === file ? at : join(folder, name));
  return {
    name: String(source),
    disk: folder,
    file,
    names,
    has: async (name) => names.includes(name),
    path: (name) => String(pathOf(name)),
    open: (name) => fromFile(pathOf(name)),
    bytes: (name, { signal, maxBytes = MAX_CONFIG_BYTES } = {}) => readFile(pathOf(name), { signal, maxBytes }),
    key: () => fingerprint(at, /\.(json|safetensors|npz|txt|bin|pt|pth|tar|ptl|ckpt)$/),
    async within(path) {
      const inner = path.split("/").reduce(join, folder);
      if (!(await isDirectory(inner)))
        throw new Error(`checkpoint: "${String(source)}" must hold the folder "${path}"; it does not`);
      return openFolder(inner);
    },
  };
}

const join = (folder: string | URL, name: string): string | URL => {
  if (typeof folder === "string") return `${folder.replace(/[/\\]$/, "")}/${name}`;
  return new URL(encodeURIComponent(name), folder.href.endsWith("/") ? folder : `${folder.href}/`);
};

function parent(file: string | URL): string | URL {
  if (file instanceof URL) return new URL(".", file);
  return file.replace(/[^/\\]*$/, "") || ".";
}
