/** Where the commands write: results to standard output; errors, notes and progress to standard error. */

import type { RgbImage } from "../image/decode/file.js";
import { bar } from "../tasks/bar.js";
import { type Graphics, graphicsOf, graphicsText, mostPixels } from "./draw.js";

/** The part that is used of process.stdout and process.stderr. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface Terminal {
  /** A result for people. Control characters, which labels and file names may hold, are replaced. */
  print(...lines: string[]): void;
  /** The same where it matters less. */
  printDim(text: string): void;
  /** Draws pictures, of at most so many pixels across; undefined where standard output is no terminal that shows them. */
  readonly canvas: { readonly most: number; draw(image: RgbImage): Promise<void> } | undefined;
  /** A result for programs, on one line. */
  printJson(value: object): void;
  /** One line that says what went wrong. */
  fail(error: unknown): void;
  note(text: string): void;
  /** Draws a bar, on a terminal only, until `done` is `total`; no bar, where the total is not known. */
  progress(what: string, done: number, total?: number): void;
  /** Removes the bar. */
  clear(): void;
}

/** Milliseconds between two drawings of the bar. */
const INTERVAL = 100;

export function createTerminal(
  stdout: Output,
  stderr: Output,
  { quiet = false, env = {} }: { quiet?: boolean; env?: Readonly<Record<string, string | undefined>> } = {},
): Terminal {
  const dims = stdout.isTTY && !env.NO_COLOR;
  const graphics = stdout.isTTY ? graphicsOf(env) : undefined;
  let drawn = Number.NEGATIVE_INFINITY;
  let visible = false;

  function clear(): void {
    if (visible) stderr.write("\r\x1b[K");
    visible = false;
  }

  function line(output: Output, text: string): void {
    clear();
    output.write(`${text}\n`);
  }

  function canvasOf(graphics: Graphics): Terminal["canvas"] {
    // A column is left, in which some terminals break the line.
    const most = mostPixels(graphics, (stdout.columns || 80) - 1);
    return {
      most,
      async draw(image) {
        clear();
        stdout.write(await graphicsText(await within(image, most), graphics));
      },
    };
  }

  return {
    clear,
    canvas: graphics && canvasOf(graphics),
    print: (...lines) => line(stdout, lines.map(printable).join("\n")),
    printDim: (text) => line(stdout, dims ? `\x1b[2m${printable(text)}\x1b[22m` : printable(text)),
    printJson: (value) => line(stdout, JSON.stringify(value)),
    fail: (error) => line(stderr, `vitrail: ${printable(messageOf(error))}`),
    note(text) {
      if (!quiet) line(stderr, printable(text));
    },
    progress(what, done, total) {
      if (quiet || !stderr.isTTY) return;
      if (total !== undefined && done >= total) return clear();
      const now = performance.now();
      if (now - drawn < INTERVAL) return;
      drawn = now;
      visible = true;
      const share = total === undefined ? `${done}` : `${bar(done / total, 30)} ${Math.floor((100 * done) / total)} %`;
      stderr.write(`\r${what} ${share}\x1b[K`);
    },
  };
}

/** An image of at most so many pixels across: a terminal would break its lines. */
async function within(image: RgbImage, most: number): Promise<RgbImage> {
  if (image.width <= most) return image;
  const { resize } = await import("../image/resize.js");
  const height = Math.max(1, Math.round((image.height * most) / image.width));
  return resize({ ...image, channels: 3 }, { width: most, height, filter: "bicubic" });
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** On one line, and harmless to the terminal. */
const printable = (text: string): string => text.replace(/\p{Cc}+/gu, " ");
