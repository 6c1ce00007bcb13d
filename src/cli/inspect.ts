/** `vitrail inspect`: what a checkpoint is, from its headers and JSON files; the weights are not read. */
import { type Preprocessing, parsePreprocessing } from "../image/index.js";
import { openCheckpoint } from "../io/checkpoint.js";
import { type Config, gridOf } from "../model/config.js";
import { bareSettings } from "../model/families/bare.js";
import { scaleOf } from "../model/plan.js";
import { parseConfig } from "../model/recognise.js";
import { bytesText, grouped, type Invocation, modelName, sourceOf } from "./invocation.js";
import { activationBytes, multiplyAdds } from "./sizes.js";

export async function inspect({ args, terminal, signal }: Invocation): Promise<void> {
  const model = modelName(args);
  const checkpoint = await openCheckpoint(sourceOf(args), { signal });
  await checkpoint.close();
  const { config, named, labels } = await parseConfig(checkpoint.name, checkpoint.config, checkpoint.tensors);
  const preprocessing = parsePreprocessing(
    checkpoint.preprocessor,
    checkpoint.config ?? bareSettings(config),
    config.imageSize,
  );
  const used = [...checkpoint.tensors.values()].filter(({ name }) => !named.layout.ignored.test(name));
  const scales = new Set(used.map(({ name }) => scaleOf(name)));
  const quantised = used.some(({ name }) => scales.has(name));
  const parameters = used
    .filter(({ name }) => !scales.has(name))
    .reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0);
  const dtypes = [...new Set(used.map(({ dtype }) => dtype))];
  const memory = { weights: quantised ? checkpoint.bytes : 4 * parameters, activations: activationBytes(config) };
  const gflop = (2 * multiplyAdds(config)) / 1e9;

  if (args.json) {
    const { bytes } = checkpoint;
    terminal.printJson({ model, ...config, labels, preprocessing, parameters, dtypes, bytes, memory, gflop });
    return;
  }
  const rows: Record<string, string> = {
    family: `${config.family}, tensors named as in ${config.layout === "timm" ? "timm" : "transformers"}`,
    images: describeImages(config),
    encoder: describeEncoder(config),
    head: describeHead(config),
    labels: describeLabels(labels),
    preprocessing: describePreprocessing(preprocessing),
    parameters: `${grouped(parameters)}, stored as ${dtypes.join(", ")} in ${bytesText(checkpoint.bytes)}`,
    memory: `about ${bytesText(memory.weights)} of weights and ${bytesText(memory.activations)} an image, in ${quantised ? "int8" : "f32"}`,
    work: `${gflop.toPrecision(3)} GFLOP an image`,
  };
  const lines = Object.entries(rows).map(([key, text]) => `  ${key.padEnd(14)} ${text}`);
  terminal.print(model, ...lines);
}

/** Height × width, as in configs. */
const sizeText = (size: readonly number[]): string => size.join("×");

function describeImages(config: Config): string {
  const [rows, columns] = gridOf(config, config.imageSize);
  const extra = ["", " and a class token", " and class and distillation tokens"][config.prefixTokens]!;
  return `${sizeText(config.imageSize)}, in ${rows * columns} patches of ${sizeText(config.patchSize)}${extra}`;
}

const describeEncoder = ({ depth, width, heads, mlpWidth, activation, qkvBias }: Config): string =>
  `depth ${depth}, width ${width}, heads ${heads}, MLP width ${mlpWidth}, ${activation}` +
  (qkvBias ? "" : ", no bias in q, k, v");

function describeHead({ pooling, classes, poolerWidth }: Config): string {
  const pooled = {
    token: "class token",
    distilled: "class and distillation token",
    mean: "mean of the patches",
    "token+mean": "class token and mean of the patches",
    attention: "attention pooling",
  }[pooling];
  const head = classes > 0 ? `to ${grouped(classes)} classes` : "without a classifier";
  return `${pooled} ${head}${poolerWidth > 0 ? `; pooler of ${poolerWidth} on the class token` : ""}`;
}

function describeLabels(labels: readonly string[]): string {
  if (labels.length === 0) return "none";
  // What parseConfig fills in where the checkpoint names none.
  if (labels[0] === "LABEL_0") return `${grouped(labels.length)}, not named`;
  const first = labels.slice(0, 3).map((label) => JSON.stringify(label));
  return `${grouped(labels.length)}: ${first.join(", ")}${labels.length > 3 ? ", …" : ""}`;
}

function describePreprocessing({ resize, filter, width, height, rescale, mean, std }: Preprocessing): string {
  const result = sizeText([height, width]);
  const steps: string[] = [];
  if (resize.mode === "shortest") steps.push(`short side to ${resize.size}, ${filter}`);
  if (resize.mode === "exact") steps.push(`resize to ${sizeText([resize.height, resize.width])}, ${filter}`);
  if (resize.mode === "cover") steps.push(`resize to cover ${sizeText([resize.height, resize.width])}, ${filter}`);
  if (resize.mode !== "exact" || resize.height !== height || resize.width !== width) steps.push(`center ${result}`);
  if (rescale !== 1) steps.push(`times ${rescale === 1 / 255 ? "1/255" : rescale}`);
  const same = (x: readonly number[]) => (x.every((value) => value === x[0]) ? `${x[0]}` : x.join(" "));
  steps.push(`mean ${same(mean)}, deviation ${same(std)}`);
  return steps.join("; ");
}
