/** The weights of a ResNetV2: filters as rows, standardised once at load. */

import type { Convolution, ResNet, ResNetConfig, Unit } from "../vit/resnet.js";
import { weightOf } from "./layouts.js";
import { type Named, unitAt } from "./observe.js";
import type { Arrange, Planner } from "./plan.js";

/** Added to the variance of a filter, and of a group. */
const FILTER_EPS = 1e-8;
const GROUP_EPS = 1e-5;

/** Filters of the checkpoint, [O, I, k, k] or Flax's [k, k, I, O], as rows in the order (y, x, channel); standardised if asked. */
export const convolutionRows =
  (
    { outputs, channels, kernel, flax }: { outputs: number; channels: number; kernel: number; flax: boolean },
    standardise = false,
  ): Arrange =>
  (values) => {
    const spots = kernel * kernel;
    const inputs = spots * channels;
    const rows = new Float32Array(values.length);
    for (let o = 0; o < outputs; o++) {
      for (let spot = 0; spot < spots; spot++)
        for (let c = 0; c < channels; c++) {
          const from = flax ? (spot * channels + c) * outputs + o : (o * channels + c) * spots + spot;
          rows[o * inputs + spot * channels + c] = values[from]!;
        }
      if (standardise) standardiseRow(rows.subarray(o * inputs, (o + 1) * inputs));
    }
    return rows;
  };

/** (w - mean) / √(var + ε), over all inputs of a filter (Qiao et al. 2019). */
function standardiseRow(row: Float32Array): void {
  const mean = row.reduce((sum, x) => sum + x, 0) / row.length;
  const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / row.length;
  const scale = 1 / Math.sqrt(variance + FILTER_EPS);
  for (let i = 0; i < row.length; i++) row[i] = (row[i]! - mean) * scale;
}

export function planResNet(
  planner: Planner,
  prefix: string,
  names: NonNullable<Named["resnet"]>,
  config: ResNetConfig,
): { channels: number; weights: () => ResNet } {
  const { layout, has, shapeOf } = planner;
  const flax = layout.kernels === true;

  /** Sizes are what the tensor says; a wrong one shows where the next does not fit. */
  function convolution(name: string, stride: number, channels: number) {
    const shape = shapeOf(weightOf(layout, name)) ?? [];
    const [outputs = 1, kernel = 1] = flax ? [shape[3], shape[0]] : [shape[0], shape[2]];
    const expected = flax ? [kernel, kernel, channels, outputs] : [outputs, channels, kernel, kernel];
    const weights = planner.linear({
      names: [name],
      outputs,
      inputs: kernel * kernel * channels,
      shape: expected,
      arrange: convolutionRows({ outputs, channels, kernel, flax }, true),
      biases: [undefined],
    });
    return { outputs, make: (): Convolution => ({ weights: weights(), kernel, stride }) };
  }
  const norm = (name: string, cols: number) => planner.norm(name, cols, GROUP_EPS, undefined);

  const stem = convolution(prefix + names.stem, 2, 3);
  const stemNorm = config.preActivation ? undefined : norm(prefix + names.stemNorm, stem.outputs);
  let channels = stem.outputs;
  const stages = config.units.map((count, stage) =>
    Array.from({ length: count }, (_, i) => {
      const at = prefix + unitAt(names, stage, i);
      const stride = i === 0 && stage > 0 ? 2 : 1;
      const inputs = channels;
      const convs = names.convolutions.map((name, k) => {
        const made = convolution(at + name, k === 1 ? stride : 1, channels);
        const before = channels;
        channels = made.outputs;
        return { make: made.make, norm: norm(at + names.norms[k]!, config.preActivation ? before : channels) };
      });
      const hasShortcut = has(weightOf(layout, at + names.shortcut));
      const shortcut = hasShortcut ? convolution(at + names.shortcut, stride, inputs) : undefined;
      const shortcutNorm = hasShortcut && !config.preActivation ? norm(at + names.shortcutNorm, channels) : undefined;
      return (): Unit => ({
        convolutions: convs.map(({ make }) => make()) as unknown as Unit["convolutions"],
        norms: convs.map(({ norm }) => norm()) as unknown as Unit["norms"],
        shortcut: shortcut && { convolution: shortcut.make(), norm: shortcutNorm?.() },
      });
    }),
  );
  const last = config.preActivation ? norm(prefix + names.last, channels) : undefined;
  return {
    channels,
    weights: () => ({
      stem: { convolution: stem.make(), norm: stemNorm?.() },
      stages: stages.map((units) => units.map((unit) => unit())),
      norm: last?.(),
    }),
  };
}
