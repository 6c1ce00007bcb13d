/** Where the rivals are installed: bench/thirdparty, a package of its own, so that vitrail depends on none of them. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

/** The repository's folder, seen from dist/bench/engines. */
const folder = new URL("../../../bench/thirdparty/", import.meta.url);

/** Imports one of its packages. */
export const thirdparty = createRequire(new URL("package.json", folder));

export const packageUrl = (name: string): URL => new URL(`node_modules/${name}/`, folder);

/** The version that is installed, if any is. */
export function installedVersion(name: string): string | undefined {
  const path = new URL("package.json", packageUrl(name));
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version : undefined;
}
