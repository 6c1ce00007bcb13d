/**
 * npm run test:hosts: installs hosts, bundlers and tools from npm's registry in a folder that is kept for the next time, says
 * what could not be had, and runs the tests that use them. Names of test files may be given: npm run test:hosts -- bundlers
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { NODES } from "./installed.js";

const FOLDER = process.env.VITRAIL_HOSTS ?? join(tmpdir(), "vitrail-hosts");
const TESTS = [
  "hosts",
  "bundlers",
  "demo",
  "examples",
  "edge",
  "single",
  "publish",
  "deno.webgpu",
  "serve.clients",
  "queue",
];

const packages = [
  ...NODES.map((version) => `node${version}@npm:node-${process.platform}-${process.arch}@${version}`),
  ...["deno@2", "bun@1", "workerd@1"],
  ...["vite@8", "esbuild@0.28", "webpack@5", "webpack-cli@7", "rollup@4", "@rollup/plugin-node-resolve@16"],
  ...["next@16", "react@19", "react-dom@19", "hono@4", "@hono/node-server@2", "express@5"],
  ...["openai@6", "@huggingface/inference@4", "bullmq@6", "ioredis@5"],
  ...["@electric-sql/pglite@0.5.14", "@electric-sql/pglite-pgvector@0.0.15"],
  ...["publint@0.3", "@arethetypeswrong/cli@0.18", "typedoc@0.28", "typescript@6"],
  ...["preact@11", "@fontsource-variable/inter@5", "@fontsource/newsreader@5", "axe-core@4"],
  ...["postject@1.0.0-alpha.6", "@electron/asar@4"],
];

/** The folder of a package in node_modules. */
const placeOf = (specifier: string) => join(FOLDER, "node_modules", specifier.replace(/(?<=.)@.*/, ""));

function install(specifiers: readonly string[]): void {
  const args = ["install", "--silent", "--no-audit", "--no-fund", ...specifiers];
  execFileSync("npm", args, { cwd: FOLDER, stdio: "pipe", shell: process.platform === "win32" });
}

mkdirSync(FOLDER, { recursive: true });
const manifest = join(FOLDER, "package.json");
if (!existsSync(manifest)) writeFileSync(manifest, '{ "private": true }\n');
const missing = packages.filter((specifier) => !existsSync(placeOf(specifier)));
if (missing.length > 0) {
  console.log(`installing ${missing.join(" ")} in ${FOLDER}`);
  try {
    install(missing);
  } catch {
    // One that is not to be had is not to keep the others away.
    for (const specifier of missing) {
      try {
        install([specifier]);
      } catch (error) {
        const reason = String((error as { stderr?: Buffer }).stderr).split("\n")[0] || (error as Error).message;
        console.log(`${specifier} could not be installed: ${reason}`);
      }
    }
  }
}

const named = process.argv.slice(2);
const tests = (named.length > 0 ? named : TESTS).map((name) => `dist/tests/${name}.test.js`);
// Behind what the user has: there is a node among them.
const PATH = [process.env.PATH, join(FOLDER, "node_modules/.bin")].join(delimiter);
const env = { ...process.env, PATH, VITRAIL_HOSTS: FOLDER };
const atOnce = `--test-concurrency=${availableParallelism()}`;
const args = ["--test", atOnce, ...tests.filter((test) => existsSync(test))];
const { status } = spawnSync(process.execPath, args, { stdio: "inherit", env });
process.exitCode = status ?? 1;
