/**
 * npm test: all test files but those that need what test:hosts and test:gpu bring, as many at a time as there are processors.
 * Node itself leaves one processor free, which of two is half of them.
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";

const files = readdirSync("dist/tests").filter((name) => name.endsWith(".test.js"));
const { status } = spawnSync(
  process.execPath,
  ["--test", `--test-concurrency=${availableParallelism()}`, ...files.map((name) => `dist/tests/${name}`)],
  { stdio: "inherit" },
);
process.exitCode = status ?? 1;
