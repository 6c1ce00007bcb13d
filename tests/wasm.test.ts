import { suite } from "node:test";
import { createWasmBackend } from "../src/backends/wasm/index.js";
import { instantiate } from "../src/backends/wasm/kernels.js";
import { runBackendCases } from "./backend.cases.js";

// Every build this engine runs, at every tile. The tolerance is f32 summation over at most 1030 products, and the
// approximations of exp and erf.
const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
for (const build of ["relaxed", "simd"] as const) {
  const absent = await instantiate(memory, build).then(
    () => undefined,
    (error: Error) => error.message,
  );
  for (const tile of [4, 6] as const) {
    suite(`wasm, ${build}, tile ${tile}×8`, { skip: absent }, () => {
      runBackendCases({ create: () => createWasmBackend({ build, tile }), tolerance: 3e-6 });
    });
  }
}
