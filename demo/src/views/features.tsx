/** Features: tokens as colors, by the three directions in which they differ most. */
import type { VNode } from "preact";
import { componentColor } from "vitrail/pictures";
import { DARK, gray, viridis } from "../colors.js";
import type { Color } from "../draw.js";
import type { FeatureMaps, PhotoBytes } from "../model.js";
import { Choice, Figure, LayerSlider, Legend, PatchMap } from "../parts.js";
import { SAMPLES, sampleBlob } from "../photos.js";
import { ask, useAnswer } from "../session.js";
import { layerOf, parts, rangeOf, type Sight } from "../sight.js";
import { set } from "../state.js";
import { pictureOf } from "./code.js";
import type { View } from "./view.js";

/** The photo at hand first, then the samples. */
async function photosOf({ opened }: Sight): Promise<PhotoBytes[]> {
  const others = SAMPLES.filter(({ id }) => id !== opened.id).slice(0, 2);
  return [
    [opened.id, opened.blob],
    ...(await Promise.all(others.map(async (one) => [one.id, await sampleBlob(one)] as const))),
  ];
}

/** What is shown of several photos: together, or each by itself. */
function answerOf(s: Sight): FeatureMaps | undefined {
  return s.answers.features?.value as FeatureMaps | undefined;
}

/** The color of each patch of a photo. */
function colorsOf({ maps, kept }: FeatureMaps, photo: number, paint: string): (patch: number) => Color {
  const map = maps[photo]!;
  const ends = [0, 1, 2].map((k) => endsOf(map, k));
  return (i) => {
    if (!kept[photo]![i]) return DARK;
    const [a, b, c] = ends.map(([low, high], k) => (high > low ? (map[3 * i + k]! - low) / (high - low) : 0.5)) as [
      number,
      number,
      number,
    ];
    if (paint === "rgb") return [255 * a, 255 * b, 255 * c];
    return componentColor(2 * a - 1, 2 * b - 1, 2 * c - 1);
  };
}

const endsOf = (map: Float32Array, k: number) => rangeOf(map.filter((_, i) => i % 3 === k));

const NAMES = ["First", "Second", "Third"];

/** Tokens longer than so many medians are massive (Darcet et al. 2024), and left out of the fit (OUTLIERS in model.ts). */
const FAR = 3;

function Body({ s }: { s: Sight }): VNode {
  const { depth } = s.facts.config;
  const layer = layerOf(s);
  const shared = s.colors === "shared";
  const found = useAnswer<FeatureMaps>("features", `${layer} ${s.colors} ${s.keep}`, async (asking) => {
    const photos = await photosOf(s);
    if (shared) return ask("features", [photos, layer, s.keep], asking);
    const each = [];
    for (const photo of photos) each.push(await ask("features", [[photo], layer, s.keep], asking));
    return {
      ...each[0]!,
      photos: each.flatMap(({ photos }) => photos),
      grids: each.flatMap(({ grids }) => grids),
      maps: each.flatMap(({ maps }) => maps),
      kept: each.flatMap(({ kept }) => kept),
    };
  });
  const far = found ? found.lengths.filter((length) => length > FAR * found.median).length : 0;
  const most = found ? rangeOf(found.lengths)[1] / found.median : 0;
  return (
    <div class="body">
      <div class="controls">
        <LayerSlider layer={layer} depth={depth} />
        <Choice
          label="Colors"
          options={[
            ["shared", "Shared"],
            ["own", "Per photo"],
          ]}
          value={s.colors}
          change={(colors) => set({ colors })}
        />
        <Choice
          label="Paint"
          options={[
            ["even", "Even"],
            ["rgb", "RGB"],
          ]}
          value={s.paint}
          change={(paint) => set({ paint })}
        />
        <Choice
          label="Keep"
          options={[
            [0, "All"],
            [1, "One half"],
            [-1, "Other half"],
          ]}
          value={s.keep}
          change={(keep) => set({ keep })}
        />
      </div>
      <Figure title={shared ? "Three photos, one set of colors" : "Each photo in its own colors"}>
        <div class="three">
          {[0, 1, 2].map((photo) => {
            const color = found && colorsOf(found, photo, s.paint);
            return (
              <PatchMap
                key={photo}
                label={`Features of photo ${photo + 1} as colors`}
                grid={found?.grids[photo] ?? s.seen.grid}
                color={color}
                keys={[found, s.paint]}
              />
            );
          })}
        </div>
      </Figure>
      <div class="four">
        {NAMES.map((name, k) => {
          const values = found && parts(found.maps[0]!.filter((_, i) => i % 3 === k));
          return (
            <Figure key={name} title={`${name}: ${found ? (100 * (found.shares[k] ?? 0)).toFixed(0) : "–"} %`}>
              <PatchMap
                label={`${name} component`}
                grid={s.seen.grid}
                color={values && ((i) => gray(values[i]!))}
                keys={[found]}
              />
            </Figure>
          );
        })}
        <Figure title="Token length">
          <Lengths s={s} found={found} />
        </Figure>
      </div>
      <p class="caption">
        Principal components of tokens of unit length; the percentage is their share of the variance.{" "}
        {far > 0
          ? `${far} of ${found!.lengths.length} tokens are over ${FAR} times as long as the middle one (${most.toFixed(0)} times at most): Darcet et al. (2024) found that such tokens hold notes on the whole photo. They are left out of the fit.`
          : "No token is much longer than the others."}
      </p>
    </div>
  );
}

function Lengths({ s, found }: { s: Sight; found: FeatureMaps | undefined }): VNode {
  const [low, high] = found ? rangeOf(found.lengths) : [0, 0];
  // A few may be so long that all others would have one color.
  const end = found ? Math.min(high, FAR * found.median) : 0;
  const values = found && parts(found.lengths, [low, end]);
  return (
    <>
      <PatchMap
        label="Length of each token"
        grid={s.seen.grid}
        color={values && ((i) => viridis(values[i]!))}
        keys={[found]}
      />
      <Legend from={low.toFixed(0)} to={`${end < high ? "≥ " : ""}${end.toFixed(0)}`} scale={viridis} />
    </>
  );
}

export const features: View = {
  name: "features",
  label: "Features",
  lede: (s) =>
    `${s?.seen.states[0]?.dims.at(-1) ?? 128} numbers a patch are too many to see. The three directions in which patches differ most become a color: like colors, like tokens.`,
  icon: "M2 2h10v6H2zM14 2h4v10h-4zM2 10h4v8H2zM8 10h4v4H8zM8 16h10v2H8zM14 14h4v0z",
  shows: [
    ["light", "Features"],
    ["photo", "Photo"],
  ],
  explores: false,
  overlay(s, show) {
    const found = answerOf(s);
    const fits = found && found.photos[0] === s.opened.id;
    return show === "photo" || !fits ? {} : { cells: colorsOf(found, 0, s.paint) };
  },
  where: (s) => (
    <span>
      Like colors, like tokens. <b>Layer {layerOf(s)}</b>
    </span>
  ),
  Body,
  picture: (s) =>
    pictureOf("features", {
      layer: layerOf(s),
      unit: true,
      outliers: 3,
      ...(s.keep !== 0 && { keep: s.keep > 0 ? "high" : "low" }),
    }),
};
