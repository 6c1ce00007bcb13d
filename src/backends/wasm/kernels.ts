/** The compiled kernels (assembly/): which build an engine can run, compiled once a process. */

import { concatenate } from "../../platform/bytes.js";
import { readFile } from "../../platform/files.js";
import { unpack } from "../../platform/packed.js";
import { compileEagerly } from "../../platform/v8.js";
import { nameOf } from "../../platform/web.js";
import { base64, id, names, sizes } from "./kernels.gen.js";

/** With fused multiply-add and integer dot products where the engine knows relaxed SIMD, else without. */
export type Build = "relaxed" | "simd";

export interface CompiledKernels {
  readonly build: Build;
  readonly module: WebAssembly.Module;
  /** True if it takes shared memory, and several threads. */
  readonly shared: boolean;
  /** True if the engine was told to combine pairs of vectors into 256-bit ones. */
  readonly wide: boolean;
  /** True if it was compiled for speed at once. */
  readonly eager: boolean;
}

/** The builds for memory of one thread, and for shared memory ("-threads"). */
export type BinaryName = (typeof names)[number];

let inflated: Promise<Uint8Array> | undefined;

/** The bytes of a build: all of them are inflated once. */
export async function binaryOf(name: BinaryName): Promise<Uint8Array> {
  inflated ??= unpack(base64);
  const all = await inflated;
  const begin = total(sizes.slice(0, names.indexOf(name)));
  return all.subarray(begin, begin + sizes[names.indexOf(name)]!);
}

const total = (lengths: readonly number[]) => lengths.reduce((sum, length) => sum + length, 0);

/** An empty custom section of four letters. V8 shares the code of equal bytes, whatever the flags: those of others must not be equal. */
const sectionOf = (name: "wide" | "once"): number[] => [0, 5, 4, ...[...name].map((c) => c.charCodeAt(0))];

const compiled = new Map<string, Promise<CompiledKernels | undefined>>();

/**
 * The given build, or the best that this engine validates. Undefined if `wide` is asked for where it cannot be switched on.
 * @throws Error if the engine can run none.
 */
export function compileKernels(options: {
  readonly shared: boolean;
  readonly build?: Build;
  readonly wide?: boolean;
}): Promise<CompiledKernels | undefined> {
  const { shared, build, wide = false } = options;
  const key = `${build} ${shared} ${wide}`;
  let kernels = compiled.get(key);
  if (!kernels) {
    kernels = compile(shared, build, wide);
    compiled.set(key, kernels);
  }
  return kernels;
}

async function compile(
  shared: boolean,
  wanted: Build | undefined,
  wide: boolean,
): Promise<CompiledKernels | undefined> {
  for (const build of ["relaxed", "simd"] as const) {
    const binary = await binaryOf(shared ? `${build}-threads` : build);
    const bytes = concatenate([binary, wide ? sectionOf("wide") : []]);
    if ((wanted && wanted !== build) || !WebAssembly.validate(bytes)) continue;
    // Compiled for speed at once: what is first compiled for start-up is slow for its first seconds, and its tiles
    // cannot be compared yet; a process had its first class after 342 ms in place of 363 so.
    const module = await compileEagerly(bytes, wide ? ["--experimental-wasm-revectorize"] : []);
    if (module) return { build, module, shared, wide, eager: true };
    return wide ? undefined : { build, module: await compileAllowed(bytes), shared, wide, eager: false };
  }
  throw new Error(
    `wasm: the kernels need WebAssembly ${wanted ?? "simd"}, which this engine does not have; use backend "reference"`,
  );
}

/** The build of wide kernels as it is without flags: function by function when they are first called, which is enough for a test. */
export async function compileOnce(shared: boolean): Promise<CompiledKernels> {
  const build = "relaxed";
  const bytes = concatenate([await binaryOf(shared ? `${build}-threads` : build), sectionOf("once")]);
  return { build, module: await WebAssembly.compile(bytes), shared, wide: false, eager: false };
}

async function compileAllowed(bytes: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    const what = "wasm: this host must compile the kernels, or load be given them as the option wasm";
    throw new Error(`${what}; it refuses: ${(cause as Error).message}`, { cause });
  }
}

/** A module of kernels, its bytes, or where they are. */
export type KernelSource = WebAssembly.Module | ArrayBuffer | Uint8Array | string | URL;

/**
 * Kernels that are not those in the code.
 * @throws Error: one sentence, for a module that is not of these kernels, or cannot be compiled or read.
 */
export async function givenKernels(source: KernelSource): Promise<CompiledKernels> {
  const module = source instanceof WebAssembly.Module ? source : await moduleOf(source as ArrayBuffer);
  const [section] = WebAssembly.Module.customSections(module, "vitrail");
  const [found, name] = section ? new TextDecoder().decode(section).split(" ") : [];
  if (found !== id) {
    const what = found ? `those of another version (${found}, not ${id})` : "another module";
    throw new Error(`wasm: the option wasm must be the kernels of this version of vitrail; got ${what}`);
  }
  const [build, threads] = (name as BinaryName).split("-") as [Build, string | undefined];
  return { build, module, shared: threads !== undefined, wide: false, eager: false };
}

async function moduleOf(source: ArrayBuffer | Uint8Array | string | URL): Promise<WebAssembly.Module> {
  const isPlace = typeof source === "string" || source instanceof URL;
  const bytes = new Uint8Array(isPlace ? await readFile(source) : source);
  if (!WebAssembly.validate(bytes)) {
    const found = isPlace ? `"${nameOf(source)}" is not` : `the ${bytes.length} bytes are not`;
    throw new Error(`wasm: the option wasm must be WebAssembly that this engine has; ${found}`);
  }
  return (await compileEagerly(bytes, [])) ?? compileAllowed(bytes);
}
