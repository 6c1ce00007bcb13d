/**
 * BiT's ResNetV2-50x1 and the hybrid R50+ViT-B/16 with random weights: tensors by timm's names, and the same as ONNX nodes.
 *
 * Units and widths: Kolesnikov et al. 2020 and Dosovitskiy et al. 2021, section 3.1 and appendix D (resnetv2_50x1_bit and
 * vit_base_r50_s16_224 in timm). GroupNorm is what torch.onnx writes for it: InstanceNormalization of a map of the groups, then
 * a product and a sum. Filters are standardised when the graph is written, as they are once at load elsewhere.
 */
import { random, type Weight } from "./models.js";

export type Network = "R50x1" | "R50+ViT-B/16";

interface Shape {
  readonly architecture: string;
  readonly units: readonly number[];
  /** Pre-activation; else the norm comes after the convolution, and padding is TensorFlow's. */
  readonly bit: boolean;
  /** What comes before the names of its tensors. */
  readonly prefix: string;
}

export const NETWORKS: Readonly<Record<Network, Shape>> = {
  R50x1: { architecture: "resnetv2_50x1_bit", units: [3, 4, 6, 3], bit: true, prefix: "" },
  "R50+ViT-B/16": {
    architecture: "vit_base_r50_s16_224",
    units: [3, 4, 9],
    bit: false,
    prefix: "patch_embed.backbone.",
  },
};

const STEM = 64;
const GROUPS = 32;
/** Channels after a stage. */
const channelsOf = (stage: number) => 256 * 2 ** stage;

interface Convolution {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: number;
  readonly stride: number;
}

/** Every convolution with the norm that belongs to it, in the order in which they run. */
interface Unit {
  readonly at: string;
  readonly convolutions: readonly Convolution[];
  readonly shortcut: Convolution | undefined;
}

function unitsOf(network: Network): { stem: Convolution; stages: Unit[][]; channels: number } {
  const { units, prefix } = NETWORKS[network];
  const stem = { name: `${prefix}stem.conv`, inputs: 3, outputs: STEM, kernel: 7, stride: 2 };
  let inputs = STEM;
  const stages = units.map((count, stage) =>
    Array.from({ length: count }, (_, i): Unit => {
      const at = `${prefix}stages.${stage}.blocks.${i}.`;
      const outputs = channelsOf(stage);
      const inner = outputs / 4;
      const stride = i === 0 && stage > 0 ? 2 : 1;
      const convolutions = [
        { name: `${at}conv1`, inputs, outputs: inner, kernel: 1, stride: 1 },
        { name: `${at}conv2`, inputs: inner, outputs: inner, kernel: 3, stride },
        { name: `${at}conv3`, inputs: inner, outputs, kernel: 1, stride: 1 },
      ];
      const shortcut = i === 0 ? { name: `${at}downsample.conv`, inputs, outputs, kernel: 1, stride } : undefined;
      inputs = outputs;
      return { at, convolutions, shortcut };
    }),
  );
  return { stem, stages, channels: inputs };
}

/** Tensors of the convolutional part. */
export function resnetWeights(network: Network): Map<string, Weight> {
  const { bit, prefix } = NETWORKS[network];
  const { stem, stages, channels } = unitsOf(network);
  const weights = new Map<string, Weight>();
  let seed = 50;
  const add = (name: string, dims: readonly number[], deviation: number, mean: number) => {
    const data = random(
      dims.reduce((a, b) => a * b, 1),
      deviation,
      seed++,
    );
    for (let i = 0; i < data.length; i++) data[i]! += mean;
    weights.set(name, { dims, data });
  };
  const convolution = ({ name, inputs, outputs, kernel }: Convolution) =>
    add(`${name}.weight`, [outputs, inputs, kernel, kernel], 0.1, 0);
  const norm = (name: string, width: number) => {
    add(`${name}.weight`, [width], 0.1, 1);
    add(`${name}.bias`, [width], 0.1, 0);
  };
  convolution(stem);
  if (!bit) norm(`${prefix}stem.norm`, STEM);
  for (const { at, convolutions, shortcut } of stages.flat()) {
    for (const [i, conv] of convolutions.entries()) {
      convolution(conv);
      norm(`${at}norm${i + 1}`, bit ? conv.inputs : conv.outputs);
    }
    if (shortcut) convolution(shortcut);
    if (shortcut && !bit) norm(`${at}downsample.norm`, shortcut.outputs);
  }
  if (bit) norm("norm", channels);
  return weights;
}

/** Multiply-adds of the convolutions of an image, twice: floating-point operations. */
export function resnetFlops(network: Network, image: number): number {
  const { stem, stages } = unitsOf(network);
  const of = ({ inputs, outputs, kernel }: Convolution, side: number) =>
    2 * side * side * kernel * kernel * inputs * outputs;
  let side = image / 2;
  let sum = of(stem, side);
  side /= 2;
  for (const { convolutions, shortcut } of stages.flat()) {
    const [first, second, third] = convolutions as [Convolution, Convolution, Convolution];
    sum += of(first, side);
    side /= second.stride;
    sum += of(second, side) + of(third, side) + (shortcut ? of(shortcut, side) : 0);
  }
  return sum;
}

/** What writes a graph: a node of one output, and a constant, both by the name that they get. */
export interface Graph {
  call(op: string, inputs: readonly string[], attributes?: Record<string, number | readonly number[]>): string;
  constant(name: string, dims: readonly number[], data: Float32Array | BigInt64Array): string;
}

/** From pixels, [batch, 3, image, image], to the last feature map. Returns its name, channels and side. */
export function resnetNodes(
  { call, constant }: Graph,
  network: Network,
  weights: ReadonlyMap<string, Weight>,
  pixels: string,
  image: number,
): { map: string; channels: number; side: number } {
  const { bit, prefix } = NETWORKS[network];
  const { stem, stages, channels } = unitsOf(network);
  const groups = constant("groups", [3], BigInt64Array.of(0n, BigInt(GROUPS), -1n));
  const ones = constant("ones", [GROUPS], new Float32Array(GROUPS).fill(1));
  const zeros = constant("zeros", [GROUPS], new Float32Array(GROUPS));

  /** Before and after, as TensorFlow pads or the same on both sides. */
  const padding = (side: number, kernel: number, stride: number): number[] => {
    if (bit) return new Array<number>(4).fill((kernel - 1) / 2);
    const total = Math.max((Math.ceil(side / stride) - 1) * stride + kernel - side, 0);
    const before = Math.floor(total / 2);
    return [before, before, total - before, total - before];
  };
  const convolution = (x: string, { name, outputs, inputs, kernel, stride }: Convolution, side: number) =>
    call("Conv", [x, constant(name, [outputs, inputs, kernel, kernel], standardised(weights.get(`${name}.weight`)!))], {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: padding(side, kernel, stride),
    });
  const normalized = (x: string, name: string, relu = true): string => {
    const { data: scale, dims } = weights.get(`${name}.weight`)!;
    const shift = weights.get(`${name}.bias`)!.data;
    const instance = call("InstanceNormalization", [call("Reshape", [x, groups]), ones, zeros], { epsilon: 1e-5 });
    const back = call("Reshape", [instance, call("Shape", [x])]);
    const scaled = call("Mul", [back, constant(`${name}.weight`, [dims[0]!, 1, 1], scale)]);
    const shifted = call("Add", [scaled, constant(`${name}.bias`, [dims[0]!, 1, 1], shift)]);
    return relu ? call("Relu", [shifted]) : shifted;
  };

  let side = image;
  let x = convolution(pixels, stem, side);
  side /= 2;
  if (!bit) x = normalized(x, `${prefix}stem.norm`);
  if (bit) {
    // Zeros around the map, which count: values may be negative here.
    const pads = constant("pads", [8], BigInt64Array.from([0n, 0n, 1n, 1n, 0n, 0n, 1n, 1n]));
    x = call("MaxPool", [call("Pad", [x, pads])], { kernel_shape: [3, 3], strides: [2, 2] });
  } else x = call("MaxPool", [x], { kernel_shape: [3, 3], strides: [2, 2], pads: padding(side, 3, 2) });
  side /= 2;
  for (const { at, convolutions, shortcut } of stages.flat()) {
    const read = bit ? normalized(x, `${at}norm1`) : x;
    let y = read;
    let inner = side;
    for (const [i, conv] of convolutions.entries()) {
      if (bit && i > 0) y = normalized(y, `${at}norm${i + 1}`);
      y = convolution(y, conv, inner);
      inner /= conv.stride;
      if (!bit) y = normalized(y, `${at}norm${i + 1}`, i < 2);
    }
    let around = shortcut ? convolution(read, shortcut, side) : x;
    if (shortcut && !bit) around = normalized(around, `${at}downsample.norm`, false);
    x = call("Add", [y, around]);
    if (!bit) x = call("Relu", [x]);
    side = inner;
  }
  return { map: bit ? normalized(x, "norm") : x, channels, side };
}

/** Each filter less its mean, by its deviation. */
function standardised({ dims, data }: Weight): Float32Array {
  const result = data.slice();
  const size = data.length / dims[0]!;
  for (let at = 0; at < data.length; at += size) {
    const filter = result.subarray(at, at + size);
    const mean = filter.reduce((sum, x) => sum + x, 0) / size;
    const variance = filter.reduce((sum, x) => sum + (x - mean) ** 2, 0) / size;
    for (let i = 0; i < size; i++) filter[i] = (filter[i]! - mean) / Math.sqrt(variance + 1e-8);
  }
  return result;
}
