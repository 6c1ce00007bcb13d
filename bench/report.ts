/** The machine and the races as Markdown, for the README. */
import { execFileSync } from "node:child_process";
import { cpus, loadavg, totalmem } from "node:os";
import type { Race, Timing } from "./race.js";

export interface Environment {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  /** Processes that were running in the last minute; the cores should be idle. */
  readonly load: number;
  readonly system: string;
  readonly node: string;
  readonly v8: string;
  readonly commit: string;
}

export function environment(): Environment {
  return {
    cpu: cpus()[0]?.model.trim() || "unknown",
    cores: cpus().length,
    load: loadavg()[0]!,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${process.arch}`,
    node: process.versions.node,
    v8: process.versions.v8,
    commit: commit(),
  };
}

/** The commit of the checkout, and whether files differ from it. */
function commit(): string {
  const cwd = new URL("../../", import.meta.url);
  try {
    return execFileSync("git", ["describe", "--always", "--dirty"], { cwd, encoding: "utf8", stdio: "pipe" }).trim();
  } catch {
    return "unknown";
  }
}

/** A table, one row an array of cells; all columns but the first are numbers. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const rule = header.map((_, column) => (column === 0 ? "---" : "---:"));
  return [header, rule, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

const percent = (x: number) => `${(100 * x).toFixed(0)} %`;
const milliseconds = (ms: number) => (ms < 100 ? ms.toPrecision(3) : ms.toFixed(0));

/** One row a race: the first engine's figures, then each rival's time and what multiple it is of the first's. */
export function raceTable(title: string, races: readonly Race[]): string {
  const [first, ...others] = races[0]!.timings;
  const header = [title, `${first!.engine} ms`, "GFLOP/s", "of peak", ...others.map(({ engine }) => `${engine} ms`)];
  const time = ({ medianMs, spread }: Timing) => `${milliseconds(medianMs)} ± ${percent(spread / 2)}`;
  const rows = races.map(({ work, timings: [own, ...rivals] }) => [
    work,
    time(own!),
    own!.gflops.toFixed(1),
    percent(own!.shareOfPeak),
    ...rivals.map((rival) => `${time(rival)} (${rival.ratio.toFixed(2)}×)`),
  ]);
  return table(header, rows);
}

/** What holds for all rows of a table. */
export function raceNote(races: readonly Race[]): string {
  const kernels = new Set(races.map(({ timings }) => timings[0]!.kernels));
  const peaks = races.map(({ peakGflops }) => peakGflops);
  const peak = [Math.min(...peaks), Math.max(...peaks)].map((gflops) => gflops.toFixed(1));
  const difference = Math.max(...races.flatMap(({ timings }) => timings.map(({ difference }) => difference)));
  return `${races[0]!.timings[0]!.engine}: ${[...kernels].join(" or ")}. Peak: ${peak.join(" to ")} GFLOP/s. \
Largest difference of a result, relative to the largest value: ${difference.toExponential(0)}.`;
}
