/** Windows of a map: the implicit im2col of a convolution, for products and for the rows that they read in int8. */

/** Parameters that `WINDOW` reads. */
export const WINDOW_PARAMS = [
  "channels",
  "height",
  "width",
  "kernel",
  "stride",
  "top",
  "left",
  "outHeight",
  "outWidth",
];

/**
 * `spot(row, k)`: place of input k, in the order (y, x, channel), of output pixel `row`: the map's pixel and the channel. The
 * pixel is `OUTSIDE` where there is none.
 */
export const WINDOW = `
const OUTSIDE = 0xffffffffu;
struct Spot { pixel: u32, channel: u32 }
fn spot(row: u32, k: u32) -> Spot {
  let channel = k % p.channels;
  let place = k / p.channels;
  let out = row % (p.outHeight * p.outWidth);
  let image = row / (p.outHeight * p.outWidth);
  // Before the first row or column these wrap around and are outside.
  let y = (out / p.outWidth) * p.stride + place / p.kernel - p.top;
  let x = (out % p.outWidth) * p.stride + place % p.kernel - p.left;
  if (y >= p.height || x >= p.width || place >= p.kernel * p.kernel) { return Spot(OUTSIDE, channel); }
  return Spot((image * p.height + y) * p.width + x, channel);
}`;
