/**
 * npm run licences: writes THIRD-PARTY.md, what is installed with the package and its terms, and those of what others made that
 * is in the package or in those packages without being one. tests/package.test.ts compares.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { dependencies } from "./project.js";

/** What each is there for. */
const USES: Readonly<Record<string, string>> = {
  "@huggingface/tokenizers": "texts of image-text models",
  aws4fetch: "signatures of requests to S3",
  hyparquet: "constants of hyparquet-writer",
  "hyparquet-writer": "metadata of collections, written",
};

/** What no bill of materials names, as it is no package: where it is, and its terms. */
const INSIDE: readonly (readonly [name: string, licence: string, where: string])[] = [
  ["names of ImageNet's classes: lemmas of WordNet 3.0", "WordNet-3.0", "`dist/lib/imagenet1k.js`"],
  ["a queue after llama-tokenizer-js", "MIT", "@huggingface/tokenizers"],
];

/** Terms that ask to be kept with what they are of. */
const TEXTS: Readonly<Record<string, () => string>> = {
  WordNet: () => `WordNet Release 3.0 This software and database is being provided to you, the LICENSEE, by
Princeton University under the following license. By obtaining, using and/or copying this software and
database, you agree that you have read, understood, and will comply with these terms and conditions.:
Permission to use, copy, modify and distribute this software and database and its documentation for any
purpose and without fee or royalty is hereby granted, provided that you agree to comply with the following
copyright notice and statements, including the disclaimer, and that the same appear on ALL copies of the
software, database and documentation, including modifications that you make for internal use or for
distribution. WordNet 3.0 Copyright 2006 by Princeton University. All rights reserved. THIS SOFTWARE AND
DATABASE IS PROVIDED "AS IS" AND PRINCETON UNIVERSITY MAKES NO REPRESENTATIONS OR WARRANTIES, EXPRESS OR
IMPLIED. BY WAY OF EXAMPLE, BUT NOT LIMITATION, PRINCETON UNIVERSITY MAKES NO REPRESENTATIONS OR WARRANTIES
OF MERCHANTABILITY OR FITNESS FOR ANY PARTICULAR PURPOSE OR THAT THE USE OF THE LICENSED SOFTWARE, DATABASE
OR DOCUMENTATION WILL NOT INFRINGE ANY THIRD PARTY PATENTS, COPYRIGHTS, TRADEMARKS OR OTHER RIGHTS. The name
of Princeton University or Princeton may not be used in advertising or publicity pertaining to distribution
of the software and/or database. Title to copyright in this software, database and any associated
documentation shall at all times remain with Princeton University and LICENSEE agrees to preserve same.`,
};

export function thirdParty(): string {
  const rows = dependencies().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
    if (!(name in USES)) throw new Error(`licences: it is not said what ${name} is for`);
    return `| ${name} | ${version} | ${license} | ${USES[name]} |`;
  });
  const inside = INSIDE.map((cells) => `| ${cells.join(" | ")} |`);
  const texts = Object.entries(TEXTS).map(
    ([name, text]) =>
      `## ${name}\n\n${text()
        .trim()
        .replace(/^(.+)\n[=-]{3,}$/gm, "### $1")}\n`,
  );
  return `# What comes with vitrail

| package | version | licence | for |
| ------- | ------- | ------- | --- |
${rows.join("\n")}

\`npm sbom --sbom-format cyclonedx\` lists these for programs. It does not know what is compiled or written into a package:

| of others | licence | in |
| --------- | ------- | -- |
${inside.join("\n")}

All WebAssembly in the package is vitrail's own and has nothing of AssemblyScript's library. The terms of Apache-2.0 are in LICENSE.

${texts.join("\n")}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync("THIRD-PARTY.md", thirdParty());
