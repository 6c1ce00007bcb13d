/** What all mutations have in common. */
import type { Random } from "../random.js";

/** What mutations draw on besides the input. */
export interface Pool {
  readonly random: Random;
  /** Byte strings that the code under test knows. */
  readonly dictionary: readonly Uint8Array[];
  /** Texts that it knows, and names of properties. */
  readonly words: readonly string[];
  readonly names: readonly string[];
  /** Another input of the corpus. */
  other(): Uint8Array;
}

/** Another input made of one; undefined where the input is not of the kind that it changes. */
export type Mutator = (input: Uint8Array, pool: Pool) => Uint8Array | undefined;

/** `parts`, one after the other. */
export function join(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** `bytes` with those from `from` to `to` replaced. */
export const splice = (bytes: Uint8Array, from: number, to: number, by: Uint8Array | readonly number[]): Uint8Array =>
  join(bytes.subarray(0, from), by, bytes.subarray(to));

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
