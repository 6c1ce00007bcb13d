/** Look: which patches are alike, and which ones are looked at. */
import type { VNode } from "preact";
import { magma, viridis } from "../colors.js";
import { Choice, Figure, Heads, LayerSlider, Legend, PatchMap, Tiles } from "../parts.js";
import { ask, useAnswer } from "../session.js";
import {
  attention,
  bent,
  blockOf,
  carrierOf,
  endOf,
  fromClass,
  gridOf,
  hasAttention,
  headOf,
  largest,
  layerOf,
  parts,
  patchOf,
  rangeOf,
  type Sight,
  similarity,
} from "../sight.js";
import { set } from "../state.js";
import { pictureOf } from "./code.js";
import { pointed } from "./start.js";
import type { View } from "./view.js";

/** Attention as it is shown: of a layer and a head, or what reaches the answer through all of them, once it is there. */
const sharesOf = (s: Sight): Float32Array | undefined =>
  s.rollout ? (s.answers.rollout?.value as Float32Array | undefined) : attention(s);

/** The choice of heads: one, their mean, or all layers at once. */
const ROLLOUT = -1;

function Controls({ s }: { s: Sight }): VNode {
  const { depth, heads } = s.facts.config;
  const each = Array.from({ length: heads }, (_, i) => [i + 1, String(i + 1)] as const);
  const choose = (head: number) =>
    set(head === ROLLOUT ? { rollout: "mean", from: "class", show: "attention" } : { head, rollout: "" });
  return (
    <div class="controls">
      <LayerSlider layer={layerOf(s)} depth={depth} />
      <Choice
        label="Head"
        options={[[0, "Mean"], ...each, [ROLLOUT, "Rollout"]]}
        value={s.rollout ? ROLLOUT : headOf(s)}
        change={choose}
      />
      {s.rollout && (
        <>
          <Choice
            label="Join heads by"
            options={[
              ["mean", "Mean"],
              ["max", "Max"],
              ["min", "Min"],
            ]}
            value={s.rollout}
            change={(rollout) => set({ rollout })}
          />
          <Choice
            label="Drop the weakest"
            options={[
              [0, "0 %"],
              [0.9, "90 %"],
            ]}
            value={s.discard}
            change={(discard) => set({ discard })}
          />
        </>
      )}
    </div>
  );
}

function Similar({ s }: { s: Sight }): VNode {
  const values = similarity(s, layerOf(s));
  const here = fromClass(s) ? undefined : patchOf(s);
  const best = largest(values, 6, here);
  const [least] = rangeOf(values);
  const most = here === undefined ? values[best[0]!]! : 1;
  const shown = parts(values, [least, most]);
  return (
    <Figure
      title={here === undefined ? "Like the class token" : "Like this patch"}
      unit="cosine"
      caption="The most alike. Press one to go there."
    >
      <PatchMap
        label="Similarity of all patches to the one at hand"
        grid={gridOf(s)}
        color={(i) => viridis(shown[i]!)}
        keys={[values]}
        marked={here}
      />
      <Legend from={least.toFixed(2)} to={most.toFixed(2)} scale={viridis} />
      <Tiles s={s} patches={best} values={best.map((patch) => values[patch]!.toFixed(2))} />
    </Figure>
  );
}

/** How much the best patches have of all, and where the scale ends, in a sentence. */
function noteOf(shares: Float32Array, best: readonly number[], end: string): string {
  const all = shares.reduce((a, b) => a + b, 0);
  const four = best.slice(0, 4).reduce((sum, patch) => sum + shares[patch]!, 0) / all;
  if (four <= 0.25) return "A square root scale, as few patches take most.";
  return `Four patches take ${(100 * four).toFixed(0)} % of it, so the scale ends at ${end} %.`;
}

function Attended({ s }: { s: Sight }): VNode {
  const shares = sharesOf(s);
  const shown = shares && bent(shares);
  const best = shares ? largest(shares, 6) : [];
  const end = shares ? (100 * endOf(shares)).toFixed(1) : "";
  const carrier = carrierOf(s);
  return (
    <Figure
      title={s.rollout ? `What reaches the ${carrier}` : "Where it looks"}
      unit={s.rollout ? "rollout, %" : "attention, %"}
      caption={shares && noteOf(shares, best, end)}
    >
      <PatchMap
        label={s.rollout ? "Attention rollout" : "Attention from the patch at hand"}
        grid={gridOf(s)}
        color={shown && ((i) => magma(shown[i]!))}
        keys={[shares]}
        marked={s.rollout || fromClass(s) ? undefined : patchOf(s)}
      />
      <Legend from="0" to={`≥ ${end}`} scale={magma} />
      <Tiles s={s} patches={best} values={best.map((patch) => (100 * shares![patch]!).toFixed(1))} />
    </Figure>
  );
}

function Body({ s }: { s: Sight }): VNode {
  useAnswer("rollout", `${s.rollout} ${s.discard}`, async (asking) =>
    s.rollout ? ask("rollout", [[s.opened.id, s.opened.blob], s.rollout, s.discard], asking) : undefined,
  );
  return (
    <div class="body">
      <Controls s={s} />
      <div class="two">
        <Similar s={s} />
        <Attended s={s} />
      </div>
      <Figure title="All layers and heads">
        <Heads s={s} />
      </Figure>
    </div>
  );
}

export const look: View = {
  name: "look",
  label: "Look",
  lede: () =>
    "Pick a patch. One map shows which patches the model holds to be alike, the other which ones it looks at.",
  need: {
    can: hasAttention,
    model: "ViT-Ti/16",
    points: [
      "Point at a patch to see which others are like it.",
      "Beside it is where it looks, in each layer and head.",
      "Rollout follows that through all layers.",
    ],
  },
  icon: "M2 2h4v4H2zM8 2h4v4H8zM14 2h4v4h-4zM2 8h4v4H2zM14 8h4v4h-4zM2 14h4v4H2zM8 14h4v4H8zM14 14h4v4h-4zM7 7h6v6H7z",
  shows: [
    ["light", "Light"],
    ["map", "Similar"],
    ["attention", "Attention"],
    ["photo", "Photo"],
  ],
  explores: true,
  classToken: true,
  overlay(s, show) {
    if (show !== "attention") return pointed(s, show);
    const shares = sharesOf(s);
    if (!shares) return {};
    const values = bent(shares);
    return { cells: (i) => magma(values[i]!), opaque: 0.8, marked: !s.rollout && !fromClass(s) };
  },
  Body,
  picture: (s) => {
    if (s.rollout) return pictureOf("attention", { rollout: true, heads: s.rollout, discard: s.discard });
    const from = fromClass(s) ? ("class" as const) : ([s.row, s.col] as const);
    if (s.show !== "attention" && from !== "class") return pictureOf("similarity", { layer: layerOf(s), from });
    return pictureOf("attention", { layer: blockOf(s), head: headOf(s) === 0 ? "mean" : headOf(s) - 1, from });
  },
};
