/** Bodies of requests, of which every byte is counted while it arrives. */
import { parseJson } from "../json.js";
import { concatenate } from "../platform/bytes.js";
import { abortable } from "../waiting.js";
import { malformed, Refusal } from "./refusal.js";

/** Bytes that are held for a request, out of those for all. */
export interface Allowance {
  /** @throws Refusal 503 if all requests would hold too many. */
  take(bytes: number): void;
  /** Gives all of them back. */
  release(): void;
}

/** @param most bytes that all requests hold together. */
export function createAllowances(most: number): () => Allowance {
  let held = 0;
  return () => {
    let own = 0;
    return {
      take(bytes) {
        if (held + bytes > most) {
          throw new Refusal(503, "the server holds as many bytes of requests as it takes; try again later", {
            "retry-after": "1",
          });
        }
        held += bytes;
        own += bytes;
      },
      release() {
        held -= own;
        own = 0;
      },
    };
  };
}

export interface BodyOptions {
  readonly most: number;
  readonly allowance: Allowance;
  readonly signal: AbortSignal;
}

/**
 * All bytes of a body.
 * @throws Refusal 413 for more than `most`, 415 for a body that is compressed.
 */
export async function readBody(
  request: Request,
  { most, allowance, signal }: BodyOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const coding = request.headers.get("content-encoding") ?? "identity";
  if (coding !== "identity") throw new Refusal(415, "the body must not be compressed");
  const tooLong = () => new Refusal(413, `the body must have at most ${most.toLocaleString("en-US")} bytes`);
  if (Number(request.headers.get("content-length") ?? 0) > most) throw tooLong();
  const reader = request.body?.getReader();
  if (!reader) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const { value } = await abortable(reader.read(), signal);
      if (!value) return concatenate(chunks);
      length += value.length;
      if (length > most) throw tooLong();
      allowance.take(value.length);
      chunks.push(value);
    }
  } catch (error) {
    reader.cancel().catch(() => {});
    if (error instanceof Refusal || signal.aborted) throw error;
    throw malformed("the body ended early");
  }
}

/** Most objects and arrays of a body in JSON: an image takes two. */
const MOST_CONTAINERS = 2 ** 14;

/** @throws Refusal 400 for what is no JSON, or has too many objects and arrays, or too deep. */
export function jsonOf(bytes: Uint8Array): unknown {
  try {
    return parseJson(bytes, "the body", MOST_CONTAINERS);
  } catch (error) {
    throw malformed((error as Error).message);
  }
}

/** Most fields of a form; those of the protocols have two. */
const MOST_FIELDS = 16;

/** @throws Refusal for what is no form, or one of too many fields, or which names a file by more than a name. */
export async function formOf(bytes: Uint8Array<ArrayBuffer>, type: string | null): Promise<FormData> {
  const [, quoted, plain] =
    /^multipart\/form-data\s*;.*\bboundary=(?:"([^"]{1,70})"|([^\s;]{1,70}))/i.exec(type ?? "") ?? [];
  const boundary = quoted ?? plain;
  if (boundary === undefined) throw new Refusal(415, "the body must be multipart/form-data with a boundary");
  if (countOf(bytes, new TextEncoder().encode(`--${boundary}`), MOST_FIELDS + 2) > MOST_FIELDS + 1) {
    throw malformed(`the form must have at most ${MOST_FIELDS} fields`);
  }
  try {
    return await new Response(bytes, { headers: { "content-type": type! } }).formData();
  } catch {
    throw malformed("the body is not the form that its content-type says");
  }
}

/** Counts where `part` is found in `bytes`, up to a number. */
function countOf(bytes: Uint8Array, part: Uint8Array, most: number): number {
  let count = 0;
  for (let at = bytes.indexOf(part[0]!); at >= 0 && count < most; at = bytes.indexOf(part[0]!, at + 1)) {
    if (part.every((byte, i) => bytes[at + i] === byte)) count++;
  }
  return count;
}
