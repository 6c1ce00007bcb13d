/** Words: which parts of the photo speak for a name, or for words that are typed. */
import type { VNode } from "preact";
import { magma, shade, viridis } from "../colors.js";
import type { Occlusion } from "../model.js";
import { modelNamed, sizeOf } from "../models.js";
import { Bars, Figure, Legend, PatchMap } from "../parts.js";
import { ask, useAnswer } from "../session.js";
import { gridOf, parts, rangeOf, type Sight } from "../sight.js";
import { set } from "../state.js";
import { percent, shortName } from "../text.js";
import { pictureOf } from "./code.js";
import { getModel } from "./need.js";
import { Texts } from "./texts.js";
import type { View } from "./view.js";

const ICON = "M2 3h16v2.400h-6.800V17H8.800V5.400H2z";

const TEMPLATE = "a photo of {}";
const TEXTS = "a bird, a car, a flower, the sky, grass";

interface Answer {
  readonly texts: readonly string[];
  readonly probabilities: readonly number[];
  readonly cosines: readonly Float32Array[];
}

/** The name that is chosen among the best. */
const chosenOf = ({ seen: { top }, name }: Sight) => top[Math.min(name, top.length - 1)]!;

/** One of several names. */
const Names = ({ names, chosen }: { names: readonly (readonly [string, number])[]; chosen: number }): VNode => (
  <fieldset class="chips">
    <legend class="unseen">Names</legend>
    {names.map(([label, probability], i) => (
      <label key={label}>
        <input type="radio" name="name" checked={i === chosen} onChange={() => set({ name: i })} />
        {shortName(label)} <span class="quiet">{percent(probability)}</span>
      </label>
    ))}
  </fieldset>
);

/** Maps of a classifier's own names. */
function OwnNames({ s }: { s: Sight }): VNode {
  const photo = [s.opened.id, s.opened.blob] as const;
  const { index } = chosenOf(s);
  const names = s.seen.top.map(({ index }) => index);
  const covered = useAnswer<Occlusion>("occlusion", String(index), (asking) =>
    ask("occlusion", [photo, index], asking),
  );
  const patches = useAnswer<Float32Array[]>("patches", "", (asking) => ask("patches", [photo, names], asking));
  const fall = covered?.fall?.map((x) => Math.max(0, x));
  const falls = fall && parts(fall);
  const own = patches?.[Math.min(s.name, names.length - 1)];
  const owns = own && parts(own);
  const [low, high] = own ? rangeOf(own) : [0, 0];
  const clip = modelNamed("CLIP B/32");
  return (
    <div class="body">
      <Names
        names={s.seen.top.map(({ label, probability }) => [label, probability])}
        chosen={Math.min(s.name, s.seen.top.length - 1)}
      />
      <div class="two">
        <Figure
          title="Cover a part, ask again"
          caption={
            covered && !covered.fall
              ? `${covered.done} of ${covered.total} runs of the model.`
              : "How much the score falls when 2 × 2 patches there are grey, one run of the model for each place."
          }
        >
          <PatchMap
            label="Fall of the score where the photo is covered"
            grid={gridOf(s)}
            color={falls && ((i) => magma(falls[i]!))}
            keys={[covered?.fall]}
          />
          <Legend from="0" to={fall ? `−${rangeOf(fall)[1].toFixed(1)} logit` : ""} scale={magma} />
        </Figure>
        <Figure
          title="Ask every patch"
          caption="The last layer’s patch tokens, read as if each were all that the head reads."
        >
          <PatchMap
            label="Score of each patch by itself"
            grid={gridOf(s)}
            color={owns && ((i) => magma(owns[i]!))}
            keys={[own]}
          />
          <Legend from={low.toFixed(1)} to={own ? `${high.toFixed(1)} logit` : ""} scale={magma} />
        </Figure>
      </div>
      <div class="callout">
        <p>
          <b>Type any words?</b> That takes a model that has read texts with its photos, such as CLIP. Its patches can
          then be compared with what you type.
        </p>
        <button type="button" onClick={() => getModel(clip.name, s)}>
          Get {clip.name}, {sizeOf(clip.size)}
        </button>
      </div>
    </div>
  );
}

/** Maps of words that are typed. */
function AnyWords({ s }: { s: Sight }): VNode {
  const texts = s.texts || TEXTS;
  const photo = [s.opened.id, s.opened.blob] as const;
  const found = useAnswer<Answer>("texts", texts, (asking) => ask("texts", [photo, texts, TEMPLATE], asking));
  const top = found?.texts.map((label, i) => ({ label, probability: found.probabilities[i]! })) ?? [];
  const [low, high] = found ? rangeOf(found.cosines.flatMap((map) => [...rangeOf(map)])) : [0, 1];
  return (
    <div class="body">
      <Texts texts={texts} label="Words" />
      <Figure title="Which fits the photo best" caption={`Each as “${TEMPLATE.replace("{}", "…")}”.`}>
        <Bars top={top} />
      </Figure>
      <div class="three">
        {found?.texts.map((text, i) => {
          const values = parts(found.cosines[i]!, [low, high]);
          return (
            <Figure key={text} title={text}>
              <PatchMap
                label={`Similarity of patches to ${text}`}
                grid={gridOf(s)}
                color={(patch) => viridis(values[patch]!)}
                keys={[found]}
              />
            </Figure>
          );
        })}
      </div>
      <Legend from={low.toFixed(2)} to={`${high.toFixed(2)} cosine`} scale={viridis} />
    </div>
  );
}

const Body = ({ s }: { s: Sight }): VNode => (s.facts.texts ? <AnyWords s={s} /> : <OwnNames s={s} />);

/** What the window shows: the falls of the score, or the cosines of the first text. */
function shownOf(s: Sight): Float32Array | undefined {
  if (s.facts.texts) {
    const cosines = (s.answers.texts?.value as Answer | undefined)?.cosines;
    const map = cosines?.[Math.min(s.name, cosines.length - 1)];
    return map && parts(map);
  }
  const fall = (s.answers.occlusion?.value as Occlusion | undefined)?.fall;
  return fall && parts(fall.map((x) => Math.max(0, x)));
}

export const words: View = {
  name: "words",
  label: "Words",
  lede(s) {
    if (s?.facts.texts)
      return "Type what to look for. Each text is compared with the photo, and with every patch of it.";
    const names = (s?.facts.config.classes || 10).toLocaleString("en");
    return `Pick a name and see which parts of the photo speak for it. This model knows ${names} names and no other words.`;
  },
  need: {
    can: (s) => s.facts.texts || s.seen.top.length > 0,
    model: "CLIP B/32",
    points: [
      "Type any words, and see which fits the photo best.",
      "For each a map shows which patches are like it.",
      "A classifier’s own names can be asked in the same way.",
    ],
  },
  icon: ICON,
  shows: [
    ["light", "Light"],
    ["map", "Map"],
    ["photo", "Photo"],
  ],
  explores: false,
  overlay(s, show) {
    const values = shownOf(s);
    if (!values || show === "photo") return {};
    const scale = s.facts.texts ? viridis : magma;
    return show === "map" ? { cells: (i) => scale(values[i]!), opaque: 0.8 } : { cells: (i) => shade(values[i]!) };
  },
  where(s) {
    if (s.facts.texts)
      return (
        <span>
          Patches like <b>{(s.texts || TEXTS).split(",")[0]}</b>
        </span>
      );
    if (s.seen.top.length === 0) return "";
    return (
      <span>
        Patches that <b>{shortName(chosenOf(s).label)}</b> depends on
      </span>
    );
  },
  Body,
  picture: (s) =>
    s.facts.texts
      ? pictureOf("text", { labels: (s.texts || TEXTS).split(",").map((text) => TEMPLATE.replace("{}", text.trim())) })
      : pictureOf("occlusion", s.seen.top.length > 0 ? { class: chosenOf(s).index } : {}),
};
