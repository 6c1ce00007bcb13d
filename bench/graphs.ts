/**
 * The work of the benchmarks as ONNX graphs, with the weights inside.
 *
 * Several forms of the ViT ran within the noise of each other in onnxruntime-web 1.30 (plain attention, MultiHeadAttention,
 * Attention; MatMul or Gemm; Gelu or Erf, which its optimiser fuses), so the shortest is used.
 */

import { CLASSES, DEPTH, EPSILON, IMAGE, PATCH, randomWeights, SIZES, TOKENS } from "./models.js";
import { type OnnxNode, type OnnxTensor, writeOnnx } from "./onnx.js";
import { type AttentionWork, type GemmWork, gemmInputs, type VitWork } from "./work.js";

type Attributes = OnnxNode["attributes"];

const MICROSOFT = "com.microsoft";

/** out = x Wᵀ as Gemm, whose weights onnxruntime packs when the session is made. */
export function gemmGraph(work: GemmWork): Uint8Array {
  const { inputs, outputs } = work;
  return writeOnnx({
    nodes: [{ op: "Gemm", inputs: ["x", "weight"], output: "out", attributes: { transB: 1 } }],
    tensors: [{ name: "weight", dims: [outputs, inputs], data: gemmInputs(work).weight }],
    inputs: [{ name: "x", dims: [TOKENS, inputs] }],
    outputs: [{ name: "out", dims: [TOKENS, outputs] }],
  });
}

/** out = softmax(Q Kᵀ / √d) V as onnxruntime's own MultiHeadAttention. */
export function attentionGraph({ heads, d }: AttentionWork): Uint8Array {
  const dims = [1, TOKENS, heads * d];
  return writeOnnx({
    nodes: [
      {
        op: "MultiHeadAttention",
        inputs: ["q", "k", "v"],
        output: "out",
        attributes: { num_heads: heads },
        domain: MICROSOFT,
      },
    ],
    tensors: [],
    inputs: ["q", "k", "v"].map((name) => ({ name, dims })),
    outputs: [{ name: "out", dims }],
  });
}

/** A whole ViT, x: [1, 3, 224, 224] to out: [1, 1000]. */
export function vitGraph({ size }: VitWork): Uint8Array {
  const { width, heads } = SIZES[size];
  const weights = randomWeights(size);
  const nodes: OnnxNode[] = [];
  const tensors: OnnxTensor[] = [...weights].map(([name, { dims, data }]) => ({ name, dims, data }));

  function call(op: string, inputs: readonly string[], attributes?: Attributes, domain?: string): string {
    const output = `${op}_${nodes.length}`;
    nodes.push({ op, inputs, output, attributes, domain });
    return output;
  }
  /** MatMul and Attention want a weight as [inputs, outputs]. */
  function transposed(name: string): string {
    const at = tensors.findIndex((tensor) => tensor.name === name);
    const { dims, data } = weights.get(name)!;
    const [outputs, inputs] = dims as [number, number];
    const turned = new Float32Array(data.length);
    for (let o = 0; o < outputs; o++) for (let i = 0; i < inputs; i++) turned[i * outputs + o] = data[o * inputs + i]!;
    tensors[at] = { name, dims: [inputs, outputs], data: turned };
    return name;
  }
  const linear = (x: string, name: string) =>
    call("Add", [call("MatMul", [x, transposed(`${name}.weight`)]), `${name}.bias`]);
  const norm = (x: string, name: string) =>
    call("LayerNormalization", [x, `${name}.weight`, `${name}.bias`], { epsilon: EPSILON });

  tensors.push({ name: "rows", dims: [3], data: BigInt64Array.of(1n, BigInt(width), -1n) });
  tensors.push({ name: "first", dims: [], data: BigInt64Array.of(0n) });
  const strides = { kernel_shape: [PATCH, PATCH], strides: [PATCH, PATCH] };
  const patches = call("Reshape", [
    call("Conv", ["x", "patch_embed.proj.weight", "patch_embed.proj.bias"], strides),
    "rows",
  ]);
  let z = call("Concat", ["cls_token", call("Transpose", [patches], { perm: [0, 2, 1] })], { axis: 1 });
  z = call("Add", [z, "pos_embed"]);
  for (let block = 0; block < DEPTH; block++) {
    const at = `blocks.${block}`;
    const qkv = [norm(z, `${at}.norm1`), transposed(`${at}.attn.qkv.weight`), `${at}.attn.qkv.bias`];
    const mixed = call("Attention", qkv, { num_heads: heads }, MICROSOFT);
    z = call("Add", [z, linear(mixed, `${at}.attn.proj`)]);
    const hidden = call("Gelu", [linear(norm(z, `${at}.norm2`), `${at}.mlp.fc1`)]);
    z = call("Add", [z, linear(hidden, `${at}.mlp.fc2`)]);
  }
  const token = call("Gather", [norm(z, "norm"), "first"], { axis: 1 });
  nodes.push({ op: "Gemm", inputs: [token, "head.weight", "head.bias"], output: "out", attributes: { transB: 1 } });
  return writeOnnx({
    nodes,
    tensors,
    inputs: [{ name: "x", dims: [1, 3, IMAGE, IMAGE] }],
    outputs: [{ name: "out", dims: [1, CLASSES] }],
  });
}
