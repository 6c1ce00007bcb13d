// Writes the WebAssembly of jSquash's decoder where src/image/codec.ts can import it: deflated, as base64 in a module. Beside
// its script, where jSquash has it, most bundlers lose it, and what they keep is fetched by address.
import { readFileSync, writeFileSync } from "node:fs";
import { deflateRawSync } from "node:zlib";

for (const [codec, file] of Object.entries({ jpeg: "mozjpeg_dec" })) {
  const binary = readFileSync(`node_modules/@jsquash/${codec}/codec/dec/${file}.wasm`);
  const base64 = deflateRawSync(binary, { level: 9 }).toString("base64");
  const code = `// Written by assembly/codecs.js.\nexport const base64: string =\n  "${base64}";\n`;
  writeFileSync(`src/image/${codec}-codec.gen.ts`, code);
}
