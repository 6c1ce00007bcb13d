/**
 * Colors of numbers, even in lightness and told apart by the colour-blind: viridis for similarities, magma for attention, blue to
 * orange through gray for numbers with a sign, and OKLab (Ottosson 2020) for components of features.
 */
import { oklab, type Rgb } from "../tasks/palette.js";
import { MAGMA, VIRIDIS } from "./maps.js";

export type ColorMap = "viridis" | "magma" | "diverging" | "gray";

/** Levels of a color map: 256 RGB colors, one after the other. */
const tables: Readonly<Record<ColorMap, () => Uint8Array>> = {
  viridis: () => interpolated(VIRIDIS),
  magma: () => interpolated(MAGMA),
  diverging: () => tableOf((part) => diverging(2 * part - 1)),
  gray: () => tableOf((part) => [255 * part, 255 * part, 255 * part]),
};
const made = new Map<ColorMap, Uint8Array>();

/** The 256 colors of a map, [256, 3], from the lowest number to the highest. */
export function colorTable(map: ColorMap): Uint8Array {
  let table = made.get(map);
  if (!table) {
    table = tables[map]();
    made.set(map, table);
  }
  return table;
}

const tableOf = (color: (part: number) => Rgb): Uint8Array =>
  Uint8Array.from(Array.from({ length: 256 }, (_, i) => color(i / 255).map(Math.round)).flat());

/** Every eighth color of 256, and the last, with those between. */
function interpolated(hex: string): Uint8Array {
  const levels = hex.match(/../g)!.map((level) => Number.parseInt(level, 16));
  return tableOf((part) => {
    const at = Math.min(255 * part, 254.999);
    const from = Math.floor(at / 8);
    const [first, end] = [8 * from, Math.min(8 * from + 8, 255)];
    const share = (at - first) / (end - first);
    const level = (c: number) => levels[3 * from + c]! * (1 - share) + levels[3 * from + 3 + c]! * share;
    return [level(0), level(1), level(2)];
  });
}

/** From -1, blue, by light gray to 1, orange. */
const diverging = (signed: number): Rgb =>
  oklab(
    0.94 - 0.4 * Math.abs(signed),
    signed < 0 ? 0.03 * signed : 0.1 * signed,
    signed < 0 ? 0.15 * signed : 0.12 * signed,
  );

/**
 * The color of three components, each from -1 to 1: lightness by the first, so that equal steps look equal, hue and chroma by the
 * others.
 */
export const componentColor = (a: number, b: number, c: number): Rgb => oklab(0.62 + 0.28 * a, 0.14 * b, 0.14 * c);
