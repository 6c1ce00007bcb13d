import { suite } from "node:test";
import { createWasmBackend } from "../src/backends/wasm/index.js";
import { compileKernels } from "../src/backends/wasm/kernels.js";
import { candidates, FLOAT_TILES, INTEGER_TILES } from "../src/backends/wasm/tile.js";
import { runBackendCases } from "./backend.cases.js";

// Every build this engine runs, at every tile that it may choose. The tolerance is f32 summation over at most 1030
// products, and the approximations of exp and erf.
for (const build of ["relaxed", "simd"] as const) {
  const absent = await compileKernels({ shared: false, build }).then(
    () => undefined,
    (error: Error) => error.message,
  );
  const all = candidates({ build, wide: true });
  const count = Math.max(all.float.length, all.integer.length);
  for (let i = 0; i < count; i++) {
    const float = all.float[i % all.float.length]!;
    const integer = all.integer[i % all.integer.length]!;
    suite(`wasm, ${build}, tiles ${FLOAT_TILES[float]} and ${INTEGER_TILES[integer]}`, { skip: absent }, () => {
      runBackendCases({ create: () => createWasmBackend({ build, tiles: { float, integer } }), tolerance: 3e-6 });
    });
  }
  suite(`wasm, ${build}, three threads`, { skip: absent }, () => {
    const create = async () => {
      const backend = await createWasmBackend({ build, threads: 3 });
      await backend.started;
      return backend;
    };
    runBackendCases({ create, tolerance: 3e-6 });
  });
}
