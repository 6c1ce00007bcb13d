/** vitrail: GEMM and attention as ops of its backend, models as a user calls them. */
import { createWasmBackend } from "../../src/backends/wasm/index.js";
import { load } from "../../src/index.js";
import type { Contender, Engine } from "../engine.js";
import { IMAGE, randomWeights, safetensors, TOKENS, timmConfig } from "../models.js";
import { type AttentionWork, attentionInputs, type GemmWork, gemmInputs, type VitWork, vitPixels } from "../work.js";

export const engine: Engine = {
  prepare(work) {
    if (work.kind === "gemm") return gemm(work);
    if (work.kind === "attention") return attention(work);
    return vit(work);
  },
};

async function gemm(work: GemmWork): Promise<Contender> {
  const { x, weight } = gemmInputs(work);
  const backend = await createWasmBackend();
  const linear = backend.createLinear(work.outputs, work.inputs);
  backend.store({ linear, part: "weight", row: 0 }, "F32", new Uint8Array(weight.buffer));
  const input = backend.createTensor(TOKENS, work.inputs, x);
  const out = backend.createTensor(TOKENS, work.outputs);
  return {
    run: () => backend.linear(out, input, linear),
    result: () => backend.read(out),
    dispose: () => backend.dispose(),
    kernels: backend.describe("f32"),
  };
}

async function attention(work: AttentionWork): Promise<Contender> {
  const { q, k, v } = attentionInputs(work);
  const { heads } = work;
  const width = heads * work.d;
  const data = new Float32Array(TOKENS * 3 * width);
  for (let token = 0; token < TOKENS; token++) {
    [q, k, v].forEach((part, i) => {
      data.set(part.subarray(token * width, (token + 1) * width), (token * 3 + i) * width);
    });
  }
  const backend = await createWasmBackend();
  const qkv = backend.createTensor(TOKENS, 3 * width, data);
  const out = backend.createTensor(TOKENS, width);
  return {
    run: () => backend.attention(out, qkv, { heads, tokens: TOKENS }),
    result: () => backend.read(out),
    dispose: () => backend.dispose(),
    kernels: backend.describe("f32"),
  };
}

async function vit({ size }: VitWork): Promise<Contender> {
  const model = await load(
    { config: timmConfig(size), weights: safetensors(randomWeights(size)) },
    { backend: "wasm" },
  );
  const pixelValues = { dims: [1, 3, IMAGE, IMAGE], data: vitPixels() };
  const logits = async () => (await model.forward({ pixelValues })).logits as { data: Float32Array };
  return {
    run: logits,
    result: async () => (await logits()).data,
    dispose: () => model.dispose(),
    kernels: model.backend.reason,
  };
}
