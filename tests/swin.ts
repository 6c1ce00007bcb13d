/** What Swin and SwinV2 of transformers and timm compute, stage by stage, in these libraries' shapes. */
import assert from "node:assert/strict";
import type { BackendName } from "../src/backend.js";
import { load, type Model, type Tensor } from "../src/index.js";
import { assertClose } from "./backend.cases.js";
import { caseOf, type DenseGolden, goldenOf, toleranceOf } from "./dense.js";

/** Compares what a library computes with what we do, in its own shapes. */
export async function compareSwin(folder: string, backend: BackendName): Promise<void> {
  using model = await load(folder, { backend });
  for (const entry of caseOf(folder).goldens) await compareGolden(model, folder, entry);
}

async function compareGolden(model: Model, folder: string, entry: DenseGolden): Promise<void> {
  const golden = goldenOf(folder, entry.file);
  const asked = ["logits", "lastHiddenState", "preLogits", "hiddenStates", "attentions"] as const;
  const got = await model.forward({ pixelValues: golden.get("pixel_values")! }, { outputs: asked });
  const { stages } = model.config.hierarchy!;
  const lastOf = (stage: number) => stages.slice(0, stage + 1).reduce((sum, { depth }) => sum + depth, 0) - 1;
  const lists: Readonly<Record<string, (i: number) => Tensor>> = {
    hidden_states: (i) => got.hiddenStates[i]!,
    // timm's begin behind the first stage.
    intermediates: (i) => got.hiddenStates[i + 1]!,
    stage_attentions: (i) => got.attentions[lastOf(i)]!,
    logits: () => got.logits,
    last_hidden_state: () => got.lastHiddenState,
    forward_features: () => got.lastHiddenState,
    pooler_output: () => got.preLogits,
    forward_head_pre_logits: () => got.preLogits,
  };
  for (const [key, want] of golden) {
    if (key === "pixel_values") continue;
    const [base = "", index] = key.split(".");
    const { dims, data } = lists[base]!(Number(index ?? 0));
    // timm's map has its rows and columns apart.
    const shape = base === "forward_features" ? [dims[0], ...want.dims.slice(1, 3), dims[2]] : dims;
    assert.deepEqual(shape, want.dims, `${entry.file} ${key}`);
    assertClose(data, want.data, toleranceOf(want, key, entry), `${entry.file} ${key}`);
  }
}
