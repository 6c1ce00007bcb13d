/** What browser.ts has a page run: engines on the same work, in turns. Its address has the question; it posts the timings. */
import { load } from "../src/index.js";
import { IMAGE, random } from "./models.js";

export type PageEngine = "vitrail" | "onnxruntime-web" | "transformers.js";

export interface PageWork {
  /** From pixel values to logits, or from a JPEG to its class. */
  readonly kind: "logits" | "photo";
  readonly size: "Ti" | "S" | "B";
  readonly precision: "f32" | "int8";
  readonly threads: number;
}

export interface PageQuestion extends PageWork {
  readonly engines: readonly PageEngine[];
}

export interface PageTiming {
  readonly engine: PageEngine;
  /** From asking for the engine, whose code then comes, to the first result. */
  readonly firstMs: number;
  /** Medians of the turns. */
  readonly ms: readonly number[];
  /** Largest difference of logits from the first engine's, relative to the largest value. */
  readonly difference: number;
  readonly described?: string;
}

/** One engine with its model: a result that others are compared with, if they can be. */
interface Contender {
  run(): Promise<ArrayLike<number>>;
  readonly described?: string;
}

const ROUNDS = 5;
/**
 * Milliseconds of turns that do not count: V8 compiles the code of all engines for speed beside them for as long, onnxruntime-web's 13 MB
 * too. ViT-Ti on two threads took vitrail 37 ms in the first six seconds beside it, then 28, and 29 alone.
 */
const WARM_UP = 8000;
/** Least milliseconds and runs of a turn, after one run that does not count. */
const TURN = { ms: 60, runs: 2 };

const question: PageQuestion = JSON.parse(decodeURIComponent(location.search.slice(1)));

const address = (path: string) => new URL(path, location.origin).href;
const thirdparty = (path: string) => import(address(`/thirdparty/${path}`));
const pixels = () => ({ dims: [1, 3, IMAGE, IMAGE], data: random(3 * IMAGE * IMAGE, 1, 1) });

const TRANSFORMERS = "@huggingface/transformers";

const ENGINES: Readonly<Record<PageEngine, (work: PageWork) => Promise<Contender>>> = {
  async vitrail({ kind, precision, threads }) {
    const model = await load(address("/checkpoint/"), { backend: "wasm", precision, threads });
    const pixelValues = pixels();
    const described = model.backend.reason;
    if (kind === "logits") return { described, run: async () => (await model.forward({ pixelValues })).logits!.data };
    const photo = new URL("/photo.jpg", location.origin);
    return { described, run: async () => (await model.classify(photo)).map(({ probability }) => probability) };
  },
  async "onnxruntime-web"({ threads }) {
    const ort = await thirdparty("onnxruntime-web/dist/ort.wasm.min.mjs");
    ort.env.wasm.numThreads = threads;
    const session = await ort.InferenceSession.create(address("/onnx/model.onnx"), { executionProviders: ["wasm"] });
    const { dims, data } = pixels();
    const pixel_values = new ort.Tensor("float32", data, dims);
    return { run: async () => (await session.run({ pixel_values })).logits.data };
  },
  async "transformers.js"({ threads }) {
    const { env, pipeline } = await thirdparty(`${TRANSFORMERS}/dist/transformers.js`);
    Object.assign(env, {
      allowRemoteModels: false,
      allowLocalModels: true,
      localModelPath: "/",
      useBrowserCache: false,
    });
    env.backends.onnx.wasm.numThreads = threads;
    // Its own version of onnxruntime-web, which it would fetch from a network of delivery.
    env.backends.onnx.wasm.wasmPaths = address(`/thirdparty/${TRANSFORMERS}/node_modules/onnxruntime-web/dist/`);
    const classifier = await pipeline("image-classification", "vit-ti-transformers", { dtype: "fp32", device: "wasm" });
    const run = async () =>
      (await classifier(address("/photo.jpg"), { top_k: 5 })).map(({ score }: { score: number }) => score);
    return { run };
  },
};

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!;

async function turn({ run }: Contender): Promise<number> {
  await run();
  const times: number[] = [];
  const start = performance.now();
  while (times.length < TURN.runs || performance.now() - start < TURN.ms) {
    const begin = performance.now();
    await run();
    times.push(performance.now() - begin);
  }
  return median(times);
}

async function measure(): Promise<PageTiming[]> {
  const { engines, ...work } = question;
  const raced: {
    engine: PageEngine;
    contender: Contender;
    firstMs: number;
    result: ArrayLike<number>;
    ms: number[];
  }[] = [];
  for (const engine of engines) {
    const begin = performance.now();
    const contender = await ENGINES[engine](work);
    const result = await contender.run();
    raced.push({ engine, contender, firstMs: performance.now() - begin, result, ms: [] });
  }
  for (const end = performance.now() + WARM_UP; performance.now() < end; ) {
    for (const { contender } of raced) await turn(contender);
  }
  for (let round = 0; round < ROUNDS; round++) for (const { contender, ms } of raced) ms.push(await turn(contender));
  const want = Array.from(raced[0]!.result);
  const largest = Math.max(...want.map(Math.abs));
  return raced.map(({ engine, contender, firstMs, result, ms }) => {
    const difference = Math.max(...want.map((x, i) => Math.abs(x - result[i]!))) / largest;
    return { engine, firstMs, ms, difference, described: contender.described };
  });
}

const post = (task: string, found: unknown) =>
  fetch(`/result?task=${task}`, { method: "POST", body: JSON.stringify(found) });
await post("timings", await measure().catch((error: Error) => ({ failed: error.stack ?? String(error) })));
await post("end", {});
