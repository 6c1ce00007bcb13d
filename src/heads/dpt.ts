/**
 * Dense prediction (DPT, Ranftl et al. 2021): the tokens of a few blocks become maps of four sizes, which are fused from the
 * coarsest to the finest, and convolutions make of the last one depth or the scores of classes. Depth Anything (Yang et al. 2024)
 * has the same without readout tokens, and maps of exactly the sizes of the next.
 */
import type { Activation, Backend, Linear, Tensor as Matrix, Norm, Readout } from "../backend.js";
import type { BatchNormPlan, LinearPlan, Planned, Planner } from "../planned.js";
import { convolutionRows, source, transposedPlan, values } from "../plans.js";
import { type Call, tensorOf } from "../vit/call.js";
import type { Tensor } from "../vit/outputs.js";
import type { Encoded, Reader } from "../vit/reader.js";
import { type FeatureMap, planes, windowOf } from "../vit/resnet.js";
import type { Head, HeadPass } from "./head.js";
import { BAND_BYTES, inBands } from "./maps.js";

/** A level of the neck. */
export interface Level {
  /** Place that it is read from: behind a block (-1: before the first), or a map of the convolutional stem, which is taken as it is. */
  readonly place: { readonly block: number } | { readonly map: number };
  /** Channels of its map. */
  readonly channels: number;
  /** Pixels of its map for one patch, along a side: 4, 2, 1 or ½ in all that are published. */
  readonly factor: number;
}

export interface DptConfig {
  /** From the finest to the coarsest. */
  readonly levels: readonly Level[];
  /** True if tokens pass the encoder's last norm before they are read. */
  readonly norm: boolean;
  /** The class token's part: none, added, or beside each patch and through a layer with this activation. */
  readonly readout: "ignore" | "add" | { readonly project: Activation };
  /** Channels of maps that are fused. */
  readonly width: number;
  /** Size that a fused map gets: twice its own, or that of the next level (of the last, twice). */
  readonly enlarge: "double" | "next";
  /** The fused map that the head reads, from 0, in the order in which they are made. */
  readonly read: number;
  /** The maps that the backbone gives are outputs: those of a backbone that is a model of its own. */
  readonly featureMaps: boolean;
  readonly head: DepthHead | { readonly kind: "segmentation"; readonly classes: number };
}

export interface DepthHead {
  readonly kind: "depth";
  /** Size of the result: twice that of the map, or a patch's pixels for each patch. */
  readonly enlarge: "double" | "patches";
  readonly activation: "relu" | "sigmoid";
  /** Factor of the result. */
  readonly scale: number;
  /** True if it is in metres. */
  readonly metric: boolean;
  /** Channels of its first two convolutions. */
  readonly channels: readonly [number, number];
}

/** A residual unit: x + conv2(relu(conv1(relu(x)))). */
interface Unit {
  readonly conv1: Linear;
  readonly conv2: Linear;
}

/** Sizes of a level's map, by a transposed convolution of this stride or a convolution of that. */
type Resize = { readonly weights: Linear; readonly up: number } | { readonly weights: Linear; readonly down: number };

export interface Dpt {
  /** Layers between tokens and a map, for each level that is read from a block. */
  readonly reassemble: readonly (
    | { readonly readout: Linear | undefined; readonly projection: Linear; readonly resize: Resize | undefined }
    | undefined
  )[];
  /** To the channels of maps that are fused, 3×3. */
  readonly convs: readonly Linear[];
  /** In the order in which maps are fused; the first has no unit for what it is fused with. */
  readonly fusion: readonly { readonly skip: Unit | undefined; readonly unit: Unit; readonly projection: Linear }[];
  readonly head:
    | {
        readonly projection: Linear | undefined;
        readonly conv1: Linear;
        readonly conv2: Linear;
        readonly conv3: Linear;
      }
    | { readonly conv: Linear; readonly classifier: Linear };
}

/** Names of a head's layers. */
const NAMES = {
  patches: { conv1: "head.conv1", conv2: "head.conv2", conv3: "head.conv3" },
  double: { conv1: "head.head.0", conv2: "head.head.2", conv3: "head.head.4" },
} as const;

const SEGMENTATION = { conv: "head.head.0", norm: "head.head.1", classifier: "head.head.4" } as const;
const PROJECTION = "head.projection";
const fusionAt = (i: number) => `neck.fusion_stage.layers.${i}.`;

/** Tensors of training alone: another head, counts of batches, and the unit of the first fusion, which has nothing to fuse with. */
const UNREAD = /^auxiliary_head\.|\.num_batches_tracked$|^neck\.fusion_stage\.layers\.0\.residual_layer1\./;

/** Sizes that the tensors of a DPT's neck and head tell; undefined without them. */
export function observeDpt(shapeOf: (tensor: string) => readonly number[] | undefined) {
  const has = (tensor: string) => shapeOf(tensor) !== undefined;
  const channels: number[] = [];
  for (let i = 0; ; i++) {
    const shape = shapeOf(`neck.convs.${i}.weight`);
    if (!shape) break;
    channels.push(shape[1] ?? 0);
  }
  if (channels.length === 0) return undefined;
  const unit = `${fusionAt(0)}residual_layer2.`;
  return {
    channels,
    width: shapeOf("neck.convs.0.weight")![0]!,
    classes: has(`${SEGMENTATION.norm}.weight`) ? (shapeOf(`${SEGMENTATION.classifier}.weight`)?.[0] ?? 0) : 0,
    batchNorm: has(`${unit}batch_norm1.weight`),
    bias: has(`${unit}convolution1.bias`),
    depth: Object.values(NAMES).flatMap(({ conv1, conv2 }) => {
      const [half, hidden] = [conv1, conv2].map((name) => shapeOf(`${name}.weight`)?.[0]);
      return half !== undefined && hidden !== undefined ? [[half, hidden] as const] : [];
    })[0] ?? [0, 0],
    projection: has(`${PROJECTION}.weight`),
  };
}

/** @param tokens width of the encoder's tokens. */
function planDpt(planner: Planner, config: DptConfig, tokens: number): Planned<Dpt> {
  const { has, weightOf, biasOf } = planner;
  const { levels, readout, width, head } = config;

  /**
   * Keeps a layer of a depth head in f32. Of Depth Anything Small with random weights int8 in the head alone moves depth by 5.4 %
   * (root of the mean square) where it moves it by 1.8 % in the encoder alone; the error comes from all of the head alike: 3.1 %
   * from the tokens' projections, 2.3 % from the necks' convolutions, 4.1 % from what is fused, 2.7 % from the last. In f16 the
   * whole model moves it by 0.09 %. Scores of classes, which are compared with each other, bear it (2.6 % beside 2.8 %).
   */
  const kept = (plan: LinearPlan): LinearPlan => (head.kind === "depth" ? { ...plan, exact: true } : plan);

  /** A convolution with a bias, or a batch norm behind it. */
  function convolution(
    name: string,
    outputs: number,
    channels: number,
    kernel: number,
    { norm, biased = true }: { readonly norm?: string; readonly biased?: boolean } = {},
  ): LinearPlan {
    const arrange = kernel === 1 ? undefined : convolutionRows({ outputs, channels, kernel });
    const folded = norm !== undefined;
    return kept({
      place: "linear",
      ...{ outputs, inputs: kernel * kernel * channels },
      weight: [source(weightOf(name), [outputs, channels, kernel, kernel], outputs, { arrange })],
      bias: biased && !folded ? [source(biasOf(name), [outputs], outputs)] : [],
      ...(folded && { batchNorm: batchNorm(norm, outputs, biased ? biasOf(name) : undefined) }),
    });
  }

  const linear = (name: string, outputs: number, inputs: number) =>
    kept(planner.linear([name], outputs, inputs, { biased: true }));

  function batchNorm(norm: string, outputs: number, bias: string | undefined): BatchNormPlan {
    const vector = (part: string) => values(`${norm}.${part}`, [outputs]);
    return {
      eps: 1e-5,
      values: {
        ...{ scale: vector("weight"), shift: vector("bias") },
        ...{ mean: vector("running_mean"), variance: vector("running_var") },
        ...(bias !== undefined && { bias: values(bias, [outputs]) }),
      },
    };
  }

  /** All units are like the one that always is there. */
  const first = `${fusionAt(0)}residual_layer2.`;
  const normed = has(`${first}batch_norm1.weight`);
  const biased = has(biasOf(`${first}convolution1`));

  function unit(at: string): Planned<Unit> {
    const layer = (i: 1 | 2) => {
      const norm = normed ? `${at}batch_norm${i}` : undefined;
      return convolution(`${at}convolution${i}`, width, width, 3, { norm, biased });
    };
    return { conv1: layer(1), conv2: layer(2) };
  }

  function resize(name: string, channels: number, factor: number): Planned<Resize> | undefined {
    if (factor === 1) return undefined;
    if (factor < 1) return { weights: convolution(name, channels, channels, 3), down: Math.trunc(1 / factor) };
    return {
      weights: kept(transposedPlan(planner, name, { outputs: channels, channels, stride: factor })),
      up: factor,
    };
  }

  function planHead(): Planned<Dpt["head"]> {
    if (head.kind === "segmentation") {
      const { conv, norm, classifier } = SEGMENTATION;
      return {
        conv: convolution(conv, width, width, 3, { norm, biased: false }),
        classifier: convolution(classifier, head.classes, width, 1),
      };
    }
    const { conv1, conv2, conv3 } = NAMES[head.enlarge];
    const [half, hidden] = head.channels;
    return {
      projection: has(weightOf(PROJECTION)) ? convolution(PROJECTION, width, width, 3) : undefined,
      conv1: convolution(conv1, half, width, 3),
      conv2: convolution(conv2, hidden, half, 3),
      conv3: convolution(conv3, 1, hidden, 1),
    };
  }

  return {
    reassemble: levels.map(({ place, channels, factor }, i) => {
      if ("map" in place) return undefined;
      const at = "neck.reassemble_stage.";
      const project = typeof readout === "object";
      return {
        readout: project ? linear(`${at}readout_projects.${i}.0`, tokens, 2 * tokens) : undefined,
        projection: linear(`${at}layers.${i}.projection`, channels, tokens),
        resize: resize(`${at}layers.${i}.resize`, channels, factor),
      };
    }),
    convs: levels.map(({ channels }, i) => convolution(`neck.convs.${i}`, width, channels, 3, { biased: false })),
    fusion: levels.map((_, i) => ({
      skip: i === 0 ? undefined : unit(`${fusionAt(i)}residual_layer1.`),
      unit: unit(`${fusionAt(i)}residual_layer2.`),
      projection: convolution(`${fusionAt(i)}projection`, width, width, 1),
    })),
    head: planHead(),
  };
}

/** Config of a model that may have the head. */
interface Config {
  readonly dpt: DptConfig | undefined;
  readonly width: number;
  readonly prefixTokens: number;
  readonly patchSize: readonly [number, number];
}

interface Weights {
  readonly dpt: Dpt | undefined;
  /** Norm behind the encoder. */
  readonly norm: Norm | undefined;
}

/** Reads the levels while the encoder runs, and then fuses them; undefined where no output needs it. */
function passOf(
  backend: Backend,
  { dpt, norm }: Weights,
  { dpt: own, prefixTokens, patchSize }: Config,
  { wants, outputs }: Call,
): HeadPass | undefined {
  const weights = dpt!;
  const config = own!;
  const kind = config.head.kind === "depth" ? "predictedDepth" : "logits";
  if (!wants(kind) && !(["featureMaps", "reassembled", "fused"] as const).some(wants)) return undefined;
  const { levels, width } = config;
  const maps: (FeatureMap | undefined)[] = levels.map(() => undefined);
  const featureMaps: Promise<Tensor>[] = [];
  const reassembled: Promise<Tensor>[] = [];
  if (wants("featureMaps")) outputs.featureMaps = featureMaps;
  if (wants("reassembled")) outputs.reassembled = reassembled;

  /** An empty map. */
  const mapOf = (images: number, height: number, width: number, channels: number): FeatureMap => ({
    x: backend.createTensor(images * height * width, channels),
    ...{ height, width },
  });
  const window3 = (map: FeatureMap, stride = 1) => windowOf(map, 3, stride, "symmetric");

  /** Tokens as a map of a level's channels and size. */
  function reassemble(i: number, { images, tokens, z, grid }: Encoded): FeatureMap {
    const level = levels[i]!;
    const { readout, projection, resize } = weights.reassemble[i]!;
    const [rows, columns] = grid;
    const kind: Readout = typeof config.readout === "object" ? "concatenate" : config.readout;
    const patches = backend.createTensor(images * rows * columns, (readout ? 2 : 1) * z.cols);
    backend.readout(patches, z, { tokens, prefix: prefixTokens, readout: kind });
    let x = patches;
    if (readout) {
      x = backend.createTensor(patches.rows, z.cols);
      backend.linear(x, patches, readout, { activation: (config.readout as { project: Activation }).project });
    }
    const projected = mapOf(images, rows, columns, level.channels);
    backend.linear(projected.x, x, projection);
    if (!resize) return projected;
    const resized = mapOf(images, ...sizeOf(level, grid), level.channels);
    if ("up" in resize) {
      const sizes = { height: rows, width: columns, kernel: resize.up, stride: resize.up };
      backend.convolveTransposed(resized.x, projected.x, resize.weights, sizes);
    } else backend.convolve(resized.x, projected.x, resize.weights, window3(projected, resize.down));
    return resized;
  }

  /** A level's map in the channels of those that are fused; all that it is made of is freed. */
  function take(i: number, images: number, [height, columns]: readonly [number, number], make: () => FeatureMap): void {
    const map = mapOf(images, height, columns, width);
    const mark = backend.mark();
    const made = make();
    if (wants("reassembled")) reassembled[i] = planes(backend, made, images);
    backend.convolve(map.x, made.x, weights.convs[i]!, window3(made));
    backend.release(mark);
    maps[i] = map;
  }

  const reader: Reader = {
    blocks: levels.flatMap(({ place }) => ("block" in place ? [place.block] : [])),
    tokens(block, encoded) {
      const { images, tokens, grid } = encoded;
      const i = levels.findIndex(({ place }) => "block" in place && place.block === block);
      take(i, images, sizeOf(levels[i]!, grid), () => {
        let { z } = encoded;
        if (config.norm) {
          z = backend.createTensor(encoded.z.rows, encoded.z.cols);
          backend.layerNorm(z, encoded.z, norm!);
        }
        if (wants("featureMaps")) featureMaps.push(tensorOf(backend.read(z), [images, tokens, z.cols]));
        return reassemble(i, { ...encoded, z });
      });
    },
    map(index, map, images) {
      // Behind the stages: before them is the stem's.
      if (wants("featureMaps") && index > 0) featureMaps.push(planes(backend, map, images));
      for (const [i, { place }] of levels.entries()) {
        if ("map" in place && place.map === index) take(i, images, [map.height, map.width], () => map);
      }
    },
  };

  /** x += conv2(relu(conv1(relu(x)))) */
  function residual(map: FeatureMap, { conv1, conv2 }: Unit): void {
    const mark = backend.mark();
    const hidden = backend.createTensor(map.x.rows, map.x.cols);
    backend.convolve(hidden, map.x, conv1, window3(map), { relu: true, activation: "relu" });
    backend.convolve(map.x, hidden, conv2, window3(map), { accumulate: true });
    backend.release(mark);
  }

  /** A map in another size, or added to one of it. */
  function resized(
    map: FeatureMap,
    images: number,
    to: { height: number; width: number; aligned: boolean; out?: Matrix },
  ) {
    const { x, height, width } = map;
    const out = to.out ?? mapOf(images, to.height, to.width, x.cols).x;
    const sizes = { height, width, outHeight: to.height, outWidth: to.width, aligned: to.aligned };
    backend.resizeMap(out, x, { ...sizes, accumulate: to.out !== undefined });
    return { x: out, height: to.height, width: to.width };
  }

  /**
   * The fused map that the head reads. The 1×1 projection of a map comes before it is enlarged: a blend of pixels whose weights
   * sum to 1 is the same before and after it, and there are a quarter of them.
   */
  function fuse(images: number): FeatureMap {
    const fused: Promise<Tensor>[] = [];
    if (wants("fused")) outputs.fused = fused;
    const last = wants("fused") ? levels.length - 1 : config.read;
    let path: { map: FeatureMap; height: number; width: number } | undefined;
    let read: typeof path;
    for (const [j, { skip, unit, projection }] of weights.fusion.slice(0, last + 1).entries()) {
      let map = maps[levels.length - 1 - j]!;
      if (path) {
        const { height, width } = path;
        if (map.height !== height || map.width !== width) {
          map = resized(map, images, { height, width, aligned: false });
        }
        residual(map, skip!);
        resized(path.map, images, { height, width, aligned: true, out: map.x });
      }
      residual(map, unit);
      const projected = mapOf(images, map.height, map.width, width);
      backend.linear(projected.x, map.x, projection);
      const next = config.enlarge === "next" ? maps[levels.length - 2 - j] : undefined;
      path = { map: projected, height: next?.height ?? 2 * map.height, width: next?.width ?? 2 * map.width };
      if (j === config.read) read = path;
      if (wants("fused")) {
        const mark = backend.mark();
        fused.push(planes(backend, resized(projected, images, { ...path, aligned: true }), images));
        backend.release(mark);
      }
    }
    return resized(read!.map, images, { ...read!, aligned: true });
  }

  /** A convolution of 3×3. */
  function convolved(map: FeatureMap, images: number, weights: Linear, activation?: "relu"): FeatureMap {
    const out = mapOf(images, map.height, map.width, weights.outputs);
    backend.convolve(out.x, map.x, weights, window3(map), { activation });
    return out;
  }

  /**
   * A map enlarged, corners on corners, and what is made of it: planes [B, C, height, width], a few lines at a time.
   * @param border lines above and below that a line is made of as well.
   * @param make makes `count` lines of the enlarged ones that it is given, of which `before` come first.
   */
  function enlargedBands(
    map: FeatureMap,
    images: number,
    { height, width, channels, border }: { height: number; width: number; channels: number; border: number },
    make: (lines: FeatureMap, before: number, count: number) => Matrix,
  ): Promise<Float32Array> {
    return inBands(backend, { images, height, width, channels, columns: map.x.cols }, (top, count) => {
      const first = Math.max(top - border, 0);
      const end = Math.min(top + count + border, height);
      const lines = mapOf(images, end - first, width, map.x.cols);
      const sizes = { height: map.height, width: map.width, outHeight: height, outWidth: width };
      backend.resizeMap(lines.x, map.x, { ...sizes, aligned: true, rows: { first, count: end - first } });
      return make(lines, top - first, count);
    });
  }

  function run({ images, grid }: Encoded): void {
    if (!wants(kind) && !wants("fused")) return;
    const map = fuse(images);
    if (!wants(kind)) return;
    const { head } = weights;
    if ("classifier" in head) {
      const hidden = convolved(map, images, head.conv, "relu");
      const scores = mapOf(images, map.height, map.width, head.classifier.outputs);
      backend.linear(scores.x, hidden.x, head.classifier);
      const size = { height: 2 * map.height, width: 2 * map.width, channels: head.classifier.outputs, border: 0 };
      const logits = enlargedBands(scores, images, size, (lines) => lines.x);
      outputs.logits = tensorOf(logits, [images, size.channels, size.height, size.width]);
      return;
    }
    const { enlarge, activation, scale } = config.head as DepthHead;
    const projected = head.projection ? convolved(map, images, head.projection, "relu") : map;
    const half = convolved(projected, images, head.conv1);
    const [height, width] =
      enlarge === "double" ? [2 * half.height, 2 * half.width] : [grid[0] * patchSize[0], grid[1] * patchSize[1]];
    const size = { height, width, channels: 1, border: 1 };
    const depth = enlargedBands(half, images, size, (lines, before, count) => {
      const hidden = backend.createTensor(images * count * width, head.conv2.outputs);
      const sizes = { height: lines.height, width, kernel: 3, stride: 1, left: 1, outHeight: count, outWidth: width };
      backend.convolve(hidden, lines.x, head.conv2, { ...sizes, top: 1 - before }, { activation: "relu" });
      const out = backend.createTensor(hidden.rows, 1);
      backend.linear(out, hidden, head.conv3, activation === "relu" ? { activation } : {});
      return out;
    });
    const last = activation === "sigmoid" ? (x: number) => scale / (1 + Math.exp(-x)) : (x: number) => scale * x;
    const done = activation === "relu" && scale === 1 ? depth : depth.then((data) => data.map(last));
    outputs.predictedDepth = tensorOf(done, [images, height, width]);
  }

  return { reader, run };
}

/** Size of a level's map, for a grid of patches. */
function sizeOf({ factor }: Level, [rows, columns]: readonly [number, number]): [number, number] {
  if (factor >= 1) return [rows * factor, columns * factor];
  const stride = Math.trunc(1 / factor);
  return [Math.floor((rows - 1) / stride) + 1, Math.floor((columns - 1) / stride) + 1];
}

/**
 * Costs for an image of this grid, as far as they are of the neck and the head.
 * @param tokens width of the encoder's tokens.
 * @returns multiply-adds of products, and elements of the maps that are there at once, about.
 */
function costsOf(
  { levels, readout, width, enlarge, read, head }: DptConfig,
  grid: readonly [number, number],
  { patchSize, tokens }: { readonly patchSize: readonly [number, number]; readonly tokens: number },
): { readonly products: number; readonly elements: number } {
  const patches = grid[0] * grid[1];
  const areaOf = (level: Level) => {
    const [height, columns] = sizeOf(level, grid);
    return height * columns;
  };
  let products = 0;
  for (const level of levels) {
    const { place, channels, factor } = level;
    const area = areaOf(level);
    if ("block" in place) {
      products += patches * tokens * (channels + (typeof readout === "object" ? 2 * tokens : 0));
      if (factor !== 1) products += area * channels * channels * (factor < 1 ? 9 : 1);
    }
    products += area * 9 * channels * width;
  }
  // Two units a map, of two convolutions each, and one where there is nothing to fuse with; then a projection.
  const fused = levels.slice(levels.length - 1 - read).reverse();
  let area = 0;
  for (const [j, level] of fused.entries()) {
    area = j === 0 || enlarge === "next" ? areaOf(level) : 4 * area;
    products += area * width * width * (j === 0 ? 19 : 37);
  }
  const last = 4 * area;
  const maps = levels.reduce((sum, level) => sum + areaOf(level) * width, 0) + last * width;
  if (head.kind === "segmentation") {
    const scores = last * head.classes;
    return {
      products: products + last * 9 * width * width + scores * width,
      elements: maps + last * width + 5 * scores,
    };
  }
  const [half, hidden] = head.channels;
  const pixels = head.enlarge === "double" ? 4 * last : patches * patchSize[0] * patchSize[1];
  products += last * 9 * width * half + pixels * (9 * half * hidden + hidden);
  const band = Math.min(pixels * (half + hidden), (BAND_BYTES / 4) * (1 + hidden / half));
  return { products, elements: maps + last * half + band + pixels };
}

/** Elements of the largest matrix that an image of this grid needs, its rows filled to eight columns. */
function largestOf({ levels, width, head }: DptConfig, [rows, columns]: readonly [number, number]): number {
  const to8 = (n: number) => Math.ceil(n / 8) * 8;
  const fine = Math.max(...levels.map(({ factor }) => Math.max(1, factor)));
  const own = levels.map(({ channels, factor }) => Math.max(1, factor) ** 2 * to8(channels));
  const classes = head.kind === "segmentation" ? to8(head.classes) : 0;
  // Fused maps are enlarged twice at most, and read from maps that are as fine.
  return rows * columns * Math.max(...own, (2 * fine) ** 2 * Math.max(to8(width), classes));
}

/** Gives predictedDepth or logits, featureMaps, reassembled and fused. */
export const dpt: Head<Config, Weights, Dpt> = {
  plan: (planner, { dpt, width }) => planDpt(planner, dpt!, width),
  unread: UNREAD,
  largest: ({ dpt }, grid) => largestOf(dpt!, grid),
  costs: ({ dpt, patchSize, width }, grid) => costsOf(dpt!, grid, { patchSize, tokens: width }),
  begin: ({ weights, config }) => ({ pass: (backend, call) => passOf(backend, weights, config, call) }),
};
