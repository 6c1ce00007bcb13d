// The activations that kernels have, each a function of assembly/activation.ts. Their places here are their numbers, 0 is none.
// Writes what calls a kernel by its number; build.js gives the numbers to src/backends/wasm. So compilers find what a new
// activation lacks: TypeScript the place here, AssemblyScript the function.
import { writeFileSync } from "node:fs";

const ACTIVATIONS = ["gelu", "gelu_tanh", "tanh", "relu", "quick_gelu", "silu"];

const camelCase = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());

/** The numbers, by name; `file` is written for the kernels. */
export function writeActivations(file) {
  const kernels = ACTIVATIONS.map(camelCase);
  const cases = kernels.map((kernel, i) => `    case ${i + 1}: ${kernel}(x, stride, rows); break;`);
  writeFileSync(
    file,
    `// Written by assembly/activations.js.
import { ${kernels.join(", ")} } from "./activation";

/** Runs an activation on a panel: \`rows\` rows of 8 floats, in place, \`stride\` bytes apart. */
export function activate(activation: u32, x: usize, stride: usize, rows: usize): void {
  switch (activation) {
${cases.join("\n")}
  }
}
`,
  );
  return Object.fromEntries(ACTIVATIONS.map((name, i) => [name, i + 1]));
}
