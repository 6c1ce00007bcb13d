/** A bar of text. */

const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** Draws `part` (0 to 1) of `width` columns, to an eighth of a column, with spaces after it. */
export function bar(part: number, width: number): string {
  const eighths = Math.round(part * width * 8);
  return `${"█".repeat(eighths >> 3)}${EIGHTHS[eighths & 7]}`.padEnd(width);
}
