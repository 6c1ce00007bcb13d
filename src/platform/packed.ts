/** Binaries in modules, as assembly/ writes them: in the one form that every runtime, bundler and worker loads as it is. */
import { concatenate, fromBase64 } from "./bytes.js";
import { builtin, hasFileSystem } from "./host.js";

/** Unpacks base64 of deflated bytes: by zlib where it is, as Node takes 15 ms to load streams, and 35 for Blob and Response. */
export async function unpack(base64: string): Promise<Uint8Array<ArrayBuffer>> {
  if (hasFileSystem()) return builtin("node:zlib").inflateRawSync(fromBase64(base64));
  const { readable, writable } = new DecompressionStream("deflate-raw");
  const writer = writable.getWriter();
  const written = writer.write(fromBase64(base64)).then(() => writer.close());
  const chunks: Uint8Array[] = [];
  const reader = readable.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) chunks.push(next.value);
  await written;
  return concatenate(chunks);
}
