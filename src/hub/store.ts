/** A cache, as a repository uses it: whole files, by commit, and parts of files that are to go on. */
import type { ByteSource } from "../io/source.js";
import type { CachedRepository } from "./settings.js";

/** A file of a repository, at a commit. */
export interface HubFile {
  readonly repo: string;
  readonly commit: string;
  readonly name: string;
  /** The Hub's answer about it; undefined while it was not asked. */
  readonly size?: number;
  /** Its ETag: SHA-256 of the bytes, or, of small files, what git calls them. */
  readonly digest?: string;
}

/** A file that the Hub was asked for. */
export type KnownFile = Required<HubFile>;

/** The bytes of a file from `from` on. */
export type Arrive = (from: number) => AsyncIterable<Uint8Array>;

export interface Keeping {
  readonly signal?: AbortSignal;
  /** Told how many bytes of the file are there. */
  report(bytes: number): void;
}

export interface Store {
  /** For messages. */
  readonly name: string;
  /** The commit of a branch or tag when it was last asked for. */
  commitOf(repo: string, revision: string): Promise<string | undefined>;
  /** Does nothing where nothing can be written. */
  remember(repo: string, revision: string, commit: string): Promise<void>;
  /** Names of files that are kept (true), or known not to be in the repository (false). */
  known(repo: string, commit: string): Promise<Map<string, boolean>>;
  /** Does nothing where nothing can be written. */
  markAbsent(file: HubFile): Promise<void>;
  /** Tells whether a file is there, whole. */
  has(file: HubFile): Promise<boolean>;
  open(file: HubFile): Promise<ByteSource>;
  /**
   * Takes a file in, and has it when all of it is there and its digest is right. What has arrived is kept when that ends early,
   * and goes on from there the next time.
   */
  keep(file: KnownFile, arrive: Arrive, keeping: Keeping): Promise<void>;
  list(): Promise<CachedRepository[]>;
  /** @param repo undefined: all that is there. */
  remove(repo: string | undefined): Promise<void>;
}

export const wrongBytes = ({ name, repo, digest }: KnownFile, found: string): Error =>
  new Error(
    `hub: "${name}" of "${repo}" must have the ${digest.length === 64 ? "SHA-256" : "git SHA-1"} ${digest}; ` +
      `what arrived has ${found}`,
  );
