/** `vitrail bench`: how fast the forward pass of a model is on this machine. */
import process from "node:process";
import { importHeads } from "../heads/index.js";
import type { Config, Model, OutputName } from "../index.js";
import { describeBackend, type Invocation, loadModel, modelName, rounded, since } from "./invocation.js";
import { multiplyAdds } from "./sizes.js";

export async function bench(invocation: Invocation): Promise<void> {
  const { args, terminal, signal } = invocation;
  const { batch, seconds } = args;
  const start = performance.now();
  using model = await loadModel(invocation);
  const loadMs = since(start);

  const run = forwardOf(model, batch);
  const firstMs = await run();
  // Engines compile what runs often once more: a fifth of the time goes by before it counts.
  await repeat(seconds / 5, "warming up");
  const times = (await repeat(seconds, "measuring")).sort((a, b) => a - b);

  async function repeat(seconds: number, what: string): Promise<number[]> {
    const times: number[] = [];
    const begin = performance.now();
    do {
      times.push(await run());
      terminal.progress(what, performance.now() - begin, 1000 * seconds);
      // Lets Ctrl-C in. A signal given to `forward` does so in every block, which would be measured too.
      await new Promise((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
    } while (performance.now() - begin < 1000 * seconds);
    return times;
  }

  const medianMs = times[times.length >> 1]!;
  const { backend, config, memory } = model;
  const result = {
    model: modelName(invocation.args),
    backend: backend.name,
    precision: backend.precision,
    threads: backend.threads,
    // What runs, which may not be what was asked for.
    wide: backend.reason.includes("256-bit"),
    batch,
    medianMs: rounded(medianMs),
    minMs: rounded(times[0]!),
    imagesPerSecond: rounded((1000 * batch) / medianMs),
    // A multiply-add is two operations; what is counted is said at multiplyAdds.
    gflops: rounded((2 * batch * multiplyAdds(config, await importHeads(config))) / medianMs / 1e6),
    loadMs,
    firstMs: rounded(firstMs),
    // libuv gives kilobytes on every system.
    peakRssMb: rounded(process.resourceUsage().maxRSS / 1024),
    wasmMb: backend.name === "wasm" ? rounded((memory.weights + memory.activations) / 2 ** 20) : 0,
  };
  if (args.json) return terminal.printJson(result);
  terminal.print(
    `${result.model}: ${describeBackend(backend)}, batch ${batch}`,
    `  ${result.medianMs} ms median of ${times.length} calls, ${result.minMs} ms at best`,
    `  ${result.imagesPerSecond} images/s, ${result.gflops} GFLOP/s`,
  );
  terminal.printDim(
    `  load ${loadMs} ms, first call ${result.firstMs} ms, resident at most ${result.peakRssMb} MB, WASM ${result.wasmMb} MB`,
  );
}

/** The output of the head that a checkpoint has, as far as it is made of images alone. */
function outputOf({ classes, dpt, tokenBoxes, patchBoxes, heatmaps, queryMasks, sam, upernet }: Config): OutputName {
  if (dpt?.head.kind === "depth") return "predictedDepth";
  if (patchBoxes) return "predBoxes";
  if (heatmaps) return "heatmaps";
  if (queryMasks) return "masksQueriesLogits";
  if (sam) return "imageEmbeddings";
  return classes > 0 || dpt || upernet || tokenBoxes ? "logits" : "preLogits";
}

/** A call that gives the milliseconds of one forward pass, its head included, or what a head would read. */
function forwardOf({ forward, config }: Model, batch: number): () => Promise<number> {
  const frames = config.video ? [config.video.frames] : [];
  const dims = [batch, ...frames, config.inputChannels, ...config.imageSize];
  const data = Float32Array.from({ length: dims.reduce((product, n) => product * n, 1) }, (_, i) => Math.sin(i));
  const outputs = [outputOf(config)];
  return async () => {
    const start = performance.now();
    await forward({ pixelValues: { dims, data } }, { outputs });
    return performance.now() - start;
  };
}
