/**
 * The error of a request that gets no result: a status, and a sentence that tells the client its own fault and nothing of this
 * machine. A cause is for the server's owner.
 */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export const malformed = (message: string): Refusal => new Refusal(400, message);

/** Calls of the library whose errors are about what they were given: an image, a text, or an option of a task. */
const OF_THE_CLIENT = /^(decode|image|text|text\.embed|preprocess|classify|zeroShot|embed|detect|segment|depth): /;

/** The refusal that an error amounts to; undefined for a fault of the server's own. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (error instanceof Refusal) return error;
  if (!(error instanceof Error) || !OF_THE_CLIENT.test(error.message)) return undefined;
  // Options of `load` are nothing that a client can change.
  return malformed(error.message.replace(/; raise the option \w+.*$| of the option \w+$/, ""));
}
