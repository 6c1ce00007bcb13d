/**
 * Hugging Face's Inference API, as `@huggingface/inference` and huggingface_hub's InferenceClient speak it to an endpoint: the model
 * is in the path, an image is the body or base64 in JSON, and which task is wanted the model tells, or the path.
 */
import { encodePng, type Picture } from "../../image/write-png.js";
import type { Detection, Model, TaskName } from "../../index.js";
import { excerpt } from "../../json.js";
import { depthOf } from "../../pipeline.js";
import { toBase64 } from "../../platform/bytes.js";
import { jsonOf } from "../body.js";
import { type Call, embedding, type Input, type Work } from "../call.js";
import { choice, type Fields, fieldsOf, optional } from "../fields.js";
import { plainFailure, type Route } from "../protocol.js";
import { malformed, Refusal } from "../refusal.js";

interface HubTask {
  /** The model's own task that it is. */
  readonly task: TaskName;
  /** Tells whether a model that does the task does this form of it. */
  able?(model: Model): boolean;
  /** True if labels must be given, and such requests are for it. */
  readonly labels?: true;
  readonly parameters: readonly string[];
  /** Checks the parameters, and gives the work on an image. */
  begin(model: Model, parameters: Fields): (image: Uint8Array, signal: AbortSignal) => Promise<unknown>;
}

const scores = (predictions: readonly { label: string; probability: number }[]) =>
  predictions.map(({ label, probability }) => ({ label, score: probability }));

/** Boxes in whole pixels, as transformers' pipelines give them. */
const objects = (found: readonly Detection[]) =>
  found.map(({ label, probability, box: { xmin, ymin, xmax, ymax } }) => ({
    ...{ label, score: probability },
    box: { xmin: Math.trunc(xmin), ymin: Math.trunc(ymin), xmax: Math.trunc(xmax), ymax: Math.trunc(ymax) },
  }));

const png = async (picture: Picture) => toBase64(await encodePng(picture));

function labelsOf(parameters: Fields): readonly string[] {
  const labels = optional(parameters, "candidate_labels", "texts");
  if (labels) return labels;
  throw malformed("parameters must have candidate_labels, a list of texts");
}

/** Tasks by Hugging Face's names. Where the path names none, it is the first that the model does. */
const HUB_TASKS: Readonly<Record<string, HubTask>> = {
  "zero-shot-object-detection": {
    task: "detect",
    able: ({ config }) => config.patchBoxes !== undefined,
    labels: true,
    parameters: ["candidate_labels", "threshold", "top_k"],
    begin(model, parameters) {
      const labels = labelsOf(parameters);
      const threshold = optional(parameters, "threshold", "part");
      const topK = optional(parameters, "top_k", "count");
      return async (image, signal) => objects(await model.detect(image, { labels, threshold, topK, signal }));
    },
  },
  "zero-shot-image-classification": {
    task: "zeroShot",
    labels: true,
    parameters: ["candidate_labels", "hypothesis_template"],
    begin(model, parameters) {
      const labels = labelsOf(parameters);
      const template = optional(parameters, "hypothesis_template", "text");
      return async (image, signal) => scores(await model.zeroShot(image, labels, { template, signal }));
    },
  },
  "depth-estimation": {
    task: "depth",
    parameters: [],
    begin: (model) => async (image, signal) => {
      const { depth, predicted_depth } = await depthOf(model, image, signal);
      return { depth: await png(depth), predicted_depth: predicted_depth.tolist() };
    },
  },
  "object-detection": {
    task: "detect",
    able: ({ config }) => config.tokenBoxes !== undefined,
    parameters: ["threshold"],
    begin(model, parameters) {
      const threshold = optional(parameters, "threshold", "part");
      return async (image, signal) => objects(await model.detect(image, { threshold, signal }));
    },
  },
  "image-segmentation": {
    task: "segment",
    // Prompts are no parameters of this task.
    able: ({ config }) => !config.sam && !config.textMasks,
    parameters: ["subtask", "threshold"],
    begin(model, parameters) {
      const kind = choice(parameters, "subtask", ["semantic", "instance", "panoptic"]);
      const threshold = optional(parameters, "threshold", "part");
      return async (image, signal) => {
        const { segments } = await model.segment(image, { kind, threshold, signal });
        const masks = segments.map(async ({ label, probability, mask }) => {
          const data = mask.data.map((inside) => 255 * inside);
          return { label, score: probability, mask: await png({ ...mask, data, channels: 1 }) };
        });
        return Promise.all(masks);
      };
    },
  },
  "image-classification": {
    task: "classify",
    parameters: ["function_to_apply", "top_k"],
    begin(model, parameters) {
      const probabilities = choice(parameters, "function_to_apply", ["sigmoid", "softmax", "none"]);
      const topK = optional(parameters, "top_k", "count");
      return async (image, signal) => scores(await model.classify(image, { topK, probabilities, signal }));
    },
  },
  "feature-extraction": {
    task: "embed",
    parameters: ["normalize", "truncate"],
    begin(model, parameters) {
      const embed = embedding(model, optional(parameters, "normalize", "flag") ?? false);
      // A tower reads as many tokens of a text as it has positions.
      if (optional(parameters, "truncate", "flag") === false) throw malformed("truncate must be true");
      return async (input, signal) => Array.from(await embed(input, signal));
    },
  },
};

const NAMES = [...new Set(Object.values(HUB_TASKS).flatMap(({ parameters }) => parameters))];
/** Parameters that clients put beside the inputs. */
const BESIDE = ["normalize", "truncate"];

/** The task of a request, by its name. */
function taskOf(model: Model, wanted: string | undefined, hasLabels: boolean): string {
  const able = Object.entries(HUB_TASKS).flatMap(([name, { task, able }]) =>
    model.tasks.includes(task) && (able?.(model) ?? true) ? [name] : [],
  );
  const found = able.find((name) => (wanted === undefined ? !HUB_TASKS[name]!.labels === !hasLabels : name === wanted));
  if (found !== undefined) return found;
  const what = wanted === undefined ? (hasLabels ? "take labels" : "do without labels") : `do ${excerpt(wanted)}`;
  throw malformed(`this model cannot ${what}; it can ${able.join(", ") || "do nothing of these tasks"}`);
}

/** The first byte of JSON of which nothing says so, as of `curl -d`; no image begins with it. */
const BRACE = 0x7b;

/** The inputs as they are, and whether they are a list. */
async function requestOf(call: Call): Promise<{ inputs: readonly unknown[]; list: boolean; parameters: Fields }> {
  const type = call.request.headers.get("content-type") ?? "";
  if (/^multipart\//i.test(type)) throw new Refusal(415, "the body must be an image, or JSON; got a form");
  const body = await call.body();
  if (!/^application\/json\b/i.test(type) && body[0] !== BRACE) {
    return { inputs: [body], list: false, parameters: {} };
  }
  const { inputs, parameters, ...beside } = fieldsOf(jsonOf(body), "the body", ["inputs", "parameters", ...BESIDE]);
  const list = Array.isArray(inputs);
  if (list && inputs.length === 0) throw malformed("inputs must not be empty");
  return {
    inputs: list ? inputs : [inputs],
    list,
    parameters: { ...fieldsOf(parameters ?? {}, "parameters", NAMES), ...beside },
  };
}

/** An image, or a text, which is one only where vectors are wanted of a model that takes texts. */
function inputOf(value: unknown, texts: boolean): Input {
  if (value instanceof Uint8Array) return { image: value };
  const image = typeof value === "string" ? value : fieldsOf(value, "inputs", ["image"]).image;
  if (typeof image !== "string") throw malformed(`an image must be base64; got ${excerpt(image)}`);
  return texts && image === value && !image.startsWith("data:") ? { text: image } : { image };
}

async function infer(call: Call): Promise<Response> {
  const { task: wanted, name } = call.parts;
  const served = call.modelOf(name);
  const { inputs, list, parameters } = await requestOf(call);
  const results = await call.use(served, async (model, each) => {
    const task = taskOf(model, wanted, "candidate_labels" in parameters);
    const { [task]: row } = HUB_TASKS;
    fieldsOf(parameters, `parameters of ${task}`, row!.parameters);
    const work = row!.begin(model, parameters);
    const texts = task === "feature-extraction" && model.text !== undefined;
    return each(
      inputs.map((input) => inputOf(input, texts)),
      work as Work<unknown>,
    );
  });
  return Response.json(list ? results : results[0]);
}

export const huggingFace: readonly Route[] = [
  "/models/{name}/pipeline/{task}",
  "/models/{name}",
  "/pipeline/{task}",
  "/",
].map((path) => ({ method: "POST", path, answer: infer, failure: plainFailure }));
