/**
 * Programs that the tests use where they are: on the PATH, or in the folder that `npm run test:hosts` fills. What is absent
 * is skipped, and the reason printed.
 */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** The folder of `npm run test:hosts`, whose node_modules has hosts and tools. */
export const HOSTS = [process.env.VITRAIL_HOSTS].find((folder) => folder !== undefined && existsSync(folder));

/** A program on the PATH. */
export const find = (name: string): string | undefined =>
  (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find(existsSync);

/** A file or folder of a package that `npm run test:hosts` installs. */
export function installed(path: string): string | undefined {
  const file = HOSTS && join(HOSTS, "node_modules", path);
  return file && existsSync(file) ? file : undefined;
}

/** Why a test that needs what is undefined is skipped. */
export const absent = (name: string, found: string | undefined): string | false =>
  found === undefined && `${name} is not here: npm run test:hosts installs what it can`;

/** Versions of Node, as `npm run test:hosts` installs them. */
export const NODES = [20, 22, 24, 26] as const;
export const nodeOf = (version: number): string | undefined => installed(`node${version}/bin/node`);

/** The Node that runs tools: several of them need a later one than the library. */
export const toolNode = nodeOf(24) ?? process.execPath;
