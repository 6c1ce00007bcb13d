/**
 * The work of the benchmarks as ONNX graphs, with the weights inside.
 *
 * Several forms of the ViT ran within the noise of each other in onnxruntime-web 1.30 (plain attention, MultiHeadAttention,
 * Attention; MatMul or Gemm; Gelu or Erf, which its optimiser fuses), so the shortest is used.
 */
import { CLASSES, DEPTH, EPSILON, IMAGE, imageOf, SIZES, type Size, TOKENS, type Weight } from "./models.js";
import { FLOAT, type OnnxNode, type OnnxTensor, writeOnnx } from "./onnx.js";
import { type Network, resnetNodes } from "./resnets.js";
import { type AttentionWork, type GemmWork, gemmInputs } from "./work.js";

type Attributes = OnnxNode["attributes"];

const MICROSOFT = "com.microsoft";

/** out = x Wᵀ as Gemm, whose weights onnxruntime packs when the session is made. */
export function gemmGraph(work: GemmWork): Uint8Array {
  const { inputs, outputs } = work;
  return writeOnnx({
    nodes: [{ op: "Gemm", inputs: ["x", "weight"], outputs: ["out"], attributes: { transB: 1 } }],
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
        outputs: ["out"],
        attributes: { num_heads: heads },
        domain: MICROSOFT,
      },
    ],
    tensors: [],
    inputs: ["q", "k", "v"].map((name) => ({ name, dims })),
    outputs: [{ name: "out", dims }],
  });
}

export interface VitGraph {
  readonly size: Size;
  /** A hybrid's, before the patch embedding. */
  readonly network?: Network;
  /** By timm's names. */
  readonly weights: ReadonlyMap<string, Weight>;
  /** int8: as onnxruntime's quantize_dynamic makes it of the f32 graph, see `quantized`. */
  readonly precision: "f32" | "int8";
  readonly batch: number;
}

/** A whole ViT, pixel_values: [batch, 3, image, image] to logits: [batch, 1000]. */
export function vitGraph({ size, weights, precision, batch, network }: VitGraph): Uint8Array {
  const { width, heads } = SIZES[size];
  const nodes: OnnxNode[] = [];
  const tensors: OnnxTensor[] = [];

  function call(op: string, inputs: readonly string[], attributes?: Attributes, domain?: string): string {
    const output = `${op}_${nodes.length}`;
    nodes.push({ op, inputs, outputs: [output], attributes, domain });
    return output;
  }
  function constant(name: string, dims: readonly number[], data: OnnxTensor["data"]): string {
    tensors.push({ name, dims, data });
    return name;
  }
  function weight(name: string): string {
    const { dims, data } = weights.get(name)!;
    return constant(name, dims, data);
  }
  /** Rows of a linear weight, [outputs, inputs], as MatMul wants them: [inputs, outputs]. */
  function transposed(name: string, first: number, outputs: number): Weight {
    const { dims, data } = weights.get(name)!;
    const inputs = dims[1]!;
    const turned = new Float32Array(inputs * outputs);
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) turned[i * outputs + o] = data[(first + o) * inputs + i]!;
    }
    return { dims: [inputs, outputs], data: turned };
  }
  const quantizedInputs = new Map<string, { values: string; scale: string; zero: string }>();
  /**
   * x W as quantize_dynamic writes it with weight_type QInt8 and per_channel: rows of x to unsigned bytes by the range of
   * the whole tensor when it runs, columns of W to -127…127, products added as integers, one multiplication back. Beside
   * its output for the f32 graph (onnxruntime 1.32): the same operators, constants of the same shapes, weights but for
   * ties of rounding, and the same speed.
   */
  function quantized(x: string, name: string, { dims, data }: Weight): string {
    if (!quantizedInputs.has(x)) {
      const outputs = [`${x}_values`, `${x}_scale`, `${x}_zero`];
      nodes.push({ op: "DynamicQuantizeLinear", inputs: [x], outputs });
      quantizedInputs.set(x, { values: outputs[0]!, scale: outputs[1]!, zero: outputs[2]! });
    }
    const { values, scale, zero } = quantizedInputs.get(x)!;
    const [inputs, outputs] = dims as [number, number];
    const scales = new Float32Array(outputs);
    for (let i = 0; i < data.length; i++)
      scales[i % outputs] = Math.max(scales[i % outputs]!, Math.abs(data[i]!) / 127);
    const integers = Int8Array.from(data, (value, i) => Math.round(Math.fround(value / scales[i % outputs]!)));
    const product = call("MatMulInteger", [
      values,
      constant(`${name}_quantized`, [inputs, outputs], integers),
      zero,
      constant(`${name}_zero`, [outputs], new Int8Array(outputs)),
    ]);
    const factor = call("Mul", [scale, constant(`${name}_scale`, [outputs], scales)]);
    return call("Mul", [call("Cast", [product], { to: FLOAT }), factor]);
  }
  /** x Wᵀ + b with some of a layer's rows: `part` of as many as make up the whole. */
  function linear(x: string, name: string, part = 0, outputs = weights.get(`${name}.bias`)!.data.length): string {
    const matrix = transposed(`${name}.weight`, part * outputs, outputs);
    const label = `${name}.${part}`;
    const product =
      precision === "int8"
        ? quantized(x, label, matrix)
        : call("MatMul", [x, constant(label, matrix.dims, matrix.data)]);
    const bias = weights.get(`${name}.bias`)!.data.subarray(part * outputs, (part + 1) * outputs);
    return call("Add", [product, constant(`${label}.bias`, [outputs], bias)]);
  }
  const norm = (x: string, name: string) =>
    call("LayerNormalization", [x, weight(`${name}.weight`), weight(`${name}.bias`)], { epsilon: EPSILON });

  const image = imageOf(size);
  const { map, side } = network
    ? resnetNodes({ call, constant }, network, weights, "pixel_values", image)
    : { map: "pixel_values", side: image };
  const patch = (side / image) * SIZES[size].patch;
  const strides = { kernel_shape: [patch, patch], strides: [patch, patch] };
  const kernel = [weight("patch_embed.proj.weight"), weight("patch_embed.proj.bias")];
  const grid = call("Conv", [map, ...kernel], strides);
  const rows = BigInt64Array.of(BigInt(batch), BigInt(width), -1n);
  const patches = call("Transpose", [call("Reshape", [grid, constant("rows", [3], rows)])], { perm: [0, 2, 1] });
  const token = weights.get("cls_token")!.data;
  const tokens = Float32Array.from({ length: batch * width }, (_, i) => token[i % width]!);
  let z = call("Concat", [constant("cls_token", [batch, 1, width], tokens), patches], { axis: 1 });
  z = call("Add", [z, weight("pos_embed")]);
  for (let block = 0; block < DEPTH; block++) {
    const at = `blocks.${block}`;
    const x = norm(z, `${at}.norm1`);
    const qkv = [0, 1, 2].map((part) => linear(x, `${at}.attn.qkv`, part, width));
    const mixed = call("MultiHeadAttention", qkv, { num_heads: heads }, MICROSOFT);
    z = call("Add", [z, linear(mixed, `${at}.attn.proj`)]);
    const hidden = call("Gelu", [linear(norm(z, `${at}.norm2`), `${at}.mlp.fc1`)]);
    z = call("Add", [z, linear(hidden, `${at}.mlp.fc2`)]);
  }
  const first = constant("first", [], BigInt64Array.of(0n));
  const logits = linear(call("Gather", [norm(z, "norm"), first], { axis: 1 }), "head");
  return writeOnnx({
    nodes: [...nodes, { op: "Identity", inputs: [logits], outputs: ["logits"] }],
    tensors,
    inputs: [{ name: "pixel_values", dims: [batch, 3, image, image] }],
    outputs: [{ name: "logits", dims: [batch, CLASSES] }],
  });
}

/** BiT, pixel_values: [batch, 3, 224, 224] to logits: [batch, 1000]. */
export function resnetGraph(network: Network, weights: ReadonlyMap<string, Weight>): Uint8Array {
  const nodes: OnnxNode[] = [];
  const tensors: OnnxTensor[] = [];
  const call = (op: string, inputs: readonly string[], attributes?: Attributes): string => {
    const output = `${op}_${nodes.length}`;
    nodes.push({ op, inputs, outputs: [output], attributes });
    return output;
  };
  const constant = (name: string, dims: readonly number[], data: OnnxTensor["data"]): string => {
    tensors.push({ name, dims, data });
    return name;
  };
  const { map, channels } = resnetNodes({ call, constant }, network, weights, "pixel_values", IMAGE);
  const pooled = call("Flatten", [call("GlobalAveragePool", [map])]);
  const head = constant("head.weight", [CLASSES, channels], weights.get("head.fc.weight")!.data);
  const bias = constant("head.bias", [CLASSES], weights.get("head.fc.bias")!.data);
  const logits = call("Gemm", [pooled, head, bias], { transB: 1 });
  return writeOnnx({
    nodes: [...nodes, { op: "Identity", inputs: [logits], outputs: ["logits"] }],
    tensors,
    inputs: [{ name: "pixel_values", dims: [1, 3, IMAGE, IMAGE] }],
    outputs: [{ name: "logits", dims: [1, CLASSES] }],
  });
}
