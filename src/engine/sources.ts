/** From what `load` is given to the files that it means, and the tensors in them. */
import { wrapperOf } from "../checkpoint/wrappers.js";
import { parseReference } from "../hub/reference.js";
import type { OpenOptions } from "../hub/settings.js";
import { type Checkpoint, isFolder, type Opening, openCheckpoint, renamed } from "../io/checkpoint.js";
import { checkSubfolder, type Folder, openFolder } from "../io/folder.js";
import type { CheckpointParts } from "../io/parts.js";
import { excerpt } from "../json.js";
import { pathExists } from "../platform/files.js";
import { hasFileSystem } from "../platform/host.js";
import { nameOf, parseAddress } from "../platform/web.js";

export type Source = string | URL | CheckpointParts | Folder;

/**
 * Opens a source. The Hub is asked at once for a name of its own, so that the commit is known; files are brought when
 * they are needed.
 */
export async function openSource(
  source: Source,
  { subfolder, ...options }: OpenOptions & { readonly subfolder?: string } = {},
): Promise<CheckpointParts | Folder> {
  if (isOpened(source)) return source;
  const path = subfolder === undefined ? undefined : checkSubfolder("load: subfolder", subfolder);
  const opened = await openWhole(source, options);
  if (path === undefined) return opened;
  if (isFolder(opened)) return opened.within(path);
  throw new RangeError("load: subfolder needs a folder or a repository; got what is in memory");
}

async function openWhole(source: Exclude<Source, Folder>, options: OpenOptions): Promise<CheckpointParts | Folder> {
  const reference = typeof source === "string" ? parseReference(source) : undefined;
  if (reference && (reference.certain || !(await pathExists(source as string)))) {
    const { openRepository } = await import("../hub/repository.js");
    return openRepository(reference, options);
  }
  if (options.revision !== undefined) {
    const got = typeof source === "string" || source instanceof URL ? `"${nameOf(source)}"` : "what is in memory";
    throw new RangeError(`load: revision needs a repository of the Hub; got ${got}`);
  }
  if (typeof source !== "string" && !(source instanceof URL)) return source;
  const address = addressOf(source);
  return address ? (await import("../hub/web.js")).webFolder(address, options.fetch) : openFolder(source);
}

/** Options by which the tensors of a model are found among others. */
export interface NamesOptions {
  /** Beginning of the names of the model's tensors, where they are a part of a larger one: "vision_tower.". */
  readonly prefix?: string;
  /** Tensors that may be left over, by their names. */
  readonly ignore?: RegExp;
}

/** A checkpoint whose tensors are named as in its library. */
export interface Found extends Checkpoint {
  /** The prefix that was looked through, "" without one. */
  readonly prefix: string;
  /** Number of tensors with other names, which are left out. */
  readonly others: number;
}

/**
 * Opens a checkpoint, and finds the model's tensors in it: behind the prefix that is given, or one that
 * training put before them (checkpoint/wrappers.ts). The config is then that of the part.
 * @throws Error: one sentence, also if no tensor has the prefix.
 */
export async function openModel(
  source: CheckpointParts | Folder,
  { prefix: given, ignore, state, signal, onProgress }: NamesOptions & Opening = {},
): Promise<Found> {
  const checkpoint = await openCheckpoint(source, { state, signal, onProgress });
  // Without what it remembers between two texts.
  const left = ignore && new RegExp(ignore.source, ignore.flags.replace(/[gy]/g, ""));
  const kept = left ? renamed(checkpoint, (name) => (left.test(name) ? undefined : name)) : checkpoint;
  const prefix = given ?? wrapperOf(kept.tensors);
  if (prefix === "") return { ...kept, prefix, others: 0 };
  const found = renamed(kept, (name) => (name.startsWith(prefix) ? name.slice(prefix.length) : undefined));
  if (found.tensors.size === 0) {
    await checkpoint.close();
    const first = [...kept.tensors.keys()].slice(0, 4).map((name) => excerpt(name));
    throw new Error(
      `load: prefix must begin the names of tensors of "${checkpoint.name}"; got ${excerpt(prefix)}, and they are ${first.join(", ")}`,
    );
  }
  const others = kept.tensors.size - found.tensors.size;
  return { ...found, prefix, others, config: given === undefined ? found.config : visionOf(found.config) };
}

/** The config of a larger model's image tower. */
function visionOf(config: unknown): unknown {
  const { vision_config: vision } = Object(config) as { vision_config?: unknown };
  return typeof vision === "object" && vision !== null ? vision : config;
}

const isOpened = (source: Source): source is Folder =>
  typeof source !== "string" && !(source instanceof URL) && isFolder(source);

/** Gives the address of a source on the web; without a file system, paths are relative to the page's address. */
function addressOf(source: string | URL): URL | undefined {
  if (/^https?:/i.test(String(source))) return parseAddress(source);
  const page = globalThis.location?.href;
  return page && !hasFileSystem() && /^\.{0,2}\//.test(String(source)) ? new URL(source, page) : undefined;
}

/** Key that tells the files of a source from later ones; undefined in memory. */
export const keyOf = async (source: CheckpointParts | Folder): Promise<string | undefined> =>
  isFolder(source) ? source.key() : undefined;
