/**
 * What onnxruntime-web and onnxruntime-node have in common, on the graphs of graphs.ts. API: https://onnxruntime.ai/docs/api/js.
 * A run copies the inputs into its memory and the outputs out of it, as for every user; both count.
 */
import type { Contender } from "../engine.js";

interface Tensor {
  readonly data: Float32Array;
}

/** What is used of either. */
export interface OnnxRuntime {
  readonly env: { readonly wasm: { numThreads: number } };
  readonly Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => Tensor;
  readonly InferenceSession: {
    create(
      model: string | Uint8Array,
      options: object,
    ): Promise<{
      readonly outputNames: readonly string[];
      run(inputs: Record<string, Tensor>): Promise<Record<string, Tensor>>;
      release(): Promise<void>;
    }>;
  };
}

/** A session and its inputs, all of the same shape. */
export async function session(
  ort: OnnxRuntime,
  model: string | Uint8Array,
  options: object,
  dims: readonly number[],
  inputs: Readonly<Record<string, Float32Array>>,
): Promise<Contender> {
  const session = await ort.InferenceSession.create(model, { graphOptimizationLevel: "all", ...options });
  const output = session.outputNames[0]!;
  const feeds: Record<string, Tensor> = {};
  for (const [name, data] of Object.entries(inputs)) feeds[name] = new ort.Tensor("float32", data, dims);
  return {
    run: () => session.run(feeds),
    result: async () => (await session.run(feeds))[output]!.data,
    dispose: () => void session.release(),
  };
}
