/** Instances of the kernels on a memory. Apart from how they are compiled, which threads that are given them need not load. */
import { JOB_WORDS, type Jobs, type Kernels, layouts } from "./jobs.gen.js";

/** Place of an instance among those that share a memory. */
export interface InstanceOptions {
  /** Which of the threads that work on the same ops, and how many they are. */
  readonly thread?: number;
  readonly threads?: number;
  /** Called when the others do not answer; it must throw. */
  readonly stalled?: () => void;
  /** The words by which these threads work together, zeros at first; behind the kernels' constants unless given. */
  readonly words?: number;
}

/** The kernels on `memory`. Their words end at the `base`. */
export async function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  { thread = 0, threads = 1, stalled = () => {}, words }: InstanceOptions = {},
): Promise<{ kernels: Kernels; base: number }> {
  const { exports } = await WebAssembly.instantiate(module, { env: { memory, stalled } });
  const kernels = exports as unknown as Kernels;
  const sync = words ?? Math.ceil(kernels.heapBase() / 64) * 64;
  kernels.attach(sync, thread, threads);
  const job = sync + kernels.syncBytes();
  return { kernels: { ...kernels, ...opsOf(exports, memory, job) }, base: job + 4 * JOB_WORDS };
}

/**
 * The ops as functions of a job, which they write at `at`, one after the other, in 0.1 µs; the exports take its address. Callers
 * write all fields out: Node 20 takes 10 µs for an object that is spread from others.
 */
function opsOf(exports: WebAssembly.Exports, memory: WebAssembly.Memory, at: number): Pick<Kernels, keyof Jobs> {
  let u32 = new Uint32Array(0);
  let f32 = new Float32Array(0);
  const bind = ([op, layout]: [string, string]) => {
    const run = exports[op] as (job: number) => void;
    const names = layout.split(" ").map((field) => field.replace(":f32", ""));
    const floats = layout.split(" ").flatMap((field, i) => (field.endsWith(":f32") ? [i] : []));
    return [
      op,
      // A flag that is true becomes 1.
      (job: Record<string, number>) => {
        // Memory that is not shared has another buffer when it has grown.
        if (u32.length === 0) {
          u32 = new Uint32Array(memory.buffer, at, JOB_WORDS);
          f32 = new Float32Array(memory.buffer, at, JOB_WORDS);
        }
        for (let i = 0; i < names.length; i++) u32[i] = job[names[i]!]!;
        for (const i of floats) f32[i] = job[names[i]!]!;
        run(at);
      },
    ];
  };
  return Object.fromEntries(Object.entries(layouts).map(bind));
}
