/** Parts that several views are made of. */
import type { ComponentChildren, VNode } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { magma } from "./colors.js";
import {
  type Color,
  cellOf,
  drawCells,
  drawLead,
  drawMark,
  drawPatch,
  drawPixels,
  fit,
  type Grid,
  type Scale,
  SLICE_MS,
  show,
  whole,
} from "./draw.js";
import { attentionIn, bent, blockOf, gridOf, headOf, type Sight } from "./sight.js";
import { set } from "./state.js";
import { percent, shortName } from "./text.js";

/** A canvas that is drawn when what it shows has changed. */
export function Canvas({
  draw,
  keys,
  label,
  name,
}: {
  draw(canvas: HTMLCanvasElement): void;
  /** All that decides what is drawn. */
  keys: readonly unknown[];
  label?: string;
  name?: string;
}): VNode {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => show(canvas.current!, () => draw(canvas.current!)), keys);
  return label ? (
    <canvas ref={canvas} class={name} role="img" aria-label={label} />
  ) : (
    <canvas ref={canvas} class={name} />
  );
}

/** One of a few. */
export function Choice<Value extends string | number>({
  label,
  options,
  value,
  change,
  hidden = false,
}: {
  label: string;
  options: readonly (readonly [Value, string])[];
  value: Value;
  change(value: Value): void;
  /** True if the label is for screen readers only. */
  hidden?: boolean;
}): VNode {
  return (
    <fieldset class="choice">
      <legend class={hidden ? "unseen" : undefined}>{label}</legend>
      <div>
        {options.map(([option, text]) => (
          <label key={option}>
            <input
              type="radio"
              name={label}
              value={option}
              checked={option === value}
              onChange={() => change(option)}
            />
            {text}
          </label>
        ))}
      </div>
    </fieldset>
  );
}

export function Slider({
  label,
  max,
  value,
  text,
  step = 1,
  change,
}: {
  label: string;
  max: number;
  value: number;
  /** The value as it is read. */
  text: string;
  step?: number;
  change(value: number): void;
}): VNode {
  return (
    <label class="slider">
      <span>{label}</span>
      <input
        type="range"
        min={0}
        max={max}
        step={step}
        value={value}
        aria-valuetext={text}
        onInput={({ currentTarget }) => change(Number(currentTarget.value))}
      />
      <output>{text}</output>
    </label>
  );
}

export const LayerSlider = ({ layer, depth }: { layer: number; depth: number }): VNode => (
  <Slider
    label="Layer"
    max={depth}
    value={layer}
    text={layer === 0 ? "input" : `${layer} of ${depth}`}
    change={(layer) => set({ layer })}
  />
);

/** A map of the patches: squares of color. */
export function PatchMap({
  label,
  grid,
  color,
  keys,
  marked,
}: {
  label: string;
  grid: Grid;
  /** Color of each patch; undefined while it is computed. */
  color: ((patch: number) => Color) | undefined;
  /** All that decides the colors. */
  keys: readonly unknown[];
  marked?: number;
}): VNode {
  const draw = (canvas: HTMLCanvasElement) => {
    const context = fit(canvas);
    if (!context) return;
    const place = whole(context);
    context.clearRect(0, 0, place.width, place.height);
    if (!color) return;
    drawCells(context, grid, place, color);
    drawLead(context, grid, place, 0.35);
    if (marked !== undefined) drawMark(context, cellOf(grid, place, marked), Math.max(2, place.width / 190));
  };
  return (
    <div class="map" style={{ aspectRatio: `${grid[1]} / ${grid[0]}` }}>
      <Canvas label={label} draw={draw} keys={[...grid, marked, ...keys]} />
    </div>
  );
}

/** The ends of a scale, and its colors between them. */
export function Legend({ from, to, scale }: { from: string; to: string; scale: Scale }): VNode {
  const draw = (canvas: HTMLCanvasElement) => drawPixels(canvas, [1, 256], (i) => scale(i / 255));
  return (
    <div class="legend">
      <span>{from}</span>
      <Canvas draw={draw} keys={[scale]} />
      <span>{to}</span>
    </div>
  );
}

/** Patches as they are cut from the photo; pressing one goes there. */
export function Tiles({
  s,
  patches,
  values,
}: {
  s: Sight;
  patches: readonly number[];
  values: readonly string[];
}): VNode {
  const [, columns] = gridOf(s);
  return (
    <div class="tiles">
      {patches.map((patch, i) => {
        const [row, col] = [Math.floor(patch / columns), patch % columns];
        return (
          <button
            key={i}
            type="button"
            aria-label={`Row ${row + 1}, column ${col + 1}, ${values[i]}`}
            onClick={() => set({ row, col, from: "patch", rollout: "" })}
          >
            <Canvas
              keys={[s.opened, s.seen, patch]}
              draw={(canvas) => {
                Object.assign(canvas, { width: 80, height: 80 });
                drawPatch(canvas.getContext("2d")!, s.opened, s.seen.geometry, s.seen.grid, patch);
              }}
            />
            <span>{values[i]}</span>
          </button>
        );
      })}
    </div>
  );
}

/** Milliseconds between drawings of all heads: small maps need not keep up with the pointer. */
const HEADS_EVERY = 120;

/** What decides where a token looks. */
const PLACE = ["seen", "row", "col", "from"] as const;

/** Where the token at hand looks, in every layer and head, the more of them across; pressing one opens it. */
export const Heads = ({ s }: { s: Sight }): VNode => (
  <HeadsOf key={`${s.facts.config.depth} ${s.facts.config.heads}`} s={s} />
);

function HeadsOf({ s }: { s: Sight }): VNode {
  const { depth, heads } = s.facts.config;
  const canvases = useRef<HTMLCanvasElement[]>([]);
  const newest = useRef(s);
  newest.current = s;
  /** The timer or frame that goes on; 0 if none does. */
  const next = useRef(0);
  const isPlace = (other: Sight) => PLACE.every((key) => newest.current[key] === other[key]);
  /** Draws for as long as a frame has time, the rest in the frames that follow, and later what has become newer meanwhile. */
  const draw = (sight: Sight, from: number) => {
    const end = performance.now() + SLICE_MS;
    let at = from;
    for (; at < depth * heads && performance.now() < end; at++) {
      const shares = bent(attentionIn(sight, Math.floor(at / heads), (at % heads) + 1));
      drawPixels(canvases.current[at]!, gridOf(sight), (i) => magma(shares[i]!));
    }
    if (at < depth * heads) next.current = window.setTimeout(draw, 0, sight, at);
    else next.current = window.setTimeout(again, HEADS_EVERY, sight);
  };
  const again = (drawn: Sight) => {
    next.current = 0;
    if (!isPlace(drawn)) draw(newest.current, 0);
  };
  useLayoutEffect(() => {
    if (next.current === 0) next.current = window.setTimeout(draw, 0, s, 0);
  }, [s.seen, s.row, s.col, s.from]);
  useEffect(() => () => clearTimeout(next.current), []);

  const open = s.view === "look" && s.rollout === "" ? [blockOf(s) + 1, headOf(s)] : [];
  // The same while the pointer moves.
  return useMemo(() => cellsOf(depth, heads, open, canvases.current), open);
}

/** The maps' buttons, beside the numbers of their layers and heads. */
function cellsOf(
  depth: number,
  heads: number,
  [openLayer, openHead]: readonly number[],
  canvases: HTMLCanvasElement[],
): VNode {
  const cell = (layer: number, head: number) => (
    <button
      key={`${layer} ${head}`}
      type="button"
      aria-label={`Layer ${layer}, head ${head}`}
      aria-pressed={layer === openLayer && (openHead === 0 || openHead === head)}
      onClick={() => set({ view: "look", layer, head, rollout: "", show: "attention" })}
    >
      <canvas
        ref={(canvas) => {
          if (canvas) canvases[(layer - 1) * heads + head - 1] = canvas;
        }}
      />
    </button>
  );
  const counted = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
  const layersAcross = depth >= heads;
  const [across, down] = layersAcross ? [depth, heads] : [heads, depth];
  return (
    // biome-ignore lint/a11y/useSemanticElements: buttons, not fields
    <div
      class="heads"
      style={{ "--across": across }}
      role="group"
      aria-label={`Attention of ${depth} layers and ${heads} heads`}
    >
      <span class="corner">{layersAcross ? "Layer" : "Head"}</span>
      {counted(across).map((number) => (
        <span class="column" key={number}>
          {across <= 16 || number % 2 === 0 ? number : ""}
        </span>
      ))}
      {counted(down).map((row) => [
        <span class="row" key={row}>
          {layersAcross ? "Head" : "Layer"} {row}
        </span>,
        ...counted(across).map((column) => (layersAcross ? cell(column, row) : cell(row, column))),
      ])}
    </div>
  );
}

/** Names with their probabilities. */
export const Bars = ({ top }: { top: readonly { readonly label: string; readonly probability: number }[] }): VNode => (
  <dl class="bars">
    {top.map(({ label, probability }) => [
      <dt key={label} title={label}>
        {shortName(label)}
      </dt>,
      <dd key={`${label} bar`} class="bar" aria-hidden="true">
        <span style={{ width: `${Math.max(0.4, 100 * probability)}%` }} />
      </dd>,
      <dd key={`${label} value`} class="value">
        {percent(probability)}
      </dd>,
    ])}
  </dl>
);

export const Figure = ({
  title,
  unit,
  caption,
  children,
}: {
  title: ComponentChildren;
  unit?: string;
  caption?: ComponentChildren;
  children: ComponentChildren;
}): VNode => (
  <figure>
    <h2>
      {title}
      {unit && <span class="unit">{unit}</span>}
    </h2>
    {children}
    {caption && <figcaption>{caption}</figcaption>}
  </figure>
);
