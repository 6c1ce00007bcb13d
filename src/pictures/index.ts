/**
 * Pictures of what a model sees: the paper's (Dosovitskiy et al. 2021, figures 6 and 7) and those that are looked at since, of any
 * checkpoint. `picture` asks the model and draws; the other functions make numbers of what `forward` gave, and ask nothing.
 */
import type { ImageInput } from "../image/source.js";
import { checkNames } from "../tasks/task.js";
import { KIND_NAMES, KINDS, type Kind, type KindName, type KindOptions } from "./kinds.js";
import { type Picture, pictureOf } from "./picture.js";
import type { SeeingModel } from "./see.js";

export {
  attentionOf,
  attentionOfMaps,
  type BlockAttention,
  fusedRows,
  type Heads,
  weightedRow,
} from "./attention.js";
export { type ColorMap, colorTable, componentColor } from "./colors.js";
export { type Components, principalComponents, projectedOn } from "./components.js";
export { attentionDistances, type DistanceOptions } from "./distance.js";
export { type FeatureOptions, type Features, featuresOf } from "./features.js";
export { filterComponents } from "./filters.js";
export type { AttentionOptions, FiltersOptions, KindName, KindOptions, LensOptions, ScoreOptions } from "./kinds.js";
export { lensOf } from "./lens.js";
export { lengthsOf, medianOf } from "./norms.js";
export { type OcclusionOptions, occlusionMap } from "./occlusion.js";
export type { DrawOptions, Picture } from "./picture.js";
export { type RolloutOptions, rolledBack, rollout } from "./rollout.js";
export {
  type Scores,
  type SeeingModel,
  type Seen,
  type SeenInputs,
  scoresOf,
  scoresOfPatches,
  see,
} from "./see.js";
export { cosinesOf, similarityGrid, similarityMap, unitRows } from "./similarity.js";
export { type Grid, type Patches, type Place, patchesOf, patchGrid, prefixOf } from "./tokens.js";

/** Kinds of pictures, and a line about each. */
export const kinds: Readonly<Record<KindName, string>> = Object.fromEntries(
  KIND_NAMES.map((name) => [name, KINDS[name].help]),
) as Record<KindName, string>;

/** Kinds that show the model itself, and need no photo. */
export type ModelKind = "filters" | "positions";
/** Kinds that make one picture of all photos. */
export type JointKind = ModelKind | "distance";

/**
 * A picture of a model and a photo; of a list of photos one of each, but one of all where the kind is of all (distance), or of
 * none (filters, positions, for which photos may be left out). Components of features are the same for all photos of a list.
 * @throws RangeError: one sentence, if the checkpoint has nothing to show of this kind, or an option is not what it must be.
 * @example
 * const { picture } = await import("vitrail/pictures");
 * const map = await picture(vit, "attention", "cat.jpg", { layer: 1, head: 0, from: "class" });
 * const file = await map.png({ over: "cat.jpg" });
 */
export async function picture<Name extends JointKind>(
  model: SeeingModel,
  kind: Name,
  images?: ImageInput | readonly ImageInput[],
  options?: KindOptions[Name],
): Promise<Picture<Name>>;
export async function picture<Name extends KindName>(
  model: SeeingModel,
  kind: Name,
  images: ImageInput,
  options?: KindOptions[Name],
): Promise<Picture<Name>>;
export async function picture<Name extends KindName>(
  model: SeeingModel,
  kind: Name,
  images: readonly ImageInput[],
  options?: KindOptions[Name],
): Promise<Picture<Name>[]>;
export async function picture(
  model: SeeingModel,
  name: KindName,
  images?: ImageInput | readonly ImageInput[],
  options: object = {},
): Promise<Picture | Picture[]> {
  if (!KIND_NAMES.includes(name)) {
    throw new RangeError(`picture: kinds are ${KIND_NAMES.join(", ")}; got ${JSON.stringify(name)}`);
  }
  const kind = KINDS[name] as Kind<object>;
  checkNames("picture", options, { ...kind.options, signal: true } as Readonly<Record<string, true>>);
  const { signal } = options as { signal?: AbortSignal };
  signal?.throwIfAborted();
  const lacks = kind.lacks?.(model.config, options);
  if (lacks) throw new RangeError(`picture: for ${name} the checkpoint must have ${lacks}`);
  const list =
    images === undefined ? [] : Array.isArray(images) ? (images as readonly ImageInput[]) : [images as ImageInput];
  if (kind.photos !== "none" && list.length === 0) throw new TypeError(`picture: ${name} needs a photo; got none`);
  const pictures = (await kind.make(model, list, options)).map((plate) => pictureOf(name, plate));
  return kind.photos === "each" && Array.isArray(images) ? pictures : pictures[0]!;
}
