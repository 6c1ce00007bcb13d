/** Another program that is asked what an input is: Pillow, or the safetensors library in Rust, from Python. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Answer } from "./target.js";

export interface Oracle {
  ask(input: Uint8Array): Promise<Answer>;
  stop(): void;
}

/** Programs that can be asked: what Python has to have. */
export const ORACLES: Readonly<Record<string, string>> = { pillow: "Pillow and NumPy", safetensors: "safetensors" };

/** @throws Error: one sentence, where there is no such Python. */
export async function startOracle(name: string): Promise<Oracle> {
  const python = process.env.VITRAIL_PYTHON ?? "python3";
  const child = spawn(python, [`fuzz/oracles/ask_${name}.py`], { stdio: ["pipe", "pipe", "ignore"] });
  child.on("error", () => {});
  child.stdin.on("error", () => {});
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const first = await Promise.race([lines.next(), once(child, "exit").then(() => ({ done: true }))]);
  if (first.done) {
    throw new Error(
      `fuzz: --against ${name} needs a Python with ${ORACLES[name]}; "${python}" is none, VITRAIL_PYTHON may name another`,
    );
  }
  return {
    async ask(input) {
      const head = new Uint8Array(4);
      new DataView(head.buffer).setUint32(0, input.length, true);
      child.stdin.write(head);
      child.stdin.write(input);
      const { done, value } = await lines.next();
      if (done) throw new Error(`fuzz: ${name} ended with ${child.signalCode ?? child.exitCode}`);
      return JSON.parse(value) as Answer;
    },
    stop: () => void child.kill(),
  };
}
