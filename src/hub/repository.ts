/**
 * A repository of the Hugging Face Hub as a folder of files. One request says what a revision is: its commit, and the size and
 * digest of each file. Files come from the cache, or are downloaded into it, those alone that are asked for.
 */
import { type Folder, isTorchFile, MAX_CONFIG_BYTES, type Waiting } from "../io/folder.js";
import type { ByteSource } from "../io/source.js";
import { kindOf, parseJson } from "../json.js";
import { hasFileSystem } from "../platform/host.js";
import { findConversion, noteOf, wantsConversion } from "./conversion.js";
import { createDigest } from "./digest.js";
import {
  arriving,
  beginningOf,
  download,
  downloadAll,
  isArchive,
  PATIENCE,
  type Request,
  statusOf,
} from "./download.js";
import { checkRevision, isCommit, type Reference } from "./reference.js";
import { endpointOf, type HubOptions, isOffline, type OpenOptions, tokenOf } from "./settings.js";
import { type HubFile, type KnownFile, wrongBytes } from "./store.js";
import { openStore } from "./stores.js";

/** The Hub's answer about a revision. */
interface Listing {
  readonly commit: string;
  readonly files: ReadonlyMap<string, KnownFile>;
}

/** Where a cached revision will do, the Hub has ten seconds to say whether there is a newer one. */
const BRIEF = { tries: 1, pause: 0, stall: 10_000 };

const DEFAULT_REVISION = "main";

/** Files of another revision that stand in for those of the one that is asked for. */
interface Conversion {
  readonly commit: string;
  readonly revision: string;
  readonly files: ReadonlyMap<string, HubFile>;
}

const isKnown = (file: HubFile): file is KnownFile => file.size !== undefined && file.digest !== undefined;

/**
 * Finds out what a revision is.
 * @throws Error: one sentence, if the Hub does not have it, or cannot be asked and the cache does not have it either;
 * RangeError for a revision that cannot be one.
 */
export async function openRepository(reference: Reference, options: OpenOptions = {}): Promise<Folder> {
  const { repo } = reference;
  const { fetch } = options;
  const revision = revisionOf(reference, options);
  const endpoint = endpointOf();
  const offline = isOffline(options);
  const token = await tokenOf(options, hasFileSystem());
  const store = await openStore(options);

  const request = (what: string, signal: AbortSignal | undefined): Request => ({
    name: `hub: ${what}`,
    fetch,
    signal,
    headers: token ? { Authorization: `Bearer ${token}` } : {},
  });

  /** The meaning of an answer by which the Hub does not let us in. */
  function refusal(error: unknown): unknown {
    const status = statusOf(error);
    if (status !== 401 && status !== 403) return error;
    const message = token
      ? `the token does not open "${repo}"; ask for access at ${endpoint}/${repo} if it is gated`
      : `"${repo}" is private, gated or does not exist, and no token was given; give one as token or HF_TOKEN`;
    return new Error(`hub: ${message}`, { cause: error });
  }

  /** Answer of the API at a path below a repository's. */
  const askApi = (path: string, about: string, signal: AbortSignal | undefined, patience = PATIENCE) =>
    downloadAll(
      `${endpoint}/api/models/${repo}/${path}`,
      { ...request(about, signal), maxBytes: MAX_CONFIG_BYTES },
      patience,
    );

  const listingOf = async (revision: string, signal: AbortSignal | undefined, patience = PATIENCE) => {
    const path = `revision/${encodeURIComponent(revision)}?blobs=true`;
    return parseListing(repo, revision, await askApi(path, `"${repo}" at ${revision}`, signal, patience));
  };

  async function ask(signal: AbortSignal | undefined, brief: boolean): Promise<Listing | undefined> {
    try {
      return await listingOf(revision, signal, brief ? BRIEF : PATIENCE);
    } catch (error) {
      const status = statusOf(error);
      if (status === 404) {
        const nor = reference.certain ? "" : ", and no folder here has this name";
        throw new Error(`hub: ${endpoint} has no "${repo}" at ${revision}${nor}`, { cause: error });
      }
      const unreachable = status === undefined || status === 429 || status >= 500;
      if (brief && unreachable && !signal?.aborted) return undefined;
      throw refusal(error);
    }
  }

  const recalled = isCommit(revision) ? revision : await store?.commitOf(repo, revision);
  const kept = (recalled && (await store?.known(repo, recalled))) || new Map<string, boolean>();
  const isKept = [...kept.values()].includes(true);
  if (offline && !isKept) {
    throw new Error(
      `hub: "${repo}" at ${revision} is not in ${store?.name ?? "any cache"}, and the Hub is not asked offline`,
    );
  }
  // A commit is what it was: it is asked for when something is missing.
  const later = !offline && isCommit(revision) && isKept;
  let listing = offline || later ? undefined : await ask(options.signal, isKept);
  const commit = listing?.commit ?? recalled!;
  const known = commit === recalled ? kept : ((await store?.known(repo, commit)) ?? new Map());

  let asked = !later;
  /** The Hub's answer, for which it is asked now if it was not yet. */
  async function listed(signal: AbortSignal | undefined): Promise<Listing | undefined> {
    if (!asked) listing = await ask(signal, true);
    asked = true;
    return listing;
  }

  const converted = revision === DEFAULT_REVISION ? await conversion(options.signal) : undefined;

  /** Safetensors that main lacks, by the Hub, or by the cache if it cannot be asked. What goes wrong leaves main as it is. */
  async function conversion(signal: AbortSignal | undefined): Promise<Conversion | undefined> {
    const isTorchKept = [...known].some(([name, there]) => there && isTorchFile(name));
    if (listing ? !wantsConversion(listing.files.keys()) || isTorchKept : isTorchKept) return undefined;
    const files = new Map<string, HubFile>();
    const add = (file: HubFile) => file.name.includes(".safetensors") && files.set(file.name, file);
    if (!listing) {
      const commitOfNote = await store?.commitOf(repo, noteOf(commit));
      if (commitOfNote === undefined) return undefined;
      const kept = await store!.known(repo, commitOfNote);
      for (const [name, there] of kept) if (there) add({ repo, commit: commitOfNote, name });
      return { commit: commitOfNote, revision: commitOfNote, files };
    }
    try {
      const about = `the pull requests of "${repo}"`;
      const json = async (path: string) => parseJson(await askApi(path, about, signal, BRIEF), `hub: ${about}`);
      const found = await findConversion(commit, json);
      if (found === undefined) return undefined;
      const { commit: its, files: all } = await listingOf(found, signal, BRIEF);
      for (const file of all.values()) add(file);
      return { commit: its, revision: found, files };
    } catch {
      signal?.throwIfAborted();
      return undefined;
    }
  }

  const path = (name: string) =>
    converted?.files.has(name) ? `${repo}@${converted.revision}/${name}` : `${repo}/${name}`;
  const fileOf = (name: string): HubFile =>
    converted?.files.get(name) ?? listing?.files.get(name) ?? { repo, commit, name };

  async function has(name: string, signal?: AbortSignal): Promise<boolean> {
    if (converted?.files.has(name)) return true;
    const there = listing ? listing.files.has(name) : known.get(name);
    if (there === undefined && (await listed(signal))) return has(name, signal);
    if (there === false && known.get(name) === undefined && !options.headers) await store?.markAbsent(fileOf(name));
    return there ?? false;
  }

  /** A cache tells what it holds, and what it was told not to be there; else nothing. */
  async function doubt(name: string): Promise<string | undefined> {
    if (listing || known.has(name)) return undefined;
    return `hub: ${store!.name} does not say whether "${repo}" has ${name}; load it once when the Hub can be asked`;
  }

  async function knownFile(name: string, signal: AbortSignal | undefined): Promise<KnownFile> {
    const file = converted?.files.get(name) ?? (await listed(signal))?.files.get(name);
    if (file && isKnown(file)) return file;
    const why = listing ? "the Hub does not have it" : "the Hub could not be asked";
    throw new Error(`hub: "${name}" of "${repo}" is not in ${store?.name ?? "any cache"}, and ${why}`);
  }

  async function* arrive(file: KnownFile, from: number, signal?: AbortSignal): AsyncGenerator<Uint8Array, void> {
    const at = file.name.split("/").map(encodeURIComponent).join("/");
    const url = `${endpoint}/${repo}/resolve/${file.commit}/${at}`;
    try {
      yield* download(url, { ...request(`"${file.name}" of "${repo}"`, signal), from, size: file.size });
    } catch (error) {
      throw refusal(error);
    }
  }

  async function bring(names: readonly string[], { signal, onProgress }: Waiting = {}): Promise<void> {
    if (!store || options.headers) return;
    const missing: KnownFile[] = [];
    for (const name of names) if (!(await store.has(fileOf(name)))) missing.push(await knownFile(name, signal));
    const total = missing.reduce((sum, { size }) => sum + size, 0);
    let before = 0;
    for (const file of missing) {
      signal?.throwIfAborted();
      const report = (bytes: number) =>
        onProgress?.({ phase: "download", file: path(file.name), loaded: before + bytes, total });
      await store.keep(file, (from) => arrive(file, from, signal), { signal, report });
      before += file.size;
    }
    if (!listing || isCommit(revision)) return;
    await store.remember(repo, revision, commit);
    if (converted) await store.remember(repo, noteOf(commit), converted.commit);
  }

  async function open(name: string, signal?: AbortSignal): Promise<ByteSource> {
    await bring([name], { signal });
    if (store && (!options.headers || (await store.has(fileOf(name))))) return store.open(fileOf(name));
    // Nothing is kept: it is read as it arrives.
    const file = await knownFile(name, signal);
    const chunks = checked(file, arrive(file, 0, signal));
    if (!options.headers || !isTorchFile(name)) return arriving(chunks, path(name));
    // Of an archive only some places are read, wherever they are.
    const pieces = arrive(file, 0, signal);
    const first = await beginningOf(pieces);
    await pieces.return();
    return isArchive(first) ? remote(file, signal) : arriving(chunks, path(name));
  }

  /** A file on the Hub, a request for each piece of it. */
  function remote(file: KnownFile, signal: AbortSignal | undefined): ByteSource {
    return {
      name: path(file.name),
      size: file.size,
      async read(target, position) {
        let filled = 0;
        for await (const chunk of arrive(file, position, signal)) {
          const part = chunk.subarray(0, target.length - filled);
          target.set(part, filled);
          filled += part.length;
          if (filled === target.length) return;
        }
      },
      finish: async () => {},
      close: async () => {},
    };
  }

  async function bytes(name: string, { signal, maxBytes = MAX_CONFIG_BYTES }: Parameters<Folder["bytes"]>[1] = {}) {
    const source = await open(name, signal);
    try {
      const size = Number.isFinite(source.size) ? source.size : (await knownFile(name, signal)).size;
      if (size > maxBytes) {
        const [found, limit] = [size, maxBytes].map((n) => n.toLocaleString("en-US"));
        throw new Error(`hub: "${name}" of "${repo}" has ${found} bytes, and at most ${limit} are read`);
      }
      const all = new Uint8Array(size);
      await source.read(all, 0);
      await source.finish(size);
      return all;
    } finally {
      await source.close();
    }
  }

  /** The folder of this path, "" or one that ends in a slash. */
  const folderAt = (at: string): Folder => ({
    name: at === "" ? repo : path(at.slice(0, -1)),
    commit,
    get names() {
      const names = listing ? listing.files.keys() : [...known].filter(([, there]) => there).map(([name]) => name);
      return [...new Set([...names, ...(converted?.files.keys() ?? [])])]
        .filter((name) => name.startsWith(at) && !name.includes("/", at.length))
        .map((name) => name.slice(at.length))
        .sort();
    },
    has: (name, signal) => has(at + name, signal),
    doubt: (name) => doubt(at + name),
    path: (name) => path(at + name),
    bring: (names, waiting) =>
      bring(
        names.map((name) => at + name),
        waiting,
      ),
    open: (name, signal) => open(at + name, signal),
    bytes: (name, reading) => bytes(at + name, reading),
    key: async () => JSON.stringify([endpoint, repo, commit, converted?.commit, ...(at === "" ? [] : [at])]),
    within: async (inner) => folderAt(`${at}${inner}/`),
  });
  return folderAt("");
}

function revisionOf({ repo, revision: named }: Reference, { revision: given }: HubOptions): string {
  if (named !== undefined && given !== undefined && named !== given) {
    throw new RangeError(
      `hub: "${repo}" can be loaded at one revision; got ${named} in its name and ${given} as option`,
    );
  }
  const revision = given ?? named ?? DEFAULT_REVISION;
  checkRevision(revision);
  return revision;
}

/** Bytes on their way, and an error at their end if they are not those of the file. */
async function* checked(file: KnownFile, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const digest = await createDigest(file);
  for await (const chunk of chunks) {
    digest.update(chunk);
    yield chunk;
  }
  const found = digest.hex();
  if (found !== file.digest) throw wrongBytes(file, found);
}

/** A name that is safe as a file's own, in folders or not: no way to another place, no drive or stream, nothing hidden. */
const isPlain = (name: unknown): name is string =>
  typeof name === "string" &&
  name.length <= 255 &&
  name.split("/").every((part) => /^[^.\\:\p{Cc}][^\\:\p{Cc}]*$/u.test(part));

function parseListing(repo: string, revision: string, bytes: Uint8Array): Listing {
  const what = `hub: the answer about "${repo}"`;
  const refuse = (rule: string, got: unknown): never => {
    throw new Error(`${what} must ${rule}; got ${kindOf(got)}`);
  };
  const { sha, siblings } = Object(parseJson(bytes, what)) as { sha?: unknown; siblings?: unknown };
  if (typeof sha !== "string" || !isCommit(sha)) return refuse("name a commit", sha);
  if (isCommit(revision) && sha !== revision) return refuse(`be about ${revision}`, sha);
  if (!Array.isArray(siblings)) return refuse("list files", siblings);
  const files = new Map<string, KnownFile>();
  for (const { rfilename: name, size, blobId, lfs } of siblings.map(Object)) {
    if (!isPlain(name)) continue;
    const digest = lfs?.sha256 ?? blobId;
    if (!Number.isSafeInteger(size) || size < 0) return refuse(`give the size of "${name}"`, size);
    if (typeof digest !== "string" || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(digest))
      return refuse(`give the digest of "${name}"`, digest);
    files.set(name, { repo, commit: sha, name, size, digest });
  }
  return { commit: sha, files };
}
