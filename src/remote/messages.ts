/**
 * Messages between a page and the worker that computes for it: calls of a model's methods and their answers, with
 * what structured cloning alone would lose (errors whole, signals) or would take too long over (the bytes of weights).
 */

import type { Progress } from "../io/parts.js";
import type { Bytes } from "../io/source.js";
import type { Model } from "../model.js";
import { TASKS, type TaskName } from "../tasks/index.js";

/** Methods whose first argument is images. */
export type ImageMethod = TaskName | "preprocess" | "preprocessBytes" | "prepare";
/** Options of a method that are images, or lists of them. */
export function imageOptions(method: ImageMethod): readonly string[] {
  if (method === "preprocess") return ["trimap"];
  return method in TASKS ? (TASKS[method as TaskName].images ?? []) : [];
}

export type Method = "load" | "forward" | "embedTexts" | "tokenize" | "segmentPrepared" | ImageMethod;

/** From the page. */
export type Request =
  | {
      /** Counts up; names the call in all that follows. */
      readonly call: number;
      readonly method: Method;
      /** As the method takes them, but for the images, the bytes of weights, and the signal of the options, which come last. */
      readonly args: readonly unknown[];
      /** Absent for a call without a signal. */
      readonly signal?: { readonly aborted: boolean };
      /** In load: true if progress is wanted. */
      readonly progress?: boolean;
      /** In load: packages.ts says why. */
      readonly packages?: Readonly<Record<string, string>>;
    }
  | { readonly abort: number };

/** From the worker. */
export type Answer = { readonly call: number } & (
  | { readonly progress: Progress }
  | { readonly value: unknown; readonly state: Pick<Model, "backend" | "memory"> }
  | { readonly thrown: SentThrown }
  /** By the call's signal, whose reason the page knows. */
  | { readonly aborted: true }
);

/** The answer of `load`. */
export type Facts = Pick<Model, "config" | "identity" | "labels" | "tasks">;

/** An image, or why the page could not send it: then the call fails for this image alone. */
export type SentImage = { readonly image: unknown } | { readonly failed: SentThrown };

/** A value that was thrown. */
export type SentThrown =
  | { readonly value: unknown }
  | {
      readonly name: string;
      readonly message: string;
      readonly stack?: string;
      readonly cause?: SentThrown;
      /** Parts of an AggregateError. */
      readonly errors?: readonly SentThrown[];
      /** Parts of a BatchError. */
      readonly results?: unknown;
    };

/** Cloning keeps name and message of an error, but drops what an AggregateError is made of. */
export function packThrown(thrown: unknown): SentThrown {
  if (!(thrown instanceof Error) || thrown instanceof DOMException) return { value: thrown };
  const { name, message, stack } = thrown;
  return {
    name,
    message,
    stack,
    ...("cause" in thrown && { cause: packThrown(thrown.cause) }),
    ...("errors" in thrown && { errors: (thrown as AggregateError).errors.map(packThrown) }),
    ...("results" in thrown && { results: thrown.results }),
  };
}

const TYPES: Readonly<Record<string, ErrorConstructor>> = {
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

export function unpackThrown(sent: SentThrown): unknown {
  if ("value" in sent) return sent.value;
  const { name, message, stack, errors } = sent;
  const options = "cause" in sent ? { cause: unpackThrown(sent.cause!) } : undefined;
  const error = errors
    ? new AggregateError(errors.map(unpackThrown), message, options)
    : new (TYPES[name] ?? Error)(message, options);
  const hidden = { configurable: true, enumerable: false, writable: true };
  if (error.name !== name) Object.defineProperty(error, "name", { ...hidden, value: name });
  if (stack !== undefined) Object.defineProperty(error, "stack", { ...hidden, value: stack });
  return "results" in sent ? Object.assign(error, { results: sent.results }) : error;
}

/** Lists the parts of a message that are handed over instead of copied: its typed arrays, whose owners keep no other view, and its bitmaps. */
export function transferables(message: unknown, found = new Set<Transferable>()): Transferable[] {
  if (ArrayBuffer.isView(message)) {
    if (message.buffer instanceof ArrayBuffer) found.add(message.buffer);
  } else if (typeof ImageBitmap !== "undefined" && message instanceof ImageBitmap) {
    found.add(message);
  } else if (Array.isArray(message) || Object.getPrototypeOf(message ?? 0) === Object.prototype) {
    for (const part of Object.values(message as object)) transferables(part, found);
  }
  return [...found];
}

/** A piece is copied in about a millisecond, during which a page can do nothing else. */
const PIECE_BYTES = 2 ** 22;

/** Bytes that come through `port`, a piece for each message that asks for one. */
export interface OfferedBytes {
  readonly port: MessagePort;
  /** Number of bytes in memory; absent for a stream. */
  readonly size?: number;
  /** True if something else reads the stream. */
  readonly locked?: boolean;
}

/** A message through the port; without a piece, the end. */
interface Piece {
  readonly piece?: unknown;
  readonly thrown?: SentThrown;
}

/** The page's side. What is not of memory or a stream is sent as it is: a Blob is read where it is sent to. */
export function offerBytes(bytes: Bytes): unknown {
  if (bytes instanceof ArrayBuffer) bytes = new Uint8Array(bytes);
  let next: () => Promise<Piece>;
  let cancel = async () => {};
  let kind: { size?: number; locked?: boolean };
  if (bytes instanceof Uint8Array) {
    const all = bytes;
    let at = 0;
    next = async () => {
      const piece = all.slice(at, at + PIECE_BYTES);
      at += piece.length;
      return { piece };
    };
    kind = { size: all.length };
  } else if (bytes instanceof ReadableStream) {
    const stream = bytes;
    let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
    next = async () => {
      reader ??= stream.getReader();
      const { done, value } = await reader.read();
      if (done) return {};
      return { piece: value instanceof Uint8Array ? value.slice() : value };
    };
    cancel = async () => reader?.cancel().catch(() => {});
    kind = { locked: stream.locked };
  } else {
    return bytes;
  }
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = async ({ data }) => {
    if (data === "cancel") {
      port1.close();
      return cancel();
    }
    const answer = await next().catch((error): Piece => ({ thrown: packThrown(error) }));
    port1.postMessage(answer, transferables(answer));
  };
  return { port: port2, ...kind } satisfies OfferedBytes;
}

/** The worker's side: what the page was given, or a copy of it. */
export async function takeBytes({ port, size, locked }: OfferedBytes): Promise<Bytes> {
  const next = () =>
    new Promise<Piece>((resolve) => {
      port.onmessage = ({ data }) => resolve(data);
      port.postMessage("next");
    });
  const cancel = () => {
    port.postMessage("cancel");
    port.close();
  };
  if (size !== undefined) {
    const all = new Uint8Array(size);
    for (let at = 0; at < size; ) {
      const piece = (await next()).piece as Uint8Array;
      all.set(piece, at);
      at += piece.length;
    }
    cancel();
    return all;
  }
  const pull = async (controller: ReadableStreamDefaultController) => {
    const answer = await next();
    if ("thrown" in answer) controller.error(unpackThrown(answer.thrown!));
    else if ("piece" in answer) controller.enqueue(answer.piece);
    else {
      controller.close();
      cancel();
    }
  };
  const stream = new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
  if (locked) stream.getReader();
  return stream;
}
