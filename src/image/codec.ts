/**
 * The two WebAssembly decoders of jSquash: MozJPEG (libjpeg-turbo's code) and libwebp, whose pixels are Pillow's.
 * Loaded on first use, and anew after each failure or large image: memory that they took is never given back otherwise.
 */
import { assets } from "../assets.js";
import { importPackage } from "../packages.js";
import { unpack } from "../packed.js";
import { broken, type ImageFile } from "./file.js";

type Codec = "jpeg" | "webp";
interface Decoder {
  init(options: Record<string, unknown>): Promise<void>;
  default(bytes: ArrayBuffer): Promise<ImageData>;
}

/** An image of more bytes than this takes its decoder's memory with it. */
const KEPT_BYTES = 64 << 20;

const modules: Partial<Record<Codec, Promise<WebAssembly.Module>>> = {};
const ready: Partial<Record<Codec, Promise<Decoder>>> = {};

async function compile(codec: Codec): Promise<WebAssembly.Module> {
  const asset = assets[codec];
  if (asset instanceof WebAssembly.Module) return asset;
  const { base64 } = await {
    jpeg: () => import("./jpeg-codec.gen.js"),
    webp: () => import("./webp-codec.gen.js"),
  }[codec]();
  return WebAssembly.compile(await unpack(base64));
}

async function start(codec: Codec): Promise<Decoder> {
  const decoder = (await {
    jpeg: () => importPackage("@jsquash/jpeg/decode.js", () => import("@jsquash/jpeg/decode.js")),
    webp: () => importPackage("@jsquash/webp/decode.js", () => import("@jsquash/webp/decode.js")),
  }[codec]()) as unknown as Decoder;
  modules[codec] ??= compile(codec);
  const module = await modules[codec];
  const instantiateWasm = (imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) => {
    const instance = new WebAssembly.Instance(module, imports);
    done(instance);
    return instance.exports;
  };
  // Nothing is to be found. What the codec would print is not for the user's terminal: what it warns of is checked before.
  await decoder.init({ instantiateWasm, locateFile: String, print() {}, printErr() {} });
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
