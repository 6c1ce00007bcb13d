/** jax-js, its WASM backend, which compiles a kernel for each jitted function. API: https://github.com/ekzhang/jax-js. */
import type { Contender, Engine } from "../engine.js";
import { TOKENS } from "../models.js";
import { type GemmWork, gemmInputs } from "../work.js";
import { thirdparty } from "./thirdparty.js";

interface JaxArray {
  /** The same array for a function that consumes its arguments, as all do. */
  readonly ref: JaxArray;
  reshape(shape: readonly number[]): JaxArray;
  transpose(): JaxArray;
  blockUntilReady(): Promise<JaxArray>;
  data(): Promise<Float32Array>;
  dispose(): void;
}

/** What is used of it. */
interface Jax {
  init(device: "wasm"): Promise<unknown>;
  defaultDevice(device: "wasm"): void;
  jit(f: (a: JaxArray, b: JaxArray) => JaxArray): (a: JaxArray, b: JaxArray) => JaxArray;
  readonly numpy: { array(data: Float32Array): JaxArray; matmul(a: JaxArray, b: JaxArray): JaxArray };
}

const { init, defaultDevice, jit, numpy: np } = thirdparty("@jax-js/jax") as Jax;
await init("wasm");
defaultDevice("wasm");

export const engine: Engine = {
  prepare: (work) => (work.kind === "gemm" ? gemm(work) : undefined),
};

async function gemm(work: GemmWork): Promise<Contender> {
  const { x, weight } = gemmInputs(work);
  const input = np.array(x).reshape([TOKENS, work.inputs]);
  const weights = np.array(weight).reshape([work.outputs, work.inputs]);
  const multiply = jit((a, b) => np.matmul(a, b.transpose()));
  return {
    async run() {
      const out = multiply(input.ref, weights.ref);
      await out.blockUntilReady();
      out.dispose();
    },
    result: () => multiply(input.ref, weights.ref).data(),
    dispose() {
      input.dispose();
      weights.dispose();
    },
  };
}
