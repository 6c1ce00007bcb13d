/** What the views of boxes, masks and poses share: results in the photo's pixels, and a list of what was found beside them. */
import type { VNode } from "preact";
import { colorNumber, type Rect } from "../draw.js";
import type { Sight } from "../sight.js";
import { set } from "../state.js";
import { percent } from "../text.js";
import type { View } from "./view.js";

/** A view of results in the photo's pixels, which picks no patch, and whose drawing can be taken off the photo. */
export const dense = ({
  draw,
  ...view
}: Omit<View, "shows" | "explores" | "where" | "overlay"> & {
  /** Draws on the photo, of whose pixels one is `scale` pixels of the canvas. */
  draw(s: Sight, context: CanvasRenderingContext2D, frame: Rect, scale: number): void;
}): View => ({
  ...view,
  shows: [
    ["light", view.label],
    ["photo", "Photo"],
  ],
  explores: false,
  where: ({ opened: { title, width, height } }) => (
    <span>
      {title}, {width} × {height} pixels
    </span>
  ),
  overlay: (s, show) =>
    show === "photo"
      ? {}
      : { draw: (context, frame, scale) => draw(s, context, frame, scale), marked: view.press !== undefined && s.held },
});

/** What is looked for, where the model has to be told by texts: as typed, or what the view begins with. */
export const textsOf = ({ facts: { prompts }, texts }: Sight, task: "detect" | "segment", start: string): string =>
  prompts[task] === "texts" ? texts || start : "";

/** These texts as an option in a program. */
export const labelsIn = (texts: string): string =>
  texts ? `, { labels: ${JSON.stringify(texts.split(/,\s*/))} }` : "";

export function Found({
  list,
  chosen,
}: {
  list: readonly { readonly label: string; readonly probability: number }[];
  /** The one whose outline is strong. */
  chosen: number;
}): VNode {
  if (list.length === 0) return <p class="quiet">Nothing that is sure enough.</p>;
  return (
    <ul class="found">
      {list.map(({ label, probability }, i) => (
        <li key={i}>
          <button type="button" aria-pressed={i === chosen} onClick={() => set({ name: i })}>
            <span class="swatch" style={{ background: `rgb(${colorNumber(i).join(" ")})` }} />
            {label}
            <span class="quiet">{percent(probability)}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}
