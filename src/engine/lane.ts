/** The thread's side of lanes.ts: images in, pixels out, and passes of the model on its weights, one after the other. */
import type { Backend } from "../backend.js";
import { joinBackend, type SharedKernels } from "../backends/select.js";
import type { ForwardOptions } from "../forward/forward.js";
import type { ModelConfig, Weights } from "../forward/model.js";
import { type PixelOptions, pixelsOf } from "../image/pixels.js";
import type { SeenImage } from "../image/preprocess.js";
import { type Encoded, type ImageInput, readEncoded } from "../image/source.js";
import { receive } from "../platform/workers.js";
import type { Inputs } from "../vit/inputs.js";
import type { OutputName, Outputs } from "../vit/outputs.js";

/** A model whose weights are in memory that threads share. */
export interface LaneModel {
  readonly kernels: SharedKernels;
  readonly weights: Weights;
  readonly config: ModelConfig;
}

export interface PixelJob extends Omit<PixelOptions, "signal" | "fetch"> {
  readonly id: number;
  readonly input: ImageInput;
}

export interface PassJob extends Omit<ForwardOptions, "signal"> {
  readonly id: number;
  readonly inputs: Inputs;
  readonly wanted: readonly OutputName[];
  /** True if it may be ended between two blocks. */
  readonly endable: boolean;
}

/** A model to join, a job, or the end of one that nobody waits for any more. */
export type LaneRequest = LaneModel | PixelJob | PassJob | { readonly cancel: number };

export interface PixelAnswer {
  readonly id: number;
  /**
   * An error for a bad image. Nothing if it could not be read: whoever gave the job does it again, and has the error at first
   * hand.
   */
  readonly pixels: SeenImage | Error | undefined;
}

export interface PassAnswer {
  readonly id: number;
  readonly outputs: Partial<Outputs> | Error;
  /** Bytes that activations of this thread have taken at most. */
  readonly activations: number;
}

export type LaneAnswer = { readonly joined: true } | PixelAnswer | PassAnswer;

async function work({ id, input, ...options }: PixelJob, signal: AbortSignal): Promise<PixelAnswer["pixels"]> {
  let read: Encoded | undefined;
  try {
    read = await readEncoded(input, { ...options, signal });
  } catch {
    return undefined;
  }
  try {
    return await pixelsOf(read?.bytes ?? input, { ...options, ...read?.options, signal });
  } catch (error) {
    return error as Error;
  }
}

interface Joined {
  readonly backend: Backend;
  readonly model: LaneModel;
  readonly forward: typeof import("../forward/forward.js").forward;
}

let joined: Joined | undefined;

async function join(model: LaneModel): Promise<void> {
  const { forward } = await import("../forward/forward.js");
  joined = { backend: await joinBackend(model.kernels), model, forward };
}

async function run(
  { inputs, wanted, endable, ...options }: PassJob,
  signal: AbortSignal,
): Promise<PassAnswer["outputs"]> {
  const { backend, model, forward } = joined!;
  const own = endable ? { ...options, signal } : options;
  try {
    return await (await forward(backend, model.weights, model.config, inputs, wanted, own)).outputs;
  } catch (error) {
    return error as Error;
  }
}

/** Controllers that end the jobs which are under way or wait, by their id. */
const jobs = new Map<number, AbortController>();
// Not more than one encoded image at a time.
let last: Promise<unknown> = Promise.resolve();

receive((message, post) => {
  const answer = (given: LaneAnswer, transfer: Transferable[] = []) => post(given, transfer);
  const request = message as LaneRequest;
  if ("cancel" in request) {
    jobs.get(request.cancel)?.abort();
    return Promise.resolve();
  }
  if ("kernels" in request) {
    last = last
      .then(() => join(request))
      .then(
        () => answer({ joined: true }),
        // It decodes only, where there is no room for activations.
        () => {},
      );
    return last;
  }
  const { id } = request;
  const end = new AbortController();
  jobs.set(id, end);
  last = last.then(async () => {
    if ("wanted" in request) {
      const outputs = end.signal.aborted ? (end.signal.reason as Error) : await run(request, end.signal);
      answer({ id, outputs, activations: joined!.backend.memory.activations });
    } else {
      const pixels = end.signal.aborted ? undefined : await work(request, end.signal);
      const transfer = pixels && "data" in pixels ? [pixels.data.buffer as ArrayBuffer] : [];
      answer({ id, pixels }, transfer);
    }
    jobs.delete(id);
  });
  return last;
});
