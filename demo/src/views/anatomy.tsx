/** Anatomy: what the model knows before it sees a photo, and how far its heads look (the paper's figure 7). */
import type { VNode } from "preact";
import { useMemo } from "preact/hooks";
import { viridis } from "../colors.js";
import { cellOf, drawMark, fit, type Grid, whole } from "../draw.js";
import { Canvas, Figure, Legend, PatchMap } from "../parts.js";
import { SAMPLES, sampleBlob } from "../photos.js";
import { ask, useAnswer } from "../session.js";
import { hasAttention, rangeOf, type Sight } from "../sight.js";
import { set } from "../state.js";
import { pictureOf } from "./code.js";
import { pointed } from "./start.js";
import type { View } from "./view.js";
import { useWidth } from "./width.js";

interface Tensor {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

/** Patterns in pixels, [count, height, width, channels], each on a scale of its own. */
function Filters({ filters }: { filters: Tensor | undefined }): VNode {
  const [count = 28, height = 1, width = 1, channels = 1] = filters?.dims ?? [];
  const size = height * width * channels;
  return (
    <div class="filters">
      {Array.from({ length: count }, (_, k) => (
        <Canvas
          key={k}
          keys={[filters]}
          draw={(canvas) => {
            Object.assign(canvas, { width, height });
            if (!filters) return;
            const own = filters.data.subarray(k * size, (k + 1) * size);
            const [low, high] = rangeOf(own);
            const pixels = new ImageData(width, height);
            for (let i = 0; i < height * width; i++) {
              for (let c = 0; c < 3; c++) {
                pixels.data[4 * i + c] =
                  (255 * (own[i * channels + Math.min(c, channels - 1)]! - low)) / (high - low || 1);
              }
              pixels.data[4 * i + 3] = 255;
            }
            canvas.getContext("2d")!.putImageData(pixels, 0, 0);
          }}
        />
      ))}
    </div>
  );
}

/** Colors of the cosines, from the least of them to 1. */
const colorFrom = (low: number) => (cosine: number) => viridis(Math.max(0, Math.min(1, (cosine - low) / (1 - low))));

/** The place at hand on the grid of the position embeddings, which may be another than the photo's. */
function placeOf(s: Sight, [rows, columns]: Grid): number {
  const [height, width] = s.seen.grid;
  return Math.floor(((s.row + 0.5) * rows) / height) * columns + Math.floor(((s.col + 0.5) * columns) / width);
}

/** A grid of grids, with a gap between them: for each place the cosines of all others. */
function gridOfGrids({ dims, data }: Tensor): OffscreenCanvas {
  const [rows, columns] = dims as [number, number];
  const [low] = rangeOf(data);
  const palette = Array.from({ length: 256 }, (_, i) => viridis(i / 255));
  const [height, width] = [rows * (rows + 2), columns * (columns + 2)];
  const pixels = new ImageData(width, height);
  let cosine = 0;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      for (let y = 0; y < rows; y++)
        for (let x = 0; x < columns; x++) {
          const color = palette[Math.round((255 * (data[cosine++]! - low)) / (1 - low))]!;
          const at = 4 * ((row * (rows + 2) + 1 + y) * width + column * (columns + 2) + 1 + x);
          pixels.data[at] = color[0];
          pixels.data[at + 1] = color[1];
          pixels.data[at + 2] = color[2];
          pixels.data[at + 3] = 255;
        }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
  return canvas;
}

function Places({ positions, s }: { positions: Tensor; s: Sight }): VNode {
  const grid = positions.dims as unknown as Grid;
  const [rows, columns] = grid;
  const grids = useMemo(() => gridOfGrids(positions), [positions]);
  const draw = (canvas: HTMLCanvasElement) => {
    const context = fit(canvas);
    if (!context) return;
    const place = whole(context);
    context.clearRect(0, 0, place.width, place.height);
    context.imageSmoothingEnabled = false;
    context.drawImage(grids, 0, 0, place.width, place.height);
    drawMark(context, cellOf(grid, place, placeOf(s, grid)), 2);
  };
  const point = (event: PointerEvent) => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const [height, width] = s.seen.grid;
    const part = (at: number, cells: number) => Math.max(0, Math.min(cells - 1, Math.floor(at * cells)));
    const row = part((event.clientY - box.top) / box.height, height);
    set({ row, col: part((event.clientX - box.left) / box.width, width) });
  };
  return (
    <div class="map" style={{ aspectRatio: `${columns} / ${rows}` }} onPointerMove={point} onPointerDown={point}>
      <Canvas
        draw={draw}
        keys={[grids, placeOf(s, grid)]}
        label={`Similarity of the ${rows * columns} places, a grid of grids`}
      />
    </div>
  );
}

/** Room around the dots, pixels. */
const LEFT = 44;
const RIGHT = 16;
const TOP = 22;
const BOTTOM = 40;

/** Pixels within which a press is meant for a dot. */
const NEAR = 24;

/** A dot for each head: how far it looks, by layer. */
function Distance({ distance, width }: { distance: readonly Float32Array[]; width: number }): VNode {
  const height = Math.min(250, Math.max(200, 0.32 * width));
  const depth = distance.length;
  const most = Math.max(...distance.map((layer) => rangeOf(layer)[1]));
  const step = [1, 2, 5, 10, 20, 50, 100, 200].find((step) => most / step <= 4) ?? 500;
  const ticks = Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
  const x = (layer: number) => LEFT + ((width - LEFT - RIGHT) * (layer - 0.5)) / depth;
  const y = (pixels: number) => TOP + (height - TOP - BOTTOM) * (1 - pixels / (1.05 * most));
  const mean = (layer: Float32Array) => layer.reduce((a, b) => a + b, 0) / layer.length;
  const open = (layer: number, head: number) => set({ view: "look", layer, head, rollout: "", show: "attention" });
  /** Opens the head whose dot is nearest to a press, as dots are smaller than fingers. */
  const openNearest = (event: MouseEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const scale = width / box.width;
    const [across, down] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    const [nearest] = distance
      .flatMap((heads, i) =>
        Array.from(heads, (pixels, head) => {
          const off = Math.hypot(across - x(i + 1), down - y(pixels));
          return { layer: i + 1, head: head + 1, off };
        }),
      )
      .sort((a, b) => a.off - b.off);
    if (nearest && nearest.off < NEAR) open(nearest.layer, nearest.head);
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: a chart of buttons
    // biome-ignore lint/a11y/useKeyWithClickEvents: its dots have the keys
    <svg
      class="chart"
      viewBox={`0 0 ${width} ${height}`}
      role="group"
      aria-label="Mean attention distance of every head by layer, pixels"
      onClick={openNearest}
    >
      {ticks.map((value) => (
        <g key={value}>
          <line class="grid" x1={LEFT} x2={width - RIGHT} y1={y(value)} y2={y(value)} />
          <text x={LEFT - 8} y={y(value) + 4} text-anchor="end">
            {value}
          </text>
        </g>
      ))}
      <text x={0} y={12}>
        pixels
      </text>
      <text x={width - RIGHT} y={height - 4} text-anchor="end">
        layer
      </text>
      <polyline class="mean" points={distance.map((layer, i) => `${x(i + 1)},${y(mean(layer))}`).join(" ")} />
      {distance.map((heads, i) => (
        <g key={i}>
          <text x={x(i + 1)} y={height - BOTTOM + 18} text-anchor="middle">
            {depth > 16 && i % 2 === 0 ? "" : i + 1}
          </text>
          <line class="span" x1={x(i + 1)} x2={x(i + 1)} y1={y(rangeOf(heads)[0])} y2={y(rangeOf(heads)[1])} />
          {Array.from(heads, (pixels, head) => (
            // biome-ignore lint/a11y/useSemanticElements: a dot of a chart
            <circle
              key={head}
              cx={x(i + 1)}
              cy={y(pixels)}
              r={heads.length > 8 ? 4 : 5.5}
              tabIndex={0}
              role="button"
              aria-label={`Layer ${i + 1}, head ${head + 1}: ${pixels.toFixed(0)} pixels. Look`}
              onKeyDown={({ key }) => key === "Enter" && open(i + 1, head + 1)}
            />
          ))}
        </g>
      ))}
    </svg>
  );
}

function Body({ s }: { s: Sight }): VNode {
  const filters = useAnswer<Tensor>("filters", "", (asking) => ask("anatomy", ["filters"], asking));
  const positions = useAnswer<Tensor>("positions", "", (asking) => ask("anatomy", ["positions"], asking));
  const distance = useAnswer<Float32Array[]>("distance", "", async (asking) => {
    const photos = SAMPLES.map(async (sample) => [sample.id, await sampleBlob(sample)] as const);
    return ask("distance", [await Promise.all(photos)], asking);
  });
  const [box, width] = useWidth();
  const [rows, columns] = (positions?.dims ?? s.seen.grid) as [number, number];
  const patch = placeOf(s, [rows, columns]);
  const own = positions?.data.subarray(patch * rows * columns, (patch + 1) * rows * columns);
  const low = positions ? rangeOf(positions.data)[0] : 0;
  const color = colorFrom(low);
  return (
    <div class="body">
      <div class="three anatomy-panels">
        <Figure title="Filters" caption="The main patterns it looks for in a patch: edges, gratings, colors.">
          <Filters filters={filters} />
        </Figure>
        {!s.answers.positions?.failed && (
          <>
            <Figure
              title="Places"
              unit="cosine"
              caption="How alike the model holds two places to be. Rows and columns were learnt, not told."
            >
              {positions ? (
                <Places positions={positions} s={s} />
              ) : (
                <PatchMap label="Places" grid={[rows, columns]} color={undefined} keys={[]} />
              )}
            </Figure>
            <Figure
              title={`Place ${patch + 1}`}
              unit={`row ${Math.floor(patch / columns) + 1}, column ${(patch % columns) + 1}`}
            >
              <PatchMap
                label="Similarity of all places to this one"
                grid={[rows, columns]}
                color={own && own.length > 0 ? (i) => color(own[i]!) : undefined}
                keys={[positions]}
                marked={patch}
              />
              <Legend from={low.toFixed(2)} to="1" scale={viridis} />
            </Figure>
          </>
        )}
      </div>
      <div ref={box}>
        <Figure
          title="How far heads look"
          caption={`Mean distance of attention, one dot a head, over ${SAMPLES.length} photos. Press a dot to see that head.`}
        >
          {distance ? <Distance distance={distance} width={width} /> : <div class="blank chart-high" />}
        </Figure>
      </div>
    </div>
  );
}

export const anatomy: View = {
  name: "anatomy",
  label: "Anatomy",
  lede: () =>
    "What the model knows before it sees a photo, and how far its heads look. The three panels of the paper’s figure 7, from this checkpoint.",
  need: {
    can: hasAttention,
    model: "ViT-Ti/16",
    points: [
      "Filters: the main patterns that it looks for in a patch.",
      "Places: how alike it holds two of them to be.",
      "Distance: how far each head looks, layer by layer.",
    ],
  },
  icon: "M2 17h16v1.600H2zM3 10h3v5H3zM8.500 6h3v9h-3zM14 2h3v13h-3z",
  shows: [
    ["light", "Light"],
    ["photo", "Photo"],
  ],
  explores: true,
  overlay: (s, show) => pointed({ ...s, from: "patch" }, show),
  Body,
  picture: () => pictureOf("positions", {}),
};
