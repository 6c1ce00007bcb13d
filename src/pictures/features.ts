/**
 * Patch tokens as colors: their first three principal components (Oquab et al. 2023, "DINOv2", figure 1), jointly over several photos,
 * so that what is alike in them has one color. As there, the first component may divide foreground and background: `keep` leaves
 * the patches of one side, and components are fitted again on them.
 */
import { type Components, principalComponents, projectedOn } from "./components.js";
import { lengthsOf, medianOf } from "./norms.js";
import { unitRows } from "./similarity.js";
import type { Patches } from "./tokens.js";

export interface FeatureOptions {
  /** Tokens are scaled to length 1 first. */
  readonly unit?: boolean;
  /** Tokens longer than so many times the median are left out of the fit (Darcet et al. 2024 say why): they would be all that it sees. */
  readonly outliers?: number;
  /** Only patches whose first component is above ("high") or below ("low") zero, which a second fit is of. */
  readonly keep?: "high" | "low";
}

export interface Features {
  /** Coordinates of each image's patches along three components, [rows · columns, 3]; 0 for those that are not kept. */
  readonly maps: readonly Float32Array[];
  /** 1 for each patch that is kept. */
  readonly kept: readonly Uint8Array[];
  readonly components: Components;
  /** Tokens that were left out of the fit. */
  readonly left: number;
}

/** Components of the patches of images together. */
export function featuresOf(
  images: readonly Patches[],
  { unit = false, outliers = Number.POSITIVE_INFINITY, keep }: FeatureOptions = {},
): Features {
  const width = images[0]!.width;
  const all = new Float32Array(images.reduce((sum, { data }) => sum + data.length, 0));
  const starts: number[] = [];
  let at = 0;
  for (const { data } of images) {
    starts.push(at / width);
    all.set(data, at);
    at += data.length;
  }
  const lengths = lengthsOf(all, width);
  const most = outliers * medianOf(lengths);
  const usual = (row: number) => !(lengths[row]! > most);
  const rows = unit ? unitRows(all, width) : all;
  let components = principalComponents(rows, width, 3, usual);
  let shown = (_row: number) => true;
  if (keep) {
    const first = projectedOn(components, rows, width);
    const count = components.shares.length;
    shown = (row) => (keep === "high" ? first[row * count]! > 0 : first[row * count]! < 0);
    components = principalComponents(rows, width, 3, (row) => usual(row) && shown(row));
  }
  const coordinates = projectedOn(components, rows, width);
  const count = components.shares.length;
  const maps = images.map(({ data }, image) => {
    const map = new Float32Array((data.length / width) * 3);
    for (let i = 0; i < data.length / width; i++) {
      const row = starts[image]! + i;
      if (shown(row)) for (let c = 0; c < count; c++) map[i * 3 + c] = coordinates[row * count + c]!;
    }
    return map;
  });
  const kept = images.map(({ data }, image) =>
    Uint8Array.from({ length: data.length / width }, (_, i) => Number(shown(starts[image]! + i))),
  );
  return { maps, kept, components, left: lengths.filter((_, row) => !usual(row)).length };
}
