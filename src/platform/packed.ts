/** Binaries in modules, as assembly/ writes them: in the one form that every runtime, bundler and worker loads as it is. */
import { concatenate, fromBase64 } from "./bytes.js";

/** Unpacks base64 of deflated bytes. Without Blob and Response, which Node takes 20 to 35 ms to load. */
export async function unpack(base64: string): Promise<Uint8Array<ArrayBuffer>> {
  const { readable, writable } = new DecompressionStream("deflate-raw");
  const writer = writable.getWriter();
  const written = writer.write(fromBase64(base64)).then(() => writer.close());
  const chunks: Uint8Array[] = [];
  const reader = readable.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) chunks.push(next.value);
  await written;
  return concatenate(chunks);
}
