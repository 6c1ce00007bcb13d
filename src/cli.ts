#!/usr/bin/env node
/**
 * The command `vitrail`. Results go to standard output, everything else to standard error.
 *
 * Exit status: 0 when all is done, 1 when an image failed (the others are still done), 2 when the command could not run
 * at all (a wrong option, no model or a broken one), 130 after Ctrl-C.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { COMMANDS, type CommandName, helpText, parseArguments } from "./cli/arguments.js";
import type { Invocation } from "./cli/invocation.js";
import { createTerminal, type Terminal } from "./cli/terminal.js";

type Execute = (invocation: Invocation) => Promise<void>;

/** Commands of their own; those of tasks are rows. Each is loaded when it is called for: help and mistakes are answered at once. */
const OWN: Readonly<Record<string, () => Promise<Execute>>> = {
  embed: async () => (await import("./cli/embed.js")).embed,
  inspect: async () => (await import("./cli/inspect.js")).inspect,
  bench: async () => (await import("./cli/bench.js")).bench,
  index: async () => (await import("./cli/collection.js")).index,
  search: async () => (await import("./cli/collection.js")).search,
  duplicates: async () => (await import("./cli/collection.js")).duplicates,
  learn: async () => (await import("./cli/learn.js")).learn,
  picture: async () => (await import("./cli/picture.js")).picture,
  quantize: async () => (await import("./cli/quantize.js")).quantize,
  serve: async () => (await import("./cli/serve.js")).serve,
};

async function commandOf(name: CommandName): Promise<Execute> {
  const { task } = COMMANDS[name]!;
  if (task) return (await import("./cli/task.js")).taskCommand(task);
  return OWN[name]!();
}

const version = (): string =>
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version as string;

async function run(argv: readonly string[], terminal: Terminal, signal: AbortSignal): Promise<void> {
  if (argv.length === 0) return terminal.print(...helpText(version()));
  const args = parseArguments(argv);
  if (args.help) return terminal.print(...helpText(version(), args.command));
  if (args.version) return terminal.print(version());
  if (!args.command) throw new Error(`a command must be given: ${Object.keys(COMMANDS).join(", ")}`);
  const { command } = args;
  const { operands } = COMMANDS[command]!;
  const given = args.operands;
  if (operands === "images" && given.length === 0) throw new Error(`${command} takes at least one image; got none`);
  if (operands === "kind" && given.length === 0) throw new Error(`${command} takes a kind, then images; got none`);
  if (operands === "none" && given.length > 0) {
    throw new Error(`${command} takes no images; got ${JSON.stringify(given[0])}`);
  }
  if (operands === "source" && given.length !== 1) {
    throw new Error(`${command} takes one folder or .safetensors file; got ${given.length || "none"}`);
  }
  const execute = await commandOf(command);
  await execute({ args, terminal, signal });
}

async function main(): Promise<void> {
  const argv = process.argv.slice(2);
  const { stdout, stderr, env } = process;
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort());
  const terminal = createTerminal(stdout, stderr, { quiet: argv.includes("--quiet"), env });
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    // A reader that has seen enough, such as head, closes the pipe.
    if (error.code === "EPIPE") process.exit();
    terminal.fail(`standard output: ${error.message}`);
    process.exit(2);
  });
  stderr.on("error", () => process.exit(2));
  try {
    await run(argv, terminal, interrupt.signal);
  } catch (error) {
    process.exitCode = interrupt.signal.aborted ? 130 : 2;
    if (!interrupt.signal.aborted) terminal.fail(error);
  } finally {
    terminal.clear();
  }
}

await main();
