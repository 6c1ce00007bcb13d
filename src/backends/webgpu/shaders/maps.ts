/** Feature maps between the convolutions of a dense head: one thread an element of the result, zeros behind a row. */
import type { Readout } from "../../../backend.js";
import { elementwise, type Shader } from "../shader.js";

/**
 * Bilinear interpolation. Places are quotients of whole numbers, so the weights of the two pixels have one rounding each,
 * however long the side. Error: 6·2^-24 of the largest of the four pixels.
 */
export const resizeMap = ({ aligned, accumulate }: { aligned: boolean; accumulate: boolean }): Shader => ({
  name: `resizeMap ${aligned} ${accumulate}`,
  reads: { x: "f32" },
  writes: { out: "f32" },
  params: ["rows", "cols", "outStride", "height", "width", "outHeight", "outWidth", "first", "count"],
  code: `
struct Between { low: u32, high: u32, weight: f32 }
fn between(i: u32, n: u32, m: u32) -> Between {
  ${
    aligned
      ? "let top = i * (n - 1u); let bottom = max(m - 1u, 1u);"
      : "let twice = (2u * i + 1u) * n; let top = select(0u, twice - m, twice > m); let bottom = 2u * m;"
  }
  let low = min(top / bottom, n - 1u);
  return Between(low, min(low + 1u, n - 1u), f32(top - low * bottom) / f32(bottom));
}
${elementwise(`
  let line = row / p.outWidth;
  let image = line / p.count * p.height;
  let y = between(p.first + line % p.count, p.height, p.outHeight);
  let u = between(row % p.outWidth, p.width, p.outWidth);
  let above = (image + y.low) * p.width;
  let below = (image + y.high) * p.width;
  let top = x[(above + u.low) * p.outStride + column] * (1.0 - u.weight) + x[(above + u.high) * p.outStride + column] * u.weight;
  let bottom = x[(below + u.low) * p.outStride + column] * (1.0 - u.weight) + x[(below + u.high) * p.outStride + column] * u.weight;
  out[i] ${accumulate ? "+=" : "="} top * (1.0 - y.weight) + bottom * y.weight;`)}`,
});

/** Patch tokens with the first token left out, added, or beside them. */
export const readout = (kind: Readout): Shader => ({
  name: `readout ${kind}`,
  reads: { x: "f32" },
  writes: { out: "f32" },
  params: ["rows", "cols", "outStride", "stride", "tokens", "prefix", "width"],
  code: elementwise(`
  let patches = p.tokens - p.prefix;
  let begin = row / patches * p.tokens;
  let first = begin * p.stride + column % p.width;
  let own = (begin + p.prefix + row % patches) * p.stride + column % p.width;
  out[i] = ${
    { ignore: "x[own]", add: "x[own] + x[first]", concatenate: "select(x[first], x[own], column < p.width)" }[kind]
  };`),
});

/** Each channel of a map by a filter of its own. Error: kernel²·2^-24·Σ|x·w|. */
export const convolveDepthwise: Shader = {
  name: "convolveDepthwise",
  reads: { x: "f32", filters: "f32" },
  writes: { out: "f32" },
  params: [
    ...["rows", "cols", "outStride", "height", "width", "kernel", "stride", "top", "left", "outHeight", "outWidth"],
  ],
  code: elementwise(`
  let place = row % (p.outHeight * p.outWidth);
  let image = row / (p.outHeight * p.outWidth);
  var sum = 0.0;
  for (var ky = 0u; ky < p.kernel; ky++) {
    for (var kx = 0u; kx < p.kernel; kx++) {
      // Before the first row or column these wrap around and are outside.
      let y = place / p.outWidth * p.stride + ky - p.top;
      let x0 = place % p.outWidth * p.stride + kx - p.left;
      if (y < p.height && x0 < p.width) {
        sum += x[((image * p.height + y) * p.width + x0) * p.outStride + column]
          * filters[(ky * p.kernel + kx) * p.outStride + column];
      }
    }
  }
  out[i] = sum;`),
};

/**
 * x yᵀ of each image, of whose rows of out there are `high`. A thread an element, four products at a time; rows of both are
 * filled with zeros. Error: d·2^-24·Σ|x·y|. Not tiled: masks of queries are its use, under 1 % of their model's products.
 */
export const matmul: Shader = {
  name: "matmul",
  reads: { x: "vec4f", y: "vec4f" },
  writes: { out: "f32" },
  params: ["rows", "cols", "outStride", "high", "inputs4"],
  code: elementwise(`
  let own = row * p.inputs4;
  let other = (row / p.high * p.cols + column) * p.inputs4;
  var sum = 0.0;
  for (var k = 0u; k < p.inputs4; k++) { sum += dot(x[own + k], y[other + k]); }
  out[i] = sum;`),
};

/** Pixels that a transposed convolution has made at once, step·step of them to a row of x, to their places. */
export const interleave: Shader = {
  name: "interleave",
  reads: { x: "f32" },
  writes: { out: "f32" },
  params: [
    ...["rows", "cols", "outStride", "outHeight", "outWidth", "channels", "stride", "step"],
    ...["windowsDown", "windowsAcross", "cut"],
  ],
  code: elementwise(`
  let area = p.outHeight * p.outWidth;
  let y = row % area / p.outWidth + p.cut;
  let u = row % p.outWidth + p.cut;
  let window = (row / area * p.windowsDown + y / p.step) * p.windowsAcross + u / p.step;
  out[i] = x[window * p.stride + (y % p.step * p.step + u % p.step) * p.channels + column];`),
};

const WINDOWS_PARAMS = [
  ...["rows", "cols", "outStride", "height", "width", "windowHeight", "windowWidth", "down", "across"],
  ...["byLines", "byColumns", "ofLines", "ofColumns"],
];

/** Pixels of windows that stand one after the other, line by line: a pixel of the map, or `outside`. */
export const toWindows: Shader = {
  name: "toWindows",
  reads: { x: "f32", outside: "f32" },
  writes: { out: "f32" },
  // A row has the pixels of a window beside each other, or one of them.
  params: [...WINDOWS_PARAMS, "stride", "channels"],
  code: elementwise(`
  let area = p.windowHeight * p.windowWidth;
  let beside = p.cols / p.channels;
  let at = row * beside + column / p.channels;
  let channel = column % p.channels;
  let w = at / area;
  let y = w / p.across % p.down * p.windowHeight + at % area / p.windowWidth;
  let u = w % p.across * p.windowWidth + at % p.windowWidth;
  let image = w / (p.down * p.across);
  let line = (y + p.byLines) % p.ofLines;
  let place = (u + p.byColumns) % p.ofColumns;
  if (y < p.ofLines && u < p.ofColumns && line < p.height && place < p.width) {
    out[i] = x[((image * p.height + line) * p.width + place) * p.stride + channel];
  } else { out[i] = outside[channel]; }`),
};

/** The map that windows were cut of. */
export const fromWindows: Shader = {
  name: "fromWindows",
  reads: { x: "f32" },
  writes: { out: "f32" },
  params: WINDOWS_PARAMS,
  code: elementwise(`
  let y = (row / p.width % p.height + p.ofLines - p.byLines) % p.ofLines;
  let u = (row % p.width + p.ofColumns - p.byColumns) % p.ofColumns;
  let w = (row / (p.height * p.width) * p.down + y / p.windowHeight) * p.across + u / p.windowWidth;
  let at = (w * p.windowHeight + y % p.windowHeight) * p.windowWidth + u % p.windowWidth;
  out[i] = x[at * p.outStride + column];`),
};
