/**
 * npm run licences: writes THIRD-PARTY.md, what is installed with the package and its terms, and those of the decoders that the
 * package holds. tests/package.test.ts compares.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { dependencies } from "./project.js";

/** What each is there for. */
const USES: Readonly<Record<string, string>> = {
  "@huggingface/tokenizers": "texts of image-text models",
  "@jsquash/jpeg": "JPEG: MozJPEG in WebAssembly",
  unzipit: "archives of NumPy",
};
const DECODERS: Readonly<Record<string, string>> = {
  "MozJPEG, after libjpeg-turbo": "node_modules/@jsquash/jpeg/codec/LICENSE.codec.md",
};

export function thirdParty(): string {
  const rows = dependencies().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
    if (!(name in USES)) throw new Error(`licences: it is not said what ${name} is for`);
    return `| ${name} | ${version} | ${license} | ${USES[name]} |`;
  });
  const texts = Object.entries(DECODERS).map(([name, file]) => {
    const text = readFileSync(file, "utf8").trim();
    return `## ${name}\n\n${text.replace(/^(.+)\n[=-]{3,}$/gm, "### $1")}\n`;
  });
  return `# What comes with vitrail

| package | version | licence | for |
| ------- | ------- | ------- | --- |
${rows.join("\n")}

\`npm sbom --sbom-format cyclonedx\` lists them for programs. The package holds the WebAssembly of a decoder, as jSquash
compiled it. This software is based in part on the work of the Independent JPEG Group.

${texts.join("\n")}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync("THIRD-PARTY.md", thirdParty());
