/** Builds the package of this checkout, packs it and installs it here as a user would, with what the page needs beside it. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

const here = import.meta.dirname;
const root = join(here, "..");
const packed = join(here, "build");

/** Runs npm in a folder; started by npm itself, it would else take the folder of the page for its own. */
function npm(folder, ...args) {
  const options = { cwd: folder, stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" };
  return execFileSync("npm", ["--prefix", folder, ...args], { ...options, shell: process.platform === "win32" });
}

if (!existsSync(join(root, "node_modules"))) npm(root, "ci", "--ignore-scripts");
npm(root, "run", "--silent", "build");
mkdirSync(packed, { recursive: true });
const [{ filename }] = JSON.parse(npm(root, "pack", "--json", "--ignore-scripts", "--pack-destination", packed));
// An older package of the same version would be taken for this one.
rmSync(join(here, "node_modules/vitrail"), { recursive: true, force: true });
npm(here, "install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", join(packed, filename));
