/**
 * Size on disk of what a user installs, vitrail as it is packed, and Transformers.js, each in an empty folder; and of the
 * WebAssembly that a page loads of it for models, compressed as servers do.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { ROOT } from "./files.js";

export interface InstallResults {
  readonly installs: readonly {
    readonly name: string;
    readonly bytes: number;
    readonly packages: number;
    readonly wasm: number;
  }[];
  readonly refused: readonly { readonly name: string; readonly refused: string }[];
}

const repository = fileURLToPath(new URL("../../", import.meta.url));

/** @param transformers the version to compare with, if its size is wanted. */
export function measureInstall(transformers: string | undefined): InstallResults {
  const pack = ["pack", "--silent", "--ignore-scripts", "--pack-destination", ROOT];
  mkdirSync(ROOT, { recursive: true });
  const tarball = execFileSync("npm", pack, { cwd: repository, encoding: "utf8" }).trim();
  const wanted = [
    {
      name: "vitrail",
      specifier: join(ROOT, tarball),
      wasm: join(repository, "dist/src/backends/wasm/kernels.gen.js"),
    },
    ...(transformers
      ? [
          {
            name: "transformers.js",
            specifier: `@huggingface/transformers@${transformers}`,
            wasm: "onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.wasm",
          },
        ]
      : []),
  ];
  const installs: { name: string; bytes: number; packages: number; wasm: number }[] = [];
  const refused: { name: string; refused: string }[] = [];
  for (const { name, specifier, wasm } of wanted) {
    const cwd = join(ROOT, `install-${name}`);
    rmSync(cwd, { recursive: true, force: true });
    mkdirSync(cwd, { recursive: true });
    writeFileSync(join(cwd, "package.json"), "{}");
    const install = ["install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", specifier];
    try {
      execFileSync("npm", install, { cwd, stdio: "pipe" });
      const modules = join(cwd, "node_modules");
      installs.push({ name, ...sizeOf(modules), wasm: gzipSync(readFileSync(resolve(modules, wasm))).length });
    } catch (error) {
      refused.push({ name, refused: `npm could not install it: ${(error as Error).message.split("\n")[0]}` });
    }
    rmSync(cwd, { recursive: true, force: true });
  }
  return { installs, refused };
}

/** Bytes of all files below, and how many packages they are. */
function sizeOf(folder: string): { bytes: number; packages: number } {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const bytes = files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
  const manifest = /node_modules[/\\](@[^/\\]+[/\\])?[^/\\]+[/\\]package\.json$/;
  return { bytes, packages: files.filter(({ parentPath, name }) => manifest.test(join(parentPath, name))).length };
}
