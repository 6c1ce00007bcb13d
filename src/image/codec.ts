/**
 * The two WebAssembly decoders of jSquash: MozJPEG (libjpeg-turbo's code) and libwebp, whose pixels are Pillow's.
 * Loaded on first use, and anew after each failure or large image: memory that they took is never given back otherwise.
 */
import { assets } from "../assets.js";
import { importPackage } from "../packages.js";
import { hasFileSystem, readFile } from "../platform.js";
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

/** Where there are no files, the codec fetches its .wasm from beside its script, which bundlers know how to place. */
async function compile(codec: Codec): Promise<WebAssembly.Module | undefined> {
  const asset = assets[codec];
  if (asset instanceof WebAssembly.Module || (!asset && !hasFileSystem())) return asset;
  const bytes = asset instanceof Uint8Array ? asset : await readFile(asset ?? besideItsScript(codec));
  return WebAssembly.compile(bytes as BufferSource);
}

function besideItsScript(codec: Codec): URL {
  try {
    const url = {
      jpeg: () => import.meta.resolve("@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm"),
      webp: () => import.meta.resolve("@jsquash/webp/codec/dec/webp_dec.wasm"),
    }[codec]();
    return new URL(url);
  } catch (cause) {
    const what = `image: the package @jsquash/${codec} must lie beside the program, or its .wasm be bundled into it`;
    throw new Error(`${what}; it is not found: ${(cause as Error).message}`, { cause });
  }
}

async function start(codec: Codec): Promise<Decoder> {
  const decoder = (await {
    jpeg: () => importPackage("@jsquash/jpeg/decode.js", () => import("@jsquash/jpeg/decode.js")),
    webp: () => importPackage("@jsquash/webp/decode.js", () => import("@jsquash/webp/decode.js")),
  }[codec]()) as unknown as Decoder;
  modules[codec] ??= compile(codec);
  const module = await modules[codec];
  // What the codec would print is not for the user's terminal: what it warns of is checked before.
  const options = { print() {}, printErr() {} };
  const instantiateWasm = (imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) => {
    const instance = new WebAssembly.Instance(module as WebAssembly.Module, imports);
    done(instance);
    return instance.exports;
  };
  await decoder.init(module ? { ...options, instantiateWasm } : options);
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
