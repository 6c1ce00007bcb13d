/** Cold start: from the start of a process to its first result, a photo's class by ViT-Ti. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Refusal } from "./engine.js";
import type { EngineName } from "./engines/index.js";
import { folderOf, PHOTO, transformersFolder } from "./files.js";
import type { Entry } from "./race.js";
import { PLAIN } from "./work.js";

export interface StartResults {
  /** Milliseconds of each round. */
  readonly starts: readonly { readonly engine: EngineName; readonly name: string; readonly ms: readonly number[] }[];
  readonly refused: readonly ({ readonly name: string } & Refusal)[];
}

const ROUNDS = 9;

interface Program {
  readonly engine: EngineName;
  readonly name: string;
  readonly args: readonly string[];
}

const vitrail = (name: string, options: object): Program => ({
  engine: "vitrail",
  name: `vitrail ${name}`,
  args: ["vitrail.js", folderOf("Ti"), PHOTO, JSON.stringify(options)],
});

const PROGRAMS: readonly Program[] = [
  vitrail("f32, 1 thread", { precision: "f32", threads: 1 }),
  vitrail("as it comes", {}),
  vitrail("int8, wide, as many threads as it takes", { precision: "int8", wide: true }),
  {
    engine: "transformers.js",
    name: "transformers.js",
    args: ["transformers.js", transformersFolder.parent, transformersFolder.name, PHOTO],
  },
];

export async function measureStart(installed: (entry: Entry) => boolean): Promise<StartResults> {
  const starts: { engine: EngineName; name: string; ms: number[] }[] = [];
  const refused: { name: string; refused: string }[] = [];
  for (let round = -1; round < ROUNDS; round++) {
    for (const { engine, name, args } of PROGRAMS) {
      if (!installed({ engine, ...PLAIN }) || refused.some((other) => other.name === name)) continue;
      const result = await timeToOutput(args);
      if (typeof result === "string") {
        refused.push({ name, refused: result });
        continue;
      }
      // The first round reads the files into the page cache.
      if (round < 0) starts.push({ engine, name, ms: [] });
      else starts.find((other) => other.name === name)!.ms.push(result);
    }
  }
  return { starts, refused };
}

/** Milliseconds until a program of start/ prints, or the message that it ends with instead. */
function timeToOutput([file, ...args]: readonly string[]): Promise<number | string> {
  return new Promise((resolve) => {
    const begin = performance.now();
    const child = spawn(process.execPath, [fileURLToPath(new URL(`./start/${file}`, import.meta.url)), ...args]);
    let errors = "";
    let ms: number | undefined;
    child.stderr.on("data", (text) => {
      errors += text;
    });
    child.stdout.once("data", () => {
      ms = performance.now() - begin;
      child.kill();
    });
    child.once("close", () => resolve(ms ?? /^\w*Error: (.*)$/m.exec(errors)?.[1] ?? errors.trim()));
  });
}
