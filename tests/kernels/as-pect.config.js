import v8 from "node:v8";

// Node 20 has relaxed SIMD behind a flag; as-pect runs plain `node`, so it is set here. Later versions need none.
if (process.versions.node.startsWith("20.")) v8.setFlagsFromString("--experimental-wasm-relaxed-simd");

export default {
  entries: ["tests/kernels/*.spec.ts"],
  include: [],
  disclude: [/node_modules/],
  outputBinary: false,
  async instantiate(memory, createImports, instantiate, binary) {
    return instantiate(binary, createImports({ env: { memory, stalled() {} } }));
  },
};
