/**
 * A model on a page: all of it, from reading the checkpoint to the labels, is in a worker (worker.ts), so that the page is
 * never blocked. What only a page has, its address, elements and streams, is read here and sent.
 */
import { type Clip, isClip } from "../image/clip.js";
import { type ImageInput, openImage } from "../image/source.js";
import type { CheckpointParts } from "../io/parts.js";
import type { Bytes } from "../io/source.js";
import type { LoadOptions, Model, PreparedImage } from "../model.js";
import { locatePackages } from "../platform/packages.js";
import { beside, startWorker, type WorkerThread } from "../platform/workers.js";
import { type EmbeddedImage, isEmbedded } from "../tasks/embedded.js";
import { type Given, taskMethods } from "../tasks/index.js";
import type { Segmentation } from "../tasks/segments.js";
import {
  type Answer,
  type Facts,
  type ImageMethod,
  imageOptions,
  type Method,
  type OfferedBytes,
  offerBytes,
  packThrown,
  type Request,
  type SentImage,
  transferables,
  unpackThrown,
} from "./messages.js";

/** A call that has not been answered. */
interface Pending {
  resolve(value: unknown): void;
  reject(reason: unknown): void;
  readonly onProgress?: LoadOptions["onProgress"];
  readonly signal?: AbortSignal;
}

/** A model whose methods run in a worker; where no worker can be started, why not. */
export async function loadInWorker(
  source: string | URL | CheckpointParts,
  options: LoadOptions,
): Promise<Model | { reason: string }> {
  const pending = new Map<number, Pending>();
  let calls = 0;
  /** As of the last answer. */
  let state: Pick<Model, "backend" | "memory"> | undefined;
  /** Why no further calls are taken. */
  let over: Error | undefined;
  let worker: WorkerThread;

  function end(reason: Error): void {
    if (over) return;
    over = reason;
    void worker.terminate();
    for (const { reject } of pending.values()) reject(reason);
    pending.clear();
  }

  function onMessage(message: unknown): void {
    const answer = message as Answer;
    const call = pending.get(answer.call);
    if (!call) return;
    if ("progress" in answer) {
      try {
        call.onProgress!(answer.progress);
        return;
      } catch (error) {
        call.reject(error);
      }
    } else if ("value" in answer) {
      state = answer.state;
      call.resolve(answer.value);
    } else {
      call.reject("aborted" in answer ? call.signal!.reason : unpackThrown(answer.thrown));
    }
    pending.delete(answer.call);
    if (pending.size === 0) worker.unref();
  }

  const onEnd = (cause: Error) =>
    end(new Error("model: its worker ended, so it cannot go on; load it again", { cause }));

  try {
    const create = () => new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    worker = await startWorker(beside(import.meta.url, "worker.js"), { onMessage, onEnd }, create);
  } catch (error) {
    return { reason: `on the page's own thread: ${(error as Error).message}` };
  }

  /** Calls are posted in the order in which they were made, each when what it takes is at hand. */
  let posted: Promise<unknown> = Promise.resolve();
  async function call(
    method: Method,
    first: unknown,
    rest: readonly unknown[],
    more: Pick<LoadOptions, "onProgress"> & {
      readonly packages?: Readonly<Record<string, string>>;
      readonly transfer?: Transferable[];
      /** Options that are images. */
      readonly images?: readonly string[];
    } = {},
  ): Promise<unknown> {
    if (over) throw over;
    const { onProgress, packages, transfer, images = [] } = more;
    const { signal, args: given } = withoutSignal(rest);
    const ready = Promise.all([first, sendOptions(given, images), posted]);
    posted = ready.then(
      () => {},
      () => {},
    );
    const [argument, args] = await ready;
    if (over) throw over;
    const id = calls++;
    const request: Request = {
      call: id,
      method,
      args: [argument, ...args],
      signal: signal && { aborted: signal.aborted },
      progress: onProgress !== undefined,
      packages,
    };
    const abort = () => worker.post({ abort: id } satisfies Request);
    try {
      return await new Promise((resolve, reject) => {
        worker.post(request, transfer ?? (method === "forward" ? [] : transferables(argument)));
        pending.set(id, { resolve, reject, onProgress, signal });
        worker.ref();
        signal?.addEventListener("abort", abort);
      });
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  const sendImages = async (images: Given) =>
    Array.isArray(images) ? Promise.all(images.map(sendImage)) : sendImage(images as ImageInput | Clip);
  const onImages =
    (method: ImageMethod) =>
    (images: Given, ...rest: unknown[]) =>
      call(method, sendImages(images), rest, { images: imageOptions(method) });

  let facts: Facts;
  try {
    const { sent, transfer } = sendSource(source);
    const { onProgress, ...others } = options;
    const { wasm, base, head } = options;
    const kernels = typeof wasm === "string" || wasm instanceof URL ? { wasm: absolute(String(wasm)) } : {};
    const files = { ...(base && { base: sendPlace(base) }), ...(head && { head: sendHead(head) }) };
    const more = { onProgress, packages: locatePackages(), transfer };
    facts = (await call("load", sent, [{ ...others, ...kernels, ...files }], more)) as Facts;
  } catch (error) {
    end(error as Error);
    throw error;
  }

  const dispose = () => end(new Error("model: it was disposed of; load it again"));
  return {
    ...facts,
    get backend() {
      return state!.backend;
    },
    get memory() {
      if (over) throw over;
      return state!.memory;
    },
    ...taskMethods((name, images, ...rest) => call(name, sendImages(images), rest, { images: imageOptions(name) })),
    preprocess: onImages("preprocess") as Model["preprocess"],
    preprocessBytes: onImages("preprocessBytes") as Model["preprocessBytes"],
    async prepare(image, options) {
      // Each call has the embedding with it, so that the worker keeps nothing that nobody frees.
      const sent = isEmbedded(image) ? image : await call("prepare", sendImages(image), [options]);
      const { embedding, geometry } = sent as EmbeddedImage;
      const segment: PreparedImage["segment"] = (options) =>
        call("segmentPrepared", { embedding, geometry }, [options], { transfer: [] }) as Promise<Segmentation>;
      return { embedding, geometry, segment };
    },
    text: facts.config.text && {
      embed: (texts, options) => call("embedTexts", texts, [options]) as Promise<Float32Array>,
      tokenize: (texts) => call("tokenize", texts, []) as Promise<number[][]>,
    },
    forward: ((inputs, options) => call("forward", inputs, [options])) as Model["forward"],
    dispose,
    [Symbol.dispose]: dispose,
    [Symbol.asyncDispose]: async () => dispose(),
  };
}

/** The arguments of a call without the signal of its options, the last of them: a signal cannot be sent. */
function withoutSignal(args: readonly unknown[]): { args: readonly unknown[]; signal?: AbortSignal } {
  const options = args.at(-1) as { signal?: unknown } | null | undefined;
  if (!(options?.signal instanceof AbortSignal)) return { args };
  const { signal, ...others } = options;
  return { args: [...args.slice(0, -1), others], signal };
}

/** A relative address is the page's, which the worker's is not. A name of the Hub is no address. */
function sendSource(source: string | URL | CheckpointParts): { sent: unknown; transfer: Transferable[] } {
  if (typeof source === "string" || source instanceof URL) return { sent: sendPlace(source), transfer: [] };
  if (typeof source !== "object" || source === null || !("weights" in source)) return { sent: source, transfer: [] };
  const { weights } = source;
  const offered = Array.isArray(weights) ? weights.map(offerBytes) : offerBytes(weights as Bytes);
  const transfer = [offered].flat().flatMap((bytes) => ("port" in Object(bytes) ? [(bytes as OfferedBytes).port] : []));
  return { sent: { ...source, weights: offered }, transfer };
}

function sendPlace(place: string | URL): string {
  if (place instanceof URL) return place.href;
  return /^\.{0,2}\//.test(place) ? absolute(place) : place;
}

/** A head with its place, or its bytes, which are copied. */
function sendHead(head: NonNullable<LoadOptions["head"]>): unknown {
  if (typeof head === "string" || head instanceof URL) return sendPlace(head);
  return "file" in head ? { ...head, file: sendHead(head.file) } : head;
}

function absolute(address: string): string {
  try {
    return new URL(address, document.baseURI).href;
  } catch {
    return address;
  }
}

/** The arguments of a call, with the images of its options, the last of them, as they are sent. */
async function sendOptions(args: readonly unknown[], images: readonly string[]): Promise<readonly unknown[]> {
  const options = args.at(-1) as Readonly<Record<string, unknown>> | null | undefined;
  const named = images.filter((name) => options?.[name] !== undefined);
  if (named.length === 0) return args;
  const send = (given: unknown) =>
    Array.isArray(given) ? Promise.all(given.map(sendImage)) : sendImage(given as ImageInput);
  const sent = await Promise.all(named.map(async (name) => [name, await send(options![name])]));
  return [...args.slice(0, -1), { ...options, ...Object.fromEntries(sent) }];
}

async function sendImage(input: ImageInput | Clip): Promise<SentImage> {
  try {
    if (isClip(input)) return { image: { frames: await Promise.all(input.frames.map(portable)) } };
    return { image: await portable(input) };
  } catch (error) {
    return { failed: packThrown(error) };
  }
}

/** Makes of an image what can be sent to a worker, and is its own: no part of what the caller goes on using. */
async function portable(input: ImageInput): Promise<unknown> {
  if (typeof input === "string") return absolute(input);
  if (input instanceof URL) return input.href;
  if (input instanceof Blob || input instanceof ArrayBuffer) return input;
  if (input instanceof Uint8Array) return input.slice();
  if (typeof input === "object" && input !== null && "data" in input) {
    const { data, width, height } = input;
    return { data: ArrayBuffer.isView(data) ? data.slice() : data, width, height };
  }
  // Bitmaps are made beside the page's thread, and read in the worker. What none can be made of is drawn here, or it is
  // said why it cannot be.
  return createImageBitmap(input).catch(() => openImage(input));
}
