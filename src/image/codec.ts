/**
 * The two WebAssembly decoders of jSquash: MozJPEG (libjpeg-turbo's code) and libwebp, whose pixels are Pillow's.
 * Loaded on first use, and anew after each failure or large image: memory that they took is never given back otherwise.
 */
import { hasFileSystem, readPackageFile } from "../platform.js";
import { broken, type ImageFile } from "./file.js";

type Codec = "jpeg" | "webp";
interface Decoder {
  init(options: Record<string, unknown>): Promise<void>;
  default(bytes: ArrayBuffer): Promise<ImageData>;
}

/** An image of more bytes than this takes its decoder's memory with it. */
const KEPT_BYTES = 64 << 20;

const modules: Partial<Record<Codec, Promise<WebAssembly.Module | undefined>>> = {};
const ready: Partial<Record<Codec, Promise<Decoder>>> = {};

/** Where there are no files, the codec fetches its own .wasm from beside its script, which bundlers know how to place. */
async function compile(url: string): Promise<WebAssembly.Module | undefined> {
  return hasFileSystem() ? WebAssembly.compile((await readPackageFile(new URL(url))) as BufferSource) : undefined;
}

async function start(codec: Codec): Promise<Decoder> {
  let decoder: Decoder;
  if (codec === "jpeg") {
    decoder = (await import("@jsquash/jpeg/decode.js")) as unknown as Decoder;
    modules.jpeg ??= compile(import.meta.resolve("@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm"));
  } else {
    decoder = (await import("@jsquash/webp/decode.js")) as unknown as Decoder;
    modules.webp ??= compile(import.meta.resolve("@jsquash/webp/codec/dec/webp_dec.wasm"));
  }
  const module = await modules[codec];
  const instantiateWasm = (imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) => {
    const instance = new WebAssembly.Instance(module as WebAssembly.Module, imports);
    done(instance);
    return instance.exports;
  };
  // The codec's own warnings are not for the user's terminal: what they mean is checked before.
  const silent = { print() {}, printErr() {} };
  await decoder.init(module ? { ...silent, instantiateWasm } : silent);
  return decoder;
}

/**
 * RGBA of a file of the codec's format, or of `bytes` that were made from it.
 * @throws Error: one sentence that names the file.
 */
export async function decodeWith(codec: Codec, file: ImageFile, bytes = file.bytes): Promise<Uint8ClampedArray> {
  ready[codec] ??= start(codec);
  const decoder = await ready[codec];
  try {
    const { data } = await decoder.default(bytes as unknown as ArrayBuffer);
    if (data.length > KEPT_BYTES) delete ready[codec];
    return data;
  } catch (error) {
    delete ready[codec];
    const format = { jpeg: "JPEG", webp: "WebP" }[codec];
    throw new Error(broken(file, `has ${format} data that cannot be decoded`).message, { cause: error });
  }
}
