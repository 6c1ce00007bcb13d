/** npm run dev finds the tests that a change may break. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { affected, importsOf } from "./dev.js";

const FILES: Readonly<Record<string, string>> = {
  "src/a.ts": 'import { b } from "./b.js";\nimport type { C } from "./deep/c.js";',
  "src/b.ts": 'const worker = new URL("./deep/worker.js", import.meta.url);',
  "src/deep/c.ts": "",
  "src/deep/worker.ts": 'const later = await import("../d.js");',
  "src/d.ts": 'import "node:fs";',
  "tests/a.test.ts": 'import { a } from "../src/a.js";',
  "tests/d.test.ts": 'export * from "../src/d.js";',
  "tests/none.test.ts": "",
};
const imports = importsOf(Object.keys(FILES), (file) => FILES[file]!);

test("tests that import a changed file, however far away, the closest first", () => {
  const cases: [changed: string, tests: string[]][] = [
    ["src/d.ts", ["tests/d.test.ts", "tests/a.test.ts"]],
    ["src/deep/c.ts", ["tests/a.test.ts"]],
    ["src/deep/worker.ts", ["tests/a.test.ts"]],
    ["tests/none.test.ts", ["tests/none.test.ts"]],
  ];
  for (const [changed, tests] of cases) assert.deepEqual(affected(new Set([changed]), imports), tests);
});
