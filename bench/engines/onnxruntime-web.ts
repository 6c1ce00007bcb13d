/**
 * onnxruntime-web, its WASM build, on the graphs of graphs.ts. API: https://onnxruntime.ai/docs/api/js.
 * A run copies the inputs into its memory and the outputs out of it, as for every user; both count.
 */
import type { Contender, Engine } from "../engine.js";
import { attentionGraph, gemmGraph, vitGraph } from "../graphs.js";
import { IMAGE, TOKENS } from "../models.js";
import { attentionInputs, gemmInputs, vitPixels } from "../work.js";
import { thirdparty } from "./thirdparty.js";

interface Tensor {
  readonly data: Float32Array;
}

/** What is used of it. */
interface OnnxRuntime {
  readonly env: { readonly wasm: { numThreads: number } };
  readonly Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => Tensor;
  readonly InferenceSession: {
    create(
      model: Uint8Array,
      options: { readonly executionProviders: readonly string[]; readonly graphOptimizationLevel: "all" },
    ): Promise<{
      run(inputs: Record<string, Tensor>): Promise<Record<string, Tensor>>;
      release(): Promise<void>;
    }>;
  };
}

const ort = thirdparty("onnxruntime-web") as OnnxRuntime;
ort.env.wasm.numThreads = 1;

export const engine: Engine = {
  prepare(work) {
    if (work.kind === "gemm") return session(gemmGraph(work), [TOKENS, work.inputs], { x: gemmInputs(work).x });
    if (work.kind === "attention") {
      return session(attentionGraph(work), [1, TOKENS, work.heads * work.d], attentionInputs(work));
    }
    return session(vitGraph(work), [1, 3, IMAGE, IMAGE], { x: vitPixels() });
  },
};

/** A session and its inputs, all of the same shape. */
async function session(
  model: Uint8Array,
  dims: readonly number[],
  inputs: Readonly<Record<string, Float32Array>>,
): Promise<Contender> {
  const session = await ort.InferenceSession.create(model, {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
  });
  const feeds: Record<string, Tensor> = {};
  for (const [name, data] of Object.entries(inputs)) feeds[name] = new ort.Tensor("float32", data, dims);
  return {
    run: () => session.run(feeds),
    result: async () => (await session.run(feeds)).out!.data,
    dispose: () => void session.release(),
  };
}
