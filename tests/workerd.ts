/** workerd, the runtime of Cloudflare's Workers: serves what was bundled for it. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { find } from "./installed.js";
import { esbuild } from "./project.js";

export const workerd = process.env.VITRAIL_WORKERD ?? find("workerd");
/** What is missing, for `skip`. */
export const absent = !workerd
  ? "there is no workerd on the PATH, nor in VITRAIL_WORKERD"
  : !esbuild && "there is no esbuild on the PATH";

/** Options of a bundle for Workers, as Wrangler has them. */
export const FOR_WORKERS = [
  "--format=esm",
  "--conditions=workerd,worker,browser",
  "--external:node:*",
  "--loader:.wasm=copy",
];

export interface Served {
  fetch(init?: RequestInit): Promise<Response>;
  /** Resident MB of the process; undefined where it cannot be told. */
  readonly megabytes: { readonly now: number; readonly most: number } | undefined;
  stop(): Promise<void>;
}

/** Serves the modules in `out` of a project, and files of `assets` by the binding ASSETS. */
export async function serve(
  folder: string,
  main: string,
  { assets, date = "2026-11-01" }: { assets: string; date?: string },
): Promise<Served> {
  const wasm = readdirSync(join(folder, "out")).filter((name) => name.endsWith(".wasm"));
  const modules = [
    `(name = "${main}", esModule = embed "out/${main}")`,
    ...wasm.map((name) => `(name = "${name}?module", wasm = embed "out/${name}")`),
  ];
  const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), (name = "files", disk = "${resolve(assets)}")],
  sockets = [(name = "http", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [${modules.join(", ")}],
  compatibilityDate = "${date}",
  bindings = [(name = "ASSETS", service = "files")],
);
`;
  writeFileSync(join(folder, "config.capnp"), config);
  const port = await freePort();
  // npm's command is a program that starts another one: both are of a group of their own.
  const args = ["serve", "config.capnp", `--socket-addr=http=127.0.0.1:${port}`];
  const child = spawn(workerd!, args, { cwd: folder, detached: true, stdio: ["ignore", "ignore", "inherit"] });
  const ended = new Promise<void>((resolve) => child.on("exit", () => resolve()));
  const fetchIt = (init?: RequestInit) => fetch(`http://127.0.0.1:${port}/`, init);
  for (let tries = 0; ; tries++) {
    const answered = await fetchIt().then(
      async (response) => !!(await response.arrayBuffer()),
      () => false,
    );
    if (answered) break;
    if (tries === 200 || child.exitCode !== null) throw new Error("workerd does not answer");
    await setTimeout(50);
  }
  return {
    fetch: fetchIt,
    get megabytes() {
      return memoryOf(child.pid!);
    },
    async stop() {
      process.kill(-child.pid!);
      await ended;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.on("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Of a process, or of the last that it started. */
function memoryOf(pid: number): Served["megabytes"] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    if (children) return memoryOf(Number(children.split(" ").at(-1)));
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const of = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)![1]) / 1000;
    return { now: of("VmRSS"), most: of("VmHWM") };
  } catch {
    return undefined;
  }
}
