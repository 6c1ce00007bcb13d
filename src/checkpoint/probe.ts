/** Heads in files of their own: which layers their tensors are, and which vector of a model they read. */
import type { Activation } from "../backend.js";
import { type Heads, importHeads } from "../heads/index.js";
import type { Probe, ProbeLayer } from "../heads/probe.js";
import { type Identity, parseIdentity } from "../identity.js";
import { excerpt, parseJson } from "../json.js";
import type { Config, Shapes } from "./config.js";

/** Facts of a head that its file does not tell, from its user. */
export interface ProbeOptions {
  readonly activation?: "none" | Activation;
  readonly normalize?: boolean;
}

/** Before the names of a head's tensors, beside those of the model. */
export const PROBE = "probe/";

/**
 * Heads whose programs are known, by the names of their layers and the numbers of these in torch.nn.Sequential. Others with a
 * number left out may have anything between.
 */
const KNOWN: readonly { readonly stem: string; readonly numbers: string; readonly activation?: Activation }[] = [
  // christophschuhmann/improved-aesthetic-predictor, simple_inference.py: dropout alone lies between.
  { stem: "layers.", numbers: "0,2,4,6,7" },
  // discus0434/aesthetic-predictor-v2-5, siglip_v2_5.py: the same.
  { stem: "scoring_head.", numbers: "0,2,4,6,8" },
];

/** Most layers, and inputs and outputs of one. */
const MAX_LAYERS = 16;
const MAX_SIZE = 2 ** 20;

/** A head's layers, and whether its program scales the vector to length 1; undefined where no known program says so. */
export interface ReadProbe {
  readonly layers: readonly ProbeLayer[];
  readonly activation: Activation | undefined;
  readonly unit: boolean | undefined;
  /** DINO's own linear classifiers (eval_linear.py), whose columns of class token and mean take turns. */
  readonly interleaved: boolean;
  readonly notes?: HeadNotes;
}

/** Facts of a head that vitrail made, which its file has beside the tensors. */
export interface HeadNotes {
  readonly file: string;
  readonly classes: readonly string[];
  readonly sharpness: number;
  /** The model whose features it takes, if it was told. */
  readonly identity: Identity | undefined;
}

/**
 * Reads the notes beside a head's tensors; undefined for heads that others made.
 * @throws Error: one sentence that names the file.
 */
export function readNotes(name: string, metadata: Readonly<Record<string, string>>): HeadNotes | undefined {
  const { classes: json, sharpness: number = "1", identity } = metadata;
  if (json === undefined) return undefined;
  const classes = parseJson(new TextEncoder().encode(json), `head: classes of "${name}"`);
  if (!Array.isArray(classes) || classes.length === 0 || classes.some((text) => typeof text !== "string")) {
    throw new Error(`head: classes of "${name}" must be a list of texts; got ${excerpt(classes)}`);
  }
  const sharpness = Number(number);
  if (!(sharpness > 0 && sharpness < Number.POSITIVE_INFINITY)) {
    throw new Error(`head: sharpness of "${name}" must be a positive number; got ${excerpt(number)}`);
  }
  const made = identity === undefined ? undefined : parseIdentity(`head: "${name}"`, identity);
  return { file: name, classes, sharpness, identity: made };
}

/**
 * Reads the layers of a head.
 * @param name the file, for messages.
 * @throws Error: one sentence, for tensors that are no layers in turn, and for what may lie between them.
 */
export function readProbe(name: string, tensors: Shapes, { activation, normalize }: ProbeOptions): ReadProbe {
  const refuse = (rule: string): never => {
    throw new Error(`load: the head "${name}" must ${rule}`);
  };
  const all = [...tensors.keys()];
  const shown = `${all
    .slice(0, 4)
    .map((tensor) => excerpt(tensor))
    .join(", ")}${all.length > 4 ? `, and ${all.length - 4} more` : ""}`;
  const stems = new Set<string>();
  const numbers = new Set<number>();
  for (const tensor of all) {
    const [, stem, number] = /^((?:[A-Za-z_]\w*\.)*)(?:(\d{1,4})\.)?(?:weight|bias)$/.exec(tensor.slice(0, 200)) ?? [];
    if (stem === undefined) return refuse(`have the tensors of linear layers, weight and bias; it has ${shown}`);
    stems.add(stem);
    if (number !== undefined) numbers.add(Number(number));
  }
  const [stem = "", other] = stems;
  if (other !== undefined || all.length === 0)
    refuse(`have layers in turn, under one name; it has ${shown || "nothing"}`);
  const places = numbers.size === 0 ? [""] : [...numbers].sort((a, b) => a - b).map((number) => `${number}.`);
  if (places.length > MAX_LAYERS) refuse(`have at most ${MAX_LAYERS} layers; it has ${places.length}`);
  const layers = places.map((place): ProbeLayer => {
    const [weight, bias] = [`${stem}${place}weight`, `${stem}${place}bias`];
    const shape = tensors.get(weight)?.shape ?? refuse(`have ${excerpt(weight)}; it has ${shown}`);
    const [outputs = 0, inputs = 0] = shape;
    const whole = shape.length === 2 && [outputs, inputs].every((n) => n > 0 && n <= MAX_SIZE);
    if (!whole) refuse(`have matrices of [outputs, inputs]; ${excerpt(weight)} is (${shape.join(", ")})`);
    const has = tensors.has(bias);
    return { weight: PROBE + weight, bias: has ? PROBE + bias : undefined, inputs, outputs };
  });
  for (const [i, { weight, inputs }] of layers.entries()) {
    const before = layers[i - 1]?.outputs ?? inputs;
    if (inputs !== before) {
      refuse(`have layers in turn, but ${excerpt(weight.slice(PROBE.length))} takes ${inputs} columns, not ${before}`);
    }
  }
  const known = KNOWN.find(
    (row) => row.numbers === [...numbers].sort((a, b) => a - b).join(",") && stem.endsWith(row.stem),
  );
  const gaps = [...numbers].sort((a, b) => a - b).some((n, i, sorted) => i > 0 && n - sorted[i - 1]! > 1);
  if (activation === undefined && !known && gaps) {
    refuse(
      `say what lies between its layers, which its file does not tell: head: { file, activation: "none" } or "relu" or another; it has ${shown}`,
    );
  }
  const chosen = activation ?? known?.activation ?? "none";
  return {
    layers,
    activation: chosen === "none" ? undefined : chosen,
    unit: normalize ?? (known ? true : undefined),
    interleaved: /(^|\.)linear\.$/.test(stem),
  };
}

/** Tells whether tensors are those of a head alone. */
export function isProbe(tensors: Shapes): boolean {
  try {
    readProbe("", tensors, { activation: "none" });
    return true;
  } catch {
    return false;
  }
}

/**
 * A model's config with a head in place of its own, and its labels: which vector the head reads, its width says.
 * @throws Error: one sentence, where no vector of the model has the width.
 */
export async function withProbe(
  name: string,
  config: Config,
  probe: ReadProbe,
): Promise<{ readonly config: Config; readonly heads: Heads; readonly labels: readonly string[] }> {
  const { layers, activation, unit, interleaved, notes } = probe;
  const { width, features, depth, classToken, norm } = config;
  const { inputs } = layers[0]!;
  const classes = layers.at(-1)!.outputs;
  const tokens = depth > 0 && classToken && norm === "tokens" && layers.length === 1;
  /** Vectors by their widths; the first one is meant where several have the same. */
  const vectors: readonly (readonly [width: number, reads: Probe["reads"], there: boolean])[] = [
    [features, "features", features > 0],
    [width, "head", true],
    [2 * width, { blocks: 1, mean: true }, tokens],
    [4 * width, { blocks: 4, mean: false }, tokens && depth >= 4],
    [5 * width, { blocks: 4, mean: true }, tokens && depth >= 4],
  ];
  const there = vectors.filter(([, , is]) => is);
  const reads = there.find(([width]) => width === inputs)?.[1];
  if (reads === undefined) {
    const widths = [...new Set(there.map(([width]) => width))].join(", ");
    throw new Error(`load: a head of "${name}" must read one of its vectors, of ${widths} columns; it reads ${inputs}`);
  }
  if (notes && notes.classes.length !== classes) {
    throw new Error(`load: a head of "${name}" must name its ${classes} classes; it names ${notes.classes.length}`);
  }
  const own: Config = {
    ...config,
    pooling: config.pooling === "distilled" || config.pooling === "token+mean" ? "token" : config.pooling,
    classes,
    headless: false,
    probabilities: classes === 1 ? "none" : "softmax",
    probe: {
      layers,
      activation,
      reads,
      interleaved: interleaved && typeof reads === "object" && reads.blocks === 1,
      // LAION's predictors read embeddings of length 1; linear probes of classes read them as they are.
      unit: unit ?? (reads === "features" && classes === 1),
      ...(notes && { sharpness: notes.sharpness }),
    },
  };
  return { config: own, heads: await importHeads(own), labels: await labelsOf(classes, probe) };
}

/** Names of a head's outputs: its own; of 1000 ImageNet-1k's, as linear probes are published; one is a score. */
async function labelsOf(classes: number, { notes }: ReadProbe): Promise<readonly string[]> {
  if (notes) return notes.classes;
  if (classes === 1) return ["score"];
  if (classes === 1000) return (await import("./imagenet1k.js")).IMAGENET_1K;
  return Array.from({ length: classes }, (_, i) => `LABEL_${i}`);
}
