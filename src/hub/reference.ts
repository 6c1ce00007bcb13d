/** How repositories of the Hugging Face Hub are named. */
import { isWeights } from "../io/folder.js";

export interface Reference {
  /** "owner/name". */
  readonly repo: string;
  /** A branch, a tag or a commit; undefined if none is named. */
  readonly revision: string | undefined;
  /** True if it can mean nothing but a repository; else a folder of this name goes before it. */
  readonly certain: boolean;
}

/** Rules of the Hub: no name begins or ends with a dot or a dash, or has two of either in a row. */
const REPO = /^(?!.*(--|\.\.))\w([\w.-]*\w)?\/\w([\w.-]*\w)?$/;
const REVISION = /^[\w.+-]+(\/[\w.+-]+)*$/;

/** A repository's page, as people copy its address: of the model, or of its files at a revision. */
const PAGE =
  /^https?:\/\/(?:www\.)?(?:huggingface\.co|hf\.co)\/([^/?#]+\/[^/?#]+)(?:\/tree\/([^?#]+?))?\/?(?:[?#].*)?$/;

/**
 * Reads "owner/name", "owner/name@revision" and either with "hf-hub:" before it, with blanks around it, and the address of a
 * repository's page. Undefined for what is no such name: a path or another address.
 * @throws RangeError for a name after "hf-hub:" and for a revision that the Hub does not allow.
 */
export function parseReference(source: string): Reference | undefined {
  const [, page, tree] = PAGE.exec(source.trim()) ?? [];
  if (page !== undefined) return parseReference(`hf-hub:${page}${tree === undefined ? "" : `@${tree}`}`);
  const certain = source.trimStart().startsWith("hf-hub:");
  const name = source.trim().slice(certain ? "hf-hub:".length : 0);
  const at = name.indexOf("@");
  const [repo, revision] = at < 0 ? [name, undefined] : [name.slice(0, at), name.slice(at + 1)];
  if (!isRepo(repo) || (!certain && isWeights(name))) {
    if (!certain) return undefined;
    throw new RangeError(`hub: a repository is named "owner/name"; got ${JSON.stringify(repo)}`);
  }
  if (revision !== undefined) checkRevision(revision);
  return { repo, revision, certain };
}

export const isRepo = (name: string): boolean => REPO.test(name) && name.length <= 96;

/** A revision is a path in the cache, so that no part of it may lead elsewhere. */
export function checkRevision(revision: string): void {
  if (REVISION.test(revision) && !/(^|\/)\.\.?(\/|$)/.test(revision)) return;
  throw new RangeError(`hub: a revision is a branch, a tag or a commit; got ${JSON.stringify(revision)}`);
}

/** Tells whether a revision is a commit, which never changes. */
export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);
