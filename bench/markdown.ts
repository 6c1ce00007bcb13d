/** Markdown of figures. */

/** A table, one row an array of cells, padded; all columns but the first are numbers unless `left`. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((_, column) => Math.max(3, ...[header, ...rows].map((cells) => cells[column]!.length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(" | ")} |`;
  const rule = widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [line(header), `| ${rule.join(" | ")} |`, ...rows.map(line)].join("\n");
}

export const percent = (x: number): string => `${(100 * x).toFixed(0)} %`;
/** Three digits, or all before the point. */
export const digits = (x: number): string => (x < 100 ? x.toPrecision(3) : x.toFixed(0));
export const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
