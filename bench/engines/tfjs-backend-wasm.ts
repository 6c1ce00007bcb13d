/** TensorFlow.js, its WASM backend, which computes a matrix product at once. API: https://js.tensorflow.org/api/4.22.0. */
import { fileURLToPath } from "node:url";
import type { Contender, Engine } from "../engine.js";
import { TOKENS } from "../models.js";
import { type GemmWork, gemmInputs } from "../work.js";
import { packageUrl, thirdparty } from "./thirdparty.js";

interface Tensor {
  data(): Promise<Float32Array>;
  dispose(): void;
}

/** What is used of it. */
interface TensorFlow {
  setBackend(name: string): Promise<boolean>;
  tensor2d(data: Float32Array, shape: readonly [number, number]): Tensor;
  transpose(x: Tensor): Tensor;
  matMul(a: Tensor, b: Tensor): Tensor;
}

const tf = thirdparty("@tensorflow/tfjs-core") as TensorFlow;
const wasm = thirdparty("@tensorflow/tfjs-backend-wasm") as {
  setWasmPaths(folder: string): void;
  setThreadsCount(count: number): void;
};
wasm.setWasmPaths(fileURLToPath(new URL("dist/", packageUrl("@tensorflow/tfjs-backend-wasm"))));
wasm.setThreadsCount(1);
await tf.setBackend("wasm");

export const engine: Engine = {
  prepare: (work) => (work.kind === "gemm" ? gemm(work) : undefined),
};

async function gemm(work: GemmWork): Promise<Contender> {
  const { x, weight } = gemmInputs(work);
  const a = tf.tensor2d(x, [TOKENS, work.inputs]);
  // A matrix product that is told to transpose is ten times slower than this.
  const b = tf.transpose(tf.tensor2d(weight, [work.outputs, work.inputs]));
  return {
    run: () => tf.matMul(a, b).dispose(),
    result: () => tf.matMul(a, b).data(),
    dispose() {
      a.dispose();
      b.dispose();
    },
  };
}
