/** Costs of a model, from its config alone. Names as in Dosovitskiy et al. 2021: N patches, T tokens, D width. */
import type { Config } from "../checkpoint/config.js";
import type { Heads } from "../heads/index.js";
import type { EncoderConfig } from "../vit/encoder.js";
import { stagesOf } from "../vit/hierarchy.js";
import { ownGrid } from "../vit/places.js";

function sequenceOf(config: Config) {
  const [rows, columns] = ownGrid(config);
  const patches = rows * columns;
  const [height, width] = config.patchSize.map((side) => side / config.stride) as [number, number];
  const channels = (config.resnet?.channels.at(-1) ?? 3) * (config.video?.tubelet ?? 1);
  return { patches, tokens: config.prefixTokens + patches, patchValues: channels * height * width };
}

/** Tokens of an image, T; of a ResNet none. */
export const tokensOf = (config: Config): number | undefined =>
  config.depth > 0 ? sequenceOf(config).tokens : undefined;

/** Multiply-adds of T tokens, eq. 2: qkv and proj, then Q Kᵀ and A V; eq. 3: both layers of the MLP, or all three. */
const blockProducts = (
  { width: D, mlpWidth }: Pick<EncoderConfig, "width" | "mlpWidth">,
  T: number,
  gated: boolean,
  pairs = T * T,
): number => T * 4 * D * D + 2 * pairs * D + T * (gated ? 3 : 2) * D * mlpWidth;

/** Tokens of all windows of an image, also where they are outside of it. */
function tokensInWindows({ windows, imageSize, ...config }: Config): number {
  if (!windows) return 0;
  const whole = (side: number) => Math.ceil(side / windows.size) * windows.size;
  const [rows, columns] = ownGrid({ ...config, imageSize });
  return whole(rows) * whole(columns);
}

/** Multiply-adds of a block that attends over the T frames of each place, by a layer more, then over the places of each frame. */
function dividedProducts(config: Config, patches: number, frames: number): number {
  const { width: D, gated } = config;
  const sequence = 1 + patches / frames;
  const overTime = patches * 5 * D * D + 2 * patches * frames * D;
  return overTime + blockProducts(config, frames * sequence, gated, frames * sequence ** 2);
}

/** Multiply-adds of all stages, and of the layers that make the maps between them. */
function stageProducts(config: Config): number {
  const all = stagesOf(config, ownGrid(config));
  return all.reduce((sum, stage, i) => {
    const merging = i === all.length - 1 ? 0 : 2 * stage.tokens * stage.width ** 2;
    return sum + stage.depth * blockProducts(stage, stage.tokens, config.gated, stage.tokens * stage.keys) + merging;
  }, 0);
}

/**
 * Multiply-adds of the logits, or of the features, of one image. Counted are matrix products and convolutions, the
 * attention's products among them; norms, softmax, activations and sums are not. What they take is below a hundredth of it.
 */
export function multiplyAdds(config: Config, heads: Heads): number {
  const { width: D, mlpWidth, depth, classes, pooling, features, text } = config;
  const { patches, tokens: T, patchValues } = sequenceOf(config);
  const convolutions = config.resnet ? convolutionProducts(config, config.resnet) : 0;
  const { windows } = config;
  const inWindows = windows ? depth - new Set(windows.whole).size : 0;
  const pairs = windows ? tokensInWindows(config) * windows.size ** 2 : 0;
  const blocks = config.hierarchy
    ? stageProducts(config)
    : config.video?.divided
      ? depth * dividedProducts(config, patches, config.video.frames)
      : (depth - inWindows) * blockProducts(config, T, config.gated) +
        inWindows * blockProducts(config, T, config.gated, pairs);
  const encoder = depth > 0 ? patches * patchValues * (config.hierarchy?.stages[0]?.width ?? D) + blocks : 0;
  // k and v of every token, one query's scores and sum, proj and MLP of one vector
  const attentionPool = pooling === "attention" ? T * 2 * D * D + 2 * T * D + D * D + 2 * D * mlpWidth : 0;
  const classifiers = (pooling === "distilled" || pooling === "token+mean" ? 2 : 1) * D * classes;
  const others = headCosts(config, heads).products;
  return convolutions + encoder + attentionPool + classifiers + others + (text ? D * features : 0);
}

/** Costs of the heads that are not on pooled vectors. */
function headCosts(config: Config, heads: Heads): { readonly products: number; readonly elements: number } {
  const grid = ownGrid(config);
  const all = [...heads.values()].flatMap((head) => head.costs?.(config, grid) ?? []);
  const sum = (of: (costs: (typeof all)[number]) => number) => all.reduce((total, costs) => total + of(costs), 0);
  return { products: sum(({ products }) => products), elements: sum(({ elements }) => elements) };
}

/** Multiply-adds of the stem and of bottlenecks a quarter as wide inside. */
function convolutionProducts(
  { imageSize, inputChannels }: Config,
  { units, channels }: NonNullable<Config["resnet"]>,
): number {
  let area = (imageSize[0] * imageSize[1]) / 4;
  let sum = area * 49 * inputChannels * channels[0]!;
  area /= 4;
  for (const [stage, count] of units.entries()) {
    let inputs = channels[stage]!;
    const outputs = channels[stage + 1]!;
    const inner = outputs / 4;
    for (let unit = 0; unit < count; unit++) {
      sum += area * inputs * inner;
      if (unit === 0 && stage > 0) area /= 4;
      sum += area * (9 * inner * inner + inner * outputs + (unit === 0 ? inputs * outputs : 0));
      inputs = outputs;
    }
  }
  return sum;
}

/** About how many bytes the activations of one image take in f32: those of a block, and what comes before it. */
export function activationBytes(config: Config, heads: Heads): number {
  const { width: D, mlpWidth, imageSize, resnet } = config;
  const area = imageSize[0] * imageSize[1] * (config.video?.frames ?? 1);
  // Rows of three floats take those of a whole panel, 96 bytes; then the first map, what is pooled of it, and each stage's.
  let maps = 0;
  if (resnet) {
    maps = area * 24 + (area / 4) * resnet.channels[0]!;
    for (const [i, channels] of resnet.channels.entries()) maps += (area / 4 ** Math.max(2, i + 1)) * channels;
  }
  if (config.depth === 0) return 4 * (3 * area + maps);
  const { patches, tokens: T, patchValues } = sequenceOf(config);
  // Windows have their own q, k, v and results; rows that a matrix product reads are packed first.
  const hidden = (config.gated ? 3 : 1) + 1;
  const block = config.hierarchy
    ? Math.max(...stagesOf(config, ownGrid(config)).map((s) => s.tokens * (9 * s.width + hidden * s.mlpWidth)))
    : 4 * D * tokensInWindows(config) + T * (5 * D + hidden * mlpWidth);
  const dense = headCosts(config, heads).elements;
  return 4 * (3 * area + maps + patches * (patchValues + D) + block + dense);
}
