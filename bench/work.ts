/** What is measured: the work, and the numbers that every engine starts from. */
import { CLASSES, DEPTH, IMAGE, PATCH, random, SIZES, type Size, TOKENS } from "./models.js";

/** out = x Wᵀ. x: [TOKENS, inputs], weight: [outputs, inputs], out: [TOKENS, outputs]. */
export interface GemmWork {
  readonly kind: "gemm";
  readonly inputs: number;
  readonly outputs: number;
}

/** softmax(Q Kᵀ / √d) V of each head. q, k, v and out: [TOKENS, heads·d]. */
export interface AttentionWork {
  readonly kind: "attention";
  readonly heads: number;
  readonly d: number;
}

/** The logits of one image by a ViT of randomWeights. pixels: [3, IMAGE, IMAGE], out: [CLASSES]. */
export interface VitWork {
  readonly kind: "vit";
  readonly size: Size;
}

export type Work = GemmWork | AttentionWork | VitWork;

/** Floating-point operations: a multiply and an add count two; norms, softmax and GELU nothing. */
export function flopsOf(work: Work): number {
  if (work.kind === "gemm") return 2 * TOKENS * work.inputs * work.outputs;
  if (work.kind === "attention") return 2 * 2 * TOKENS * TOKENS * work.heads * work.d;
  const { width } = SIZES[work.size];
  const block = TOKENS * 12 * width * width + 2 * TOKENS * TOKENS * width;
  return 2 * (DEPTH * block + (TOKENS - 1) * 3 * PATCH * PATCH * width + width * CLASSES);
}

export const labelOf = (work: Work): string => {
  if (work.kind === "gemm") return `${TOKENS}×${work.inputs}×${work.outputs}`;
  return work.kind === "attention" ? `${work.heads} heads of ${work.d}` : `ViT-${work.size}/16`;
};

/** The linear layers of ViT-Ti, S and B, [inputs, outputs]. */
const LAYERS = [
  [192, 576],
  [192, 768],
  [384, 1536],
  [768, 768],
  [768, 2304],
  [768, 3072],
  [3072, 768],
] as const;

/** The races of `npm run bench`, by the name that --only takes. */
export const WORKS: Readonly<Record<string, { readonly title: string; readonly works: readonly Work[] }>> = {
  gemm: {
    title: "GEMM, rows × inputs × outputs",
    works: LAYERS.map(([inputs, outputs]) => ({ kind: "gemm", inputs, outputs })),
  },
  attention: {
    title: `attention, ${TOKENS} tokens`,
    works: [3, 6, 12].map((heads) => ({ kind: "attention", heads, d: 64 })),
  },
  vit: {
    title: `whole model, ${IMAGE}×${IMAGE}`,
    works: (["Ti", "S", "B"] as const).map((size) => ({ kind: "vit", size })),
  },
};

export const gemmInputs = ({ inputs, outputs }: GemmWork) => ({
  x: random(TOKENS * inputs, 1, 1),
  weight: random(outputs * inputs, 1 / Math.sqrt(inputs), 2),
});

export const attentionInputs = ({ heads, d }: AttentionWork) => ({
  q: random(TOKENS * heads * d, 1, 1),
  k: random(TOKENS * heads * d, 1, 2),
  v: random(TOKENS * heads * d, 1, 3),
});

export const vitPixels = () => random(3 * IMAGE * IMAGE, 1, 1);
