/** The worker's side of page.ts: one model, loaded and called as the page says. */
import { isClip } from "../image/clip.js";
import type { ImageInput } from "../image/source.js";
import type { Bytes } from "../io/source.js";
import { type LoadOptions, loadHere, type Model, type TextMethods } from "../model.js";
import { setPackages } from "../platform/packages.js";
import { receive } from "../platform/workers.js";
import type { EmbeddedImage } from "../tasks/embedded.js";
import type { SegmentOptions } from "../tasks/segment.js";
import {
  type Answer,
  type Facts,
  type ImageMethod,
  imageOptions,
  type OfferedBytes,
  packThrown,
  type Request,
  type SentImage,
  takeBytes,
  transferables,
  unpackThrown,
} from "./messages.js";

let model: Model | undefined;
const signals = new Map<number, AbortController>();

receive(async (message, post) => {
  const request = message as Request;
  if ("abort" in request) {
    signals.get(request.abort)?.abort();
    return;
  }
  const { call, signal } = request;
  const answer = (answer: Answer) => post(answer, transferables(answer));
  const controller = signal && new AbortController();
  if (controller) signals.set(call, controller);
  if (signal?.aborted) controller?.abort();
  try {
    const value = await run(request, controller?.signal, (progress) => answer({ call, progress }));
    const { backend, memory } = model!;
    answer({ call, value, state: { backend, memory } });
  } catch (error) {
    const aborted = controller?.signal.aborted && error === controller.signal.reason;
    answer(aborted ? { call, aborted } : { call, thrown: packThrown(error) });
  } finally {
    signals.delete(call);
  }
});

async function run(
  { method, args: [first, ...rest], progress, packages }: Exclude<Request, { abort: number }>,
  signal: AbortSignal | undefined,
  onProgress: NonNullable<LoadOptions["onProgress"]>,
): Promise<unknown> {
  const args = signal ? [...rest.slice(0, -1), { ...(rest.at(-1) as object), signal }] : rest;
  switch (method) {
    case "load": {
      setPackages(packages!);
      const [options] = args as [LoadOptions];
      model = await loadHere((await takeSource(first)) as never, progress ? { ...options, onProgress } : options);
      const { config, identity, labels, tasks } = model;
      return { config, identity, labels, tasks } satisfies Facts;
    }
    case "forward":
      return model!.forward(first as never, ...(args as never[]));
    case "segmentPrepared":
      return (await model!.prepare(first as EmbeddedImage)).segment(...(args as [SegmentOptions]));
    case "embedTexts":
      return textOf(model!).embed(first as never, ...(args as never[]));
    case "tokenize":
      return textOf(model!).tokenize(first as never);
    default: {
      const sent = first as SentImage | readonly SentImage[];
      const images = Array.isArray(sent) ? sent.map(takeImage) : takeImage(sent as SentImage);
      const own = takeOptions(method, args);
      try {
        if (method === "prepare") {
          const { embedding, geometry } = await model!.prepare(images as ImageInput, ...(own.args as never[]));
          return { embedding, geometry };
        }
        return await (model![method] as (images: unknown, ...args: unknown[]) => Promise<unknown>)(images, ...own.args);
      } finally {
        for (const image of [images, own.images]
          .flat()
          .flatMap((image) => (isClip(image) ? [...image.frames] : image))) {
          if (image instanceof ImageBitmap) image.close();
        }
      }
    }
  }
}

function textOf({ text }: Model): TextMethods {
  if (text) return text;
  throw new RangeError("text: it needs a checkpoint with a text tower; this one has none");
}

/** A checkpoint in memory with its bytes, anything else as it is. */
async function takeSource(source: unknown): Promise<unknown> {
  if (typeof source !== "object" || source === null || !("weights" in source)) return source;
  const take = (bytes: Bytes | OfferedBytes) => ("port" in Object(bytes) ? takeBytes(bytes as OfferedBytes) : bytes);
  const { weights } = source;
  return {
    ...source,
    weights: Array.isArray(weights) ? await Promise.all(weights.map(take)) : await take(weights as Bytes),
  };
}

/** The arguments of a call with the images of its options, the last of them, and these images. */
function takeOptions(method: ImageMethod, args: readonly unknown[]) {
  const options = args.at(-1) as Readonly<Record<string, unknown>> | null | undefined;
  const named = imageOptions(method).filter((name) => options?.[name] !== undefined);
  const take = (sent: unknown) => (Array.isArray(sent) ? sent.map(takeImage) : takeImage(sent as SentImage));
  const taken = Object.fromEntries(named.map((name) => [name, take(options![name])]));
  const images = Object.values(taken).flat();
  return { args: images.length === 0 ? args : [...args.slice(0, -1), { ...options, ...taken }], images };
}

/** An image; one that could not be sent is pixels that throw why when they are read, which no thread can be sent either. */
function takeImage(sent: SentImage): unknown {
  if ("image" in sent) return sent.image;
  return {
    get data(): never {
      throw unpackThrown(sent.failed);
    },
  };
}
