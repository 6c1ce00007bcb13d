/** The cache of this host. */
import { hasFileSystem, isEdge } from "../platform/host.js";
import { cacheDirOf, endpointOf, type HubOptions } from "./settings.js";
import type { Store } from "./store.js";

/** On disk, or in the browser; undefined where nothing can be kept, as on a page that is not secure and on edge hosts. */
export async function openStore(options: Pick<HubOptions, "cacheDir">): Promise<Store | undefined> {
  if (hasFileSystem()) return (await import("./disk.js")).diskStore(await cacheDirOf(options));
  if (options.cacheDir !== undefined) {
    throw new RangeError(`hub: cacheDir needs a file system; got ${JSON.stringify(options.cacheDir)}`);
  }
  // The cache of edge hosts cannot be listed, and an isolate does not live long.
  if (isEdge() || typeof caches === "undefined") return undefined;
  return (await import("./browser.js")).browserStore(endpointOf());
}
