/** Bytes of text and of pieces. */

/** @throws DOMException for a text that is none. */
export function fromBase64(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  // 40 times as fast as Uint8Array.from, which walks characters by an iterator.
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Bytes of which a text is made at once: arguments of a call are on the stack. */
const PIECE = 2 ** 13;

export const toBase64 = (bytes: Uint8Array): string => btoa(latin1(bytes));

/** A character a byte, U+0000 to U+00FF. The decoder of this name is windows-1252's: from 0x80 to 0x9f Node 24 and browsers give others. */
export function latin1(bytes: Uint8Array): string {
  const pieces: string[] = [];
  for (let i = 0; i < bytes.length; i += PIECE) pieces.push(String.fromCharCode(...bytes.subarray(i, i + PIECE)));
  return pieces.join("");
}

/** All parts, one after the other. */
export function concatenate(parts: readonly ArrayLike<number>[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
