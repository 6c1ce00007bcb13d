/** What a view would do with a model that can, and the one that it offers. */
import type { ComponentChildren, VNode } from "preact";
import { Heading } from "../heading.js";
import { modelNamed, sizeOf } from "../models.js";
import { openModel } from "../session.js";
import type { Sight } from "../sight.js";
import { set } from "../state.js";

/** What the model at hand was trained for. */
function trainedFor({ facts: { tasks, texts } }: Sight): string {
  if (tasks.includes("depth")) return "to tell depth";
  if (tasks.includes("detect")) return "to find things";
  if (tasks.includes("segment")) return "to cut things out";
  if (tasks.includes("pose")) return "to find joints";
  if (texts) return "to match photos with texts";
  return tasks.includes("classify") ? "to name photos" : "to tell photos apart";
}

export function Need({
  s,
  title,
  lede,
  icon,
  model,
  points,
}: {
  s: Sight;
  title: string;
  lede: ComponentChildren;
  icon: string;
  /** As it is called in the menu. */
  model: string;
  points: readonly string[];
}): VNode {
  const known = modelNamed(model);
  const get = () => {
    set({ dialog: "models" });
    void openModel(known.source, s.precision);
  };
  return (
    <>
      <Heading title={title} bare>
        {lede}
      </Heading>
      <div class="body">
        <div class="empty">
          <svg viewBox="0 0 20 20" aria-hidden="true">
            <path d={icon} />
          </svg>
          <div>
            <p>
              <b>{s.facts.name} cannot do this.</b> It was trained {trainedFor(s)}. With a model that was trained for
              it:
            </p>
            <ul>
              {points.map((point) => (
                <li key={point}>{point}</li>
              ))}
            </ul>
            <button type="button" class="primary" onClick={get}>
              Get {known.name}, {sizeOf(known.size)}
            </button>
            <button type="button" onClick={() => set({ dialog: "models" })}>
              Other models
            </button>
          </div>
        </div>
      </div>
    </>
  );
}
