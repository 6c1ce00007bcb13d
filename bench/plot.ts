/** Plots: milliseconds per image of each contender, a panel a size; points of a collection's figures. */
import type { FewShotResults, IndexingResults } from "./collection.js";
import { digits } from "./markdown.js";
import { median, type Race, type Timing } from "./race.js";

const LEFT = 230;
const PANEL = 200;
const GAP = 30;
const TOP = 48;
const ROW = 20;
/** What a value takes behind the longest bar. */
const VALUE = 46;

const STYLE = `  text { font: 13px system-ui, sans-serif; fill: #333 }
  .title { font-weight: 600 } .value { font-size: 11px } .axis { stroke: #777 }
  .vitrail { fill: #2a6fd0 } .onnxruntime-web { fill: #b8501a } .onnxruntime-node { fill: #1a7f5a }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd } .axis { stroke: #999 }
    .vitrail { fill: #7db2ff } .onnxruntime-web { fill: #f0975c } .onnxruntime-node { fill: #55c89a }
  }`;

const nameOf = ({ engine, precision, threads, wide }: Timing): string =>
  `${engine} ${precision}${wide ? " wide" : ""}, ${threads}t`;

/** Of the races at batch 1. Each panel has a scale of its own, from zero. */
export function speedPlot(races: readonly Race[]): string {
  const panels = races.filter(({ work, batch }) => work.startsWith("ViT-") && batch === 1);
  const names = [...new Set(panels.flatMap(({ timings }) => timings.map(nameOf)))];
  const width = LEFT + panels.length * (PANEL + GAP);
  const height = TOP + names.length * ROW + 14;
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    "<title>Milliseconds per image of ViT-Ti, S and B; shorter is faster</title>",
    `<style>\n${STYLE}\n</style>`,
    `<text class="title" x="10" y="22">ms per image, shorter is faster; 1t: one thread</text>`,
    ...names.map((name, i) => `<text x="${LEFT - 10}" y="${TOP + i * ROW + 14}" text-anchor="end">${name}</text>`),
  ];
  panels.forEach(({ work, timings }, panel) => {
    const x = LEFT + panel * (PANEL + GAP);
    const scale = (PANEL - VALUE) / Math.max(...timings.map(({ ms }) => median(ms)));
    lines.push(`<text class="title" x="${x}" y="${TOP - 6}">${work.split(",")[0]}</text>`);
    for (const timing of timings) {
      const y = TOP + names.indexOf(nameOf(timing)) * ROW;
      const length = median(timing.ms) * scale;
      lines.push(
        `<rect class="${timing.engine}" x="${x}" y="${y + 3}" width="${length.toFixed(1)}" height="${ROW - 6}"/>`,
        `<text class="value" x="${(x + length + 5).toFixed(1)}" y="${y + 14}">${digits(median(timing.ms))}</text>`,
      );
    }
    lines.push(`<line class="axis" x1="${x}" x2="${x}" y1="${TOP}" y2="${TOP + names.length * ROW}"/>`);
  });
  return `${[...lines, "</svg>"].join("\n")}\n`;
}

/** The least of 1, 2 and 5 times a power of ten that is not below. */
function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= least)!;
}

/** Points from zero up. */
export function pointsPlot(
  title: string,
  points: readonly { readonly x: number; readonly y: number }[],
  ticks: readonly { readonly x: number; readonly label: string }[],
): string {
  const [width, height, left, bottom, top] = [640, 360, 60, 40, 50];
  const most = Math.max(...points.map(({ y }) => y)) * 1.05;
  const end = Math.max(...ticks.map(({ x }) => x));
  const px = (x: number) => (left + (x / end) * (width - left - 30)).toFixed(1);
  const py = (y: number) => (height - bottom - (y / most) * (height - bottom - top)).toFixed(1);
  const step = roundStep(most / 4);
  const levels = Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${title}</title>`,
    `<style>\n${STYLE}\n</style>`,
    `<text class="title" x="${left}" y="24">${title}</text>`,
    `<path class="axis" fill="none" d="M${left} ${top - 10}V${height - bottom}H${width - 20}"/>`,
    ...ticks.map(({ x, label }) => `<text x="${px(x)}" y="${height - 16}" text-anchor="middle">${label}</text>`),
    ...levels.map((y) => `<text x="${left - 8}" y="${py(y)}" text-anchor="end">${y}</text>`),
    ...points.map(({ x, y }) => `<circle class="vitrail" cx="${px(x)}" cy="${py(y)}" r="3"/>`),
    "</svg>",
  ];
  return `${lines.join("\n")}\n`;
}

/** Accuracy of heads by the number of photos that they are made of, a point a draw. */
export function fewShotPlot({ shots }: FewShotResults): string {
  const points = shots.flatMap(({ shots, accuracies }) =>
    accuracies.map((share) => ({ x: Math.log10(shots), y: 100 * share })),
  );
  const ticks = shots.map(({ shots }) => ({ x: Math.log10(shots), label: `${shots}` }));
  return pointsPlot("Accuracy on CIFAR-10 in % by photos of each class", points, ticks);
}

/** Memory of a process that adds photos. */
export function indexingPlot({ memory }: IndexingResults): string {
  const points = memory.points.map(({ photos, residentBytes }) => ({ x: photos, y: residentBytes / 1e6 }));
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => ({
    x: share * memory.photos,
    label: `${share * memory.photos}`,
  }));
  return pointsPlot("Resident memory in MB by photos added", points, ticks);
}
