/** Flags of V8 while kernels are compiled. */
import { builtin, canSetEngineFlags } from "./host.js";

/** Flags that are set before kernels are compiled, and those that undo them. */
const EAGER: readonly [string, string][] = [
  ["--no-liftoff", "--liftoff"],
  ["--no-wasm-lazy-compilation", "--wasm-lazy-compilation"],
];

/** V8 14 inlines by what Liftoff has counted, and ends the process where Liftoff has not run; or where but one of these is set. */
const EAGER_14: typeof EAGER = [
  ...EAGER,
  ["--no-wasm-inlining-call-indirect", "--wasm-inlining-call-indirect"],
  ["--no-wasm-inlining", "--wasm-inlining"],
];

/**
 * Compiles WebAssembly for speed at once, with further V8 flags for this module alone. Undefined where flags
 * cannot be set.
 */
export async function compileEagerly(
  bytes: Uint8Array<ArrayBuffer>,
  flags: readonly string[],
): Promise<WebAssembly.Module | undefined> {
  if (!canSetEngineFlags()) return undefined;
  const { setFlagsFromString } = builtin("node:v8");
  // V8 reads flags when it compiles: nothing else runs between setting and undoing them.
  const eager = Number.parseInt(process.versions.v8, 10) < 14 ? EAGER : EAGER_14;
  for (const [flag] of eager) setFlagsFromString(flag);
  for (const flag of flags) setFlagsFromString(flag);
  try {
    return new WebAssembly.Module(bytes);
  } finally {
    for (const [, undo] of [...eager].reverse()) setFlagsFromString(undo);
    for (const flag of flags) setFlagsFromString(flag.replace("--", "--no-"));
  }
}
