/** Layers: the logit lens, what the model would say if it stopped early. */
import type { VNode } from "preact";
import { useRef } from "preact/hooks";
import { magma, shade } from "../colors.js";
import { drawPixels } from "../draw.js";
import type { Lens } from "../model.js";
import { Bars, Canvas, Choice, Figure, LayerSlider } from "../parts.js";
import { ask, useAnswer } from "../session.js";
import { bent, carrierOf, hasAttention, layerOf, rangeOf, type Sight } from "../sight.js";
import { set } from "../state.js";
import { shortName } from "../text.js";
import { pictureOf } from "./code.js";
import { Texts } from "./texts.js";
import type { View } from "./view.js";
import { useWidth } from "./width.js";

/** A name of the chart: its number, and its probability after each layer. */
interface Line {
  readonly label: string;
  readonly rows: readonly number[];
}

const COLORS = ["cobalt", "ruby", "amber", "emerald", "violet", "slate"];
const DASHES = ["", "7 4", "2 3", "10 3 2 3", "1 4", "5 2"];

/** Least probability that puts a name on the chart. */
const SHOWN = 0.02;

/** The names that ever come to something, those of the last layer first. */
function linesOf({ names, rows }: Lens, most: number): Line[] {
  const peak = (name: number) => Math.max(...rows.map((row) => row[name]!));
  const last = rows.at(-1)!;
  return names
    .map((label, name) => ({ label, name, peak: peak(name) }))
    .filter(({ peak }, _, all) => peak >= SHOWN || all.length < most)
    .sort((a, b) => b.peak - a.peak)
    .slice(0, most)
    .sort((a, b) => last[b.name]! - last[a.name]!)
    .map(({ label, name }) => ({ label: shortName(label), rows: rows.map((row) => row[name]!) }));
}

const bestOf = ({ names, rows }: Lens, layer: number, count: number) => {
  const row = rows[layer]!;
  return Array.from(row.keys())
    .sort((a, b) => row[b]! - row[a]!)
    .slice(0, count)
    .map((name) => ({ label: shortName(names[name]!), probability: row[name]! }));
};

/** The layer from which on the last layer's answer leads. */
function leadOf(lens: Lens): number {
  const leaders = lens.rows.map((_, layer) => bestOf(lens, layer, 1)[0]!.label);
  let layer = leaders.length - 1;
  while (layer > 0 && leaders[layer - 1] === leaders.at(-1)) layer--;
  return layer;
}

/** Labels at the ends of lines, moved apart. */
function apart(places: readonly number[], least: number, end: number): number[] {
  const order = places.map((y, i) => ({ y, i })).sort((a, b) => a.y - b.y);
  for (let k = 1; k < order.length; k++) order[k]!.y = Math.max(order[k]!.y, order[k - 1]!.y + least);
  for (let k = order.length - 1, most = end; k >= 0; k--, most -= least) order[k]!.y = Math.min(order[k]!.y, most);
  const moved: number[] = [];
  for (const { y, i } of order) moved[i] = y;
  return moved;
}

/** True if below a chart of this width there is room for a name under each layer. */
const hasNames = (width: number, depth: number): boolean => (width - LEFT) / (depth + 1) >= NAME;

/** Least width of a name, pixels. */
const NAME = 38;
/** Room around the lines, pixels. */
const LEFT = 44;
const TOP = 10;
const BOTTOM = 28;

function Chart({ s, lens, width }: { s: Sight; lens: Lens; width: number }): VNode {
  const svg = useRef<SVGSVGElement>(null);
  const narrow = width < 560;
  const lines = linesOf(lens, narrow ? 4 : 6);
  const height = narrow ? 240 : Math.min(340, 0.42 * width);
  const right = narrow ? 16 : 24 + 7 * Math.max(...lines.map(({ label }) => Math.min(label.length, 22)));
  const depth = lens.rows.length - 1;
  const [low, high] = lens.unit === "probability" ? [0, 1] : rangeOf(lines.flatMap(({ rows }) => [...rows]));
  const log = s.scale === "log" && lens.unit === "probability";
  const x = (layer: number) => LEFT + ((width - LEFT - right) * layer) / depth;
  /** Five powers of ten. */
  const partOf = (value: number) =>
    log ? Math.max(0, Math.log10(Math.max(value, 1e-5)) + 5) / 5 : (value - low) / (high - low || 1);
  const y = (value: number) => TOP + (height - TOP - BOTTOM) * (1 - partOf(value));
  const ticks = log ? [1e-4, 1e-3, 1e-2, 0.1, 1] : [0, 0.25, 0.5, 0.75, 1].map((part) => low + part * (high - low));
  const tick = (value: number) =>
    lens.unit === "probability" ? `${Number((100 * value).toPrecision(3))} %` : value.toFixed(2);
  const layer = layerOf(s);
  const ends = apart(
    lines.map(({ rows }) => y(rows[depth]!)),
    17,
    height - BOTTOM + 4,
  );
  const point = (event: PointerEvent) => {
    const box = svg.current!.getBoundingClientRect();
    const at = ((event.clientX - box.left) * width) / box.width;
    const layer = Math.round(((at - LEFT) / (width - LEFT - right)) * depth);
    if (layer >= 0 && layer <= depth && layer !== layerOf(s)) set({ layer });
  };
  return (
    <>
      <svg
        ref={svg}
        class="chart"
        viewBox={`0 0 ${width} ${height}`}
        role="img"
        aria-label={`Probability of ${lines.map(({ label }) => label).join(", ")} after each layer`}
        onPointerMove={point}
        onPointerDown={point}
      >
        {ticks.map((value) => (
          <g key={value}>
            <line class="grid" x1={LEFT} x2={width - right} y1={y(value)} y2={y(value)} />
            <text x={LEFT - 8} y={y(value) + 4} text-anchor="end">
              {tick(value)}
            </text>
          </g>
        ))}
        {lens.rows.map((_, layer) => (
          <text key={layer} x={x(layer)} y={height - 8} text-anchor="middle">
            {layer === 0 ? "in" : depth > 16 && layer % 2 ? "" : layer}
          </text>
        ))}
        <line class="cursor" x1={x(layer)} x2={x(layer)} y1={TOP} y2={height - BOTTOM} />
        {lines.map(({ label, rows }, i) => (
          <g key={label} class={COLORS[i]}>
            <polyline
              points={rows.map((value, layer) => `${x(layer)},${y(value)}`).join(" ")}
              stroke-width={i ? 1.8 : 2.6}
              stroke-dasharray={DASHES[i]}
            />
            <circle cx={x(layer)} cy={y(rows[layer]!)} r={i ? 3.5 : 4.5} />
            {!narrow && (
              <text class="end" x={width - right + 12} y={ends[i]! + 4}>
                {label.length > 22 ? `${label.slice(0, 21)}…` : label}
              </text>
            )}
          </g>
        ))}
      </svg>
      <Under
        s={s}
        lens={lens}
        left={(x(0) - (x(1) - x(0)) / 2) / width}
        right={1 - (x(depth) + (x(1) - x(0)) / 2) / width}
        named={hasNames(width, depth)}
      />
      {narrow && (
        <ul class="key">
          {lines.map(({ label }, i) => (
            <li key={label}>
              <svg viewBox="0 0 24 8" class="chart" aria-hidden="true">
                <g class={COLORS[i]}>
                  <polyline points="0,4 24,4" stroke-width="2.4" stroke-dasharray={DASHES[i]} />
                </g>
              </svg>
              {label}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

/** Below each layer where the answer's token looks in it, and the name that it would give, once for all that follow each other. */
function Under({
  s,
  lens,
  left,
  right,
  named,
}: {
  s: Sight;
  lens: Lens;
  left: number;
  right: number;
  named: boolean;
}): VNode {
  const rows = s.answers.carrier?.value as readonly Float32Array[] | undefined;
  const leaders = lens.rows.map((_, layer) => bestOf(lens, layer, 1)[0]!.label);
  const runs = leaders.flatMap((label, layer) => (label === leaders[layer - 1] ? [] : [{ label, layer }]));
  const percent = (part: number) => `${Math.max(0, 100 * part)}%`;
  return (
    <div class="under" style={{ "--layers": leaders.length, paddingLeft: percent(left), paddingRight: percent(right) }}>
      {leaders.map((label, layer) => (
        <button
          key={layer}
          type="button"
          aria-label={layer === 0 ? `Before layer 1: ${label}` : `Layer ${layer}: ${label}`}
          aria-pressed={layer === layerOf(s)}
          onClick={() => set({ layer })}
        >
          <Canvas
            keys={[rows, s.seen, layer]}
            draw={(canvas) => {
              const shares = layer > 0 && rows?.[layer - 1] && bent(rows[layer - 1]!);
              if (shares) drawPixels(canvas, s.seen.grid, (i) => magma(shares[i]!));
            }}
          />
        </button>
      ))}
      {named &&
        runs.map(({ label, layer }, i) => {
          const length = (runs[i + 1]?.layer ?? leaders.length) - layer;
          return (
            <span
              key={layer}
              class={length > 1 ? "lasting" : undefined}
              style={{ gridColumn: `${layer + 1} / span ${length}` }}
              title={label}
            >
              {label}
            </span>
          );
        })}
    </div>
  );
}

/** What is asked for until something is typed. */
const TEXTS = "a bird, a car, a flower, the sky, grass";

function Body({ s }: { s: Sight }): VNode {
  const { classes, depth } = s.facts.config;
  const texts = classes === 0 ? s.texts || TEXTS : "";
  const photo = [s.opened.id, s.opened.blob] as const;
  const lens = useAnswer<Lens>("lens", texts, (asking) => ask("lens", [photo, texts], asking));
  useAnswer("carrier", "", (asking) => ask("carrier", [photo], asking));
  const [box, width] = useWidth();
  const layer = layerOf(s);
  const carrier = carrierOf(s);
  const isProbability = lens?.unit === "probability";
  return (
    <div class="body" ref={box}>
      <div class="controls">
        <LayerSlider layer={layer} depth={depth} />
        {texts ? (
          <Texts texts={texts} label="Texts" />
        ) : (
          <Choice
            label="Scale"
            options={[
              ["linear", "Linear"],
              ["log", "Log"],
            ]}
            value={s.scale}
            change={(scale) => set({ scale })}
          />
        )}
      </div>
      {lens ? (
        <Figure
          title={isProbability ? "Probability of a name after each layer" : "Likeness to each text after each layer"}
          caption={`Below the chart: where the ${carrier} looks in that layer${hasNames(width, depth) ? ", and the name it would give" : ""}. The final norm and head are applied to the ${carrier} of every layer (the logit lens).`}
        >
          <Chart s={s} lens={lens} width={width} />
        </Figure>
      ) : (
        <div class="blank" />
      )}
      {isProbability && (
        <Figure title={layer ? `If it had to answer after layer ${layer}` : "If it had to answer before layer 1"}>
          <Bars top={bestOf(lens, Math.min(layer, lens.rows.length - 1), 5)} />
        </Figure>
      )}
    </div>
  );
}

export const layers: View = {
  name: "layers",
  label: "Layers",
  lede(s) {
    const lens = s?.answers.lens?.value as Lens | undefined;
    const question = "What would the model say if it stopped early?";
    if (!s || !lens) return `${question} Its answer takes the lead in one of its layers.`;
    const lead = leadOf(lens);
    if (lead === 0) return `${question} For this photo its answer leads from the beginning.`;
    return `${question} For this photo its answer takes the lead in layer ${lead} of ${s.facts.config.depth} and keeps it.`;
  },
  need: {
    can: (s) => hasAttention(s) && (s.facts.tasks.includes("classify") || s.facts.texts),
    model: "ViT-Ti/16",
    points: [
      "A chart shows how probable each name is after every layer.",
      "Below it is where the answer's token looks in that layer.",
      "Models that know texts are asked for those that you type.",
    ],
  },
  icon: "M2 15h16v3H2zM2 10.500h16v3H2zM2 6h16v3H2zM5 2h10v2.600H5z",
  shows: [
    ["light", "Light"],
    ["map", "Map"],
    ["photo", "Photo"],
  ],
  explores: false,
  overlay(s, show) {
    const layer = layerOf(s);
    const shares = (s.answers.carrier?.value as readonly Float32Array[] | undefined)?.[layer - 1];
    if (show === "photo" || !shares) return {};
    const values = bent(shares);
    return show === "map" ? { cells: (i) => magma(values[i]!), opaque: 0.8 } : { cells: (i) => shade(values[i]!) };
  },
  where(s) {
    const layer = layerOf(s);
    if (layer === 0)
      return (
        <span>
          <b>Before layer 1</b> no token has seen another
        </span>
      );
    return (
      <span>
        What the <b>{carrierOf(s)}</b> takes in, layer {layer}
      </span>
    );
  },
  Body,
  picture: (s) => pictureOf("lens", s.facts.config.classes === 0 ? { labels: (s.texts || TEXTS).split(/,\s*/) } : {}),
};
