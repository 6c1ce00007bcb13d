/** Flags of V8 while kernels are compiled. */
import { builtin, canSetEngineFlags } from "./host.js";

/** Flags that are set before kernels are compiled, and those that undo them. */
const EAGER: readonly [string, string][] = [
  ["--no-liftoff", "--liftoff"],
  ["--no-wasm-lazy-compilation", "--wasm-lazy-compilation"],
];

/** Functions are inlined where they are written so: V8 13 compiles in 16 ms in place of 24 if it does no more, to code as fast. */
const EAGER_13: typeof EAGER = [...EAGER, ["--no-wasm-inlining", "--wasm-inlining"]];

/** V8 14 inlines by what Liftoff has counted, and ends the process where Liftoff has not run; or where but one of these is set. */
const EAGER_14: typeof EAGER = [...EAGER_13, ["--no-wasm-inlining-call-indirect", "--wasm-inlining-call-indirect"]];

/** By V8's versions; before 13 there are other flags. */
const eagerFlags = (version: number): typeof EAGER => (version < 13 ? EAGER : version < 14 ? EAGER_13 : EAGER_14);

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
  const eager = eagerFlags(Number.parseInt(process.versions.v8, 10));
  for (const [flag] of eager) setFlagsFromString(flag);
  for (const flag of flags) setFlagsFromString(flag);
  try {
    return new WebAssembly.Module(bytes);
  } finally {
    for (const [, undo] of [...eager].reverse()) setFlagsFromString(undo);
    for (const flag of flags) setFlagsFromString(flag.replace("--", "--no-"));
  }
}
