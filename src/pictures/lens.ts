/**
 * The logit lens (nostalgebraist 2020; Vilas et al. 2023 of ViTs): what the last norm and the head would say if the model ended after a
 * block. A state is given to them as the last block's would be, so that the last layer says what the model says.
 */
import type { Inputs } from "../vit/inputs.js";
import type { Tensor } from "../vit/outputs.js";
import type { Scores } from "./see.js";

/**
 * Scores behind every layer, [layers + 1] rows; the first is of what block 0 reads.
 * @param states hidden states of one image, [1, tokens, D] each.
 */
export async function lensOf(scores: Scores, states: readonly Tensor[]): Promise<Float32Array[]> {
  const [, tokens, width] = states[0]!.dims as [number, number, number];
  const data = new Float32Array(states.length * tokens * width);
  for (const [layer, state] of states.entries()) data.set(state.data, layer * tokens * width);
  const hiddenState: Inputs["hiddenState"] = { dims: [states.length, tokens, width], data };
  return scores.of({ hiddenState });
}
