// Compiles the kernels (asconfig.json has the targets) and writes each binary where its user can import it: as base64 in
// a module, since that is the one form which every runtime, bundler and worker loads without configuration. Builds of the
// same kernels are deflated together, in which they take a fifth of the room: they share most of their code.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { deflateRawSync } from "node:zlib";
import asc from "assemblyscript/asc";
import { writeTiles } from "./tiles.js";

const modules = [
  {
    file: "src/backends/wasm/kernels.gen.ts",
    entry: "assembly/index.ts",
    targets: ["simd", "relaxed", "simd-threads", "relaxed-threads"],
  },
  { file: "src/image/kernel.gen.ts", entry: "assembly/image.ts", targets: ["image"] },
  { file: "src/hub/sha.gen.ts", entry: "assembly/sha.ts", targets: ["sha"] },
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
  const binaries = [];
  for (const target of targets) {
    binaries.push(await compile(entry, target));
    console.log(`${target.padEnd(15)} ${binaries.at(-1).length} bytes`);
  }
  const names = targets.map((target) => `"${target}"`).join(", ");
  const sizes = binaries.map(({ length }) => length).join(", ");
  const all = Buffer.concat(binaries);
  const text = targets.length > 1 ? deflateRawSync(all, { level: 9 }) : all;
  writeFileSync(
    file,
    `// Written by assembly/build.js.\nexport const names = [${names}] as const;\nexport const sizes: readonly number[] = [${sizes}];\nexport const base64: string =\n  "${text.toString("base64")}";\n`,
  );
}
for (const { entry, targets } of tools) for (const target of targets) await compile(entry, target);
