/** A list of what was found, beside its outlines on the photo. */
import type { VNode } from "preact";
import { colorNumber } from "../draw.js";
import { set } from "../state.js";
import { percent } from "../text.js";

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
