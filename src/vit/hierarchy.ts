/** Sizes of an encoder in stages (stages.ts). */
import type { Pair } from "../backend.js";
import type { EncoderConfig } from "./encoder.js";

/** Sizes of a stage. */
export interface StageConfig extends Pick<EncoderConfig, "width" | "depth" | "heads" | "mlpWidth"> {
  /** Lines and columns of a window. timm takes the map's where that is no larger, of images of the config's size. */
  readonly window: Pair | undefined;
  /** Lines and columns by which the map is turned before every second block; zeros where it is not. */
  readonly shift: Pair;
  /** The first block pools queries (Hiera), within windows of the map before it, or of all of it. */
  readonly queryPool?: { readonly window: Pair | undefined };
  /** Part of the grid of patches that a window is of images of any size that is asked for at load (timm's swinv2_cr). */
  readonly windowRatio?: number;
  /** Blocks, from 0, behind which z is normalized (timm's swinv2_cr); none unless given. */
  readonly closed?: readonly number[];
  /** Window of the training whose distances continuous biases are of; this one unless given. */
  readonly trainedWindow?: number;
}

export interface StagesConfig {
  readonly stages: readonly StageConfig[];
  /** Score of tokens that were no neighbors before their map was turned. */
  readonly penalty: number;
  /** Library whose rules hold for maps that are no whole windows, and for what hiddenStates are. */
  readonly rules: "swin" | "swinv2" | "timm" | "hiera";
  /** Windows are cut and shifted also of maps that are no larger (timm's always_partition). */
  readonly always?: boolean;
}

/** Sizes of each stage for a grid of patches, its windows filled; of an encoder without stages, its own. */
export function stagesOf(
  { hierarchy, ...config }: EncoderConfig & { readonly hierarchy?: StagesConfig; readonly prefixTokens: number },
  grid: Pair,
): (Pick<EncoderConfig, "width" | "depth" | "heads" | "mlpWidth"> & {
  readonly tokens: number;
  readonly keys: number;
})[] {
  if (!hierarchy) {
    const tokens = config.prefixTokens + grid[0] * grid[1];
    return [{ ...config, tokens, keys: tokens }];
  }
  return hierarchy.stages.map((stage, i) => {
    const sides = grid.map((side, axis) => {
      const own = Math.ceil(side / 2 ** i);
      const window = Math.min(stage.window?.[axis] ?? own, own);
      return { filled: Math.ceil(own / window) * window, window };
    }) as [{ filled: number; window: number }, { filled: number; window: number }];
    const [down, across] = sides;
    return { ...stage, tokens: down.filled * across.filled, keys: down.window * across.window };
  });
}
