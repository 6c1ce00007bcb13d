/** The words of a command line, as a JSON list: `parseArguments`. */
import { COMMANDS, parseArguments } from "../../src/cli/arguments.js";
import { mutateJson } from "../mutate/json.js";
import { expect, type Target } from "../target.js";
import { readJson, seedOf } from "./json.js";

const target: Target = {
  seeds: [
    seedOf(["classify", "cat.jpg", "-", "--top", "3", "--json", "--model=google/vit"]),
    seedOf(["embed", "a.png", "--out", "x.npy", "--pooling", "head", "--normalize"]),
    seedOf(["bench", "--seconds", "0.5", "--batch=4", "--threads", "2", "--wide"]),
    seedOf(["quantize", "owner/name", "--out", "dir", "--token", "t", "--offline", "--revision", "main"]),
    seedOf(["inspect", "--cache-dir", "c", "--backend", "wasm", "--precision", "int8", "--quiet"]),
    seedOf(["-h", "--version", "--", "--help"]),
  ],
  mutators: [mutateJson],
  refusal: /^(there is no (command|option) |-)/,
  milliseconds: 100,
  bytes: 16e6,
  run(input) {
    const words = readJson<string[]>(input);
    if (!Array.isArray(words) || !words.every((word) => typeof word === "string")) return undefined;
    const { command, task, batch, seconds } = parseArguments(words);
    const counts = [batch, ...Object.values(task)];
    expect(command === undefined || Object.hasOwn(COMMANDS, command), () => `the command ${command}`);
    expect(
      counts.every((n) => Number.isSafeInteger(n) && (n as number) > 0) && seconds > 0,
      () => `${counts}, ${seconds}`,
    );
    return undefined;
  },
};
export default target;
