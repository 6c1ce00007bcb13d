/**
 * npm run dev: after each change, builds what changed and runs the tests that import it, the closest first. A change during a run
 * begins anew. `npm run dev -- golden cli` runs only tests whose names hold one of the words.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, watch } from "node:fs";
import { posix } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const FOLDERS = ["src", "tests", "assembly", "bench"] as const;
const filesOf = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => posix.join(folder, file.replaceAll("\\", "/")));

/** By each module those that it imports, now, later or as a worker. */
export function importsOf(files: readonly string[], read: (file: string) => string): Map<string, string[]> {
  const found = files.map((file): [string, string[]] => {
    const paths = read(file).matchAll(/(?:\bfrom|\bimport|\bimport\(|new URL\()\s*"(\.[^"]+)\.js"/g);
    return [file, [...paths].map(([, path]) => `${posix.join(posix.dirname(file), path!)}.ts`)];
  });
  return new Map(found);
}

/** Tests that a change of these files may break, by how many imports they are away. */
export function affected(changed: ReadonlySet<string>, imports: ReadonlyMap<string, readonly string[]>): string[] {
  const importers = new Map<string, string[]>();
  for (const [file, paths] of imports) {
    for (const path of paths) importers.set(path, [...(importers.get(path) ?? []), file]);
  }
  const reached = new Set(changed);
  // A set is walked in the order in which it grows.
  for (const file of reached) for (const importer of importers.get(file) ?? []) reached.add(importer);
  return [...reached].filter((file) => file.endsWith(".test.ts"));
}

const WORDS = process.argv.slice(2);
let changed = new Set<string>();
let running: ChildProcess | undefined;
let timer: NodeJS.Timeout | undefined;

/** Runs a command to its end; false if it fails. */
const succeeds = (...args: string[]) => spawnSync(process.execPath, args, { stdio: "inherit" }).status === 0;

function runs(test: string): Promise<boolean> {
  return new Promise((resolve) => {
    const file = `dist/${test.replace(/\.ts$/, ".js")}`;
    running = spawn(process.execPath, ["--test", "--test-reporter=dot", file], { stdio: "inherit" });
    running.on("exit", (code) => resolve(code === 0));
  });
}

async function turn(): Promise<void> {
  const files = changed;
  changed = new Set();
  console.log(`\n${[...files].join(", ")}`);
  if ([...files].some((file) => file.startsWith("assembly/")) && !succeeds("assembly/build.js")) return;
  if (!succeeds("node_modules/typescript/bin/tsc", "--removeComments", "--declaration", "false")) return;
  const sources = FOLDERS.flatMap(filesOf);
  const imports = importsOf(sources, (file) => readFileSync(file, "utf8"));
  // A kernel is in the module that assembly/build.js writes.
  const seen = new Set(
    [...files].flatMap((file) => (file.startsWith("assembly/") ? sources.filter(isGenerated) : [file])),
  );
  const tests = affected(seen, imports).filter(
    (test) => WORDS.length === 0 || WORDS.some((word) => test.includes(word)),
  );
  for (const test of tests) {
    if (changed.size > 0) return;
    const start = performance.now();
    const ok = await runs(test);
    if (changed.size === 0)
      console.log(`${ok ? "ok    " : "not ok"} ${test} ${Math.round(performance.now() - start)} ms`);
  }
}

const isGenerated = (file: string) => file.endsWith(".gen.ts");

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  let last: Promise<void> = Promise.resolve();
  for (const folder of FOLDERS) {
    watch(folder, { recursive: true }, (_, name) => {
      const file = posix.join(folder, String(name).replaceAll("\\", "/"));
      if (!/\.(ts|js)$/.test(file) || isGenerated(file)) return;
      changed.add(file);
      running?.kill();
      clearTimeout(timer);
      // Editors write a file in several steps.
      timer = setTimeout(() => {
        last = last.then(turn);
      }, 100);
    });
  }
  console.log("waiting for a change");
}
