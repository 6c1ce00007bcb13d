import { suite } from "node:test";
import { createWasmBackend } from "../src/backends/wasm/index.js";
import { compileKernels } from "../src/backends/wasm/kernels.js";
import { candidates, FLOAT_TILES, INTEGER_TILES } from "../src/backends/wasm/tile.js";
import { runBackendCases } from "./backend.cases.js";

// Kernels whose pairs of vectors V8 combines into 256 bits: they run by default in the engines that pass here (src/backends/wasm/wide.ts).
const wide = await createWasmBackend({ wide: true });
const lacking = wide.describe("f32").startsWith("256-bit") ? undefined : wide.describe("f32");
wide.dispose();
const forWide = candidates({ build: "relaxed", wide: true });
for (let i = 0; i < Math.max(forWide.float.length, forWide.integer.length); i++) {
  const [float, integer] = [forWide.float, forWide.integer].map((tiles) => tiles[i % tiles.length]!) as [
    number,
    number,
  ];
  suite(`wasm, 256 bits, tiles ${FLOAT_TILES[float]} and ${INTEGER_TILES[integer]}`, { skip: lacking }, () => {
    for (const threads of i === 0 ? [1, 3] : [1]) {
      const create = async () => {
        const backend = await createWasmBackend({ wide: true, tiles: { float, integer }, threads });
        await backend.started;
        return backend;
      };
      suite(`${threads} threads`, () => runBackendCases({ create, tolerance: 3e-6 }));
    }
  });
}

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
