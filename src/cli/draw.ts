/**
 * Pictures in a terminal: by the graphics of kitty, of iTerm2, as sixels, or as half blocks, a character for two pixels. Which of them
 * a terminal has its environment says; it is not asked, since one that does not answer would keep the command waiting.
 */
import type { RgbImage } from "../image/decode/file.js";

/** Graphics of a terminal; blocks are of 24-bit colors or of the 256 that all have. */
export type Graphics = "kitty" | "iterm2" | "sixel" | "blocks" | "blocks256";

type Environment = Readonly<Record<string, string | undefined>>;

/** Graphics of the terminal that the environment speaks of; undefined where there are no colors. */
export function graphicsOf(env: Environment): Graphics | undefined {
  const { TERM = "", TERM_PROGRAM = "", COLORTERM = "" } = env;
  const blocks = env.NO_COLOR ? undefined : /truecolor|24bit/i.test(COLORTERM) ? "blocks" : "blocks256";
  // Multiplexers hand nothing on that they do not know themselves.
  if (TERM === "dumb" || TERM === "") return undefined;
  if (env.TMUX || env.STY || /^(screen|tmux)/.test(TERM)) return blocks;
  if (env.KITTY_WINDOW_ID || TERM === "xterm-kitty" || /ghostty/i.test(TERM + TERM_PROGRAM)) return "kitty";
  if (/^(iTerm\.app|WezTerm|mintty|rio)$/i.test(TERM_PROGRAM) || env.LC_TERMINAL === "iTerm2") return "iterm2";
  if (/^(foot|mlterm|yaft|contour)|sixel/.test(TERM)) return "sixel";
  return blocks;
}

/** Columns of a picture of blocks at most, so that it fits most screens. */
const COLUMNS = 72;

/** Most pixels across of a picture, in a terminal of so many columns: a column is about 8 pixels wide. */
export const mostPixels = (graphics: Graphics, columns: number): number =>
  graphics.startsWith("blocks") ? Math.min(columns, COLUMNS) : 8 * columns;

/** The characters that draw an image; it must be as large as it is to be seen. */
export async function graphicsText(image: RgbImage, graphics: Graphics): Promise<string> {
  if (graphics === "sixel") return `${sixels(image)}\n`;
  if (graphics === "blocks" || graphics === "blocks256") return halfBlocks(image, graphics === "blocks");
  const { encodePng } = await import("../image/write-png.js");
  const png = Buffer.from(await encodePng({ ...image, channels: 3 }));
  return graphics === "kitty" ? `${kitty(png)}\n` : `${iterm2(png)}\n`;
}

/** Letters of base64 in a command of kitty's, at most. */
const CHUNK = 4096;

/** https://sw.kovidgoyal.net/kitty/graphics-protocol: a PNG, in pieces. */
function kitty(png: Buffer): string {
  const letters = png.toString("base64");
  const count = Math.ceil(letters.length / CHUNK);
  return Array.from({ length: count }, (_, i) => {
    const keys = i === 0 ? "a=T,f=100,q=2," : "";
    return `\x1b_G${keys}m=${Number(i < count - 1)};${letters.slice(i * CHUNK, (i + 1) * CHUNK)}\x1b\\`;
  }).join("");
}

/** https://iterm2.com/documentation-images.html */
const iterm2 = (png: Buffer): string =>
  `\x1b]1337;File=inline=1;size=${png.length};preserveAspectRatio=1:${png.toString("base64")}\x07`;

/**
 * The nearest of few colors for each pixel, by their numbers: what is missing is given on to the neighbors (Floyd & Steinberg 1976).
 * @param nearest the number of a color, and its levels.
 */
function dithered(
  { data, width, height }: RgbImage,
  nearest: (rgb: Float32Array) => readonly [index: number, levels: readonly number[]],
): Uint8Array {
  const indices = new Uint8Array(width * height);
  const rest = Float32Array.from(data);
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++, at++) {
      const rgb = rest.subarray(3 * at, 3 * at + 3);
      const [index, levels] = nearest(rgb);
      indices[at] = index;
      for (let c = 0; c < 3; c++) {
        const error = rgb[c]! - levels[c]!;
        const give = (to: number, part: number) => {
          rest[3 * to + c]! += (error * part) / 16;
        };
        if (x + 1 < width) give(at + 1, 7);
        if (y + 1 < height) {
          if (x > 0) give(at + width - 1, 3);
          give(at + width, 5);
          if (x + 1 < width) give(at + width + 1, 1);
        }
      }
    }
  return indices;
}

/** Levels of red, green and blue of 252 colors; sixel terminals have 256. */
const LEVELS = [6, 7, 6] as const;

function nearestOfLevels(rgb: Float32Array): readonly [number, number[]] {
  const levels = LEVELS.map((count, c) => Math.min(Math.max(Math.round((rgb[c]! * (count - 1)) / 255), 0), count - 1));
  const index = levels.reduce((index, level, c) => index * LEVELS[c]! + level, 0);
  return [index, levels.map((level, c) => (255 * level) / (LEVELS[c]! - 1))];
}

/** DEC's sixels (VT330/VT340 Programmer Reference, chapter 14): bands of six lines, a color after the other. */
function sixels(image: RgbImage): string {
  const { width, height } = image;
  const indices = dithered(image, nearestOfLevels);
  const used = [...new Set(indices)].sort((a, b) => a - b);
  const palette = used.map((index) => {
    const levels = [Math.floor(index / 42), Math.floor(index / 6) % 7, index % 6];
    const percent = levels.map((level, c) => Math.round((100 * level) / (LEVELS[c]! - 1)));
    return `#${index};2;${percent.join(";")}`;
  });
  const bands: string[] = [];
  for (let top = 0; top < height; top += 6) {
    const rows = new Map<number, Uint8Array>();
    for (let y = top; y < Math.min(top + 6, height); y++)
      for (let x = 0; x < width; x++) {
        const index = indices[y * width + x]!;
        let bits = rows.get(index);
        if (!bits) {
          bits = new Uint8Array(width);
          rows.set(index, bits);
        }
        bits[x]! |= 1 << (y - top);
      }
    bands.push([...rows].map(([index, bits]) => `#${index}${runs(bits)}`).join("$"));
  }
  return `\x1bP0;1q"1;1;${width};${height}${palette.join("")}${bands.join("-")}\x1b\\`;
}

/** Sixels of a line, equal ones counted. */
function runs(bits: Uint8Array): string {
  let text = "";
  for (let x = 0; x < bits.length; ) {
    let end = x + 1;
    while (end < bits.length && bits[end] === bits[x]) end++;
    const letter = String.fromCharCode(63 + bits[x]!);
    text += end - x > 3 ? `!${end - x}${letter}` : letter.repeat(end - x);
    x = end;
  }
  return text;
}

/** Two lines of pixels a line of text: the upper in the ink of ▀, the lower in its paper. */
function halfBlocks(image: RgbImage, full: boolean): string {
  const { data, width, height } = image;
  const indices = full ? undefined : dithered(image, nearestOfXterm);
  const color = (x: number, y: number) => {
    const at = y * width + x;
    return indices ? `5;${indices[at]}` : `2;${data.subarray(3 * at, 3 * at + 3).join(";")}`;
  };
  let text = "";
  for (let y = 0; y < height; y += 2) {
    let last = "";
    for (let x = 0; x < width; x++) {
      const paper = y + 1 < height ? `48;${color(x, y + 1)}` : "49";
      const codes = `38;${color(x, y)};${paper}`;
      text += codes === last ? "▀" : `\x1b[${codes}m▀`;
      last = codes;
    }
    text += "\x1b[0m\n";
  }
  return text;
}

/** Levels of xterm's cube of 6 × 6 × 6 colors. */
const CUBE = [0, 95, 135, 175, 215, 255];

/** The nearest of the cube, and of xterm's 24 grays after it. */
function nearestOfXterm(rgb: Float32Array): readonly [number, number[]] {
  const near = Array.from(rgb, (x) =>
    CUBE.reduce((best, level, i) => (Math.abs(level - x) < Math.abs(CUBE[best]! - x) ? i : best), 0),
  );
  const inCube = near.map((i) => CUBE[i]!);
  const step = Math.min(Math.max(Math.round((rgb.reduce((sum, x) => sum + x, 0) / 3 - 8) / 10), 0), 23);
  const gray = new Array<number>(3).fill(8 + 10 * step);
  const off = (levels: readonly number[]) => levels.reduce((sum, level, c) => sum + (rgb[c]! - level) ** 2, 0);
  return off(gray) < off(inCube) ? [232 + step, gray] : [near.reduce((index, i) => 6 * index + i, 0) + 16, inCube];
}
