/** A web address below which a checkpoint's files lie in the Hub's layout, or that of its weights with the others beside it. */
import { type Folder, isWeights, MAX_CONFIG_BYTES } from "../io/folder.js";
import { type Fetch, withoutSecrets } from "../platform/web.js";
import { arriving, download, downloadAll, isThere, type Request } from "./download.js";

/** Nothing is kept: bytes go from the server into the model. What a server has cannot be listed, but asked for. */
export function webFolder(at: URL, fetch: Fetch | undefined): Folder {
  const file = isWeights(at.pathname) ? at.pathname.replace(/^.*\//, "") : undefined;
  const base = new URL(file === undefined ? at.pathname.replace(/\/?$/, "/") : ".", at);
  const urlOf = (name: string): URL => {
    const url = name === file ? new URL(at) : new URL(encodeURIComponent(name), base);
    // What opens one file to someone opens those beside it.
    url.search = at.search;
    return url;
  };
  const path = (name: string) => withoutSecrets(urlOf(name));
  const request = (name: string, signal: AbortSignal | undefined): Request => ({
    name: `file: "${path(name)}"`,
    isAddress: true,
    fetch,
    signal,
  });
  return {
    name: withoutSecrets(at),
    file,
    has: async (name, signal) => name === file || isThere(urlOf(name), request(name, signal)),
    path,
    open: (name, signal) => arriving(download(urlOf(name), request(name, signal)), path(name)),
    bytes: (name, { signal, maxBytes = MAX_CONFIG_BYTES } = {}) =>
      downloadAll(urlOf(name), { ...request(name, signal), maxBytes }),
    key: async () => undefined,
    async within(path) {
      const inner = new URL(`${path.split("/").map(encodeURIComponent).join("/")}/`, base);
      inner.search = at.search;
      return webFolder(inner, fetch);
    },
  };
}
