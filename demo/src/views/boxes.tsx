/** Boxes: finds things and frames them. */
import type { VNode } from "preact";
import type { Detection } from "vitrail";
import { drawBox } from "../draw.js";
import { Figure, Slider } from "../parts.js";
import { ask, useAnswer } from "../session.js";
import type { Sight } from "../sight.js";
import { set } from "../state.js";
import { program } from "./code.js";
import { Found } from "./found.js";
import { Texts } from "./texts.js";
import type { View } from "./view.js";

const ICON = "M2 2h16v16H2V2zm2 2v12h12V4H4zm3 3h6v6H7z";

const TEXTS = "a bird, a car, a flower, a wheel";

const can = (s: Sight): boolean => s.facts.tasks.includes("detect");

/** What is looked for, where the model has to be told. */
const textsOf = (s: Sight): string => (s.facts.prompts.detect === "texts" ? s.texts || TEXTS : "");

/** Boxes that are sure enough. */
const shownOf = (s: Sight): readonly Detection[] =>
  ((s.answers.boxes?.value as readonly Detection[] | undefined) ?? []).filter(
    ({ probability }) => probability >= s.threshold,
  );

function Body({ s }: { s: Sight }): VNode {
  const texts = textsOf(s);
  useAnswer("boxes", texts, (asking) => ask("boxes", [[s.opened.id, s.opened.blob], texts], asking));
  return (
    <div class="body">
      <div class="controls">
        {texts && <Texts texts={texts} label="Look for" />}
        <Slider
          label="At least"
          max={1}
          step={0.01}
          value={s.threshold}
          text={`${Math.round(100 * s.threshold)} %`}
          change={(threshold) => set({ threshold })}
        />
      </div>
      <Figure title="Found">
        <Found list={shownOf(s)} chosen={s.name} />
      </Figure>
    </div>
  );
}

export const boxes: View = {
  name: "boxes",
  label: "Boxes",
  lede: () => "Every find is framed, with its name and how sure the model is.",
  need: {
    can,
    model: "YOLOS-Ti",
    points: [
      "Every find is framed, with its name and probability.",
      "A slider sets how sure it must be.",
      "With OWLv2 you type what to look for.",
    ],
  },
  icon: ICON,
  shows: [
    ["light", "Boxes"],
    ["photo", "Photo"],
  ],
  explores: false,
  overlay(s, show) {
    if (show === "photo") return {};
    return {
      draw(context, frame, scale) {
        for (const [i, { box, label }] of shownOf(s).entries()) {
          drawBox(context, frame, scale, box, { color: i, label, strong: i === s.name });
        }
      },
    };
  },
  where: (s) => (
    <span>
      {s.opened.title}, {s.opened.width} × {s.opened.height} pixels
    </span>
  ),
  Body,
  code: (s) =>
    program(
      s,
      `for (const { label, probability, box } of await model.detect(photo${textsOf(s) ? `, { labels: ${JSON.stringify(textsOf(s).split(/,\s*/))} }` : ""}))
  console.log(label, probability, box);`,
    ),
};
