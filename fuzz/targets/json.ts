/** Inputs that are JSON documents. */

export const seedOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** The object that an input is; undefined for other inputs, which the code under test would not be given. */
export function readJson<T extends object>(input: Uint8Array): Partial<T> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(input));
    return typeof value === "object" && value !== null ? (value as Partial<T>) : undefined;
  } catch {
    return undefined;
  }
}

/** Bytes that look like a picture without a pattern, always the same. */
export const noise = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 2654435761) >>> 24);

/** A file beside the repository's tests. */
export const fixture = (path: string): string => `tests/fixtures/${path}`;
