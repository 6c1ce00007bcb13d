/** Parts that several views are made of. */
import type { ComponentChildren, VNode } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { magma } from "./colors.js";
import { drawCells, drawLead, drawMark, drawPatch, fit, type Grid, type Scale, cellOf, whole } from "./draw.js";
import { attentionFrom, bent, blockOf, fromClass, gridOf, headOf, patchOf, type Sight } from "./sight.js";
import { set } from "./state.js";
import { percent } from "./text.js";

/** A canvas that is drawn after every change. */
export function Canvas({
  draw,
  label,
  name,
}: {
  draw(canvas: HTMLCanvasElement): void;
  label?: string;
  name?: string;
}): VNode {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => draw(canvas.current!));
  return label ? <canvas ref={canvas} class={name} role="img" aria-label={label} /> : <canvas ref={canvas} class={name} />;
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

/** A map of the patches: squares of a scale's colors. */
export function PatchMap({
  label,
  grid,
  values,
  scale,
  marked,
}: {
  label: string;
  grid: Grid;
  /** From 0 to 1. */
  values: ArrayLike<number> | undefined;
  scale: Scale;
  marked?: number;
}): VNode {
  const draw = (canvas: HTMLCanvasElement) => {
    const context = fit(canvas);
    const place = whole(context);
    context.clearRect(0, 0, place.width, place.height);
    if (!values) return;
    drawCells(context, grid, place, (i) => scale(values[i]!));
    drawLead(context, grid, place, 0.35);
    if (marked !== undefined) drawMark(context, cellOf(grid, place, marked), Math.max(2, place.width / 190));
  };
  return (
    <div class="map" style={{ aspectRatio: `${grid[1]} / ${grid[0]}` }}>
      <Canvas label={label} draw={draw} />
    </div>
  );
}

/** The ends of a scale, and its colors between them. */
export function Legend({ from, to, scale }: { from: string; to: string; scale: Scale }): VNode {
  const draw = (canvas: HTMLCanvasElement) => {
    Object.assign(canvas, { width: 256, height: 1 });
    drawCells(canvas.getContext("2d")!, [1, 256], { x: 0, y: 0, width: 256, height: 1 }, (i) => scale(i / 255));
  };
  return (
    <div class="legend">
      <span>{from}</span>
      <Canvas draw={draw} />
      <span>{to}</span>
    </div>
  );
}

/** Patches as they are cut from the photo; pressing one goes there. */
export function Tiles({ s, patches, values }: { s: Sight; patches: readonly number[]; values: readonly string[] }): VNode {
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

/** Where the token at hand looks, in every layer and head; pressing one opens it. */
export function Heads({ s }: { s: Sight }): VNode {
  const { depth, heads } = s.facts.config;
  const canvases = useRef<HTMLCanvasElement[]>([]);
  const newest = useRef(s);
  const timer = useRef<number | undefined>(undefined);
  newest.current = s;
  const draw = () => {
    timer.current = undefined;
    const s = newest.current;
    const { config } = s.facts;
    if (config.depth !== depth || config.heads !== heads) return;
    const grid = gridOf(s);
    const row = fromClass(s) ? 0 : s.seen.prefix + patchOf(s);
    for (const [i, canvas] of canvases.current.entries()) {
      const shares = bent(attentionFrom(s, i % depth, Math.floor(i / depth) + 1, row));
      Object.assign(canvas, { width: grid[1], height: grid[0] });
      drawCells(canvas.getContext("2d")!, grid, { x: 0, y: 0, width: grid[1], height: grid[0] }, (i) => magma(shares[i]!));
    }
  };
  const drawn = `${s.seen.photo} ${s.row} ${s.col} ${s.from}`;
  useLayoutEffect(draw, [s.seen, depth, heads]);
  useEffect(() => {
    timer.current ??= window.setTimeout(draw, HEADS_EVERY);
  }, [drawn]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const isOpen = (layer: number, head: number) =>
    s.view === "look" && s.rollout === "" && layer === blockOf(s) + 1 && (headOf(s) === 0 || headOf(s) === head);
  const layers = Array.from({ length: depth }, (_, i) => i + 1);
  return (
    <div class="heads" style={{ "--layers": depth }}>
      <span class="corner" />
      {layers.map((layer) => (
        <span class="column" key={layer}>
          {depth <= 16 || layer % 2 === 0 ? layer : ""}
        </span>
      ))}
      {Array.from({ length: heads }, (_, i) => i + 1).map((head) => [
        <span class="row" key={head}>
          Head {head}
        </span>,
        ...layers.map((layer) => (
          <button
            key={`${layer} ${head}`}
            type="button"
            aria-label={`Layer ${layer}, head ${head}`}
            aria-pressed={isOpen(layer, head)}
            onClick={() => set({ view: "look", layer, head, rollout: "" })}
          >
            <canvas
              ref={(canvas) => {
                if (canvas) canvases.current[(head - 1) * depth + layer - 1] = canvas;
              }}
            />
          </button>
        )),
      ])}
    </div>
  );
}

/** Names with their probabilities. */
export const Bars = ({ top }: { top: readonly { readonly label: string; readonly probability: number }[] }): VNode => (
  <dl class="bars">
    {top.map(({ label, probability }) => [
      <dt key={label} title={label}>
        {label}
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
