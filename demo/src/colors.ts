/** Color scales of the page's maps: those of the library's pictures. */
import { type ColorMap, colorTable } from "vitrail/pictures";
import type { Color, Scale } from "./draw.js";

const scaleOf = (map: ColorMap): Scale => {
  // Not before it is used: the page's first task has enough to do.
  let table: Uint8Array | undefined;
  return (part) => {
    table ??= colorTable(map);
    const at = 3 * Math.round(255 * part);
    return [table[at]!, table[at + 1]!, table[at + 2]!];
  };
};

export const viridis = scaleOf("viridis");
export const magma = scaleOf("magma");
export const gray = scaleOf("gray");

const diverging = scaleOf("diverging");
/** Blue to orange through gray, for parts from -1 to 1. */
export const signed: Scale = (part) => diverging((part + 1) / 2);

/** Patches unlike the one at hand go dark, as glass without sun. */
export const shade: Scale = (part) => [9, 10, 16, 230 * (1 - part) ** 1.15];

/** What is left out. */
export const DARK: Color = [14, 15, 21];
