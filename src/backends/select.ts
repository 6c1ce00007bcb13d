/** Makes a backend: the only file that knows them all. Each is loaded when it is wanted. */
import type { Backend, BackendName, Precision } from "../backend.js";
import type { SharedKernels } from "./join.js";

/** A device for the WebGPU backend, and what it is. */
export type Gpu = import("./webgpu/device.js").Gpu;

/** Options of a caller; see LoadOptions. */
export interface Choice {
  readonly backend?: BackendName | "auto";
  readonly threads?: "auto" | number;
  readonly wide?: boolean;
  readonly precision?: Precision;
  readonly wasm?: import("./wasm/kernels.js").KernelSource;
}

export interface Selected {
  readonly backend: Backend;
  /** State of the backend, as of now: threads that nobody asked for by number join when they have started, or do not. */
  readonly how: { readonly threads: number; readonly reason: string };
  /** Resolves when it runs as asked for; rejects if it cannot. */
  readonly started: Promise<void>;
  /** Kernels and memory for threads that compute beside it, where they can. */
  shared?(): SharedKernels | undefined;
}

/** The GPU of this runtime, or why there is none. */
export async function findGpu(): Promise<Gpu | { reason: string }> {
  return (await import("./webgpu/device.js")).requestGpu();
}

/** Tells whether a caller leaves it open what computes; threads and wide vectors are SIMD's. */
export const leavesOpen = ({ backend = "auto", threads = "auto", wide }: Choice): boolean =>
  backend === "auto" && threads === "auto" && !wide;

/** @param why it was taken, for `reason`. */
export async function createReference(why: string): Promise<Selected> {
  const { createReferenceBackend } = await import("./reference.js");
  const reason = `${why}; plain loops on one thread`;
  return { backend: createReferenceBackend(), how: { threads: 1, reason }, started: Promise.resolve() };
}

export async function createWasm(
  { precision = "f32", threads = "auto", wide, wasm }: Choice,
  why: string,
): Promise<Selected> {
  const { createWasmBackend } = await import("./wasm/index.js");
  const backend = await createWasmBackend({ threads, wide, wasm, precision });
  const how = {
    get threads() {
      return backend.threads;
    },
    get reason() {
      return `${why}; ${backend.describe(precision)}`;
    },
  };
  return { backend, how, started: backend.started, shared: () => backend.shared };
}

export async function createWebgpu(gpu: Gpu, { precision = "f32" }: Choice, why: string): Promise<Selected> {
  const { createWebgpuBackend } = await import("./webgpu/index.js");
  const backend = createWebgpuBackend(gpu);
  const reason = `${why}; ${backend.describe(precision)}`;
  return { backend, how: { threads: 1, reason }, started: Promise.resolve() };
}
