// Compiles the kernels (asconfig.json has the targets) and writes each binary where its user can import it: as base64 in
// a module, since that is the one form which every runtime, bundler and worker loads without configuration. Builds of the
// same kernels are deflated together, in which they take a fifth of the room: they share most of their code. Hosts that
// compile nothing while they run import files instead, from dist/kernels/. A kernel is compiled again when its sources, its
// target or the compiler changed, by their hash in build/*.key.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { posix } from "node:path";
import { deflateRawSync } from "node:zlib";
import asc from "assemblyscript/asc";
import { writeActivations } from "./activations.js";
import { writeJobs } from "./jobs.js";
import { writeTiles } from "./tiles.js";

const config = JSON.parse(readFileSync("asconfig.json", "utf8"));
const compiler = ["assemblyscript", "binaryen"].map((name) => readFileSync(`node_modules/${name}/package.json`));

/** A file and all that it imports. */
function sourcesOf(file, found = new Set()) {
  if (found.has(file)) return found;
  found.add(file);
  const imports = readFileSync(file, "utf8").matchAll(/\bfrom "(\.[^"]+)"/g);
  for (const [, path] of imports) sourcesOf(`${posix.join(posix.dirname(file), path)}.ts`, found);
  return found;
}

function keyOf(entry, target) {
  const hash = createHash("sha256").update(JSON.stringify([config.options, config.targets[target]]));
  for (const part of compiler) hash.update(part);
  for (const file of [...sourcesOf(entry)].sort()) hash.update(file).update(readFileSync(file));
  return hash.digest("hex");
}

async function compile(entry, target) {
  const { outFile } = config.targets[target];
  const kept = `build/${target}.key`;
  const key = keyOf(entry, target);
  if (!existsSync(outFile) || !existsSync(kept) || readFileSync(kept, "utf8") !== key) {
    const { error, stderr } = await asc.main([entry, "--target", target]);
    if (error) throw new Error(`build: ${entry} does not compile for ${target}: ${stderr.toString()}`);
    writeFileSync(kept, key);
    console.log(`${target.padEnd(15)} ${readFileSync(outFile).length} bytes`);
  }
  return readFileSync(outFile);
}

function writeModule(file, constants) {
  const lines = Object.entries(constants).map(([name, value]) =>
    typeof value === "string"
      ? `export const ${name}: string = "${value}";`
      : `export const ${name} = ${JSON.stringify(value)} as const;`,
  );
  writeFileSync(file, `// Written by assembly/build.js.\n${lines.join("\n")}\n`);
}

/** A custom section of less than 128 bytes. */
function section(name, text) {
  const content = [name.length, ...Buffer.from(name + text)];
  return Buffer.from([0, content.length, ...content]);
}

writeTiles("assembly/tiles.gen.ts");
const activations = writeActivations("assembly/activations.gen.ts");
writeJobs("assembly", "src/backends/wasm/jobs.gen.ts");
for (const folder of ["build", "dist/kernels"]) mkdirSync(folder, { recursive: true });

const names = ["simd", "relaxed", "simd-threads", "relaxed-threads"];
const builds = [];
for (const name of names) builds.push(await compile("assembly/index.ts", name));
// A module that a user gives to `load` says by this which kernels it has.
const id = createHash("sha256").update(Buffer.concat(builds)).digest("hex").slice(0, 8);
const kernels = builds.map((build, i) => Buffer.concat([build, section("vitrail", `${id} ${names[i]}`)]));
writeModule("src/backends/wasm/kernels.gen.ts", {
  id,
  names,
  activations,
  sizes: kernels.map(({ length }) => length),
  base64: deflateRawSync(Buffer.concat(kernels), { level: 9 }).toString("base64"),
});
for (const i of [0, 1]) writeFileSync(`dist/kernels/${names[i]}.wasm`, kernels[i]);

const image = await compile("assembly/image.ts", "image");
writeModule("src/image/kernel.gen.ts", { base64: image.toString("base64") });
const png = await compile("assembly/png.ts", "png");
writeModule("src/image/decode/png.gen.ts", { base64: png.toString("base64") });
const jpeg = await compile("assembly/jpeg/index.ts", "jpeg");
writeModule("src/image/decode/jpeg-kernel.gen.ts", { base64: jpeg.toString("base64") });
writeFileSync("dist/kernels/jpeg.wasm", jpeg);
// What the bundler of a host that compiles nothing makes of an import of them.
writeFileSync("dist/kernels/module.d.ts", "declare const module: WebAssembly.Module;\nexport default module;\n");
const webp = await compile("assembly/webp/index.ts", "webp");
writeModule("src/image/decode/webp-codec.gen.ts", { base64: webp.toString("base64") });
writeFileSync("dist/kernels/webp.wasm", webp);
const search = await compile("assembly/search.ts", "search");
writeModule("src/collection/search.gen.ts", { base64: search.toString("base64") });
const rows = await compile("assembly/rows.ts", "rows");
writeModule("src/pictures/rows.gen.ts", { base64: rows.toString("base64") });
writeFileSync("dist/kernels/rows.wasm", rows);
const sha = await compile("assembly/sha.ts", "sha");
writeModule("src/hub/sha.gen.ts", { base64: sha.toString("base64") });
writeFileSync("dist/kernels/sha.wasm", sha);
writeFileSync("dist/kernels/image.wasm", image);
writeFileSync("dist/kernels/png.wasm", png);

// Only bench/ runs these; they are not shipped.
for (const name of ["peak-simd", "peak-relaxed"]) await compile("assembly/peak.ts", name);
