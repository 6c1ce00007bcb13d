/** SVG as text: figures with their legends, and charts. Colors and type are those of the page (demo/), in light. */
import type { RgbImage } from "../image/decode/file.js";
import { type ColorMap, colorTable } from "./colors.js";

export const INK = "#1a1b22";
export const FAINT = "#54565f";
export const LINE = "#ddd8cd";
const PAPER = "#fffefb";
/** Cobalt, ruby, amber, emerald, and three more as far from them; told apart by the colour-blind with the dashes of a chart. */
export const SERIES = ["#2746c7", "#b0243c", "#b97a00", "#1f7a5a", "#7a3fb0", "#0f7c99", "#5c5f6b"] as const;

const FONT = "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const ESCAPES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

const escaped = (text: string): string =>
  // Characters that XML has none of would make the file unreadable.
  text.replace(/[&<>"]/g, (c) => ESCAPES[c]!).replace(/[^\t\n\r -\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, "\uFFFD");

/** A number as it stands in a file: two places at most. */
const short = (x: number): string => String(Math.round(100 * x) / 100);

/** An element; attributes that are undefined are left out. */
export function el(
  name: string,
  attributes: Readonly<Record<string, string | number | undefined>>,
  inner = "",
): string {
  const all = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === "number" ? short(value) : escaped(value!)}"`);
  return inner ? `<${name}${all.join("")}>${inner}</${name}>` : `<${name}${all.join("")}/>`;
}

export interface TextStyle {
  readonly size?: number;
  readonly fill?: string;
  readonly anchor?: "start" | "middle" | "end";
  readonly weight?: number;
  readonly turned?: boolean;
}

export const text = (
  x: number,
  y: number,
  words: string,
  { size = 12, fill = FAINT, anchor, weight, turned = false }: TextStyle = {},
): string =>
  el(
    "text",
    {
      ...{ x, y, fill, "font-size": size, "text-anchor": anchor, "font-weight": weight },
      transform: turned ? `rotate(-90 ${short(x)} ${short(y)})` : undefined,
    },
    escaped(words),
  );

/** A file of parts, with a title that is read aloud. */
export const svgFile = (width: number, height: number, title: string, parts: readonly string[]): string =>
  `${el(
    "svg",
    {
      ...{ xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${short(width)} ${short(height)}` },
      ...{ role: "img", "font-family": FONT },
    },
    [el("title", {}, escaped(title)), el("rect", { width, height, fill: PAPER }), ...parts].join("\n"),
  )}\n`;

/** Pixels in a box, drawn without smoothing. */
export async function picture(
  image: RgbImage,
  box: { readonly x: number; readonly y: number; readonly width: number; readonly height: number },
): Promise<string> {
  const { encodePng } = await import("../image/write-png.js");
  const png = await encodePng({ ...image, channels: 3 });
  return el("image", {
    ...{ ...box, preserveAspectRatio: "none", style: "image-rendering:pixelated" },
    href: `data:image/png;base64,${base64(png)}`,
  });
}

function base64(bytes: Uint8Array): string {
  let binary = "";
  for (let i = 0; i < bytes.length; i += 8192) binary += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(binary);
}

/** A bar of a color map with the numbers at its ends, lying. */
export function legend(
  x: number,
  y: number,
  width: number,
  { colors, low, high, label }: { colors: ColorMap; low: string; high: string; label: string },
): string {
  const table = colorTable(colors);
  const count = 64;
  const steps = Array.from({ length: count }, (_, i) => {
    const at = 3 * Math.round((255 * i) / (count - 1));
    const fill = `#${Array.from(table.subarray(at, at + 3), (level) => level.toString(16).padStart(2, "0")).join("")}`;
    // Each goes on under those after it: no gaps show between them, in whatever size it is drawn.
    return el("rect", { x: x + (i * width) / count, y, width: width - (i * width) / count, height: 10, fill });
  });
  return [
    ...steps,
    text(x, y + 24, low),
    text(x + width, y + 24, high, { anchor: "end" }),
    text(x + width / 2, y + 24, label, { anchor: "middle" }),
  ].join("\n");
}

/** Numbers from `low` to `high` at round steps: 1, 2 or 5 times a power of ten. */
export function ticks(low: number, high: number, about = 5): number[] {
  const raw = (high - low) / about;
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999)!;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}

/** A number of at most three figures. */
export function figure(x: number): string {
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 1000) return Math.round(x).toLocaleString("en-US");
  if (size < 0.001) return x.toExponential(1);
  return String(Number(x.toPrecision(3)));
}

/** A title in lines as wide as there is room, the first at `y`; and how much further down what follows it is. */
export function heading(x: number, y: number, words: string, width: number): { parts: string[]; more: number } {
  const lines = wrapped(words, width / 8.4);
  return {
    parts: lines.map((line, i) => text(x, y + 20 * i, line, { size: 16, fill: INK, weight: 600 })),
    more: 20 * (lines.length - 1),
  };
}

/** Words in lines of at most so many characters. */
export function wrapped(words: string, most: number): string[] {
  const lines: string[] = [];
  for (const word of words.split(" ")) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= most) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}
