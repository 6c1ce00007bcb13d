/**
 * The safetensors of a repository whose main branch has a PyTorch file alone: an open pull request by the Hub's own bot, with the
 * checks of transformers (safetensors_conversion.py): its title, its author, and that it is one commit on what main is now.
 */
import { isTorchFile } from "../io/folder.js";

const TITLE = "Adding `safetensors` variant of this model";
const BOT = "SFconvertbot";

/** Gives parsed JSON at a path below a repository's in the Hub's API. */
export type Ask = (path: string) => Promise<unknown>;

/** Tells whether a conversion would help: there are PyTorch's files of weights and no safetensors. */
export function wantsConversion(names: Iterable<string>): boolean {
  const all = [...names];
  return all.some(isTorchFile) && !all.some((name) => name.endsWith(".safetensors"));
}

/**
 * The revision of the pull request, "refs/pr/32"; undefined where there is none that passes.
 * @param commit what main is.
 */
export async function findConversion(commit: string, ask: Ask): Promise<string | undefined> {
  const { discussions } = Object(await ask("discussions?p=0&type=pull_request&status=open"));
  if (!Array.isArray(discussions)) return undefined;
  for (const { title, status, isPullRequest, author, num } of discussions.map(Object)) {
    if (title !== TITLE || status !== "open" || isPullRequest !== true || Object(author).name !== BOT) continue;
    if (!Number.isSafeInteger(num) || num < 1) continue;
    const revision = `refs/pr/${num}`;
    const commits = await ask(`commits/${encodeURIComponent(revision)}`);
    if (Array.isArray(commits) && Object(commits[1]).id === commit) return revision;
  }
  return undefined;
}

/** The name in the cache under which the commit of a conversion is kept. */
export const noteOf = (commit: string): string => `refs/convert/${commit}`;
