/** Boxes: finds things and frames them. */
import type { VNode } from "preact";
import type { Detection } from "vitrail";
import { drawBox } from "../draw.js";
import { Figure, Slider } from "../parts.js";
import { ask, useAnswer } from "../session.js";
import type { Sight } from "../sight.js";
import { set } from "../state.js";
import { program } from "./code.js";
import { dense, Found, labelsIn, textsOf } from "./dense.js";
import { Texts } from "./texts.js";

const ICON = "M2 2h16v16H2V2zm2 2v12h12V4H4zm3 3h6v6H7z";

const TEXTS = "a bird, a car, a flower, a wheel";

const wordsOf = (s: Sight): string => textsOf(s, "detect", TEXTS);

/** Boxes that are sure enough. */
const shownOf = (s: Sight): readonly Detection[] =>
  ((s.answers.boxes?.value as readonly Detection[] | undefined) ?? []).filter(
    ({ probability }) => probability >= s.threshold,
  );

function Body({ s }: { s: Sight }): VNode {
  const texts = wordsOf(s);
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

export const boxes = dense({
  name: "boxes",
  label: "Boxes",
  lede: () => "Every find is framed, with its name and how sure the model is.",
  need: {
    can: (s) => s.facts.tasks.includes("detect"),
    model: "YOLOS-Ti",
    points: [
      "Every find is framed, with its name and probability.",
      "A slider sets how sure it must be.",
      "With OWLv2 you type what to look for.",
    ],
  },
  icon: ICON,
  draw(s, context, frame, scale) {
    for (const [i, { box, label }] of shownOf(s).entries()) {
      drawBox(context, frame, scale, box, { color: i, label, strong: i === s.name });
    }
  },
  Body,
  code: (s) =>
    program(
      s,
      `for (const { label, probability, box } of await model.detect(photo${labelsIn(wordsOf(s))}))
  console.log(label, probability, box);`,
    ),
});
