/**
 * The documents keep their word: code in the README and in docstrings compiles and runs, commands and files exist, figures
 * are those of the committed results.
 *
 * Examples name things that a reader has; here they stand for fixtures, by the table PATHS and in no other way.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { speedPlot } from "../bench/plot.js";
import { README_MARKS, readmeTable, resultsPage } from "../bench/report.js";
import { roofline } from "../bench/roofline.js";
import type { Results } from "../bench/sections.js";
import { DOCUMENTS as MADE, marked } from "./families.js";
import { serveModels } from "./server.js";

const PATHS: Readonly<Record<string, string>> = {
  "google/vit-base-patch16-224": "tests/fixtures/checkpoints/hf-vit",
  "models/vit-base-patch16-224": "tests/fixtures/checkpoints/hf-vit",
  "openai/clip-vit-base-patch32": "tests/fixtures/checkpoints/hf-clip",
  "depth-anything/Depth-Anything-V2-Small-hf": "tests/fixtures/dense/hf-depth-anything",
  "Intel/dpt-large-ade": "tests/fixtures/dense/hf-dpt-segmentation",
  "facebook/sam-vit-base": "tests/fixtures/dense/hf-sam",
  "google/owlv2-base-patch16-ensemble": "tests/fixtures/checkpoints/hf-owlv2",
  "usyd-community/vitpose-base-simple": "tests/fixtures/dense/hf-vitpose-classic",
  "MCG-NJU/videomae-base-finetuned-kinetics": "tests/fixtures/dense/hf-videomae",
  "dance.gif": "tests/fixtures/image/moving.gif",
  "hustvl/vitmatte-small-composition-1k": "tests/fixtures/dense/hf-vitmatte",
  "cat-trimap.png": "tests/fixtures/image/trimap.png",
  "cat.jpg": "tests/fixtures/image/rgb-420.jpg",
  "dog.png": "tests/fixtures/image/rgb-8.png",
};

/** Models by the names that examples have for them; "vit" is a classifier. */
const MODELS: Readonly<Record<string, string>> = {
  clip: "openai/clip-vit-base-patch32",
  owl: "google/owlv2-base-patch16-ensemble",
};

const DOCUMENTS = ["README.md", "FAMILIES.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];
const read = (path: string) => readFileSync(path, "utf8");
/** Markdown without the padding that the formatter gives tables. */
const unpadded = (markdown: string) => markdown.replace(/(?<=\|) +| +(?=\|)/g, " ").replace(/-{3,}/g, "---");
const readme = read("README.md");
const manifest = JSON.parse(read("package.json"));

/** A project of a user: the package as compiled here by its name, and the examples' files. */
const project = mkdtempSync(join(tmpdir(), "vitrail-docs-"));
after(() => rmSync(project, { recursive: true }));
mkdirSync(join(project, "node_modules/vitrail"), { recursive: true });
cpSync("package.json", join(project, "node_modules/vitrail/package.json"));
symlinkSync(fileURLToPath(new URL("..", import.meta.url)), join(project, "node_modules/vitrail/dist"), "junction");
symlinkSync(resolve("node_modules/@types"), join(project, "node_modules/@types"), "junction");
for (const [name, path] of Object.entries(PATHS)) cpSync(path, join(project, name), { recursive: true });
const node = (...args: string[]) => execFileSync(process.execPath, args, { cwd: project, encoding: "utf8" });

/** Compiles a module strictly, as a user's own, and runs it; gives what it prints. */
function run(name: string, code: string): string {
  writeFileSync(join(project, `${name}.mts`), code);
  const options = ["--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,esnext.disposable,dom"];
  try {
    node(resolve("node_modules/typescript/bin/tsc"), ...options, "--types", "node", `${name}.mts`);
  } catch (error) {
    assert.fail(`${name} does not compile: ${(error as { stdout: string }).stdout}`);
  }
  return node(`${name}.mjs`);
}

/** What each program of the README prints, without fractions. */
const PRINTED = [
  "goldfish #",
  "#",
  "cat #",
  "LABEL_0 #",
  "[ 3, 4 ] 12 Square root of attention; the scale ends at the fifth largest, # (the largest is #).",
  "37 29 true",
  "dog 0",
  "cat.jpg -# 0",
  "1",
  'decode: the image is not a JPEG, PNG, WebP, GIF, BMP, TIFF or PPM file; it begins with "\\x01\\x02\\x03"',
  "1 goldfish",
  "400",
];

test("the README's programs compile and run", () => {
  const programs = [...readme.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code!);
  const printed = programs.map((code, i) =>
    run(`readme-${i}`, code)
      .trimEnd()
      .replace(/\d+\.\d+/g, "#"),
  );
  assert.deepEqual(printed, PRINTED);
});

test("every example of a docstring compiles and runs", () => {
  const sources = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  const examples = sources.flatMap((file) =>
    [...read(join("src", file)).matchAll(/^ *\* @example\n((?: *\* .*\n)+?)(?= *\* @| *\*\/)/gm)].map(([, lines]) =>
      lines!.replace(/^ *\* /gm, ""),
    ),
  );
  assert.ok(examples.length >= 2, `${examples.length} examples`);
  const bodies = examples.map((code) => {
    const [name, folder] = Object.entries(MODELS).find(([name]) => new RegExp(`\\b${name}\\.`).test(code)) ?? [
      "vit",
      "google/vit-base-patch16-224",
    ];
    const model = /\bload\(/.test(code) ? "" : `using ${name} = await load("${folder}");\n`;
    return `{\n${model}${code}}\n`;
  });
  const imports = [
    'import { load, trimapOf } from "vitrail";',
    'import { fewShot } from "vitrail/collection";',
    'import { createHandler } from "vitrail/serve";',
  ];
  run("examples", [...imports, ...bodies].join("\n"));
});

test("the README's commands run", () => {
  const cli = fileURLToPath(new URL("../src/cli.js", import.meta.url));
  const commands = [...readme.matchAll(/^ {4}vitrail (.*)$/gm)].map(([, words]) => words!.split(" "));
  assert.deepEqual([...new Set(commands.map(([command]) => command))].sort(), [
    "bench",
    "classify",
    "duplicates",
    "embed",
    "index",
    "inspect",
    "picture",
    "quantize",
    "search",
    "work",
  ]);
  for (const words of commands) assert.doesNotThrow(() => node(cli, ...words), words.join(" "));
  assert.ok(existsSync(join(project, "features.npy")));
});

const noCurl = spawnSync("curl", ["--version"]).status !== 0 && "there is no curl here";
test("the README's server answers its requests", { skip: noCurl }, async () => {
  const [, command] = /^ {4}npx vitrail (serve .*) --port 3000$/m.exec(readme)!;
  const requests = [...readme.matchAll(/^ {4}(curl localhost:3000.*)$/gm)].map(([, request]) => request!);
  assert.equal(requests.length, 2);
  const server = await serveModels(command!.split(" ").slice(1), { cwd: project });
  try {
    for (const request of requests) {
      const options = { cwd: project, encoding: "utf8", shell: true } as const;
      const { stdout } = spawnSync(request.replace("curl localhost:3000", `curl -sf ${server.url}`), options);
      assert.ok(Array.isArray(JSON.parse(stdout).data ?? JSON.parse(stdout)), stdout);
    }
  } finally {
    await server.stop();
  }
});

test("the README begins with what it is and two commands; CI runs the second", () => {
  const commands = [...readme.matchAll(/^ {4}(npm ci && .*)$/gm)].map(([, command]) => command);
  assert.deepEqual(commands, ["npm ci && npm start", "npm ci && npm test"]);
  assert.ok(read(".ci/run").includes(`(${commands[1]})`));
});

for (const document of DOCUMENTS) {
  test(`${document} names scripts and files that exist`, () => {
    const text = read(document);
    const builtIn = ["ci", "install", "run"];
    const inCode = [...text.matchAll(/`([^`\n]+)`|^ {4}(.*)$/gm)].map(([, span, line]) => (span ?? line)!);
    const scripts = inCode.flatMap((code) =>
      [...code.matchAll(/\bnpm (?:run )?([a-z][\w:]*)/g)].map(([, name]) => name!),
    );
    assert.deepEqual(
      scripts.filter((name) => !builtIn.includes(name) && !(name in manifest.scripts)),
      [],
    );
    const linked = [...text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)].map(([, path, part]) => {
      const file = path || document;
      const parts = part ? read(file).matchAll(/^#+ (.*)$/gm) : [];
      const names = [...parts].map(([, heading]) =>
        heading!
          .toLowerCase()
          .replace(/[^\w -]/g, "")
          .replaceAll(" ", "-"),
      );
      return part && !names.includes(part) ? `${file}#${part}` : file;
    });
    const words = inCode.flatMap((code) => code.split(" "));
    const files = words.filter((word) => /^(\.ci|assembly|bench|src|tests)\/[\w./*-]*$/.test(word));
    assert.deepEqual(
      [...files, ...linked].filter((path) => !existsSync(path.replace(/\/[^/]*\*.*$/, ""))),
      [],
    );
  });
}

for (const [file, mark, write] of MADE) {
  test(`${file}: what npm run families writes between the marks "${mark}"`, async () => {
    const [, , found] = marked(mark).exec(read(file))!;
    assert.equal(unpadded(found!).trim(), (await write()).trim());
  });
}

test("ARCHITECTURE.md states the error bounds of the kernels as the kernels do", () => {
  const rows = [...unpadded(read("ARCHITECTURE.md")).matchAll(/^\| `(assembly\/[\w.]+)` \| (.*?) \| [^|]+ \|$/gm)];
  assert.equal(rows.length, 18);
  for (const [, file, bound] of rows) {
    const stated = bound === "none" ? "Exact, no bound" : bound!.replaceAll("\\|", "|");
    assert.ok(read(file!).includes(stated), `${file} does not state ${stated}`);
  }
});

test("bench/ROOFLINE.md is what npm run roofline writes", async () => {
  assert.equal(read("bench/ROOFLINE.md"), await roofline());
});

test("doc comments begin with a noun or a verb", () => {
  const sources = ["src", "assembly"].flatMap((folder) =>
    (readdirSync(folder, { recursive: true }) as string[])
      .filter((name) => /\.(ts|js)$/.test(name) && !name.endsWith(".gen.ts"))
      .map((name) => join(folder, name)),
  );
  assert.ok(sources.length > 200, `${sources.length}`);
  const found = sources.flatMap((source) =>
    [...readFileSync(source, "utf8").matchAll(/\/\*\*\s+(?:\* )?((?:What|Whether|Of)\b.*)/g)].map(
      ([, line]) => `${source}: ${line}`,
    ),
  );
  assert.deepEqual(found, []);
});

test("CHANGELOG.md begins with the version of package.json, behind what is not released", () => {
  assert.equal(/^## (?!Unreleased$)(\S+)/m.exec(read("CHANGELOG.md"))?.[1], manifest.version);
});

test("all figures are those of the committed results", () => {
  const results = JSON.parse(read("bench/results.json")) as Results;
  assert.ok(results.models, "bench/results.json holds whole models");
  assert.equal(README_MARKS.exec(readme)?.[2], readmeTable(results));
  assert.equal(read("bench/RESULTS.md"), resultsPage(results));
  assert.equal(read("bench/speed.svg"), speedPlot(results.models.races));
});
