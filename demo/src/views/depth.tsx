/** Depth: how far away every pixel is. */
import type { VNode } from "preact";
import type { DepthMap } from "vitrail";
import { viridis } from "../colors.js";
import type { Rect } from "../draw.js";
import { Figure, Legend, Slider } from "../parts.js";
import { ask, useAnswer } from "../session.js";
import { rangeOf, type Sight } from "../sight.js";
import { set } from "../state.js";
import { program } from "./code.js";
import type { View } from "./view.js";

const ICON = "M2 13h16v5H2zM5 8h10v3.600H5zM8 4h4v2.800H8z";

const mapOf = (s: Sight) => s.answers.depth?.value as DepthMap | undefined;

/** How near a pixel is, from 0 for the farthest: larger numbers are nearer, unless they are metres. */
const nearness = ({ metric }: DepthMap, [low, high]: readonly [number, number], value: number): number => {
  const part = high > low ? (value - low) / (high - low) : 0;
  return metric ? 1 - part : part;
};

/** The last map as a picture, with what is farther than the cut left out. */
let drawn: { readonly map: DepthMap; readonly cut: number; readonly canvas: OffscreenCanvas } | undefined;

function pictureOf(map: DepthMap, cut: number): OffscreenCanvas {
  if (drawn?.map === map && drawn.cut === cut) return drawn.canvas;
  const { width, height, data } = map;
  const range = rangeOf(data);
  const pixels = new ImageData(width, height);
  for (let i = 0; i < data.length; i++) {
    const near = nearness(map, range, data[i]!);
    if (near < cut) continue;
    const [red, green, blue] = viridis(near);
    pixels.data.set([red, green, blue, 255], 4 * i);
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
  drawn = { map, cut, canvas };
  return canvas;
}

function Body({ s }: { s: Sight }): VNode {
  const map = useAnswer<DepthMap>("depth", "", (asking) => ask("depth", [[s.opened.id, s.opened.blob]], asking));
  const [low, high] = map ? rangeOf(map.data) : [0, 0];
  const unit = map?.metric ? " m" : "";
  return (
    <div class="body">
      <div class="controls">
        <Slider
          label="Leave out what is farther"
          max={1}
          step={0.01}
          value={s.cut}
          text={`${Math.round(100 * s.cut)} %`}
          change={(cut) => set({ cut })}
        />
      </div>
      <Figure
        title="Under the pointer"
        caption={
          map?.metric
            ? "In metres, as the checkpoint gives them."
            : "As the checkpoint gives it: larger is nearer, without a unit."
        }
      >
        <p class="reading">{map ? reading(s, map) : "–"}</p>
        <Legend
          from={map?.metric ? `${high.toFixed(1)}${unit}` : low.toFixed(1)}
          to={map?.metric ? `${low.toFixed(1)}${unit}` : high.toFixed(1)}
          scale={viridis}
        />
      </Figure>
    </div>
  );
}

/** The depth of the middle of the patch at hand. */
function reading(s: Sight, map: DepthMap): string {
  const [rows, columns] = s.seen.grid;
  const y = Math.min(map.height - 1, Math.floor(((s.row + 0.5) / rows) * map.height));
  const x = Math.min(map.width - 1, Math.floor(((s.col + 0.5) / columns) * map.width));
  return `${map.data[y * map.width + x]!.toFixed(2)}${map.metric ? " m" : ""}`;
}

export const depth: View = {
  name: "depth",
  label: "Depth",
  lede: () => "How far away every pixel is. Bright is near, dark is far.",
  need: {
    can: (s) => s.facts.tasks.includes("depth"),
    model: "Depth Anything V2 S",
    points: [
      "The window shows near as bright and far as dark.",
      "Point anywhere to read the distance, in metres if the model knows them.",
      "A slider cuts the photo at a depth.",
    ],
  },
  icon: ICON,
  shows: [
    ["light", "Depth"],
    ["photo", "Photo"],
  ],
  explores: true,
  overlay(s, show) {
    const map = mapOf(s);
    if (!map || show === "photo") return {};
    return {
      marked: true,
      draw(context, frame: Rect) {
        context.drawImage(pictureOf(map, s.cut), frame.x, frame.y, frame.width, frame.height);
      },
    };
  },
  Body,
  code: (s) =>
    program(
      s,
      "const { width, height, data, metric } = await model.depth(photo);\nconsole.log(width, height, data[0], metric);",
    ),
};
