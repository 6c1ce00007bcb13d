/** From what `load` is given to the files that it means. */
import { parseReference } from "../hub/reference.js";
import type { OpenOptions } from "../hub/settings.js";
import { isFolder } from "../io/checkpoint.js";
import { type Folder, openFolder } from "../io/folder.js";
import type { CheckpointParts } from "../io/parts.js";
import { pathExists } from "../platform/files.js";
import { hasFileSystem } from "../platform/host.js";
import { nameOf, parseAddress } from "../platform/web.js";

export type Source = string | URL | CheckpointParts | Folder;

/**
 * Opens a source. The Hub is asked at once for a name of its own, so that the commit is known; files are brought when
 * they are needed.
 */
export async function openSource(source: Source, options: OpenOptions = {}): Promise<CheckpointParts | Folder> {
  if (isOpened(source)) return source;
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
