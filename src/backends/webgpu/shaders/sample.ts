/**
 * Pillow's resize and the table of pixel values, on images that the device has read: exact integers in both passes, as
 * assembly/image.ts has them. A pixel is four bytes in a word, the first the lowest; the fourth, alpha, is dropped.
 */
import { elementwise, type Shader } from "../shader.js";

/** (Σ weight · byte + half) >> 22, cut to a byte, for three channels: sums fit i32, as in Pillow. */
const SUMS = `
fn bytesOf(pixel: u32) -> vec3i { return vec3i(vec3u(pixel, pixel >> 8u, pixel >> 16u) & vec3u(255u)); }
fn rounded(sum: vec3i) -> vec3u { return vec3u(clamp(sum >> vec3u(22u), vec3i(0), vec3i(255))); }`;

/** Along each row of the picture that the other pass reads. */
export const sampleColumns: Shader = {
  name: "sampleColumns",
  reads: { picture: "u32", first: "i32", weights: "i32" },
  writes: { out: "u32" },
  params: ["rows", "cols", "outStride", "stride", "top", "most"],
  code: `${SUMS}${elementwise(
    `
  let start = (row + p.top) * p.stride + u32(first[column]);
  var sum = vec3i(1 << 21u);
  for (var k = 0u; k < p.most; k++) { sum += weights[column * p.most + k] * bytesOf(picture[start + k]); }
  let byte = rounded(sum);
  out[i] = byte.x | (byte.y << 8u) | (byte.z << 16u);`,
    "0u",
  )}`,
};

/** Along each column, and of bytes values: out is [3, H · W]. */
export const sampleRows: Shader = {
  name: "sampleRows",
  reads: { middle: "u32", first: "i32", weights: "i32", values: "f32" },
  writes: { out: "f32" },
  params: ["rows", "cols", "outStride", "width", "stride", "top", "most"],
  code: `${SUMS}${elementwise(`
  let y = column / p.width;
  let start = (u32(first[y]) - p.top) * p.stride + column % p.width;
  var sum = vec3i(1 << 21u);
  for (var k = 0u; k < p.most; k++) { sum += weights[y * p.most + k] * bytesOf(middle[start + k * p.stride]); }
  out[i] = values[256u * row + rounded(sum)[row]];`)}`,
};
