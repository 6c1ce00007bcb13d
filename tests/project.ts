/** A folder of a user's, who has installed the package as it is compiled here, and what bundlers make of programs in it. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { find } from "./browser.js";

export const esbuild = find("esbuild");

export function createProject(): string {
  const folder = mkdtempSync(join(tmpdir(), "vitrail-program-"));
  const modules = join(folder, "node_modules");
  for (const name of ["dist/src", "dist/kernels", "models/default", "package.json"]) {
    cpSync(name, join(modules, "vitrail", name), { recursive: true });
  }
  for (const name of Object.keys(JSON.parse(readFileSync("package.json", "utf8")).dependencies)) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(resolve("node_modules", name), join(modules, name), "junction");
  }
  return folder;
}

/** Bundles a module of a project into its folder `out`. */
export function bundle(folder: string, entry: string, options: readonly string[]): void {
  const args = [entry, "--bundle", "--target=es2022", "--log-level=error", "--outdir=out", ...options];
  execFileSync(esbuild!, args, { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
}
