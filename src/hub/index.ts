/** vitrail/hub: what of the Hugging Face Hub's models is in the cache, and how to remove it. */
import { isRepo } from "./reference.js";
import type { CachedRepository, HubOptions } from "./settings.js";
import { openStore } from "./stores.js";

export type { CachedRepository, HubOptions };

/**
 * Lists the cache, also what other programs put there: on disk it is that of huggingface_hub.
 * @param options cacheDir: where it is, if not in the usual place.
 */
export async function cached(options: Pick<HubOptions, "cacheDir"> = {}): Promise<CachedRepository[]> {
  return (await openStore(options))?.list() ?? [];
}

/**
 * Removes a repository from the cache, with all its revisions; nothing if it is not there.
 * @param repo "owner/name"; left out, all models, where they are in the browser: a folder may have other programs' too.
 * @throws RangeError for what is no such name.
 */
export async function clear(repo?: string, options: Pick<HubOptions, "cacheDir"> = {}): Promise<void> {
  if (repo !== undefined && !isRepo(repo)) {
    throw new RangeError(`hub: a repository is named "owner/name"; got ${JSON.stringify(repo)}`);
  }
  await (await openStore(options))?.remove(repo);
}
