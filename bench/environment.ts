/** Where and when figures were measured: what has to be known to compare them with others. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { type EngineName, PACKAGES } from "./engines/index.js";
import { installedVersion } from "./engines/thirdparty.js";
import { measureMachine, type Peaks } from "./race.js";

export interface Environment {
  readonly date: string;
  readonly commit: string;
  readonly cpu: string;
  /** Vendor, family and model number, which cloud providers leave where they hide the name; "" if unknown. */
  readonly family: string;
  /** Of {@link FLAGS}, those that the processor has. */
  readonly flags: readonly string[];
  readonly cores: number;
  readonly memoryGb: number;
  /** Processes that were running in the last minute, those of the benchmark too. */
  readonly load: number;
  readonly system: string;
  readonly node: string;
  readonly v8: string;
  /** Versions of the rivals that are installed. */
  readonly rivals: Readonly<Partial<Record<EngineName, string>>>;
  /** 128-bit multiply-adds on registers, one thread, GFLOP/s. */
  readonly peakGflops: number;
  /** Rate of two such loops at once relative to one: 2 on two free cores. */
  readonly calibration: number;
}

/** What decides which kernels run. */
const FLAGS = ["avx2", "avx_vnni", "avx512f", "avx512_vnni"];

export async function environment(peaks: Peaks): Promise<Environment> {
  const rivals: Partial<Record<EngineName, string>> = {};
  for (const [engine, name] of Object.entries(PACKAGES)) {
    const version = installedVersion(name);
    if (version) rivals[engine as EngineName] = version;
  }
  return {
    date: new Date().toISOString().slice(0, 16).replace("T", " "),
    commit: commit(),
    cpu: cpus()[0]?.model.trim() || "unknown",
    ...processor(),
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    load: loadavg()[0]!,
    system: `${process.platform} ${process.arch}`,
    node: process.versions.node,
    v8: process.versions.v8,
    rivals,
    ...(await measureMachine(peaks)),
  };
}

/** What Linux tells of the processor. */
function processor(): { family: string; flags: string[] } {
  if (!existsSync("/proc/cpuinfo")) return { family: "", flags: [] };
  const text = readFileSync("/proc/cpuinfo", "utf8");
  const field = (name: string) => new RegExp(`^${name}\\s*: (.*)$`, "m").exec(text)?.[1] ?? "";
  const flags = field("flags").split(" ");
  return {
    family: field("cpu family") && `${field("vendor_id")} family ${field("cpu family")} model ${field("model")}`,
    flags: FLAGS.filter((flag) => flags.includes(flag)),
  };
}

/** What the command itself writes, section by section. */
const WRITTEN = [
  "README.md",
  "bench/RESULTS.md",
  "bench/results.json",
  "bench/speed.svg",
  "bench/few-shot.svg",
  "bench/indexing.svg",
];

/** The commit of the checkout, and whether other files than those differ from it. */
function commit(): string {
  const cwd = new URL("../../", import.meta.url);
  const git = (...args: string[]) => execFileSync("git", args, { cwd, encoding: "utf8", stdio: "pipe" }).trim();
  try {
    const changed = git("status", "--porcelain", "--", ".", ...WRITTEN.map((file) => `:!${file}`));
    return git("rev-parse", "--short", "HEAD") + (changed ? "-dirty" : "");
  } catch {
    return "unknown";
  }
}
