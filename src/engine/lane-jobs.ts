/** The thread's side of lanes.ts: images in, pixels out, and passes of the model on its weights, small ones as batches. */
import type { Backend } from "../backend.js";
import { joinBackend, type SharedKernels } from "../backends/join.js";
import type { ForwardOptions } from "../forward/forward.js";
import type { ModelConfig, Weights } from "../forward/model.js";
import type { Clip } from "../image/clip.js";
import { type PixelOptions, pixelsOf } from "../image/pixels.js";
import type { SeenImage } from "../image/preprocess.js";
import { type Encoded, type ImageInput, readEncoded } from "../image/source.js";
import { receive } from "../platform/workers.js";
import type { Inputs } from "../vit/inputs.js";
import type { OutputName, Outputs, Tensor } from "../vit/outputs.js";
import { nextTask } from "../waiting.js";
import { createTurns } from "./turns.js";

/** A model whose weights are in memory that threads share. */
export interface LaneModel {
  readonly kernels: SharedKernels;
  readonly weights: Weights;
  readonly config: ModelConfig;
  /** Images of a pass, at most. */
  readonly batch: number;
}

export interface PixelJob extends Omit<PixelOptions, "signal" | "fetch"> {
  readonly id: number;
  readonly input: ImageInput | Clip;
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
    read = await readEncoded(input as ImageInput, { ...options, signal });
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

/** Outputs of which an image of a batch has its own part. */
const APART: readonly OutputName[] = [
  ...(["logits", "preLogits", "pooled", "lastHiddenState", "imageFeatures", "imageEmbeds"] as const),
];

/** Tells whether a pass is of one image, which others may join: of its list, or of other calls. */
const joinable = ({ inputs, wanted }: PassJob): boolean =>
  Object.keys(inputs).join() === "pixelValues" &&
  inputs.pixelValues!.dims[0] === 1 &&
  wanted.every((name) => APART.includes(name));

/** All that passes of a batch have in common. */
const keyOf = ({ wanted, blocks, interpolatePositions, inputs }: PassJob): string =>
  JSON.stringify([wanted, blocks, interpolatePositions, inputs.pixelValues!.dims]);

/** Runs passes as a batch, and gives what each would have given by itself, to the bit. */
async function run(batch: readonly PassJob[], signal: AbortSignal): Promise<PassAnswer["outputs"][]> {
  const { backend, model, forward } = joined!;
  const { inputs, wanted, endable: _, ...options } = batch[0]!;
  const own = batch.some(({ endable }) => endable) ? { ...options, signal } : options;
  const images = batch.map((job) => job.inputs.pixelValues!);
  try {
    const all = images.length === 1 ? inputs : { pixelValues: together(images) };
    const outputs = await (await forward(backend, model.weights, model.config, all, wanted, own)).outputs;
    return images.length === 1 ? [outputs] : images.map((_, i) => partOf(outputs, i));
  } catch (error) {
    return batch.map(() => error as Error);
  }
}

function together(images: readonly Tensor[]): Tensor {
  const { dims, data } = images[0]!;
  const all = new Float32Array(images.length * data.length);
  for (const [i, image] of images.entries()) all.set(image.data, i * data.length);
  return { dims: [images.length, ...dims.slice(1)], data: all };
}

/** Outputs of one image of a batch. */
const partOf = (outputs: Partial<Outputs>, image: number): Partial<Outputs> =>
  Object.fromEntries(
    Object.entries(outputs as Record<string, Tensor>).map(([name, { dims, data }]) => {
      const size = data.length / dims[0]!;
      return [name, { dims: [1, ...dims.slice(1)], data: data.slice(image * size, (image + 1) * size) }];
    }),
  );

/** Jobs that wait. */
const turns = createTurns<PixelJob, PassJob>((first, passes) => {
  const size = joinable(first) ? joined!.model.batch : 1;
  const able = size === 1 ? [first] : passes.filter((job) => joinable(job) && keyOf(job) === keyOf(first));
  return { able, size };
});
/** Controllers that end the jobs which are under way or wait, by their id. */
const ends = new Map<number, AbortController>();
let busy = false;

/** A signal that ends when those of all of the jobs have: the others go on without one that is ended. */
function endOf(jobs: readonly PassJob[]): AbortSignal {
  const end = new AbortController();
  const left = new Set(jobs.map(({ id }) => ends.get(id)!.signal));
  for (const signal of left) {
    signal.addEventListener("abort", () => {
      left.delete(signal);
      if (left.size === 0) end.abort(signal.reason);
    });
  }
  return end.signal;
}

/** Does what waits, one after the other: not more than one encoded image at a time. */
async function workOff(answer: (given: LaneAnswer, transfer?: Transferable[]) => void): Promise<void> {
  if (busy) return;
  busy = true;
  for (let turn = turns.next(); turn; turn = turns.next()) {
    if ("batch" in turn) {
      const { batch } = turn;
      const wanted = batch.filter(({ id }) => !ends.get(id)!.signal.aborted);
      const results = wanted.length > 0 ? await run(wanted, endOf(wanted)) : [];
      const { activations } = joined!.backend.memory;
      for (const job of batch) {
        const outputs = results[wanted.indexOf(job)] ?? (ends.get(job.id)!.signal.reason as Error);
        answer({ id: job.id, outputs, activations });
        ends.delete(job.id);
      }
    } else {
      const { image } = turn;
      const { signal } = ends.get(image.id)!;
      const made = signal.aborted ? undefined : await work(image, signal);
      answer({ id: image.id, pixels: made }, made && "data" in made ? [made.data.buffer as ArrayBuffer] : []);
      ends.delete(image.id);
    }
    // More jobs come in, and the end of some.
    await nextTask();
  }
  busy = false;
}

receive((message, post) => {
  const answer = (given: LaneAnswer, transfer: Transferable[] = []) => post(given, transfer);
  const request = message as LaneRequest;
  if ("cancel" in request) {
    ends.get(request.cancel)?.abort();
    return Promise.resolve();
  }
  if ("kernels" in request) {
    return join(request).then(
      () => answer({ joined: true }),
      // It decodes only, where there is no room for activations.
      () => {},
    );
  }
  ends.set(request.id, new AbortController());
  if ("wanted" in request) turns.passes.push(request);
  else turns.pixels.push(request);
  return workOff(answer);
});
