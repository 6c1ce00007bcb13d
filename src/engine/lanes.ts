/**
 * Threads that work on the images of a list side by side: each decodes and resizes one, or runs a pass of the model on one, by
 * itself. A pass on one thread waits for no other between its ops, and bits do not depend on where it runs, so a list takes the
 * least time when every processor has an image of its own (bench/lanes.ts has the model of cost, and what it was fitted to).
 * A single image has all threads for each of its ops (backends/wasm/threads.ts). Images of few tokens pass as small batches.
 *
 * Lanes of a model whose memory cannot be shared decode only. Nothing waits for a thread to start.
 */
import type { ForwardOptions } from "../forward/forward.js";
import type { PixelThreads } from "../image/ahead.js";
import { processors } from "../platform/host.js";
import { beside, startWorker, type WorkerThread } from "../platform/workers.js";
import type { Inputs } from "../vit/inputs.js";
import type { OutputName, Outputs } from "../vit/outputs.js";
import type { LaneAnswer, LaneModel, LaneRequest, PassAnswer, PassJob, PixelAnswer, PixelJob } from "./lane-jobs.js";

/** Images that a thread is to decode: one under way, and one for when the caller is busy and cannot give it more. */
const QUEUE = 2;
/** Threads that only decode: a photo is decoded and resized in 5 ms. */
const MOST_DECODING = 4;
/** A list of fewer images is over before threads have started. */
const LEAST_IMAGES = 4;
/** Bytes of activations in all threads, at most. */
const MOST_BYTES = 2 ** 30;
/**
 * Part of a pass by which each further thread that shares its ops lengthens what they take together: bench/LANES.md has 0 for ViT-B in
 * f32 and 0.7 for ViT-Ti in int8. It matters only to lists that are shorter than there are threads, or little longer.
 */
const SHARING = 0.15;

/** Images in the time of a pass on one thread, where each has a thread: the last ones of a list leave some without any. */
const rateApart = (images: number, lanes: number): number => images / Math.ceil(images / lanes);
/** The same where all threads share the ops of an image. */
const rateTogether = (threads: number): number => threads / (1 + SHARING * (threads - 1));

export interface Lanes extends PixelThreads {
  /** Threads that run passes. */
  readonly passing: number;
  /** Passes that keep all threads busy when they are under way at once; none before there are threads that run them. */
  readonly atOnce: number;
  /** Bytes that activations on these threads have taken at most. */
  readonly activations: number;
  /**
   * Runs a pass of one of a list's `images` on the thread that gets to it first, of those that have the model, if there is one and
   * the list gains by it. The promise has nothing if the thread ended or had no room; the pass is then to be run elsewhere. Pixel
   * values that are made for it are given away.
   */
  run(
    images: number,
    inputs: Inputs | (() => Inputs),
    wanted: readonly OutputName[],
    options: ForwardOptions,
  ): Promise<Partial<Outputs> | undefined> | undefined;
  /** Ends them; what they had is not done. */
  dispose(): void;
}

interface Lane {
  readonly thread: WorkerThread;
  /** Callbacks of the jobs that it has, by their id. */
  readonly jobs: Map<number, (answer: PixelAnswer | PassAnswer | undefined) => void>;
  joined: boolean;
  activations: number;
  /** Images that it is to decode. */
  decoding: number;
  /** Passes that it has. */
  passing: number;
}

/** @param modelNow the model, if threads can compute with it. */
export function createLanes(modelNow: () => LaneModel | undefined): Lanes {
  const lanes = new Set<Lane>();
  let started = 0;
  let ids = 0;
  let disposed = false;

  async function start(model: LaneModel | undefined): Promise<void> {
    const onMessage = (message: unknown) => {
      const answer = message as LaneAnswer;
      if ("joined" in answer) lane.joined = true;
      else {
        if ("activations" in answer) lane.activations = answer.activations;
        lane.jobs.get(answer.id)?.(answer);
        lane.jobs.delete(answer.id);
      }
      if (lane.jobs.size === 0) thread.unref();
    };
    const create = () => new Worker(new URL("./lane.js", import.meta.url), { type: "module" });
    const url = beside(import.meta.url, "lane.js");
    const thread = await startWorker(url, { onMessage, onEnd: () => drop(lane) }, create);
    const lane: Lane = { thread, jobs: new Map(), joined: false, activations: 0, decoding: 0, passing: 0 };
    if (disposed) return void thread.terminate();
    lanes.add(lane);
    if (model) thread.post(model satisfies LaneRequest);
  }

  function drop(lane: Lane): void {
    lanes.delete(lane);
    for (const done of lane.jobs.values()) done(undefined);
    lane.jobs.clear();
  }

  /** Gives a job to a lane; undefined if it cannot be sent, such as an element of a page. */
  function give<Answer>(
    lane: Lane,
    job: PixelJob | PassJob,
    transfer: ArrayBuffer[],
    signal: AbortSignal | undefined,
  ): Promise<Answer | undefined> | undefined {
    const { thread, jobs } = lane;
    try {
      thread.post(job satisfies LaneRequest, transfer);
    } catch {
      return undefined;
    }
    thread.ref();
    const cancel = () => thread.post({ cancel: job.id } satisfies LaneRequest);
    signal?.addEventListener("abort", cancel);
    return new Promise((resolve) =>
      jobs.set(job.id, (answer) => {
        signal?.removeEventListener("abort", cancel);
        resolve(answer as Answer | undefined);
      }),
    );
  }

  const leastBusy = (some: readonly Lane[]): Lane | undefined => [...some].sort((a, b) => a.jobs.size - b.jobs.size)[0];

  /** How many threads have room for what passes have taken so far; all before the first one. */
  function room(): number {
    const most = Math.max(modelNow()?.kernels.activations ?? 0, ...[...lanes].map(({ activations }) => activations));
    return Math.floor(MOST_BYTES / most);
  }

  /** Lanes that run passes. The first of a model, which says what they take, is the caller's. */
  function passing(): Lane[] {
    const most = room();
    return Number.isFinite(most) ? [...lanes].filter(({ joined }) => joined).slice(0, most) : [];
  }

  return {
    get passing() {
      return passing().length;
    },
    get atOnce() {
      return 2 * passing().length * (modelNow()?.batch ?? 1);
    },
    get count() {
      return lanes.size;
    },
    get suffice() {
      return lanes.size >= (modelNow()?.kernels.threads ?? Number.POSITIVE_INFINITY);
    },
    get activations() {
      return [...lanes].reduce((sum, { activations }) => sum + activations, 0);
    },
    start(images) {
      const model = modelNow();
      const most =
        model && images >= LEAST_IMAGES
          ? Math.min(model.kernels.threads, images)
          : Math.min(MOST_DECODING, images - 1, processors() - 1);
      // One that cannot be started, or has ended, is not replaced: the caller does its work.
      for (; started < most; started++) start(started < room() ? model : undefined).catch(() => {});
    },
    take(input, { signal, fetch: _, ...options }) {
      const lane = leastBusy([...lanes].filter(({ decoding }) => decoding < QUEUE));
      if (!lane) return undefined;
      const [message, transfer] = messageOf({ id: ids++, input, ...options });
      const answered = give<PixelAnswer>(lane, message, transfer, signal);
      if (!answered) return undefined;
      lane.decoding++;
      return answered.then((answer) => {
        lane.decoding--;
        return answer?.pixels;
      });
    },
    run(images, inputs, wanted, { signal, ...options }) {
      const able = passing();
      const gains = rateApart(images, able.length) >= rateTogether(modelNow()?.kernels.threads ?? 1);
      const batch = modelNow()?.batch ?? 1;
      if (!gains) return undefined;
      // The thread whose batches end first, and of equal ones the one whose batch has the most.
      const batches = (lane: Lane) => Math.ceil((lane.passing + 1) / batch);
      const [lane] = able.sort((a, b) => batches(a) - batches(b) || b.passing - a.passing || a.jobs.size - b.jobs.size);
      if (!lane) return undefined;
      const made = typeof inputs === "function" ? inputs() : inputs;
      const own = made !== inputs && made.pixelValues?.data.buffer;
      const job: PassJob = {
        id: ids++,
        inputs: made,
        wanted,
        endable: signal !== undefined,
        ...options,
      };
      const given = give<PassAnswer>(lane, job, own ? [own as ArrayBuffer] : [], signal);
      if (!given) return undefined;
      lane.passing++;
      return given.then((answer) => {
        lane.passing--;
        if (!(answer?.outputs instanceof Error)) return answer?.outputs;
        // There may be room on the calling thread, which has the error at first hand otherwise.
        if (answer.outputs.message.startsWith("wasm: ")) return undefined;
        throw answer.outputs;
      });
    },
    dispose() {
      disposed = true;
      for (const lane of lanes) {
        void lane.thread.terminate();
        drop(lane);
      }
    },
  };
}

/** A URL as its text, and of bytes a copy of what is looked at, not of the whole buffer behind it. */
function messageOf(job: PixelJob): [PixelJob, ArrayBuffer[]] {
  const { input } = job;
  if (input instanceof URL) return [{ ...job, input: input.href }, []];
  if (!(input instanceof Uint8Array)) return [job, []];
  const copy = new Uint8Array(input);
  return [{ ...job, input: copy }, [copy.buffer]];
}
