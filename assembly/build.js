// Compiles the kernels (asconfig.json has the targets) and writes each binary where its user can import it: as base64 in
// a module, since that is the one form which every runtime, bundler and worker loads without configuration.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import asc from "assemblyscript/asc";
import { writeTiles } from "./tiles.js";

const modules = [
  {
    file: "src/backends/wasm/kernels.gen.ts",
    entry: "assembly/index.ts",
    targets: ["simd", "relaxed", "simd-threads", "relaxed-threads"],
  },
  { file: "src/image/kernel.gen.ts", entry: "assembly/image.ts", targets: ["image"] },
];
/** Only bench/ runs these; they are not shipped. */
const tools = [{ entry: "assembly/peak.ts", targets: ["peak-simd", "peak-relaxed"] }];

async function compile(entry, target) {
  const { error, stderr } = await asc.main([entry, "--target", target]);
  if (error) throw new Error(`build: ${entry} does not compile for ${target}: ${stderr.toString()}`);
  return readFileSync(`build/${target}.wasm`);
}

writeTiles("assembly/tiles.gen.ts");
mkdirSync("build", { recursive: true });
for (const { file, entry, targets } of modules) {
  let source = "// Written by assembly/build.js.\n";
  for (const target of targets) {
    const binary = await compile(entry, target);
    const name = target.replace(/-(.)/, (_, letter) => letter.toUpperCase());
    source += `export const ${name}: string =\n  "${binary.toString("base64")}";\n`;
    console.log(`${target.padEnd(15)} ${binary.length} bytes`);
  }
  writeFileSync(file, source);
}
for (const { entry, targets } of tools) for (const target of targets) await compile(entry, target);
