/** Look: which patches are alike, and which ones are looked at. */
import type { VNode } from "preact";
import { magma, viridis } from "../colors.js";
import { Heading } from "../heading.js";
import { Choice, Figure, Heads, LayerSlider, Legend, PatchMap, Tiles } from "../parts.js";
import {
  attention,
  bent,
  blockOf,
  endOf,
  fromClass,
  gridOf,
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
import { pictureCode } from "./code.js";
import { pointed } from "./start.js";
import type { View } from "./view.js";

/** Shares of attention as they are shown: of a layer and a head. */
const sharesOf = (s: Sight): Float32Array => attention(s, blockOf(s), headOf(s));

function Controls({ s }: { s: Sight }): VNode {
  const { depth, heads } = s.facts.config;
  const each = Array.from({ length: heads }, (_, i) => [i + 1, String(i + 1)] as const);
  return (
    <div class="controls">
      <LayerSlider layer={layerOf(s)} depth={depth} />
      <Choice label="Head" options={[[0, "Mean"], ...each]} value={headOf(s)} change={(head) => set({ head })} />
    </div>
  );
}

function Similar({ s }: { s: Sight }): VNode {
  const values = similarity(s, layerOf(s));
  const here = fromClass(s) ? undefined : patchOf(s);
  const best = largest(values, 6, here);
  const [least] = rangeOf(values);
  const most = here === undefined ? values[best[0]!]! : 1;
  return (
    <Figure
      title={here === undefined ? "Like the class token" : "Like this patch"}
      unit="cosine"
      caption="The most alike. Press one to go there."
    >
      <PatchMap
        label="Similarity of all patches to the one at hand"
        grid={gridOf(s)}
        values={parts(values, [least, most])}
        scale={viridis}
        marked={here}
      />
      <Legend from={least.toFixed(2)} to={most.toFixed(2)} scale={viridis} />
      <Tiles s={s} patches={best} values={best.map((patch) => values[patch]!.toFixed(2))} />
    </Figure>
  );
}

function Attended({ s }: { s: Sight }): VNode {
  const shares = sharesOf(s);
  const best = largest(shares, 6);
  const sum = (patches: readonly number[]) => patches.reduce((sum, patch) => sum + shares[patch]!, 0);
  const four = sum(best.slice(0, 4)) / shares.reduce((a, b) => a + b, 0);
  const end = (100 * endOf(shares)).toFixed(1);
  return (
    <Figure
      title="Where it looks"
      unit="attention, %"
      caption={
        four > 0.25
          ? `Four patches take ${(100 * four).toFixed(0)} % of it, so the scale ends at ${end} %.`
          : "A square root scale, as few patches take most."
      }
    >
      <PatchMap
        label="Attention from the patch at hand"
        grid={gridOf(s)}
        values={bent(shares)}
        scale={magma}
        marked={fromClass(s) ? undefined : patchOf(s)}
      />
      <Legend from="0" to={`≥ ${end}`} scale={magma} />
      <Tiles s={s} patches={best} values={best.map((patch) => (100 * shares[patch]!).toFixed(1))} />
    </Figure>
  );
}

export const look: View = {
  name: "look",
  label: "Look",
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
    const values = bent(sharesOf(s));
    return { cells: (i) => magma(values[i]!), opaque: 0.8, marked: !fromClass(s) };
  },
  Body: ({ s }) => (
    <>
      <Heading title="Look">
        Pick a patch. One map shows which patches the model holds to be alike, the other which ones it looks at.
      </Heading>
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
    </>
  ),
  code: (s) => pictureCode(s, "similarity", { layer: layerOf(s), from: fromClass(s) ? "class" : [s.row, s.col] }),
  numbers: (s) => ({ dims: s.seen.grid, data: s.show === "attention" ? sharesOf(s) : similarity(s, layerOf(s)) }),
};
