/**
 * npm run licences: writes THIRD-PARTY.md, what is installed with the package, and its terms. tests/package.test.ts compares.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { dependencies } from "./project.js";

/** What each is there for. */
const USES: Readonly<Record<string, string>> = {
  "@huggingface/tokenizers": "texts of image-text models",
  unzipit: "archives of NumPy",
};

export function thirdParty(): string {
  const rows = dependencies().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
    if (!(name in USES)) throw new Error(`licences: it is not said what ${name} is for`);
    return `| ${name} | ${version} | ${license} | ${USES[name]} |`;
  });
  return `# What comes with vitrail

| package | version | licence | for |
| ------- | ------- | ------- | --- |
${rows.join("\n")}

\`npm sbom --sbom-format cyclonedx\` lists them for programs. All WebAssembly in the package is vitrail's own.
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync("THIRD-PARTY.md", thirdParty());
