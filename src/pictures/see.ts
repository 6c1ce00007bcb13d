/** A photo as a model sees it, and what the model tells of it: attention block by block, and what its heads say of any tokens. */
import type { Geometry } from "../image/geometry.js";
import type { ImageInput } from "../image/source.js";
import type { Model } from "../index.js";
import { predictions } from "../tasks/predictions.js";
import { textsOf } from "../tasks/task.js";
import type { Inputs } from "../vit/inputs.js";
import type { Tensor } from "../vit/outputs.js";
import { attentionOf, attentionOfMaps, type BlockAttention } from "./attention.js";
import { unitRows } from "./similarity.js";
import { type Grid, type Patches, patchGrid } from "./tokens.js";

/** Models, as far as pictures are concerned. */
export type SeeingModel = Pick<Model, "config" | "labels" | "preprocess" | "forward" | "text">;

/** A photo as `forward` takes it: pixel values, or patches with their grid. */
export type SeenInputs = Required<Pick<Inputs, "pixelValues">> & Pick<Inputs, "spatialShapes">;

export interface Seen {
  readonly inputs: SeenInputs;
  readonly geometry: Geometry;
  /** Rows and columns of patches; a ResNet has none. */
  readonly grid: Grid;
}

/**
 * A photo's pixel values, and where it lies in them.
 * @throws RangeError where the model sees a photo as several images.
 */
export async function see(model: SeeingModel, image: ImageInput, signal: AbortSignal | undefined): Promise<Seen> {
  const { geometry, spatialShapes, ...pixelValues } = await model.preprocess(image, { signal });
  if (spatialShapes) {
    const [rows, columns] = spatialShapes.data as [number, number];
    return { inputs: { pixelValues, spatialShapes }, geometry, grid: [rows, columns] };
  }
  if (pixelValues.dims[0] !== 1) {
    const found = `${pixelValues.dims[0]} of them`;
    throw new RangeError(`picture: this model sees a photo in windows, ${found}, and a picture is of one image`);
  }
  return { inputs: { pixelValues }, geometry, grid: patchGrid(model.config, pixelValues) };
}

/** Bytes of attention maps that are kept at once, where queries and keys do not tell all of it. */
const MAPS_BYTES = 2 ** 26;

/** Tells whether scores have a bias besides queries and keys. */
const hasBias = ({ relativePositions, queryMasks }: SeeingModel["config"]): boolean =>
  relativePositions || queryMasks !== undefined;

/**
 * Attention of a photo in blocks, in the order in which they are asked for: by queries and keys, all at once; where scores have a
 * bias (BEiT, EoMT) by maps, of as many blocks in a call as fit into 64 MB.
 * @throws RangeError if the checkpoint has no attention to all tokens.
 */
export async function* attentions(
  model: SeeingModel,
  { inputs, grid }: Seen,
  blocks: readonly number[],
  signal: AbortSignal | undefined,
): AsyncGenerator<BlockAttention> {
  const { config } = model;
  if (!hasBias(config)) {
    const asked = { outputs: ["queries", "keys"], blocks: sorted(blocks), signal } as const;
    const { queries, keys } = await model.forward(inputs, asked);
    for (const block of blocks) {
      const at = asked.blocks.indexOf(block);
      yield attentionOf(queries[at]!, keys[at]!);
    }
    return;
  }
  const tokens = config.prefixTokens + grid[0] * grid[1] + (config.queryMasks?.queries ?? 0);
  const size = Math.max(1, Math.floor(MAPS_BYTES / (4 * config.heads * tokens * tokens)));
  for (let first = 0; first < blocks.length; first += size) {
    const some = blocks.slice(first, first + size);
    const asked = { outputs: ["attentions"], blocks: sorted(some), signal } as const;
    const { attentions } = await model.forward(inputs, asked);
    for (const block of some) yield attentionOfMaps(attentions[asked.blocks.indexOf(block)]!);
  }
}

/** Lists of `forward` have their blocks in order, each once. */
const sorted = (blocks: readonly number[]): number[] => [...new Set(blocks)].sort((a, b) => a - b);

/** Scores that heads give, by name. */
export interface Scores {
  readonly names: readonly string[];
  readonly unit: "probability" | "logit" | "cosine";
  /** Scores of each image of inputs of `forward`, [names] each. */
  of(inputs: Inputs): Promise<Float32Array[]>;
  /** The same without softmax or sigmoid. */
  raw(inputs: Inputs): Promise<Float32Array[]>;
}

/** Why a checkpoint has no scores of a kind, to continue "the checkpoint must have …"; undefined if it has. */
export function lacksScores({ classes, pooling, features, text }: SeeingModel["config"], labels: unknown) {
  if (labels !== undefined) return text && features > 0 ? undefined : "a text tower, to compare labels with";
  if (classes === 0) return text ? "labels, as it has no classifier" : "a classifier";
  return pooling === "none" ? "a classifier of one vector an image, not of every token" : undefined;
}

/**
 * The classes of a classifier, or texts that image-text models compare images with, by cosines.
 * @throws RangeError if the checkpoint has neither.
 */
export async function scoresOf(
  call: string,
  model: SeeingModel,
  labels: readonly string[] | undefined,
  signal: AbortSignal | undefined,
): Promise<Scores> {
  const { config } = model;
  const lacks = lacksScores(config, labels);
  if (lacks) throw new RangeError(`${call}: the checkpoint must have ${lacks}`);
  if (labels === undefined) {
    const raw = async (inputs: Inputs) => {
      const { logits } = await model.forward(inputs, { outputs: ["logits"], signal });
      return rowsOf(logits);
    };
    const { probabilities } = config;
    const unit = probabilities === "none" ? "logit" : "probability";
    const names = model.labels;
    return { names, unit, raw, of: async (inputs) => (await raw(inputs)).map((row) => probabilitiesOf(row)) };

    function probabilitiesOf(logits: Float32Array): Float32Array {
      const out = new Float32Array(logits.length);
      const all = predictions(logits, { labels: names }, logits.length, probabilities);
      for (const { index, probability } of all) out[index] = probability;
      return out;
    }
  }
  const names = textsOf(call, labels, "labels");
  const embeds = await model.text!.embed(names, { normalize: true, signal });
  const width = embeds.length / names.length;
  const raw = async (inputs: Inputs) => {
    // Not imageEmbeds, which OWL-ViT has of patches.
    const { imageFeatures } = await model.forward(inputs, { outputs: ["imageFeatures"], signal });
    const units = unitRows(imageFeatures.data, width);
    return Array.from({ length: units.length / width }, (_, image) =>
      Float32Array.from(names, (_, n) => {
        let sum = 0;
        for (let i = 0; i < width; i++) sum += units[image * width + i]! * embeds[n * width + i]!;
        return sum;
      }),
    );
  };
  return { names, unit: "cosine", of: raw, raw };
}

const rowsOf = ({ dims, data }: Tensor): Float32Array[] =>
  Array.from({ length: dims[0]! }, (_, i) =>
    data.subarray((i * data.length) / dims[0]!, ((i + 1) * data.length) / dims[0]!),
  );

/** Tokens of a call of the heads, 16 MB at 1,024 columns. */
const TOKENS = 4096;

/**
 * Scores of each patch alone, by the last norm and the heads: the patch's token is all that they read, in the place of the class
 * token, of the mean, and of what attention pooling sees. Of a mean it is class activation mapping (Zhou et al. 2016), of attention
 * pooling its path of values (Zhou et al. 2022, "MaskCLIP").
 * @param patches behind the last block, before the last norm; of a ResNet its last map.
 */
export async function scoresOfPatches(
  { raw }: Scores,
  { prefixTokens }: SeeingModel["config"],
  { data, width }: Patches,
): Promise<Float32Array[]> {
  const count = data.length / width;
  // Pooling may leave the prefix out or read it alone: each sequence is the patch in all places.
  const tokens = prefixTokens + 1;
  const most = Math.max(1, Math.floor(TOKENS / tokens));
  const all: Float32Array[] = [];
  for (let first = 0; first < count; first += most) {
    const some = Math.min(most, count - first);
    const copies = new Float32Array(some * tokens * width);
    for (let i = 0; i < some * tokens; i++) {
      const patch = first + Math.floor(i / tokens);
      copies.set(data.subarray(patch * width, (patch + 1) * width), i * width);
    }
    all.push(...(await raw({ hiddenState: { dims: [some, tokens, width], data: copies } })));
  }
  return all;
}
