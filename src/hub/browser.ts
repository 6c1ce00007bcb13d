/**
 * The browser's cache (the Cache API, which Deno Deploy and edge hosts have too): a file is kept in pieces of 8 MiB, so that
 * what has arrived survives a closed page, and with an entry that says it is whole, written when its digest was right.
 */
import { fromBytes } from "../io/source.js";
import { createDigest } from "./digest.js";
import type { CachedRepository } from "./settings.js";
import { type Arrive, type HubFile, type Keeping, type KnownFile, type Store, wrongBytes } from "./store.js";

const PIECE = 2 ** 23;

export async function browserStore(endpoint: string): Promise<Store> {
  const cache = await caches.open("vitrail");
  const filesOf = (repo: string) => `${endpoint}/${repo}/resolve/`;
  const refsOf = (repo: string) => `${endpoint}/api/models/${repo}/revision/`;
  const urlOf = ({ repo, commit, name }: HubFile) => `${filesOf(repo)}${commit}/${encodeURIComponent(name)}`;
  const pieceOf = (file: HubFile, i: number) => `${urlOf(file)}?piece=${i}`;
  const wholeOf = (file: HubFile) => `${urlOf(file)}?whole`;
  const absentOf = (file: HubFile) => `${urlOf(file)}?absent`;

  async function put(url: string, body: BlobPart, what: string): Promise<void> {
    const blob = new Blob([body]);
    // The length is told apart from the bytes, which need not be read for it.
    const response = new Response(blob, { headers: { "Content-Length": String(blob.size) } });
    try {
      await cache.put(url, response);
    } catch (error) {
      if ((error as Error).name !== "QuotaExceededError") throw error;
      throw new Error(`hub: the browser has no room for ${what}; clear() of vitrail/hub makes some`, { cause: error });
    }
  }

  const textAt = async (url: string): Promise<string | undefined> => (await cache.match(url))?.text();
  const sizeAt = async (url: string): Promise<number> => {
    const found = await cache.match(url);
    return found ? Number(found.headers.get("content-length")) : 0;
  };
  /** Bytes of a file that is whole, as it was said to be; browsers may drop entries. */
  async function wholeSize(file: HubFile): Promise<number | undefined> {
    const text = await textAt(wholeOf(file));
    if (text === undefined) return undefined;
    const size = Number(text);
    for (let at = 0; at < size; at += PIECE) {
      if ((await sizeAt(pieceOf(file, at / PIECE))) !== Math.min(PIECE, size - at)) return undefined;
    }
    return size;
  }

  async function has(file: HubFile): Promise<boolean> {
    const size = await wholeSize(file);
    return size !== undefined && (file.size === undefined || size === file.size);
  }

  async function fill(file: KnownFile, arrive: Arrive, { report }: Keeping): Promise<void> {
    if (await has(file)) return;
    await cache.delete(wholeOf(file));
    for (;;) {
      const digest = await createDigest(file);
      let at = 0;
      for (; at < file.size; at += Math.min(PIECE, file.size - at)) {
        const piece = await cache.match(pieceOf(file, at / PIECE));
        const bytes = new Uint8Array((await piece?.arrayBuffer()) ?? []);
        if (bytes.length !== Math.min(PIECE, file.size - at)) break;
        digest.update(bytes);
      }
      const resumed = at > 0;
      report(at);
      const piece = new Uint8Array(Math.min(PIECE, file.size));
      for await (let chunk of arrive(at)) {
        digest.update(chunk);
        while (chunk.length > 0) {
          const used = at % PIECE;
          const part = chunk.subarray(0, PIECE - used);
          piece.set(part, used);
          chunk = chunk.subarray(part.length);
          at += part.length;
          if (at % PIECE === 0 || at === file.size) {
            const i = Math.ceil(at / PIECE) - 1;
            await put(pieceOf(file, i), piece.subarray(0, at - i * PIECE), `"${file.name}" of "${file.repo}"`);
          }
        }
        report(at);
      }
      const found = digest.hex();
      if (found === file.digest) break;
      for (let i = 0; i * PIECE < file.size; i++) await cache.delete(pieceOf(file, i));
      // What was there may have been wrong; what has just arrived as a whole is the server's.
      if (!resumed) throw wrongBytes(file, found);
    }
    await put(wholeOf(file), String(file.size), `"${file.name}" of "${file.repo}"`);
  }

  async function keep(file: KnownFile, arrive: Arrive, keeping: Keeping): Promise<void> {
    const task = () => fill(file, arrive, keeping);
    const { signal } = keeping;
    // Of several pages, one downloads.
    const { locks } = globalThis.navigator ?? {};
    if (locks) await locks.request(`vitrail ${urlOf(file)}`, { signal }, task);
    else await task();
    keeping.report(file.size);
  }

  /** Entries of a repository, or of all. */
  async function entries(repo?: string): Promise<string[]> {
    const urls = (await cache.keys()).map(({ url }) => url);
    return repo === undefined
      ? urls
      : urls.filter((url) => [filesOf(repo), refsOf(repo)].some((start) => url.startsWith(start)));
  }

  return {
    name: "the browser's cache",
    commitOf: (repo, revision) => textAt(refsOf(repo) + encodeURIComponent(revision)),
    remember: (repo, revision, commit) => put(refsOf(repo) + encodeURIComponent(revision), commit, `"${repo}"`),
    async known(repo, commit) {
      const known = new Map<string, boolean>();
      const start = `${filesOf(repo)}${commit}/`;
      for (const url of await entries(repo)) {
        const [, name, kind] = url.startsWith(start)
          ? (/^([^?]*)\?(whole|absent)$/.exec(url.slice(start.length)) ?? [])
          : [];
        if (name === undefined) continue;
        const file = { repo, commit, name: decodeURIComponent(name) };
        if (kind === "absent") known.set(file.name, false);
        else if (await has(file)) known.set(file.name, true);
      }
      return known;
    },
    markAbsent: (file) => put(absentOf(file), "", `"${file.repo}"`),
    has,
    async open(file) {
      const pieces: Blob[] = [];
      const size = (await wholeSize(file)) ?? 0;
      for (let i = 0; i * PIECE < size; i++) pieces.push(await (await cache.match(pieceOf(file, i)))!.blob());
      return fromBytes(new Blob(pieces), `${file.repo}/${file.name}`);
    },
    keep,
    async list() {
      const found = new Map<string, { revisions: Set<string>; commits: Set<string>; bytes: number }>();
      for (const url of await entries()) {
        const [, refs, repo, commit] =
          /^(api\/models\/)?([^/]+\/[^/]+)\/(?:resolve|revision)\/([^/?]+)/.exec(url.slice(endpoint.length + 1)) ?? [];
        if (repo === undefined || !url.startsWith(endpoint)) continue;
        const entry = found.get(repo) ?? { revisions: new Set(), commits: new Set(), bytes: 0 };
        found.set(repo, entry);
        if (refs) entry.revisions.add(decodeURIComponent(commit!));
        else entry.commits.add(commit!);
        if (url.includes("?piece=")) entry.bytes += await sizeAt(url);
      }
      const all = [...found].map(([repo, { revisions, commits, bytes }]): CachedRepository => {
        return { repo, revisions: [...revisions].sort(), commits: [...commits].sort(), bytes };
      });
      return all.sort((a, b) => (a.repo < b.repo ? -1 : 1));
    },
    async remove(repo) {
      for (const url of await entries(repo)) await cache.delete(url);
    },
  };
}
