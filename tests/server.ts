/** The command `vitrail serve` for tests: a process that is told to stop when they are over. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const CLI = fileURLToPath(new URL("../src/cli.js", import.meta.url));

export interface Served {
  readonly url: string;
  readonly port: number;
  readonly process: ChildProcess;
  /** Standard error so far. */
  readonly notes: string;
  /** Sends SIGTERM, and gives the exit status. */
  stop(): Promise<number | null>;
}

/** Starts the command on a free port. */
export async function serveModels(args: readonly string[], { cwd }: { cwd?: string } = {}): Promise<Served> {
  const child = spawn(process.execPath, [CLI, "serve", "--port", "0", "--json", ...args], { cwd });
  let notes = "";
  child.stderr.on("data", (text) => {
    notes += text;
  });
  let printed = "";
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.on("data", (text) => {
      printed += text;
      if (printed.includes("\n")) resolve(JSON.parse(printed).url);
    });
    child.once("exit", (status) => reject(new Error(`exit status ${status}: ${notes}`)));
  });
  return {
    url,
    port: Number(new URL(url).port),
    process: child,
    get notes() {
      return notes;
    },
    async stop() {
      if (child.exitCode !== null) return child.exitCode;
      child.kill("SIGTERM");
      const [status] = await once(child, "exit");
      return status;
    },
  };
}
