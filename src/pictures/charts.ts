/** Charts over the layers of a model: distances of heads, and what the lens says. */
import { el, FAINT, INK, LINE, SERIES, svgFile, text, ticks, wrapped } from "./svg.js";

/** Sizes of a chart, pixels. */
const [LEFT, TOP, WIDTH, HEIGHT] = [76, 60, 520, 300];
const NARROW = 24;

interface Axes {
  readonly title: string;
  readonly note: string;
  readonly x: { readonly name: string; readonly count: number; readonly first: number };
  readonly y: {
    readonly name: string;
    readonly low: number;
    readonly high: number;
    readonly label?: (y: number) => string;
  };
  /** Room for names behind the last layer. */
  readonly right?: number;
}

/** A chart of layers, with what `draw` puts in it: places of a layer, from 0, and of a value. */
function chart(
  { title, note, x, y, right = NARROW }: Axes,
  draw: (at: { x: (layer: number) => number; y: (value: number) => number }) => string[],
): string {
  const step = WIDTH / Math.max(1, x.count - 1 + 0.6);
  const at = {
    x: (layer: number) => LEFT + (layer + 0.3) * step,
    y: (value: number) => TOP + HEIGHT - ((value - y.low) / (y.high - y.low)) * HEIGHT,
  };
  const label = y.label ?? String;
  const every = Math.ceil(x.count / 16);
  const parts = [text(24, 30, title, { size: 16, fill: INK, weight: 600 })];
  for (const value of ticks(y.low, y.high)) {
    const to = at.y(value);
    parts.push(el("line", { x1: LEFT, x2: LEFT + WIDTH, y1: to, y2: to, stroke: LINE }));
    parts.push(text(LEFT - 8, to + 4, label(value), { anchor: "end" }));
  }
  for (let layer = 0; layer < x.count; layer += every) {
    parts.push(text(at.x(layer), TOP + HEIGHT + 20, String(layer + x.first), { anchor: "middle" }));
  }
  parts.push(text(LEFT + WIDTH / 2, TOP + HEIGHT + 42, x.name, { anchor: "middle" }));
  parts.push(text(26, TOP + HEIGHT / 2, y.name, { anchor: "middle", turned: true }));
  parts.push(...draw(at));
  let end = TOP + HEIGHT + 70;
  for (const line of wrapped(note, (WIDTH + right) / 6)) {
    parts.push(text(LEFT, end, line, { fill: FAINT }));
    end += 17;
  }
  return svgFile(LEFT + WIDTH + right, end + 6, title, parts);
}

/** Distances of heads by layer, [layers, heads] (figure 7, right), with the mean of each layer as a line. */
export function distanceChart(data: Float32Array, layers: number, title: string, note: string, most: number): string {
  const heads = data.length / layers;
  const high = ticks(0, Math.max(most, ...data) * 1.02).at(-1)!;
  const y = { name: "mean attention distance (pixels)", low: 0, high: Math.max(high, Math.max(...data) * 1.04) };
  return chart({ title, note, x: { name: "network depth (layer)", count: layers, first: 1 }, y }, (at) => {
    const mean = (layer: number) =>
      data.subarray(layer * heads, (layer + 1) * heads).reduce((sum, x) => sum + x, 0) / heads;
    const points = Array.from(
      { length: layers },
      (_, layer) => `${at.x(layer).toFixed(1)},${at.y(mean(layer)).toFixed(1)}`,
    );
    return [
      el("polyline", { points: points.join(" "), fill: "none", stroke: SERIES[1], "stroke-width": 1.5, opacity: 0.8 }),
      ...Array.from(data, (distance, i) =>
        el("circle", {
          ...{ cx: at.x(Math.floor(i / heads)), cy: at.y(distance), r: heads > 8 ? 3.5 : 4.5 },
          ...{ fill: SERIES[0], "fill-opacity": 0.72, stroke: "#fffefb" },
        }),
      ),
    ];
  });
}

const DASHES = [undefined, "7 3", "2 3", "9 3 2 3", "4 2", "1 2", "12 4"];

/** Scores of names by layer as lines, each with its name at its end. */
export function lensChart(
  lines: readonly { readonly name: string; readonly values: ArrayLike<number> }[],
  { title, note, probability }: { readonly title: string; readonly note: string; readonly probability: boolean },
): string {
  const all = lines.flatMap(({ values }) => Array.from(values));
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const y = probability
    ? { name: "probability", low: 0, high: 1, label: (x: number) => `${Math.round(100 * x)} %` }
    : { name: "score", low: Math.min(0, least), high: most > least ? most : least + 1 };
  const count = lines[0]?.values.length ?? 1;
  const x = { name: "layer (0: before the first block)", count, first: 0 };
  return chart({ title, note, x, y, right: 190 }, (at) => {
    const ends = lines.map(({ values }, i) => ({ i, y: at.y(values[count - 1]!) })).sort((a, b) => a.y - b.y);
    // Names that would cover each other move apart, and back into the chart.
    for (let k = 1; k < ends.length; k++) ends[k]!.y = Math.max(ends[k]!.y, ends[k - 1]!.y + 15);
    for (let k = ends.length - 1, y = TOP + HEIGHT + 4; k >= 0; k--, y -= 15) ends[k]!.y = Math.min(ends[k]!.y, y);
    return [
      ...lines.map(({ values }, i) =>
        el("polyline", {
          points: Array.from(values, (value, layer) => `${at.x(layer).toFixed(1)},${at.y(value).toFixed(1)}`).join(" "),
          ...{ fill: "none", stroke: SERIES[i % SERIES.length], "stroke-width": 2, "stroke-linejoin": "round" },
          "stroke-dasharray": DASHES[i % DASHES.length],
        }),
      ),
      ...ends.map(({ i, y }) =>
        text(LEFT + WIDTH + 8, y + 4, shortened(lines[i]!.name, 27), { fill: SERIES[i % SERIES.length] }),
      ),
    ];
  });
}

/** The first name of several, and no more than so many characters. */
export function shortened(name: string, most: number): string {
  const [first = ""] = name.split(", ");
  return first.length > most ? `${first.slice(0, most - 1)}…` : first;
}
