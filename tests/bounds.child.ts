/** Runs a case of bounds.cases.ts when it is told its name, and answers with what came of it and the memory that it took. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CASES, messageOf, writeCase } from "./bounds.cases.js";

export interface Answer {
  readonly messages: readonly string[];
  /** Milliseconds of each of the case's actions. */
  readonly ms: readonly number[];
  /** Bytes by which the most memory that was ever resident has grown. */
  readonly grown: number;
  /** Bytes of the files that were replaced. */
  readonly bytes: number;
}

const root = mkdtempSync(join(tmpdir(), "vitrail-bounds-"));
process.on("disconnect", () => {
  rmSync(root, { recursive: true });
  process.exit();
});

/** Kilobytes on every system. */
const peak = (): number => process.resourceUsage().maxRSS * 1024;

process.on("message", async (name: string) => {
  const row = CASES[name]!;
  const folder = join(root, "checkpoint");
  const bytes = writeCase(row, folder);
  process.send!("written");
  const before = peak();
  const messages: string[] = [];
  const ms: number[] = [];
  for (const action of row.does) {
    const start = performance.now();
    messages.push(await messageOf(action, folder));
    ms.push(performance.now() - start);
  }
  process.send!({ messages, ms, grown: peak() - before, bytes } satisfies Answer);
});

// What the first case would pay for: modules, and code that is compiled.
const { load } = await import("../src/index.js");
using model = await load("tests/fixtures/checkpoints/hf-clip", { backend: "wasm", threads: 1 });
await model.text!.embed("warm");
process.send!("ready");
