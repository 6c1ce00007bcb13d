/** Where the Hub and its cache are, and how to get in: options, then the environment variables of huggingface_hub. */
import { diskTools, readNote } from "../platform/files.js";
import { environment } from "../platform/host.js";

/** Options of `load` for models that are named by "owner/name". */
export interface HubOptions {
  /** A branch, a tag or a commit; "main" unless given. */
  readonly revision?: string;
  /**
   * A folder for what is downloaded, in the layout of huggingface_hub; by default its own, as HF_HUB_CACHE, HF_HOME and
   * XDG_CACHE_HOME say, else ~/.cache/huggingface/hub. Where there are no files, as on a page, the browser has the cache.
   */
  readonly cacheDir?: string;
  /** Takes models from the cache only; false unless given, or HF_HUB_OFFLINE is set. */
  readonly offline?: boolean;
  /** For private and gated repositories; by default HF_TOKEN, or the one that `hf auth login` kept. */
  readonly token?: string;
  /**
   * Used in place of the runtime's `fetch`, also for checkpoints and images at http: and https: addresses: what may be asked for,
   * and where redirections may lead, is for it to say. A page cannot hand it to a worker, so the model then runs on the page's
   * thread.
   */
  readonly fetch?: typeof globalThis.fetch;
}

/** Options that a repository is opened with. */
export interface OpenOptions extends HubOptions {
  readonly signal?: AbortSignal;
  /** Nothing more is to be read than the beginning of files: what is not in the cache stays on the Hub. */
  readonly headers?: boolean;
}

/** A repository in the cache. */
export interface CachedRepository {
  /** "owner/name". */
  readonly repo: string;
  /** Branches and tags, as they were when they were last asked for. */
  readonly revisions: readonly string[];
  readonly commits: readonly string[];
  /** All that is kept, parts of files among them. */
  readonly bytes: number;
}

const first = (...names: string[]): string | undefined => names.map(environment).find((value) => value);

/** @throws Error for an address that `fetch` does not take; without it, as it may hold a password. */
export function endpointOf(): string {
  const endpoint = first("HF_ENDPOINT") ?? "https://huggingface.co";
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (!/^https?:$/.test(url?.protocol ?? "") || url?.username || url?.password || url?.search || url?.hash) {
    throw new Error("hub: HF_ENDPOINT must be an http(s) address without user name, password and query; it is another");
  }
  return endpoint.replace(/\/+$/, "");
}

const isSet = (name: string): boolean => /^(1|on|yes|true)$/i.test(environment(name) ?? "");

export const isOffline = ({ offline }: HubOptions): boolean =>
  offline ?? (isSet("HF_HUB_OFFLINE") || isSet("TRANSFORMERS_OFFLINE"));

/** Folder of huggingface_hub: the cache and the token are in it. */
async function homeOf(): Promise<string> {
  const { path, os } = diskTools();
  const home =
    first("HF_HOME") ?? path.join(first("XDG_CACHE_HOME") ?? path.join(os.homedir(), ".cache"), "huggingface");
  return home.replace(/^~(?=[/\\]|$)/, os.homedir());
}

/** The folder of the cache, where there is a file system. */
export async function cacheDirOf({ cacheDir }: Pick<HubOptions, "cacheDir">): Promise<string> {
  const { path } = diskTools();
  return path.resolve(cacheDir ?? first("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE") ?? path.join(await homeOf(), "hub"));
}

/**
 * @param onDisk whether there is a file system, which may hold one.
 * @throws RangeError for one that cannot be sent; it does not show it.
 */
export async function tokenOf({ token }: HubOptions, onDisk: boolean): Promise<string | undefined> {
  const given = token ?? first("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN");
  if (given !== undefined || !onDisk) return sendable(given ?? "", token === undefined ? "HF_TOKEN" : "token");
  const { path } = diskTools();
  const file = first("HF_TOKEN_PATH") ?? path.join(await homeOf(), "token");
  return sendable((await readNote(file)) ?? "", file);
}

/** Checked here, as a header of anything else is refused by `fetch` in a message that quotes it. */
function sendable(text: string, from: string): string | undefined {
  const token = text.trim();
  if (/^[\x21-\x7e]*$/.test(token)) return token || undefined;
  throw new RangeError(`hub: the token of ${from} must be one line of ASCII letters, digits and marks without spaces`);
}
