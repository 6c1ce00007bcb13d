/** Bounds of the cost of a request, and of all of them together. */
import { excerpt } from "../json.js";

export interface Limits {
  /** Bytes of a body, and of an image that is fetched. Default: 2^25, 32 MiB. */
  readonly body: number;
  /** Bytes of all bodies and fetched images that are held at once; requests beyond are told to come later. Default: 2^28, 256 MiB. */
  readonly held: number;
  /** Pixels of an image, of models that are opened by the options that the handler gives them. Default: 50 million. */
  readonly pixels: number;
  /** Milliseconds of work on an image before the model sees it, of the same models. Default: 5000. */
  readonly decode: number;
  /** Images and texts of a request. Default: 2048, as OpenAI's. */
  readonly inputs: number;
  /** Requests that run or wait; others are told to come later. Default: 1024. */
  readonly requests: number;
  /** Seconds in which a body must arrive, and again in which its answer must be there. Default: 60. */
  readonly seconds: number;
  /**
   * Bytes of the models that are loaded at once: the least recently used ones make room before another is read, whose headers tell
   * how much it takes; those that are in use when they are released. Default: 2^32, 4 GiB.
   */
  readonly memory: number;
}

const DEFAULTS: Limits = {
  body: 2 ** 25,
  held: 2 ** 28,
  pixels: 50e6,
  decode: 5000,
  inputs: 2048,
  requests: 1024,
  seconds: 60,
  memory: 2 ** 32,
};

/** All limits. @throws RangeError for a name that is none, and for what is no positive number. */
export function limitsOf(given: Partial<Limits> = {}): Limits {
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(DEFAULTS, name)) {
      const names = Object.keys(DEFAULTS).join(", ");
      throw new RangeError(`createHandler: limits are ${names}; got ${excerpt(name)}`);
    }
    if (value !== undefined && !(typeof value === "number" && value > 0)) {
      throw new RangeError(`createHandler: limits.${name} must be a positive number; got ${excerpt(value)}`);
    }
  }
  const stated = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...DEFAULTS, ...Object.fromEntries(stated) };
}
