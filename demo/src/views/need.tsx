/** What a view would do with a model that can, and the one that it offers. */
import type { VNode } from "preact";
import { modelNamed, sizeOf } from "../models.js";
import { openModel } from "../session.js";
import type { Sight } from "../sight.js";
import { set } from "../state.js";
import type { View } from "./view.js";

/** What the model at hand was trained for. */
function trainedFor({ facts: { tasks, texts } }: Sight): string {
  if (tasks.includes("depth")) return "to tell depth";
  if (tasks.includes("detect")) return "to find things";
  if (tasks.includes("segment")) return "to cut things out";
  if (tasks.includes("pose")) return "to find joints";
  if (texts) return "to match photos with texts";
  return tasks.includes("classify") ? "to name photos" : "to tell photos apart";
}

/** Opens the menu and gets a model by its name there. */
export function getModel(name: string, { precision }: Sight): void {
  set({ dialog: "models" });
  void openModel(modelNamed(name).source, precision);
}

export function Needs({ s, view: { icon, need } }: { s: Sight; view: View }): VNode {
  const { name, size } = modelNamed(need!.model);
  return (
    <div class="body">
      <div class="empty">
        <svg viewBox="0 0 20 20" aria-hidden="true">
          <path d={icon} />
        </svg>
        <div>
          <p>
            <b>{s.facts.name} cannot do this.</b> It was trained {trainedFor(s)}. With a model that was trained for it:
          </p>
          <ul>
            {need!.points.map((point) => (
              <li key={point}>{point}</li>
            ))}
          </ul>
          <button type="button" class="primary" onClick={() => getModel(name, s)}>
            Get {name}, {sizeOf(size)}
          </button>
          <button type="button" onClick={() => set({ dialog: "models" })}>
            Other models
          </button>
        </div>
      </div>
    </div>
  );
}
