/**
 * What onnxruntime-web and onnxruntime-node have in common, on the graphs of graphs.ts. API: https://onnxruntime.ai/docs/api/js.
 * A run copies the inputs into its memory and the outputs out of it, as for every user; both count.
 */
import type { Contender } from "../engine.js";
import { joined } from "../work.js";

interface Tensor {
  readonly data: Float32Array;
}

/** Numbers of an input: f32, or int64. */
interface Input {
  readonly name: string;
  readonly dims: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

/** What is used of either. */
export interface OnnxRuntime {
  readonly env: { readonly wasm: { numThreads: number } };
  readonly Tensor: new (type: "float32" | "int64", data: Input["data"], dims: readonly number[]) => Tensor;
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

/** A session and the inputs of its runs, of which there may be several; the result is all outputs, one behind the other. */
export async function session(
  ort: OnnxRuntime,
  model: string | Uint8Array,
  options: object,
  ...batches: readonly (readonly Input[])[]
): Promise<Contender> {
  const session = await ort.InferenceSession.create(model, { graphOptimizationLevel: "all", ...options });
  const tensorOf = ({ dims, data }: Input) =>
    new ort.Tensor(data instanceof BigInt64Array ? "int64" : "float32", data, dims);
  const feeds = batches.map((inputs) => Object.fromEntries(inputs.map((input) => [input.name, tensorOf(input)])));
  let all: Record<string, Tensor>[] = [];
  return {
    async run() {
      all = [];
      for (const feed of feeds) all.push(await session.run(feed));
    },
    // Of the last run, as another one can take half a minute.
    result: () => joined(all.flatMap((outputs) => session.outputNames.map((name) => outputs[name]!.data))),
    dispose: () => void session.release(),
  };
}
