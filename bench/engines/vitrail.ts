/** vitrail: GEMM and attention as ops of its backend, models and photos as a user calls them. */
import { readFile, writeFile } from "node:fs/promises";
import { createWasmBackend } from "../../src/backends/wasm/index.js";
import { decode, parsePreprocessing } from "../../src/image/index.js";
import { pixelsOf } from "../../src/image/pixels.js";
import { toPixelValues } from "../../src/image/preprocess.js";
import { type Inputs, load, type Model, type OutputName, type Tensor } from "../../src/index.js";
import { PARTS, type PartName, partFolder, partInputs } from "../dense.js";
import type { Contender, Engine, Refusal } from "../engine.js";
import { embeddingsFile, fileOf, folderOf, PHOTO } from "../files.js";
import { IMAGE, type Size, TOKENS } from "../models.js";
import { PROMPT_LENGTH, PROMPTS_FOLDER, promptIds } from "../prompts.js";
import {
  type AttentionWork,
  attentionInputs,
  type DecodeWork,
  type FolderWork,
  type GemmWork,
  gemmInputs,
  joined,
  type Setup,
  sampleOf,
  type TensorWork,
  vitPixels,
} from "../work.js";

export const engine: Engine = {
  prepare(work, setup) {
    switch (work.kind) {
      case "gemm":
        return gemm(work);
      case "attention":
        return attention(work);
      case "vit":
        return model(folderOf(work.size), setup, (model) => forward(model, work.batch, work.size));
      case "resnet":
        return model(folderOf(work.network), setup, (model) => forward(model, 1));
      case "dense":
        return model(partFolder(work.part), setup, (model) => part(model, work.part));
      case "prompts":
        return model(PROMPTS_FOLDER, setup, (model) => prompts(model, work.count));
      case "click":
        return model(partFolder("decoder"), setup, click);
      case "classify":
        return model(folderOf("Ti"), setup, classify);
      case "folder":
        return model(folderOf(work.size), setup, (model) => folder(model, work));
      case "pixels":
        return model(folderOf("Ti"), setup, preprocess);
      case "decode":
        return decoder(work);
      case "tensor":
        return Promise.resolve({ run: () => tensor(work), result: () => tensor(work), dispose() {} });
    }
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

/** What is asked of a model, again and again. */
type Runs = Pick<Contender, "run" | "result">;

/** A model of a folder in a setup, or what it says of why that cannot run. */
async function model(
  folder: string,
  { precision, threads, wide }: Setup,
  runsOf: (model: Model) => Runs | Promise<Runs>,
): Promise<Contender | Refusal> {
  let model: Model;
  try {
    model = await load(folder, { backend: "wasm", precision, threads, wide });
  } catch (error) {
    // What load will not do it says; anything else is a fault.
    const { message } = error as Error;
    if (!message.startsWith("load:")) throw error;
    return { refused: message };
  }
  const { backend } = model;
  const granted =
    backend.precision === precision && backend.threads === threads && backend.reason.includes("256-bit") === wide;
  if (!granted) {
    model.dispose();
    return { refused: backend.reason };
  }
  const runs = await runsOf(model);
  return {
    ...runs,
    dispose: () => model.dispose(),
    kernels: backend.reason.replace(/^asked for; /, ""),
    get memory() {
      return model.memory.weights + model.memory.activations;
    },
  };
}

function forward(model: Model, batch: number, size?: Size): Runs {
  const pixelValues = vitPixels(batch, size);
  const logits = async () => (await model.forward({ pixelValues })).logits as { data: Float32Array };
  return { run: logits, result: async () => (await logits()).data };
}

function part(model: Model, name: PartName): Runs {
  const own = (name: string) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  const inputs = Object.fromEntries(partInputs(name).map(({ name, dims, data }) => [own(name), { dims, data }]));
  const outputs = PARTS[name].outputs.map(own) as OutputName[];
  let results: Partial<Record<OutputName, unknown>>;
  return {
    async run() {
      results = await model.forward(inputs as Inputs, { outputs });
    },
    // Of the last run, as another one can take half a minute.
    result: () => joined(outputs.map((output) => (results[output] as Tensor).data)),
  };
}

function prompts(model: Model, count: number): Runs {
  const inputIds = { dims: [count, PROMPT_LENGTH], data: promptIds(count) };
  const features = async () => (await model.forward({ inputIds }, { outputs: ["textFeatures"] })).textFeatures;
  return { run: features, result: async () => (await features()).data };
}

async function click(model: Model): Promise<Runs> {
  const photo = await model.prepare(PHOTO);
  const masks = () => photo.segment({ points: [{ x: 200, y: 150 }] });
  return { run: masks, result: async () => Float32Array.from((await masks()).segments[0]!.mask.data) };
}

const classify = (model: Model): Runs => ({
  run: () => model.classify(PHOTO),
  result: () => probabilitiesOf(model, PHOTO),
});

async function probabilitiesOf(model: Model, photo: string): Promise<Float32Array> {
  const probabilities = new Float32Array(model.labels.length);
  const predictions = await model.classify(photo, { topK: probabilities.length });
  for (const { index, probability } of predictions) probabilities[index] = probability;
  return probabilities;
}

function folder(model: Model, { picture, photos }: FolderWork): Runs {
  const files = Array.from({ length: photos }, () => fileOf(picture));
  return {
    run: async () => writeFile(embeddingsFile("vitrail"), await model.embed(files)),
    result: () => probabilitiesOf(model, PHOTO),
  };
}

function preprocess(model: Model): Runs {
  const pixels = () => model.preprocess(PHOTO);
  return { run: pixels, result: async () => (await pixels()).data };
}

async function decoder({ picture }: DecodeWork): Promise<Contender> {
  const bytes = new Uint8Array(await readFile(fileOf(picture)));
  return {
    run: () => decode(bytes),
    result: async () => sampleOf((await decode(bytes)).data, 3),
    dispose() {},
  };
}

const SQUARE = parsePreprocessing(
  { image_processor_type: "ViTImageProcessor", size: { height: IMAGE, width: IMAGE }, resample: 2 },
  {},
  [IMAGE, IMAGE],
);

async function tensor({ picture, draft }: TensorWork): Promise<Float32Array> {
  const { data } = await pixelsOf(await readFile(fileOf(picture)), { preprocessing: SQUARE, draft });
  return toPixelValues(data, SQUARE);
}
