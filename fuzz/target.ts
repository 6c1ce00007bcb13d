/** What is fuzzed: code of the library that is given bytes, and what it may do with them. */
import type { Mutator } from "./mutate/mutator.js";

/** What a target made of an input, as far as other programs say the same. */
export type Result = Readonly<Record<string, unknown>>;

/** Another program's answer to an input. */
export type Answer = { readonly result: Result } | { readonly error: string };

export interface Target {
  /** Inputs to begin with, beside the files in corpus/ and crashes/. */
  readonly seeds: readonly Uint8Array[];
  /** Changes that know the format; those of bytes are always made too. */
  readonly mutators: readonly Mutator[];
  /** What a refusal begins with: the one sentence of the library for an input that is wrong. */
  readonly refusal: RegExp;
  /** Longest input, bytes. Default: 4096. */
  readonly longest?: number;
  /** Milliseconds for one input. Default: 1000. */
  readonly milliseconds?: number;
  /** Bytes for one input. Default: 64 MB and 16 for each of the 2^16 pixels that targets of images allow. */
  readonly bytes?: number;
  /** Longest message of a refusal. Default: 400 characters. */
  readonly longestMessage?: number;
  /** The event loop has to turn at least every 50 ms. */
  readonly turns?: boolean;
  /**
   * Runs the code on an input.
   * @throws Error of the library, which is a refusal or a fault; {@link Fault} for a result that cannot be.
   */
  run(input: Uint8Array): Result | undefined | Promise<Result | undefined>;
  /** Programs that say what a right result is, by name, and how theirs differs from ours; undefined where it does not. */
  readonly against?: Readonly<Record<string, (ours: Answer, theirs: Answer) => string | undefined>>;
}

/** A wrong result. */
export class Fault extends Error {}

/** @throws Fault */
export function expect(holds: boolean, what: () => string): asserts holds {
  if (!holds) throw new Fault(what());
}

export const LONGEST = 4096;
export const MILLISECONDS = 1000;
/** Images of more pixels are refused, so that inputs are quick and few pixels cannot hide what costs memory. */
export const PIXEL_LIMIT = 1 << 16;
export const BYTES = 64e6 + 16 * PIXEL_LIMIT;
/** Longest time, in milliseconds, between two turns of the event loop. */
export const STALL = 50;

/** What a target says of an input; `error` is what it threw. */
export async function answerOf(target: Target, input: Uint8Array): Promise<{ answer: Answer; error?: unknown }> {
  try {
    const made = target.run(input);
    // No turn of the queue where there is nothing to wait for.
    const result = made instanceof Promise ? await made : made;
    return { answer: { result: result ?? {} } };
  } catch (error) {
    return { answer: { error: String((error as Error)?.message) }, error };
  }
}
