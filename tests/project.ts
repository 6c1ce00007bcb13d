/** Projects of users: the package as npm packs it, by its name, with what it depends on, in folders without anything else. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { find, HOSTS, installed } from "./installed.js";

export interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string; readonly size: number }[];
}

/** npm of the node that runs this, without a shell: the same on every system. */
export function npm(args: readonly string[], cwd = "."): string {
  const besideNode = join(dirname(process.execPath), "node_modules/npm/bin/npm-cli.js");
  const cli = [process.env.npm_execpath, besideNode].find((path) => path?.endsWith("npm-cli.js") && existsSync(path));
  const command: [string, string[]] = cli ? [process.execPath, [cli, ...args]] : ["npm", [...args]];
  return execFileSync(command[0], command[1], { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
}

/** What is installed with the package, by folder, as the lock file has it. */
export function dependencies(): string[] {
  const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8")) as {
    packages: Record<string, { dev?: boolean; extraneous?: boolean }>;
  };
  const isInstalled = (folder: string) => folder !== "" && !packages[folder]!.dev && !packages[folder]!.extraneous;
  return Object.keys(packages).filter(isInstalled);
}

const folders: string[] = [];
process.on("exit", () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** A folder that goes when the process ends; inside that of the hosts, if there is one, so that its packages are found. */
export function temporary(name: string): string {
  const folder = mkdtempSync(join(HOSTS ?? tmpdir(), `vitrail-${name}-`));
  folders.push(folder);
  return folder;
}

let packed: Packed | undefined;
let tarball = "";

/** The package as `npm pack` makes it. */
export function pack(): Packed {
  if (packed) return packed;
  const folder = temporary("packed");
  const args = ["pack", "--json", "--ignore-scripts", "--pack-destination", folder];
  [packed] = JSON.parse(npm(args)) as [Packed];
  tarball = join(folder, packed.filename);
  return packed;
}

/** The package as one file. */
export function packedFile(): string {
  pack();
  return tarball;
}

/** Puts the package and what it depends on in a project, as npm would; nothing comes from the network. */
export function install(project: string): void {
  const file = packedFile();
  for (const folder of dependencies()) cpSync(folder, join(project, folder), { recursive: true });
  const own = join(project, "node_modules/vitrail");
  mkdirSync(own, { recursive: true });
  execFileSync("tar", ["-xzf", file, "--strip-components=1", "-C", own]);
}

/** An empty project with the package, and `files` in it: their paths there, and here. */
export function createProject(name: string, files: Readonly<Record<string, string>> = {}): string {
  const project = temporary(name);
  writeFileSync(join(project, "package.json"), '{ "private": true, "type": "module" }\n');
  install(project);
  for (const [to, from] of Object.entries(files)) cpSync(from, join(project, to), { recursive: true });
  return project;
}

export const esbuild = find("esbuild") ?? installed(".bin/esbuild");

/** Bundles a module of a project into its folder `out`. */
export function bundle(project: string, entry: string, options: readonly string[]): void {
  const args = [entry, "--bundle", "--target=es2022", "--log-level=error", "--outdir=out", ...options];
  execFileSync(esbuild!, args, { cwd: project, stdio: ["ignore", "ignore", "inherit"] });
}
