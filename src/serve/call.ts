/** A request as the protocols see it: what came with it, and what they may do for it. */
import type { Model } from "../index.js";
import { fromBase64 } from "../platform/bytes.js";
import { type Allowance, readBody } from "./body.js";
import type { FetchImage } from "./fetcher.js";
import type { Limits } from "./limits.js";
import type { Metrics } from "./metrics.js";
import type { Pool } from "./pool.js";
import type { Queue } from "./queue.js";
import { malformed, Refusal, refusalOf } from "./refusal.js";

/** An image or a text, as it came. */
export type Input = { readonly text: string } | { readonly image: Uint8Array | string };

/** Work on an image, which is given as bytes, or on a text. */
export type Work<T> = (input: Uint8Array | string, signal: AbortSignal) => Promise<T>;

/**
 * Works on each image and text, in its turn; the first that fails ends the others.
 * @throws Refusal that names the input, if there are several.
 */
export type Each = <T>(inputs: readonly Input[], work: Work<T>) => Promise<T[]>;

export interface Call {
  readonly request: Request;
  /** Parts of the path that a route leaves open. */
  readonly parts: Readonly<Record<string, string>>;
  readonly server: Server;
  /** All bytes of the body. */
  body(): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * The name of a model that is served: the first where none is asked for.
   * @throws Refusal 404 for a name that is not served.
   */
  modelOf(name: string | undefined): string;
  /** Does something with a model, once it is loaded; what it computes has its turns by `each`. */
  use<T>(model: string, task: (model: Model, each: Each) => Promise<T>): Promise<T>;
}

/** All that requests share. */
export interface Server {
  readonly limits: Limits;
  readonly pool: Pool;
  readonly queue: Queue;
  readonly metrics: Metrics;
  readonly fetchImage: FetchImage | undefined;
  /** Seconds since 1970 at which it began. */
  readonly since: number;
  /** True when it takes no more requests. */
  readonly closing: boolean;
}

/** Turns of one request that are under way or wait at once: the next images are fetched and unpacked meanwhile. */
const AHEAD = 4;

/** A request on its way. */
export interface Running {
  readonly request: Request;
  readonly parts: Readonly<Record<string, string>>;
  readonly client: string;
  readonly allowance: Allowance;
  /** Ends it: when its client goes, its time is over, or it is pushed out of the queue. */
  readonly end: AbortController;
}

export function createCall(server: Server, { request, parts, client, allowance, end }: Running): Call {
  const { limits, pool, queue, metrics, fetchImage } = server;
  const { signal } = end;

  /** Runs what must be done in time, or else ends the request. */
  async function inTime<T>(refusal: Refusal, work: () => Promise<T>): Promise<T> {
    const timer = setTimeout(() => end.abort(refusal), 1000 * limits.seconds);
    try {
      return await work();
    } finally {
      clearTimeout(timer);
    }
  }

  async function bytesOf(image: Uint8Array | string): Promise<Uint8Array> {
    if (typeof image !== "string") return image;
    const [, meta, data] = /^data:([^,]{0,200}),(.*)$/is.exec(image.slice(0, 300)) ?? [];
    if (meta !== undefined && data !== undefined) {
      if (!/;base64$/i.test(meta)) throw malformed("a data: address must be of base64");
      return unpacked(image.slice("data:".length + meta.length + 1));
    }
    if (!/^[a-z][a-z\d+.-]*:/i.test(image)) return unpacked(image);
    if (!fetchImage) throw malformed("this server fetches no images: send the image itself, in base64");
    return fetchImage(image, { most: limits.body, allowance, signal });
  }

  return {
    request,
    parts,
    server,
    async body() {
      // Who will be sent away need not send its body first.
      queue.check(client);
      const late = new Refusal(408, `the body did not arrive within ${limits.seconds} seconds`);
      return inTime(late, () => readBody(request, { most: limits.body, allowance, signal }));
    },
    modelOf(name) {
      const model = name ?? pool.names[0]!;
      if (pool.names.includes(model)) return model;
      throw new Refusal(
        404,
        `there is no model ${JSON.stringify(model.slice(0, 100))} here; there are ${pool.names.join(", ")}`,
      );
    },
    async use(name, task) {
      const place = queue.enter(client, (reason) => end.abort(reason));
      const late = new Refusal(503, `no answer within ${limits.seconds} seconds; try again later`, {
        "retry-after": "10",
      });
      const each: Each = (inputs, work) =>
        allOf(inputs, async (input) => {
          const value = "text" in input ? input.text : await bytesOf(input.image);
          const result = await place.turn(() => work(value, signal), signal);
          metrics.input("text" in input ? "text" : "image");
          return result;
        });
      try {
        return await inTime(late, async () => {
          const { model, release } = await pool.use(name, signal);
          try {
            return await task(model, each);
          } finally {
            release();
          }
        });
      } finally {
        place.leave();
      }
    },
  };

  /** Results of all inputs, in order, a few of which are worked on at once. */
  async function allOf<T>(inputs: readonly Input[], one: (input: Input) => Promise<T>): Promise<T[]> {
    if (inputs.length > limits.inputs) {
      throw new Refusal(413, `a request takes at most ${limits.inputs} images and texts; got ${inputs.length}`);
    }
    const results: T[] = [];
    let next = 0;
    async function some(): Promise<void> {
      while (next < inputs.length) {
        const i = next++;
        try {
          results[i] = await one(inputs[i]!);
        } catch (error) {
          signal.throwIfAborted();
          const refusal = refusalOf(error);
          const named = refusal && inputs.length > 1 ? `input ${i}: ${refusal.message}` : refusal?.message;
          end.abort(refusal ? new Refusal(refusal.status, named!, refusal.headers) : error);
          throw signal.reason;
        }
      }
    }
    const ended = await Promise.allSettled(Array.from({ length: Math.min(AHEAD, inputs.length) }, some));
    for (const end of ended) if (end.status === "rejected") throw end.reason;
    return results;
  }
}

function unpacked(base64: string): Uint8Array {
  try {
    return fromBase64(base64);
  } catch {
    throw malformed("the image is neither base64 nor an address");
  }
}

/** Vectors of images and texts. */
export const embedding =
  (model: Model, normalize: boolean): Work<Float32Array> =>
  async (input, signal) => {
    if (typeof input !== "string") return model.embed(input, { normalize, signal });
    if (!model.text) throw malformed("this model takes images, not texts");
    return model.text.embed(input, { normalize, signal });
  };
