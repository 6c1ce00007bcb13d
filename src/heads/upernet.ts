/**
 * Segmentation by UPerNet (Xiao et al. 2018) on a plain ViT, as BEiT has it (Bao et al. 2021, section 3.2): the patch tokens of four
 * blocks become maps of four sizes, the coarsest of which also reads means of its parts (pyramid pooling, Zhao et al. 2017); from
 * there each is added to the next finer one (feature pyramid, Lin et al. 2017), and all together are classified at the finest's size.
 *
 * Where the library lays maps side by side before a convolution, the convolutions of each are added here, which is the same, and of
 * BEiT-B at 640 × 640 saves a matrix of 315 MB.
 */
import type { Backend, Linear, Tensor as Matrix } from "../backend.js";
import type { Arrange, BatchNormPlan, LinearPlan, Planned, Planner } from "../planned.js";
import { convolutionRows, source, transposedPlan, values } from "../plans.js";
import type { Call } from "../vit/call.js";
import type { Encoded } from "../vit/reader.js";
import { type FeatureMap, planes, windowOf } from "../vit/resnet.js";
import type { Head, HeadPass } from "./head.js";
import { positive } from "./maps.js";

/** Four levels, from the finest to the coarsest: their pixels for one patch, along a side. */
const FACTORS = [4, 2, 1, 0.5] as const;

export interface UpernetConfig {
  /** Blocks behind which the levels are read, from 0; -1: before the first. */
  readonly blocks: readonly number[];
  /** Parts along a side of which pyramid pooling takes the means. */
  readonly scales: readonly number[];
  readonly classes: number;
}

export interface Upernet {
  /** To a map four times as fine, in two steps, and to one twice as fine: transposed convolutions. */
  readonly fourfold: readonly [Linear, Linear];
  readonly twofold: Linear;
  /** 1×1, of the means of each scale. */
  readonly pools: readonly Linear[];
  /** 3×3, of the coarsest map and of the means of each scale. */
  readonly bottleneck: readonly Linear[];
  /** 1×1, of the other three maps. */
  readonly laterals: readonly Linear[];
  /** 3×3, of these when coarser ones are added. */
  readonly convs: readonly Linear[];
  /** 3×3, of all four. */
  readonly fuse: readonly Linear[];
  readonly classifier: Linear;
}

const HEAD = "decode_head.";
export const UPERNET_CLASSIFIER = `${HEAD}classifier`;

/** The head of training alone, and counts of batches. */
const UNREAD = /^auxiliary_head\.|\.num_batches_tracked$/;

/** The same numbers `times` times. */
const repeated =
  (times: number): Arrange =>
  (x) =>
    Float32Array.from({ length: times * x.length }, (_, i) => x[i % x.length]!);

const zeros: Arrange = (x) => new Float32Array(x.length);

/** @param width of the encoder's tokens, and of all maps. */
function planUpernet(planner: Planner, { scales, classes }: UpernetConfig, width: number): Planned<Upernet> {
  const { weightOf, biasOf } = planner;

  /** @param shifts false of all but one of convolutions that are added. */
  function batchNorm(norm: string, { times = 1, shifts = true, bias = "" } = {}): BatchNormPlan {
    const vector = (tensor: string, arrange = repeated(times)) => values(tensor, [width], arrange);
    const none = shifts ? undefined : zeros;
    return {
      eps: 1e-5,
      values: {
        ...{ scale: vector(`${norm}.weight`), variance: vector(`${norm}.running_var`) },
        ...{ shift: vector(`${norm}.bias`, none), mean: vector(`${norm}.running_mean`, none) },
        ...(bias && { bias: vector(bias) }),
      },
    };
  }

  /** A convolution with batch norm, of one of the `count` maps that it has side by side. */
  function part(name: string, kernel: number, map: number, count: number): LinearPlan {
    const rows = convolutionRows({ outputs: width, channels: width, kernel });
    const size = width * kernel * kernel;
    const arrange: Arrange = (all) => {
      const own = new Float32Array(width * size);
      for (let o = 0; o < width; o++) {
        const from = (o * count + map) * size;
        own.set(all.subarray(from, from + size), o * size);
      }
      return rows(own);
    };
    return {
      place: "linear",
      ...{ outputs: width, inputs: size },
      weight: [source(weightOf(`${name}.conv`), [width, count * width, kernel, kernel], width, { arrange })],
      bias: [],
      batchNorm: batchNorm(`${name}.bn`, { shifts: map === 0 }),
    };
  }
  const parts = (name: string, count: number) => Array.from({ length: count }, (_, i) => part(name, 3, i, count));
  const finer = (kind: string, kernel: number) => [0, 1, 2].map((i) => part(`${HEAD}${kind}.${i}`, kernel, 0, 1));
  const doubling = (name: string) => transposedPlan(planner, name, { outputs: width, channels: width, stride: 2 });

  return {
    fourfold: [
      { ...doubling("fpn1.0"), bias: [], batchNorm: batchNorm("fpn1.1", { times: 4, bias: biasOf("fpn1.0") }) },
      doubling("fpn1.3"),
    ],
    twofold: doubling("fpn2.0"),
    pools: scales.map((_, i) => part(`${HEAD}psp_modules.${i}.1`, 1, 0, 1)),
    bottleneck: parts(`${HEAD}bottleneck`, 1 + scales.length),
    laterals: finer("lateral_convs", 1),
    convs: finer("fpn_convs", 3),
    fuse: parts(`${HEAD}fpn_bottleneck`, FACTORS.length),
    classifier: planner.linear([UPERNET_CLASSIFIER], classes, width, { biased: true }),
  };
}

/** Config of a model that may have the head. */
interface Config {
  readonly upernet?: UpernetConfig;
  readonly width: number;
  readonly heads: number;
  readonly prefixTokens: number;
}

/** Reads the levels while the encoder runs, and then puts them together; undefined where no output needs it. */
function passOf(
  backend: Backend,
  weights: Upernet,
  { upernet, width, heads, prefixTokens }: Config,
  { wants, outputs }: Call,
): HeadPass | undefined {
  if (!wants("logits") && !wants("featureMaps")) return undefined;
  const { blocks, scales } = upernet!;
  const levels: FeatureMap[] = [];

  const mapOf = (images: number, height: number, columns: number): FeatureMap => ({
    x: backend.createTensor(images * height * columns, width),
    ...{ height, width: columns },
  });
  const window3 = (map: FeatureMap) => windowOf(map, 3, 1, "symmetric");

  /** Patch tokens as the map of a level. */
  function levelOf(i: number, { images, tokens, z, grid: [rows, columns] }: Encoded): FeatureMap {
    const side = (n: number) => Math.floor(n * FACTORS[i]!);
    const level = mapOf(images, side(rows), side(columns));
    const mark = backend.mark();
    const patches = i === 2 ? level : mapOf(images, rows, columns);
    backend.readout(patches.x, z, { tokens, prefix: prefixTokens, readout: "ignore" });
    const sizes = { height: rows, width: columns, kernel: 2, stride: 2 };
    if (i === 0) {
      const double = mapOf(images, 2 * rows, 2 * columns);
      backend.convolveTransposed(double.x, patches.x, weights.fourfold[0], sizes, { activation: "gelu" });
      const doubled = { ...sizes, height: double.height, width: double.width };
      backend.convolveTransposed(level.x, double.x, weights.fourfold[1], doubled);
    } else if (i === 1) backend.convolveTransposed(level.x, patches.x, weights.twofold, sizes);
    else if (i === 3) backend.maxPool(level.x, patches.x, windowOf(patches, 2, 2, "valid"), 0);
    backend.release(mark);
    return level;
  }

  /**
   * Means of scale × scale parts of a map, [B·scale², D], as torch.nn.AdaptiveAvgPool2d cuts them: attention whose scores are all the
   * same within a part.
   */
  function means({ x, height, width: columns }: FeatureMap, images: number, scale: number): Matrix {
    const out = backend.createTensor(images * scale * scale, width);
    const isIn = (i: number, part: number, n: number) =>
      i >= Math.floor((part * n) / scale) && i < Math.ceil(((part + 1) * n) / scale);
    const hidden = new Float32Array(scale * scale * height * columns).fill(-Infinity);
    for (let at = 0; at < hidden.length; at++) {
      const [part, pixel] = [Math.floor(at / (height * columns)), at % (height * columns)];
      const isOwn =
        isIn(Math.floor(pixel / columns), Math.floor(part / scale), height) &&
        isIn(pixel % columns, part % scale, columns);
      if (isOwn) hidden[at] = 0;
    }
    const q = backend.createTensor(scale * scale, width, new Float32Array(scale * scale * width));
    const bias = backend.createTensor(scale * scale, height * columns, hidden);
    backend.attention(out, { q, k: x, v: x }, { heads, tokens: height * columns, bias });
    return out;
  }

  /** A map in the size of another, or added to it. */
  function resized(map: FeatureMap, images: number, to: FeatureMap, accumulate = false): FeatureMap {
    const { x, height, width: columns } = map;
    const out = accumulate ? to : mapOf(images, to.height, to.width);
    const sizes = { height, width: columns, outHeight: to.height, outWidth: to.width };
    backend.resizeMap(out.x, x, { ...sizes, aligned: false, accumulate });
    return out;
  }

  /** The coarsest level, and beside it the means of its parts. */
  function pooled(map: FeatureMap, images: number): FeatureMap {
    const sum = mapOf(images, map.height, map.width);
    backend.convolve(sum.x, map.x, weights.bottleneck[0]!, window3(map));
    for (const [i, scale] of scales.entries()) {
      const mark = backend.mark();
      const parts: FeatureMap = mapOf(images, scale, scale);
      backend.linear(parts.x, means(map, images, scale), weights.pools[i]!, { activation: "relu" });
      const all = resized(parts, images, map);
      backend.convolve(sum.x, all.x, weights.bottleneck[1 + i]!, window3(map), { accumulate: true });
      backend.release(mark);
    }
    return { ...sum, x: positive(backend, sum.x) };
  }

  return {
    reader: {
      blocks: [...new Set(blocks)],
      tokens(block, encoded) {
        for (const [i, own] of blocks.entries()) if (own === block) levels[i] = levelOf(i, encoded);
      },
    },
    run({ images }) {
      if (wants("featureMaps")) outputs.featureMaps = levels.map((map) => planes(backend, map, images));
      if (!wants("logits")) return;
      const finest = levels[0]!;
      const all = [
        ...weights.laterals.map((layer, i) => {
          const lateral = mapOf(images, levels[i]!.height, levels[i]!.width);
          backend.linear(lateral.x, levels[i]!.x, layer, { activation: "relu" });
          return lateral;
        }),
        pooled(levels[3]!, images),
      ];
      for (let i = 2; i >= 0; i--) resized(all[i + 1]!, images, all[i]!, true);

      const fused = mapOf(images, finest.height, finest.width);
      for (const [i, map] of all.entries()) {
        const mark = backend.mark();
        let made = map;
        if (i < 3) {
          made = mapOf(images, map.height, map.width);
          backend.convolve(made.x, map.x, weights.convs[i]!, window3(map), { activation: "relu" });
        }
        const fine = i === 0 ? made : resized(made, images, finest);
        backend.convolve(fused.x, fine.x, weights.fuse[i]!, window3(finest), { accumulate: i > 0 });
        backend.release(mark);
      }
      const { classifier } = weights;
      const scores = backend.createTensor(fused.x.rows, classifier.outputs);
      backend.convolve(scores, fused.x, classifier, windowOf(fused, 1, 1, "valid"), { relu: true });
      outputs.logits = planes(backend, { ...finest, x: scores }, images);
    },
  };
}

export const upernet: Head<Config, { readonly upernet: Upernet | undefined }, Upernet> = {
  plan: (planner, { upernet, width }) => planUpernet(planner, upernet!, width),
  unread: UNREAD,
  largest({ upernet, width }, [rows, columns]) {
    return 16 * rows * columns * Math.ceil(Math.max(width, upernet!.classes) / 8) * 8;
  },
  costs({ upernet, width }, [rows, columns]) {
    const patches = rows * columns;
    const square = width * width;
    // Transposed convolutions, laterals, those of each map, those of all, and of the coarsest with its means.
    const products = 16 + 4 + 4 + (16 + 4 + 1) * 10 + 16 * 9 * 4 + (9 / 4) * (1 + upernet!.scales.length);
    return {
      products: patches * (products * square + 16 * width * upernet!.classes),
      elements: patches * (16 * (5 * width + upernet!.classes) + 12 * width),
    };
  },
  begin: ({ weights, config }) => ({ pass: (backend, call) => passOf(backend, weights.upernet!, config, call) }),
};
