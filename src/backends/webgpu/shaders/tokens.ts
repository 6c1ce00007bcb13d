/** Pixels to patches, patches to tokens, tokens to vectors: one thread an element of the result, zeros behind a row. */
import { elementwise, type Shader } from "../shader.js";

export const patchify: Shader = {
  name: "patchify",
  reads: { pixels: "f32" },
  writes: { out: "f32" },
  params: [
    ...["rows", "cols", "outStride", "stride", "channels", "width"],
    ...["gridHeight", "gridWidth", "patchHeight", "patchWidth"],
  ],
  code: elementwise(`
  let grid = p.gridHeight * p.gridWidth;
  let area = p.patchHeight * p.patchWidth;
  let plane = row / grid * p.channels + column / area;
  let y = row % grid / p.gridWidth * p.patchHeight + column % area / p.patchWidth;
  let x = row % p.gridWidth * p.patchWidth + column % p.patchWidth;
  out[i] = pixels[plane * p.stride + y * p.width + x];`),
};

export const assembleTokens = ({ prefix, positions }: { prefix: boolean; positions: boolean }): Shader => ({
  name: `assembleTokens ${prefix} ${positions}`,
  reads: {
    patches: "f32",
    ...(prefix ? { prefix: "f32" } : {}),
    ...(positions ? { positions: "f32" } : {}),
  },
  writes: { out: "f32" },
  params: ["rows", "cols", "outStride", "count", "tokens"],
  code: elementwise(`
  let token = row % p.tokens;
  let source = row / p.tokens * (p.tokens - p.count) + token - p.count;
  var v = 0.0;
  ${prefix ? "if (token < p.count) { v = prefix[token * p.outStride + column]; } else" : ""}
  { v = patches[source * p.outStride + column]; }
  out[i] = v${positions ? " + positions[token * p.outStride + column]" : ""};`),
});

export const pool: Shader = {
  name: "pool",
  reads: { x: "f32" },
  writes: { out: "f32" },
  params: ["rows", "cols", "outStride", "tokens", "first", "count"],
  code: elementwise(`
  var sum = 0.0;
  for (var t = 0u; t < p.count; t++) { sum += x[(row * p.tokens + p.first + t) * p.outStride + column]; }
  out[i] = sum / f32(p.count);`),
};

/** silu(g) ⊙ v of [g | v]. */
export const swiglu: Shader = {
  name: "swiglu",
  reads: { x: "f32" },
  writes: { out: "f32" },
  params: ["rows", "cols", "outStride", "stride"],
  code: elementwise(`
  let gate = x[row * p.stride + column];
  out[i] = gate / (1.0 + exp(clamp(-gate, -80.0, 80.0))) * x[row * p.stride + p.cols + column];`),
};

/** Largest value in a window; what is outside counts as `fill`, unless that is -∞, which WGSL does not have. */
export const maxPool = ({ filled }: { filled: boolean }): Shader => ({
  name: `maxPool ${filled}`,
  reads: { x: "f32" },
  writes: { out: "f32" },
  params: [
    ...["rows", "cols", "outStride", "height", "width", "kernel", "stride", "top", "left", "outHeight", "outWidth"],
    ...(filled ? ["fill: f32"] : []),
  ],
  code: elementwise(`
  let place = row % (p.outHeight * p.outWidth);
  let image = row / (p.outHeight * p.outWidth);
  var most = -3.4028234e38;
  for (var ky = 0u; ky < p.kernel; ky++) {
    for (var kx = 0u; kx < p.kernel; kx++) {
      let y = place / p.outWidth * p.stride + ky - p.top;
      let x0 = place % p.outWidth * p.stride + kx - p.left;
      if (y < p.height && x0 < p.width) {
        most = max(most, x[((image * p.height + y) * p.width + x0) * p.outStride + column]);
      } ${filled ? "else { most = max(most, p.fill); }" : ""}
    }
  }
  out[i] = most;`),
});

/** Biases of offsets, see the contract. */
export const relativePositions: Shader = {
  name: "relativePositions",
  reads: { table: "f32" },
  writes: { out: "f32" },
  params: [
    ...["rows", "cols", "outStride", "stride", "heads", "height", "width", "first"],
    ...["lower", "right", "penalty: f32"],
  ],
  code: elementwise(`
  let tokens = p.cols;
  let head = row / tokens % p.heads;
  let kind = row / (tokens * p.heads);
  let query = row % tokens;
  let offsets = (2u * p.height - 1u) * (2u * p.width - 1u);
  var entry = 0u;
  var penalty = 0.0;
  if (query < p.first && column < p.first) { entry = offsets + 2u; }
  else if (query < p.first) { entry = offsets; }
  else if (column < p.first) { entry = offsets + 1u; }
  else {
    let a = query - p.first;
    let b = column - p.first;
    entry = (a / p.width + p.height - 1u - b / p.width) * (2u * p.width - 1u) + a % p.width + p.width - 1u - b % p.width;
    let lines = (a / p.width >= p.lower) != (b / p.width >= p.lower);
    let columns = (a % p.width >= p.right) != (b % p.width >= p.right);
    if ((lines && kind >= 2u) || (columns && kind % 2u == 1u)) { penalty = p.penalty; }
  }
  out[i] = table[entry * p.stride + head] + penalty;`),
};
