/** Programs of one file, moved away from where they were built: of Bun, of Node, and what there is in an asar of Electron. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { after, suite, test } from "node:test";
import { pathToFileURL } from "node:url";
import { load, type Prediction } from "../src/index.js";
import { assertClose } from "./backend.cases.js";
import { find } from "./installed.js";
import { bundle, createProject, esbuild } from "./project.js";

const PROGRAM = `import { load } from "vitrail";
async function main() {
  const [folder, ...images] = process.argv.slice(2);
  const vit = await load(folder === "default" ? undefined : folder, { threads: 1 });
  console.log(JSON.stringify(await vit.classify(images)));
}
main().catch((error) => console.log(JSON.stringify(error.message)));
`;
const IMAGES = ["rgb-420.jpg", "lossy.webp", "rgb-8.png"].map((name) => resolve("tests/fixtures/image", name));

const folder = createProject("program");
/** Where programs are moved, and run. */
const elsewhere = mkdtempSync(join(tmpdir(), "vitrail-elsewhere-"));
writeFileSync(join(folder, "app.js"), PROGRAM);
after(() => {
  for (const made of [folder, elsewhere]) rmSync(made, { recursive: true, force: true });
});

const run = (command: string, ...args: string[]) =>
  JSON.parse(execFileSync(command, args, { cwd: elsewhere, encoding: "utf8", timeout: 60_000 }));

async function assertExpected(found: Prediction[][], tolerance = 0): Promise<void> {
  using model = await load(undefined, { threads: 1 });
  const expected = await model.classify(IMAGES);
  if (tolerance === 0) return assert.deepEqual(found, expected);
  const logits = (results: Prediction[][]) => Float32Array.from(results.flat(), ({ logit }) => logit);
  assert.deepEqual(
    found.map(([best]) => best!.label),
    expected.map(([best]) => best!.label),
  );
  assertClose(logits(found), logits(expected), tolerance);
}

const bun = find("bun");
suite("Bun", { skip: bun ? false : "there is no bun on the PATH" }, () => {
  const build = (...args: string[]) =>
    execFileSync(bun!, ["build", "app.js", ...args], { cwd: folder, stdio: "ignore" });

  test("bun build --compile: the default model and the decoders are in the program", async () => {
    build("--compile", "--outfile", "app");
    renameSync(join(folder, "app"), join(elsewhere, "app"));
    // Bun's relaxed SIMD rounds otherwise than V8's.
    await assertExpected(run("./app", "default", ...IMAGES), 1e-4);
    assert.deepEqual(run("./app", resolve("models/default"), ...IMAGES), run("./app", "default", ...IMAGES));
  });

  test("a bundle has them beside it, wherever it is called", async () => {
    build("--target=bun", "--outdir", join(elsewhere, "bundle"));
    await assertExpected(run(bun!, "bundle/app.js", "default", ...IMAGES), 1e-4);
  });
});

suite("Node, by esbuild", { skip: esbuild ? false : "there is no esbuild on the PATH" }, () => {
  const EMBEDDED = ["--conditions=embedded", "--loader:.safetensors=binary"];
  const EXTENSIONS = { esm: "mjs", cjs: "cjs" } as const;

  /** A program, as its path from elsewhere. */
  function build(format: keyof typeof EXTENSIONS, name: string, ...options: string[]): string {
    bundle(folder, "app.js", ["--platform=node", `--format=${format}`, ...options]);
    const program = `${name}.${EXTENSIONS[format]}`;
    renameSync(join(folder, "out/app.js"), join(elsewhere, program));
    return program;
  }

  for (const format of ["esm", "cjs"] as const) {
    test(`${format}, embedded: one file has all`, async () => {
      const program = build(format, "whole", ...EMBEDDED);
      await assertExpected(run(process.execPath, program, "default", ...IMAGES));
      const model = resolve("models/default");
      assert.deepEqual(run(process.execPath, program, model, ...IMAGES).length, IMAGES.length);
    });

    test(`${format}, as it is: decoders are in the file, the default model is missed by name`, () => {
      const program = build(format, "bare");
      const model = resolve("models/default");
      const missing = "are not beside this program; give load a model";
      assert.equal(run(process.execPath, program, "default"), `load: the files of the default model ${missing}`);
      assert.equal(run(process.execPath, program, model, ...IMAGES).length, IMAGES.length);
    });
  }

  const FUSE = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";
  const postject = find("postject");
  const cannot = () => {
    if (!postject) return "there is no postject on the PATH";
    if (process.platform !== "linux") return "signed programs cannot be changed";
    return !readFileSync(process.execPath).includes(FUSE) && "this Node cannot be made a program";
  };

  test("a single executable of Node", { skip: cannot() }, async () => {
    const main = join(elsewhere, build("cjs", "sea", ...EMBEDDED));
    const output = join(folder, "sea.blob");
    const config = join(folder, "sea.json");
    writeFileSync(config, JSON.stringify({ main, output, disableExperimentalSEAWarning: true }));
    execFileSync(process.execPath, ["--experimental-sea-config", config], { stdio: "ignore" });
    const program = join(elsewhere, "program");
    copyFileSync(process.execPath, program);
    execFileSync(postject!, [program, "NODE_SEA_BLOB", output, "--sentinel-fuse", FUSE], { stdio: "ignore" });
    rmSync(main);
    await assertExpected(run(program, "default", ...IMAGES));
  });
});

/**
 * Electron replaces functions of node:fs/promises by those that look into archives. Here a module does so with those that it
 * is known to replace; what else were called of a file in an archive would fail, as for its parts there are no files.
 */
const ARCHIVES = `
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { fileURLToPath } from "node:url";
for (const name of ["open", "readFile", "readdir", "realpath", "stat"]) {
  const original = fs[name];
  fs[name] = async (file, ...rest) => {
    const path = file instanceof URL ? fileURLToPath(file) : String(file);
    if (!path.includes("app.asar")) return original(file, ...rest);
    return name === "realpath" ? path : original(path.replace("app.asar", "unpacked"), ...rest);
  };
}
syncBuiltinESMExports();
`;

const asar = find("asar");
test("files in an asar", { skip: asar ? false : "there is no asar on the PATH" }, async () => {
  const packed = join(folder, "packed");
  cpSync("models/default", join(packed, "model"), { recursive: true });
  for (const image of IMAGES) cpSync(image, join(packed, basename(image)));
  const archive = join(folder, "app.asar");
  // The command is in a folder of the package.
  const { createPackage, extractAll } = await import(
    pathToFileURL(join(dirname(dirname(realpathSync(asar!))), "lib/asar.js")).href
  );
  await createPackage(packed, archive);
  extractAll(archive, join(folder, "unpacked"));
  rmSync(packed, { recursive: true });
  writeFileSync(join(folder, "archives.mjs"), ARCHIVES);
  writeFileSync(join(folder, "app.mjs"), PROGRAM);
  const images = IMAGES.map((image) => join(archive, basename(image)));
  const args = ["--import", pathToFileURL(join(folder, "archives.mjs")).href, join(folder, "app.mjs")];
  await assertExpected(run(process.execPath, ...args, join(archive, "model"), ...images));
});
