/** Where a model computes: on which backend its weights are put, and on which when that one is lost. */
import type { Backend } from "../backend.js";
import {
  type Choice,
  createReference,
  createWasm,
  createWebgpu,
  findGpu,
  type Gpu,
  leavesOpen,
  type Selected,
} from "../backends/select.js";
import type { WeightPlan } from "../checkpoint/plan.js";
import type { ModelConfig, Weights } from "../forward/model.js";
import { type TensorConsumer, withSecond } from "../io/checkpoint.js";
import type { Progress } from "../io/parts.js";
import type { Waiting } from "./sharing.js";
import { compare, type Placed, tokensOf } from "./trial.js";

export interface Placement extends Placed, Pick<Selected, "how" | "shared"> {}

/** A checkpoint that is read as often as there are backends to put it on. */
export interface Source {
  /** Plans the weights of so many blocks, all unless given. */
  plan(blocks?: number): WeightPlan<Weights>;
  read(consumer: TensorConsumer, waiting: Waiting<Progress>): Promise<void>;
}

export interface Wanted extends Choice {
  readonly config: ModelConfig;
  readonly precision: NonNullable<Choice["precision"]>;
}

/** Ways to find a GPU and to compare it with SIMD; tests have none that is fast. */
export interface GpuSearch {
  readonly find: typeof findGpu;
  readonly compare: typeof compare;
}

export const GPU_SEARCH: GpuSearch = { find: findGpu, compare };

/**
 * A GPU that a model may be put on, or why there is none.
 * @throws Error if one is asked for and there is none.
 */
export async function gpuFor(choice: Choice, { find }: GpuSearch): Promise<Gpu | { reason: string }> {
  const { backend } = choice;
  if (backend !== "webgpu" && !leavesOpen(choice)) return { reason: "threads or 256 bits asked for" };
  const gpu = await find();
  if (backend === "webgpu") {
    if ("reason" in gpu) throw new Error(`load: backend "webgpu" needs a GPU; there is none: ${gpu.reason}`);
    return gpu;
  }
  if ("reason" in gpu || !gpu.software) return gpu;
  gpu.device.destroy();
  return { reason: `${gpu.name} is a processor` };
}

/** Puts a model where it is wanted, or where it is fastest. */
export async function place(
  source: Source,
  wanted: Wanted,
  gpu: Gpu | { reason: string },
  { compare }: GpuSearch,
  waiting: Waiting<Progress>,
): Promise<Placement> {
  const { backend = "auto" } = wanted;
  if (backend === "reference") return loadOnto(source, wanted, await createReference("asked for"), waiting);
  if (backend === "wasm") return loadOnto(source, wanted, await createWasm(wanted, "asked for"), waiting);
  if ("reason" in gpu) return loadOnto(source, wanted, await createWasm(wanted, gpu.reason), waiting);
  if (backend === "webgpu") return loadOnto(source, wanted, await createWebgpu(gpu, wanted, "asked for"), waiting);
  return compareBackends(source, wanted, gpu, compare, waiting);
}

/** Puts a model that was on a GPU where it goes on: on SIMD, or on a new GPU if one was asked for. */
export async function replace(source: Source, wanted: Wanted, why: string, search: GpuSearch): Promise<Placement> {
  const selected =
    wanted.backend === "webgpu"
      ? await createWebgpu((await gpuFor(wanted, search)) as Gpu, wanted, `asked for; restored: ${why}`)
      : await createWasm(wanted, why);
  return loadOnto(source, wanted, selected, {});
}

/** Reads a model onto a backend, which is disposed of if that fails. */
async function loadOnto(
  source: Source,
  { config, precision, threads = "auto" }: Wanted,
  { backend, how, started, shared }: Selected,
  waiting: Waiting<Progress>,
): Promise<Placement> {
  try {
    const loader = source.plan().create(backend, precision);
    await source.read(loader, withMemory(waiting, backend));
    const weights = await loader.finish();
    // Nothing waits for threads that were not asked for by number: starting them takes longer than an image.
    if (threads !== "auto") await started;
    const placement = { backend, how, shared, weights };
    // Compiles its shaders, and finds out what cannot be compiled.
    if (backend.name === "webgpu") await tokensOf(placement, config, 1);
    return placement;
  } catch (error) {
    backend.dispose();
    throw error;
  }
}

/** Progress that tells the memory that the weights take on a backend: all of it is reserved before they are read. */
function withMemory({ signal, onProgress }: Waiting<Progress>, backend: Backend): Waiting<Progress> {
  const { weights: memory } = backend.memory;
  return { signal, onProgress: onProgress && ((progress) => onProgress({ ...progress, memory })) };
}

/** A model on the GPU, if that computes right and is faster, else on SIMD. The first block is read onto both. */
async function compareBackends(
  source: Source,
  wanted: Wanted,
  gpu: Gpu,
  compare: GpuSearch["compare"],
  waiting: Waiting<Progress>,
): Promise<Placement> {
  const { config, precision } = wanted;
  const onGpu = await createWebgpu(gpu, wanted, "");
  const { backend: simd, started } = await createWasm(wanted, "");
  let why: string;
  try {
    const whole = source.plan().create(onGpu.backend, precision);
    const part = source.plan(Math.min(1, config.depth)).create(simd, precision);
    await source.read(withSecond(whole, part), withMemory(waiting, onGpu.backend));
    const placed = { backend: onGpu.backend, weights: await whole.finish() };
    await started;
    const found = await compare(placed, { backend: simd, weights: await part.finish() }, config, precision);
    if (found.preferred) {
      const how = { ...onGpu.how, reason: found.reason + onGpu.how.reason };
      return { ...placed, how };
    }
    why = found.reason;
    onGpu.backend.dispose();
  } catch (error) {
    const { lost } = onGpu.backend;
    onGpu.backend.dispose();
    if (!lost) throw error;
    why = lost.message;
  } finally {
    simd.dispose();
  }
  return loadOnto(source, wanted, await createWasm(wanted, why), { signal: waiting.signal });
}
