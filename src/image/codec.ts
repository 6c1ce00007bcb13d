/**
 * The WebAssembly decoder of jSquash: MozJPEG (libjpeg-turbo's code), whose pixels are Pillow's.
 * Loaded on first use, and anew after each failure or large image: memory that they took is never given back otherwise.
 */
import { assets } from "../platform/assets.js";
import { importPackage } from "../platform/packages.js";
import { unpack } from "../platform/packed.js";
import { broken, type ImageFile } from "./file.js";

type Codec = "jpeg";

/** As Emscripten makes them. */
interface Emscripten {
  /** Nothing if the bytes cannot be decoded. */
  decode(bytes: Uint8Array, preserveOrientation?: boolean): unknown;
}
type Factory = (options: Record<string, unknown>) => Promise<Emscripten>;

/** An image of more bytes than this takes its decoder's memory with it. */
const KEPT_BYTES = 64 << 20;

const modules: Partial<Record<Codec, Promise<WebAssembly.Module>>> = {};
const ready: Partial<Record<Codec, Promise<Emscripten>>> = {};

async function compile(codec: Codec): Promise<WebAssembly.Module> {
  const asset = assets[codec];
  if (asset) return asset;
  const { base64 } = await {
    jpeg: () => import("./jpeg-codec.gen.js"),
  }[codec]();
  return WebAssembly.compile(await unpack(base64));
}

async function start(codec: Codec): Promise<Emscripten> {
  const script = {
    jpeg: () =>
      importPackage("@jsquash/jpeg/codec/dec/mozjpeg_dec.js", () => import("@jsquash/jpeg/codec/dec/mozjpeg_dec.js")),
  }[codec]() as Promise<{ default: unknown }>;
  const factory = (await script).default as Factory;
  modules[codec] ??= compile(codec);
  const module = await modules[codec];
  const instantiateWasm = (imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) => {
    const instance = new WebAssembly.Instance(module, imports);
    done(instance);
    return instance.exports;
  };
  // Nothing is to be found. What the codec would print is not for the user's terminal: what it warns of is checked before.
  const locateFile = String;
  return factory({ noInitialRun: true, instantiateWasm, locateFile, print() {}, printErr() {} });
}

/** What is to be done with the pixels of the image that is being decoded. */
let look = (_: Uint8Array) => {};

/**
 * The codecs make a Uint8ClampedArray of a view of their memory, 48 MB of a photo of 12 megapixels, and of it an ImageData.
 * Under both names they find this, which looks at the view instead.
 */
class Looking {
  constructor(pixels: unknown) {
    if (pixels instanceof Uint8Array) look(pixels);
  }
}

/** What `take` makes of the pixels, in an object, or nothing if there are none. It may write where they lie. */
function decodeInPlace<T>(decode: () => unknown, take: (rgba: Uint8Array) => T): { readonly value: T } | undefined {
  const { Uint8ClampedArray: array, ImageData: image } = globalThis;
  const hide = () => Object.assign(globalThis, { Uint8ClampedArray: Looking, ImageData: Looking });
  const restore = () => {
    Object.assign(globalThis, { Uint8ClampedArray: array, ImageData: image });
    // Others ask whether there is one.
    if (!image) Reflect.deleteProperty(globalThis, "ImageData");
  };
  let result: { readonly value: T } | undefined;
  let failure: { readonly error: unknown } | undefined;
  look = (rgba) => {
    restore();
    try {
      result = { value: take(rgba) };
    } catch (error) {
      // The codec would not free what it has.
      failure = { error };
    }
    hide();
  };
  hide();
  try {
    decode();
  } finally {
    restore();
    // It holds what was taken.
    look = () => {};
  }
  if (failure) throw failure.error;
  return result;
}

/**
 * What `take` makes of the RGBA of a file of the codec's format, or of `bytes` that were made from it. The pixels lie in the
 * decoder's memory: `take` may write over them, and they are gone when it returns.
 * @throws Error: one sentence that names the file.
 */
export async function decodeWith<T>(
  codec: Codec,
  file: ImageFile,
  bytes: Uint8Array,
  take: (rgba: Uint8Array) => T,
): Promise<T> {
  ready[codec] ??= start(codec);
  const decoder = await ready[codec];
  let taking = false;
  try {
    const found = decodeInPlace(
      () => decoder.decode(bytes, false),
      (rgba) => {
        taking = true;
        if (rgba.length > KEPT_BYTES) delete ready[codec];
        return take(rgba);
      },
    );
    if (!found) throw new Error("there are no pixels");
    return found.value;
  } catch (error) {
    if (taking) throw error;
    delete ready[codec];
    const format = { jpeg: "JPEG" }[codec];
    throw new Error(broken(file, `has ${format} data that cannot be decoded`).message, { cause: error });
  }
}
