/** The WebGPU tests on a page: the conformance file on the page's own thread, goldens where `load` puts the model. */
import assert from "node:assert/strict";
import { type Gpu, requestGpu } from "../src/backends/webgpu/device.js";
import { createWebgpuBackend } from "../src/backends/webgpu/index.js";
import { createEngine } from "../src/engine/engine.js";
import { createDrawing } from "../src/image/drawn.js";
import type { Preprocessing } from "../src/image/index.js";
import { load } from "../src/index.js";
import { runBackendCases } from "./backend.cases.js";
import { compareAll } from "./goldens.js";
import { defined } from "./node.js";

/** What failed, one line each, and how many ran. */
export interface Ran {
  readonly count: number;
  readonly failures: string[];
  /** Tasks of the page's thread above 50 ms, in milliseconds. */
  readonly long: number[];
}

async function ran(cases: readonly { readonly name: string; readonly run: () => unknown }[]): Promise<Ran> {
  const failures: string[] = [];
  const long: number[] = [];
  const observer = new PerformanceObserver((list) => long.push(...list.getEntries().map(({ duration }) => duration)));
  if (PerformanceObserver.supportedEntryTypes.includes("longtask")) observer.observe({ type: "longtask" });
  for (const { name, run } of cases) {
    try {
      await run();
    } catch (error) {
      failures.push(`${name}: ${(error as Error).message}`);
    }
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
  return { count: cases.length, failures, long };
}

/** @param every runs each so-many-th case alone, the first of them. */
export async function conformance(every = 1): Promise<Ran> {
  const create = async () => {
    const gpu = await requestGpu();
    if ("reason" in gpu) throw new Error(gpu.reason);
    return createWebgpuBackend(gpu);
  };
  runBackendCases({ create, tolerance: 1e-5, tolerances: { f16: 2e-3, rescaled: 2e-3, int8: 1e-5 } });
  return ran(defined.splice(0).filter((_, i) => i % every === 0));
}

/** An opaque picture of noise, the same for the same size. */
function picture(width: number, height: number): OffscreenCanvas {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d")!;
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < pixels.data.length; i++) pixels.data[i] = i % 4 === 3 ? 255 : Math.imul(i + 1, 2654435761) >>> 24;
  context.putImageData(pixels, 0, 0);
  return canvas;
}

const HALF = {
  processor: "pillow",
  alpha: "drop",
  rescaleFirst: false,
  mean: [0.5, 0.5, 0.5],
  std: [0.5, 0.25, 0.125],
  rescale: 1 / 255,
} as const;
const PREPROCESSINGS: Preprocessing[] = [
  { resize: { mode: "shortest", size: 37 }, filter: "bicubic", width: 32, height: 32, cropRounding: "even", ...HALF },
  {
    resize: { mode: "exact", width: 24, height: 56 },
    filter: "bilinear",
    width: 24,
    height: 56,
    cropRounding: "down",
    ...HALF,
  },
  {
    resize: { mode: "cover", width: 33, height: 20 },
    filter: "lanczos",
    width: 31,
    height: 17,
    cropRounding: "even",
    ...HALF,
  },
  { resize: { mode: "none" }, filter: "box", width: 9, height: 7, cropRounding: "down", ...HALF },
];
const SIZES = [
  [37, 37],
  [13, 300],
  [1, 1],
  [500, 333],
] as const;

/** Images that the GPU reads: what it makes of them is what the processor makes of them, to the bit. */
export async function drawing(): Promise<Ran> {
  const gpu = await requestGpu();
  if ("reason" in gpu) throw new Error(gpu.reason);
  const backend = createWebgpuBackend(gpu);
  const kinds = {
    bitmap: (canvas: OffscreenCanvas) => createImageBitmap(canvas),
    canvas: (canvas: OffscreenCanvas) => canvas,
    frame: (canvas: OffscreenCanvas) => new VideoFrame(canvas, { timestamp: 0, alpha: "discard" }),
  };
  const cases = PREPROCESSINGS.flatMap((preprocessing, i) =>
    SIZES.flatMap(([width, height]) =>
      Object.entries(kinds)
        .slice(0, i === 0 ? undefined : 1)
        .map(([kind, make]) => ({
          name: `${kind} of ${width}×${height}, ${preprocessing.resize.mode}, ${preprocessing.filter}`,
          async run() {
            const image = await make(picture(width, height));
            const drawn = createDrawing(preprocessing)(image);
            const tooSmall = preprocessing.resize.mode === "none" && (width < 9 || height < 7);
            assert.equal(drawn === undefined, tooSmall, "whether it can be drawn");
            if (!drawn) return;
            const mark = backend.mark();
            const pixels = backend.createTensor(3, preprocessing.width * preprocessing.height);
            const read = backend.draw!(pixels, image, drawn.sampling);
            if ("close" in image) image.close();
            const values = await backend.read(pixels);
            backend.release(mark);
            // SwiftShader reads no frames.
            assert.equal(read || kind === "frame", true, "whether it was drawn");
            if (!read) return;
            const again = createDrawing(preprocessing)(picture(width, height))!;
            const wrong = values.findIndex((value, i) => value !== again.data[i]);
            assert.equal(wrong, -1, `element ${wrong} is ${values[wrong]}, not ${again.data[wrong]}`);
          },
        })),
    ),
  );
  const result = await ran(cases);
  backend.dispose();
  return result;
}

/** A model whose images the GPU reads: by no canvas, with the same results, also in lists and after an image that cannot be read. */
export async function drawnByModel(): Promise<Ran> {
  const folder = "/tests/fixtures/checkpoints/hf-vit";
  const config = await (await fetch(`${folder}/config.json`)).json();
  const weights = await (await fetch(`${folder}/model.safetensors`)).arrayBuffer();
  const source = { config, weights };
  const model = await load(source, { backend: "webgpu" });
  const { prototype } = OffscreenCanvasRenderingContext2D;
  const { getImageData } = prototype;
  let reads = 0;
  prototype.getImageData = function (x: number, y: number, width: number, height: number) {
    reads++;
    return getImageData.call(this, x, y, width, height);
  };
  const bitmaps = () => Promise.all([picture(70, 50), picture(31, 90)].map((canvas) => createImageBitmap(canvas)));
  const asPixels = [picture(70, 50), picture(31, 90)].map((canvas) =>
    getImageData.call(canvas.getContext("2d")!, 0, 0, canvas.width, canvas.height),
  );
  const expected = [...(await model.embed(asPixels))];
  const result = await ran([
    {
      name: "a list, and one by one",
      async run() {
        const images = await bitmaps();
        assert.deepEqual([...(await model.embed(images))], expected);
        const rows = [await model.embed(images[0]!), await model.embed(images[1]!)];
        assert.deepEqual(
          rows.flatMap((row) => [...row]),
          expected,
        );
        assert.equal(reads, 0, "canvases were read");
      },
    },
    {
      name: "a frame",
      async run() {
        const frame = new VideoFrame(picture(70, 50), { timestamp: 0, alpha: "discard" });
        const row = [...(await model.embed(frame))];
        frame.close();
        assert.deepEqual(row, expected.slice(0, row.length));
      },
    },
    {
      name: "a device that is lost: SIMD reads it by a canvas",
      async run() {
        let gpu: Gpu | undefined;
        const find = async () => {
          const found = await requestGpu();
          if ("reason" in found) return found;
          gpu = { ...found, software: false };
          return gpu;
        };
        const engine = await createEngine(source, {}, { find, compare: async () => ({ preferred: true, reason: "" }) });
        assert.equal(engine.draws, true, "whether its GPU draws");
        const image = createDrawing(engine.preprocessing)((await bitmaps())[0]!);
        gpu!.device.destroy();
        const { preLogits } = await engine.forward({ pixelValues: image! }, ["preLogits"], () => {});
        const row = [...preLogits!.data];
        assert.ok(row.length > 0 && row.every((value, i) => Math.abs(value - expected[i]!) < 1e-4), "SIMD's row");
        assert.equal(engine.draws, false, "whether it draws without its GPU");
        assert.equal(reads > 0, true, "whether a canvas was read");
        engine.dispose();
      },
    },
    {
      name: "a device that is lost while it is tried out on a picture: SIMD has the call",
      async run() {
        const { createTexture } = GPUDevice.prototype;
        GPUDevice.prototype.createTexture = function (...args) {
          this.destroy();
          return createTexture.apply(this, args);
        };
        try {
          const find = async () => {
            const found = await requestGpu();
            return "reason" in found ? found : { ...found, software: false };
          };
          const engine = await createEngine(
            source,
            {},
            { find, compare: async () => ({ preferred: true, reason: "" }) },
          );
          assert.equal(engine.draws, false, "whether its GPU draws");
          const image = createDrawing(engine.preprocessing)((await bitmaps())[0]!);
          const { preLogits } = await engine.forward({ pixelValues: image! }, ["preLogits"], () => {});
          const row = [...preLogits!.data];
          assert.ok(row.length > 0 && row.every((value, i) => Math.abs(value - expected[i]!) < 1e-4), "SIMD's row");
          assert.equal(engine.backend.name, "wasm", "where it is");
          engine.dispose();
        } finally {
          GPUDevice.prototype.createTexture = createTexture;
        }
      },
    },
    {
      name: "one that was closed",
      async run() {
        const [good, closed] = await bitmaps();
        closed!.close();
        const error = await model.embed([good!, closed!]).catch((error) => error);
        assert.equal(error.errors?.length, 1, "errors of a list with one that is closed");
        assert.deepEqual([...(await model.embed(await bitmaps()))], expected);
      },
    },
  ]);
  model.dispose();
  prototype.getImageData = getImageData;
  return result;
}

const found = async (url: string) => {
  const response = await fetch(url);
  return response.ok ? response : undefined;
};

/** @param folders addresses of checkpoints in one file. */
export const goldens = (folders: readonly string[]): Promise<Ran> =>
  ran(
    folders.map((folder) => ({
      name: folder,
      async run() {
        const weights = (await found(`${folder}/model.safetensors`)) ?? (await found(`${folder}/model.npz`));
        const config = await (await found(`${folder}/config.json`))?.json();
        const read = async (file: string) => new Uint8Array(await (await fetch(`${folder}/${file}`)).arrayBuffer());
        await compareAll({ config, weights: await weights!.blob() }, read, { backend: "webgpu" });
      },
    })),
  );
