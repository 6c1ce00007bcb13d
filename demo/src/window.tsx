/** The photo in patches, which stays in every view: what is pointed at here, all pictures follow. */
import type { VNode } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { cellOf, drawCells, drawLead, drawMark, fit, frameOf, type Rect, seenIn, show } from "./draw.js";
import { Choice } from "./parts.js";
import { SAMPLES } from "./photos.js";
import { say } from "./say.js";
import { openFile, openSample } from "./session.js";
import {
  fromClass,
  gridOf,
  headOf,
  isReady,
  largest,
  layerOf,
  patchesOf,
  patchOf,
  type Sight,
  similarity,
} from "./sight.js";
import { type Address, get, START, type State, set } from "./state.js";
import { touches } from "./text.js";
import { canShow, type Overlay, type Spot, type View } from "./views/view.js";

const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

/** What is drawn on the photo: as was chosen, where the view has it. */
export const showOf = ({ shows }: View, { show }: State): string =>
  (shows.find(([name]) => name === show) ?? shows[0]!)[0];

/** Draws the photo and what the view says of it. */
export function paint(context: CanvasRenderingContext2D, s: State, view: View, lead = 1): void {
  const { opened } = s;
  const { canvas } = context;
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!opened) return;
  const frame = frameOf(opened, canvas.width);
  context.imageSmoothingQuality = "high";
  context.drawImage(opened.canvas, frame.x, frame.y, frame.width, frame.height);
  if (!isReady(s) || s.seen.photo !== opened.id) return;
  const grid = gridOf(s);
  const place = seenIn(s.seen.geometry, frame);
  const overlay: Overlay = canShow(view, s) ? view.overlay(s, showOf(view, s)) : {};
  const { cells, opaque = 1, marked, draw } = overlay;
  context.save();
  context.beginPath();
  context.rect(frame.x, frame.y, frame.width, frame.height);
  context.clip();
  if (cells) {
    context.globalAlpha = opaque;
    drawCells(context, grid, place, cells);
    context.globalAlpha = 1;
  }
  draw?.(context, frame, frame.width / opened.width);
  if (!draw) {
    dim(context, frame, place);
    drawLead(context, grid, place, 0.62 * lead);
  }
  if (marked) drawMark(context, cellOf(grid, place, patchOf(s)), Math.max(2, canvas.width / 240));
  context.restore();
}

/** Parts of the photo that the model does not see stay a third as bright. */
function dim(context: CanvasRenderingContext2D, frame: Rect, { x, y, width, height }: Rect): void {
  context.beginPath();
  context.rect(frame.x, frame.y, frame.width, frame.height);
  context.rect(x, y, width, height);
  context.fillStyle = "rgb(12 13 19 / 0.65)";
  context.fill("evenodd");
}

/** Lines fade in once. */
function useLead(isThere: boolean): number {
  const [lead, setLead] = useState(still ? 1 : 0);
  useEffect(() => {
    if (!isThere || lead === 1) return;
    const start = performance.now();
    const step = (now: number) => {
      const part = Math.min(1, Math.max(0, (now - start) / 600));
      setLead(part);
      if (part < 1) frame = requestAnimationFrame(step);
    };
    let frame = requestAnimationFrame(step);
    return () => cancelAnimationFrame(frame);
  }, [isThere]);
  return lead;
}

/** Places, parts of the rows and columns, that show by themselves what pointing does. */
const TOUR = [
  [0.5, 0.7],
  [0.36, 0.22],
  [0.15, 0.85],
] as const;
const TOUR_MS = 2200;

/** Until it is first touched, a few patches show themselves, once. */
let tourEnded = still || location.hash.length > 1;
function useTour(isOn: boolean): void {
  useEffect(() => {
    if (!isOn || tourEnded) return;
    const home = { row: get().row, col: get().col };
    let stop = 0;
    const timer = setInterval(() => {
      const s = get();
      if (tourEnded || !isReady(s)) return clearInterval(timer);
      const place = TOUR[stop++];
      if (!place) {
        tourEnded = true;
        return set(home);
      }
      set({ row: Math.floor(place[0] * s.seen.grid[0]), col: Math.floor(place[1] * s.seen.grid[1]) });
    }, TOUR_MS);
    return () => clearInterval(timer);
  }, [isOn]);
}

/** The newest patch that is pointed at, once a frame. */
let wanted: readonly [row: number, col: number] | undefined;
function pick(row: number, col: number): void {
  tourEnded = true;
  if (!wanted) {
    requestAnimationFrame(() => {
      const [row, col] = wanted!;
      wanted = undefined;
      const s = get();
      if (row !== s.row || col !== s.col || s.from !== "patch") set({ row, col, from: "patch", rollout: "" });
    });
  }
  wanted = [row, col];
}

/** The place on the photo, in its pixels, of a place on the page. */
function spotAt(canvas: HTMLCanvasElement, s: Sight, { clientX, clientY }: MouseEvent): Spot {
  const box = canvas.getBoundingClientRect();
  const frame = frameOf(s.opened, box.width);
  const scale = s.opened.width / frame.width;
  return { x: (clientX - box.left - frame.x) * scale, y: (clientY - box.top - frame.y) * scale };
}

function patchAt(s: Sight, { x, y }: Spot): [row: number, col: number] {
  const { width, height } = s.opened;
  const place = seenIn(s.seen.geometry, { x: 0, y: 0, width, height });
  const [rows, columns] = gridOf(s);
  const within = (at: number, count: number) => Math.max(0, Math.min(count - 1, Math.floor(at * count)));
  return [within((y - place.y) / place.height, rows), within((x - place.x) / place.width, columns)];
}

/** The middle of the patch at hand. */
function spotOf(s: Sight): Spot {
  const { width, height } = s.opened;
  const patch = cellOf(gridOf(s), seenIn(s.seen.geometry, { x: 0, y: 0, width, height }), patchOf(s));
  return within({ x: patch.x + patch.width / 2, y: patch.y + patch.height / 2 }, s.opened);
}

const within = (spot: Spot, { width, height }: { width: number; height: number }): Spot => ({
  x: Math.max(0, Math.min(width, spot.x)),
  y: Math.max(0, Math.min(height, spot.y)),
});

const STEPS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  Home: [0, Number.NEGATIVE_INFINITY],
  End: [0, Number.POSITIVE_INFINITY],
};

/** What a key does; undefined for others. */
function changeOf(s: Sight, key: string): Partial<State> | undefined {
  const [rows, columns] = gridOf(s);
  const step = STEPS[key];
  if (step) {
    const row = Math.max(0, Math.min(rows - 1, s.row + step[0]));
    const col = Math.max(0, Math.min(columns - 1, s.col + step[1]));
    return { row, col, from: "patch", rollout: "", held: true };
  }
  const { depth, heads, classToken } = s.facts.config;
  if (key === "PageUp") return { layer: Math.min(depth, layerOf(s) + 1) };
  if (key === "PageDown") return { layer: Math.max(0, layerOf(s) - 1) };
  if (key === "]") return { head: (headOf(s) + 1) % (heads + 1) };
  if (key === "[") return { head: (headOf(s) + heads) % (heads + 1) };
  if (key === "Enter" || key === " ") return { held: !s.held };
  if (key === "Escape") return { held: false };
  if (key.toLowerCase() === "c" && classToken) return { from: s.from === "class" ? "patch" : "class" };
  return undefined;
}

/** Milliseconds of rest after which a screen reader is told what a patch is like. */
const REST = 350;
let rest = 0;
function describe(): void {
  clearTimeout(rest);
  rest = window.setTimeout(() => {
    const s = get();
    if (!isReady(s)) return;
    const layer = layerOf(s);
    const cosines = similarity(s, layer);
    const here = fromClass(s) ? -1 : patchOf(s);
    const [best] = largest(cosines, 1, here);
    if (best === undefined) return;
    const columns = gridOf(s)[1];
    const from = here < 0 ? "Class token" : `Row ${s.row + 1}, column ${s.col + 1}`;
    const most = `row ${Math.floor(best / columns) + 1}, column ${(best % columns) + 1}`;
    say(`${from}. Most like it: ${most}, cosine ${cosines[best]!.toFixed(2)}. Layer ${layer}.`);
  }, REST);
}

/** All that decides what is drawn on the photo. */
const PAINTED = [
  ...(Object.keys(START) as (keyof Address)[]),
  ...(["facts", "opened", "seen", "answers", "held", "points", "boxes"] as const),
];

/** The canvas with the photo. */
function Pane({ s, view }: { s: State; view: View }): VNode {
  const canvas = useRef<HTMLCanvasElement>(null);
  /** Where a box begins that is being drawn. */
  const start = useRef<Spot | undefined>(undefined);
  const ready = isReady(s) && s.seen.photo === s.opened.id;
  const lead = useLead(ready);
  useTour(ready && s.view === "start");
  const draw = () => {
    const context = fit(canvas.current!);
    if (!context) return;
    paint(context, s, view, lead);
    // For whoever measures.
    if (ready && performance.getEntriesByName("first picture").length === 0) performance.mark("first picture");
  };
  useLayoutEffect(() => show(canvas.current!, draw), [...PAINTED.map((name) => s[name]), lead]);
  const grid = ready ? gridOf(s) : undefined;

  const onPointerMove = (event: PointerEvent) => {
    if (!ready || !view.explores || (s.held && event.pointerType === "mouse")) return;
    pick(...patchAt(s, spotAt(canvas.current!, s, event)));
  };
  const onPointerDown = (event: PointerEvent) => {
    if (!ready) return;
    const spot = spotAt(canvas.current!, s, event);
    if (!view.explores) {
      start.current = spot;
      canvas.current!.setPointerCapture(event.pointerId);
      return;
    }
    const [row, col] = patchAt(s, spot);
    if (event.pointerType === "mouse") set({ held: !(s.held && row === s.row && col === s.col) });
    pick(row, col);
  };
  const onPointerUp = (event: PointerEvent) => {
    const { current: from } = start;
    start.current = undefined;
    if (!from || !ready) return;
    const [a, b] = [within(from, s.opened), within(spotAt(canvas.current!, s, event), s.opened)];
    // Less than a hundredth of the photo is a click.
    const isClick = Math.hypot(b.x - a.x, b.y - a.y) < 0.01 * Math.max(s.opened.width, s.opened.height);
    if (isClick) view.press?.(s, b, event.altKey);
    else {
      const sides = (p: number, q: number) => (p < q ? [p, q] : [q, p]) as [number, number];
      const [[xmin, xmax], [ymin, ymax]] = [sides(a.x, b.x), sides(a.y, b.y)];
      view.box?.(s, { x: xmin, y: ymin }, { x: xmax, y: ymax });
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (!ready || event.ctrlKey || event.metaKey) return;
    if (view.press && event.key === "Enter") return view.press(s, spotOf(s), event.altKey);
    const change = changeOf(s, event.key);
    if (!change) return;
    event.preventDefault();
    tourEnded = true;
    set(change);
    describe();
  };
  return (
    // biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: an application takes keys and the pointer
    <canvas
      ref={canvas}
      id="window"
      class={view.explores || view.press ? "points" : undefined}
      tabIndex={0}
      role="application"
      aria-roledescription="photo cut into patches"
      aria-label={`${s.opened?.title ?? "Photo"}${grid ? ` in ${grid[0]} by ${grid[1]} patches` : ""}. Arrow keys move, Enter ${view.press ? "takes the patch, with Alt away" : "holds a patch"}, C is the class token, Page up and Page down change the layer, square brackets the head.`}
      aria-describedby="where"
      onPointerMove={onPointerMove}
      onPointerDown={onPointerDown}
      onPointerUp={onPointerUp}
      onKeyDown={onKeyDown}
    />
  );
}

/** What lies over the photo: a file that is dragged, the model on its way, an error. */
function Veil({ s }: { s: State }): VNode | null {
  if (s.dragged) {
    return (
      <div class="veil drop">
        <b>Let go to look at it</b>
        <span>It stays on this machine</span>
      </div>
    );
  }
  const cold = s.facts === undefined && s.loading !== undefined;
  if (!cold && !s.busy) return null;
  const part = cold && s.loading!.total > 0 ? s.loading!.loaded / s.loading!.total : undefined;
  return (
    <div class="veil">
      <b>{cold ? "Getting the model" : "Looking at the photo"}</b>
      <progress value={part} aria-label={cold ? "Getting the model" : "Looking at the photo"} />
    </div>
  );
}

function where(s: State, view: View) {
  if (!isReady(s)) return "";
  if (view.where) return view.where(s);
  if (fromClass(s) && view.classToken) {
    return (
      <span>
        <b>Class token</b>, which is no part of the photo
      </span>
    );
  }
  return (
    <span>
      <b>Patch {patchOf(s) + 1}</b> of {patchesOf(s)}, row {s.row + 1}, column {s.col + 1}
    </span>
  );
}

function hint(s: State, view: View): string {
  if (!view.explores || (s.from === "class" && view.classToken)) return "";
  if (s.held) return "Held. Esc lets go";
  return touches ? "Tap another" : "Click to hold";
}

export function PhotoWindow({ s, view }: { s: State; view: View }): VNode {
  const file = useRef<HTMLInputElement>(null);
  const classToken = view.classToken && (s.facts?.config.classToken ?? false);
  return (
    <section class="window" aria-label="Photo">
      <div class="over">
        {view.shows.length > 1 && (
          <Choice
            label="What is drawn on the photo"
            hidden
            options={view.shows}
            value={showOf(view, s)}
            change={(show) => set({ show })}
          />
        )}
        {classToken && (
          <button
            type="button"
            class="pill"
            aria-pressed={s.from === "class"}
            onClick={() => set({ from: s.from === "class" ? "patch" : "class", rollout: "" })}
          >
            <span class="rose" aria-hidden="true" />
            Class token
          </button>
        )}
      </div>
      <div class="pane">
        <Pane s={s} view={view} />
        <Veil s={s} />
        {s.notice && (
          <div class="notice" role="alert">
            <span>{s.notice}</span>
            <button type="button" aria-label="Close" onClick={() => set({ notice: "" })}>
              ×
            </button>
          </div>
        )}
      </div>
      <p class="where" id="where">
        {where(s, view)}
        <span class="quiet">{hint(s, view)}</span>
      </p>
      {/* biome-ignore lint/a11y/useSemanticElements: buttons, not fields */}
      <div class="strip" role="group" aria-label="Photos">
        {SAMPLES.map(({ id, title, small }) => (
          <button
            key={id}
            type="button"
            class="thumb"
            aria-pressed={s.opened?.id === id}
            aria-label={title}
            title={title}
            onClick={() => openSample(id)}
          >
            <img src={small} alt="" width="64" height="64" />
          </button>
        ))}
        <button
          type="button"
          class="own"
          aria-pressed={s.opened?.id.startsWith("own-") ?? false}
          onClick={() => file.current!.click()}
        >
          <b>Your photo</b>
          {touches ? "Take or choose" : "Drop, paste or choose"}
        </button>
        <input
          ref={file}
          id="photo-file"
          type="file"
          accept="image/*"
          hidden
          onChange={({ currentTarget }) => {
            const chosen = currentTarget.files?.[0];
            currentTarget.value = "";
            if (chosen) void openFile(chosen);
          }}
        />
      </div>
    </section>
  );
}
