/** Masks: cuts things out, by pointing at them or by their names. */
import type { VNode } from "preact";
import type { Segment } from "vitrail";
import { colorNumber, drawBox } from "../draw.js";
import { Choice, Figure } from "../parts.js";
import { ask, useAnswer } from "../session.js";
import type { Sight } from "../sight.js";
import { set } from "../state.js";
import { program } from "./code.js";
import { dense, Found, labelsIn, textsOf } from "./dense.js";
import { Texts } from "./texts.js";

const ICON = "M10 2c4.500 0 8 3 8 8 0 4-2 8-8 8s-8-3-8-7c0-5 3.500-9 8-9z";

const TEXTS = "a bird, a car, a flower";

const can = (s: Sight): boolean => s.facts.tasks.includes("segment");

/** True if it is told what to cut out by points and boxes. */
const pointed = (s: Sight): boolean => s.facts.prompts.segment === "points";
const wordsOf = (s: Sight): string => textsOf(s, "segment", TEXTS);

const foundOf = (s: Sight): readonly Segment[] => (s.answers.masks?.value as readonly Segment[] | undefined) ?? [];

const made = new WeakMap<Segment, OffscreenCanvas>();

/** A mask in a color, half of which lets the photo through. */
function tinted(segment: Segment, number: number): OffscreenCanvas {
  const known = made.get(segment);
  if (known) return known;
  const { width, height, data } = segment.mask;
  const pixels = new ImageData(width, height);
  const color = [...colorNumber(number), 150];
  for (let i = 0; i < data.length; i++) if (data[i]) pixels.data.set(color, 4 * i);
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
  made.set(segment, canvas);
  return canvas;
}

function Body({ s }: { s: Sight }): VNode {
  const photo = [s.opened.id, s.opened.blob] as const;
  const texts = wordsOf(s);
  const { points, boxes } = s;
  const key = pointed(s) ? JSON.stringify([points, boxes]) : texts;
  useAnswer("masks", key, async (asking) => {
    if (!pointed(s)) return ask("segments", [photo, texts], asking);
    return points.length + boxes.length > 0 ? ask("masks", [photo, points, boxes], asking) : [];
  });
  return (
    <div class="body">
      {texts && (
        <div class="controls">
          <Texts texts={texts} label="Look for" />
        </div>
      )}
      {pointed(s) && (
        <div class="controls">
          <span>
            {points.length} {points.length === 1 ? "point" : "points"}
            {boxes.length > 0 && ", a box"}
          </span>
          <Choice
            label="A click"
            options={[
              ["adds", "Adds"],
              ["takes", "Takes away"],
            ]}
            value={s.away ? "takes" : "adds"}
            change={(does) => set({ away: does === "takes" })}
          />
          <button type="button" class="small" onClick={() => set({ points: [], boxes: [] })}>
            Start again
          </button>
        </div>
      )}
      <Figure title="Found">
        <Found list={foundOf(s)} chosen={s.name} />
      </Figure>
    </div>
  );
}

export const masks = dense({
  name: "masks",
  label: "Masks",
  lede: (s) =>
    s && can(s) && !pointed(s)
      ? "What the model cuts out of the photo, and how sure it is."
      : "Click a thing to cut it out, or drag a box around it; more clicks add a part, or take one away.",
  need: {
    can,
    model: "SAM B",
    points: [
      "Click a thing to cut it out; more clicks add a part, or take one away.",
      "Drag a box around it to be quicker.",
      "Models with names or texts cut out all that they know.",
    ],
  },
  icon: ICON,
  draw(s, context, frame, scale) {
    const all = foundOf(s);
    // By points they are masks of one thing, of which one is shown; else all are.
    const chosen = Math.min(s.name, all.length - 1);
    for (const [i, segment] of all.entries()) {
      if (pointed(s) && i !== chosen) continue;
      context.drawImage(tinted(segment, i), frame.x, frame.y, frame.width, frame.height);
    }
    for (const box of s.boxes) drawBox(context, frame, scale, box, { color: 0, label: "", strong: true });
    for (const { x, y, label = 1 } of s.points) {
      context.beginPath();
      context.arc(frame.x + x * scale, frame.y + y * scale, 6, 0, 7);
      context.fillStyle = label ? "#fff" : "#f2667c";
      context.fill();
      context.strokeStyle = "#0c0d13";
      context.lineWidth = 2;
      context.stroke();
    }
  },
  press(s, { x, y }, away) {
    if (can(s) && pointed(s)) set({ points: [...s.points, { x, y, label: away === s.away ? 1 : 0 }], name: 0 });
  },
  box(s, { x: xmin, y: ymin }, { x: xmax, y: ymax }) {
    if (can(s) && pointed(s)) set({ boxes: [{ xmin, ymin, xmax, ymax }], points: [], name: 0 });
  },
  Body,
  code: (s) => {
    const points = s.points.map(({ x, y, label }) => `{ x: ${Math.round(x)}, y: ${Math.round(y)}, label: ${label} }`);
    const options = pointed(s) ? `, { points: [${points.join(", ")}] }` : labelsIn(wordsOf(s));
    return program(
      s,
      `const { segments } = await model.segment(photo${options});\nconsole.log(segments.map(({ label, area }) => [label, area]));`,
    );
  },
});
