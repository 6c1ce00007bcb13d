/** The weights of a ResNetV2: filters as rows, standardized once at load. */

import type { Planned, Planner } from "../planned.js";
import { convolutionRows, source } from "../plans.js";
import type { Convolution, ResNet, ResNetConfig, Unit } from "../vit/resnet.js";
import type { Layout } from "./layouts.js";
import { type Named, unitAt } from "./observe.js";

/** Added to the variance of a filter, and of a group. */
const FILTER_EPS = 1e-8;
const GROUP_EPS = 1e-5;

/** (w - mean) / √(var + ε), over all inputs of a filter (Qiao et al. 2019). */
function standardizeRow(row: Float32Array): void {
  const mean = row.reduce((sum, x) => sum + x, 0) / row.length;
  const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / row.length;
  const scale = 1 / Math.sqrt(variance + FILTER_EPS);
  for (let i = 0; i < row.length; i++) row[i] = (row[i]! - mean) * scale;
}

export function planResNet(
  planner: Planner,
  { kernels }: Layout,
  prefix: string,
  names: NonNullable<Named["resnet"]>,
  { units, preActivation }: ResNetConfig,
  inputChannels: number,
): { readonly channels: number; readonly resnet: Planned<ResNet> } {
  const { has, shapeOf, weightOf } = planner;
  const flax = kernels === true;

  /** Sizes are what the tensor says; a wrong one shows where the next does not fit. */
  function convolution(name: string, stride: number, channels: number): Planned<Convolution> {
    const shape = shapeOf(weightOf(name)) ?? [];
    const [outputs = 1, kernel = 1] = flax ? [shape[3], shape[0]] : [shape[0], shape[2]];
    const expected = flax ? [kernel, kernel, channels, outputs] : [outputs, channels, kernel, kernel];
    const arrange = convolutionRows({ outputs, channels, kernel, flax }, standardizeRow);
    const weight = [source(weightOf(name), expected, outputs, { arrange })];
    return {
      weights: { place: "linear", outputs, inputs: kernel * kernel * channels, weight, bias: [] },
      ...{ kernel, stride },
    };
  }
  const norm = (name: string, cols: number) => planner.norm(name, cols, GROUP_EPS);

  let channels = inputChannels;
  /** The next convolution of a unit, and its norm. */
  function step(at: string, i: 0 | 1 | 2, stride: number) {
    const before = channels;
    const planned = convolution(at + names.convolutions[i], i === 1 ? stride : 1, channels);
    channels = planned.weights.outputs;
    return { convolution: planned, norm: norm(at + names.norms[i], preActivation ? before : channels) };
  }
  function unit(at: string, stride: number): Planned<Unit> {
    const inputs = channels;
    const steps = [step(at, 0, stride), step(at, 1, stride), step(at, 2, stride)] as const;
    const widens = has(weightOf(at + names.shortcut));
    return {
      convolutions: [steps[0].convolution, steps[1].convolution, steps[2].convolution],
      norms: [steps[0].norm, steps[1].norm, steps[2].norm],
      shortcut: widens
        ? {
            convolution: convolution(at + names.shortcut, stride, inputs),
            norm: preActivation ? undefined : norm(at + names.shortcutNorm, channels),
          }
        : undefined,
    };
  }

  const stem = convolution(prefix + names.stem, 2, channels);
  channels = stem.weights.outputs;
  const resnet = {
    stem: { convolution: stem, norm: preActivation ? undefined : norm(prefix + names.stemNorm, channels) },
    stages: units.map((count, stage) =>
      Array.from({ length: count }, (_, i) => unit(prefix + unitAt(names, stage, i), i === 0 && stage > 0 ? 2 : 1)),
    ),
    norm: preActivation ? norm(prefix + names.last, channels) : undefined,
  };
  return { channels, resnet };
}
