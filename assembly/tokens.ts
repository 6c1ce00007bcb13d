// What happens to tokens outside the blocks: pixels to patches, patches to the sequence z0 (eq. 1), rows to one row.
// All of it copies and adds; none of it is 1 % of a forward.

/**
 * out[n, c·Ph·Pw + y·Pw + x] = pixels[c, (n / gridWidth)·Ph + y, (n % gridWidth)·Pw + x] of one image.
 * pixels: `channels` rows, `pixelStride` bytes apart, of a plane with `width` pixels a line.
 */
export function patchify(
  out: usize,
  outStride: usize,
  pixels: usize,
  pixelStride: usize,
  channels: usize,
  width: usize,
  gridHeight: usize,
  gridWidth: usize,
  patchHeight: usize,
  patchWidth: usize,
): void {
  const line = (patchWidth) << 2;
  for (let gy: usize = 0; gy < gridHeight; gy++) {
    for (let gx: usize = 0; gx < gridWidth; gx++, out += outStride) {
      let to = out;
      for (let c: usize = 0; c < channels; c++) {
        let from = pixels + c * pixelStride + ((gy * patchHeight * width + gx * patchWidth) << 2);
        for (let y: usize = 0; y < patchHeight; y++, to += line, from += (width) << 2) memory.copy(to, from, line);
      }
    }
  }
}

/** out = [prefix; patches] + positions, if not 0, of one image; rows of `padded` floats, a multiple of 4, strides shared by all. */
export function assembleTokens(
  out: usize,
  prefix: usize,
  prefixRows: usize,
  patches: usize,
  patchRows: usize,
  positions: usize,
  stride: usize,
  padded: usize,
): void {
  const bytes = (padded) << 2;
  const none = positions == 0;
  for (let row: usize = 0; row < prefixRows + patchRows; row++, out += stride, positions += stride) {
    const from = row < prefixRows ? prefix + row * stride : patches + (row - prefixRows) * stride;
    if (none) {
      memory.copy(out, from, bytes);
      continue;
    }
    for (let i: usize = 0; i < bytes; i += 16) {
      v128.store(out + i, f32x4.add(v128.load(from + i), v128.load(positions + i)));
    }
  }
}

/** out = mean of `count` rows of `padded` floats, `stride` bytes apart. */
export function pool(out: usize, x: usize, stride: usize, count: usize, padded: usize): void {
  const n = f32x4.splat(<f32>count);
  for (let i: usize = 0; i < (padded) << 2; i += 16) {
    let sum = v128.load(x + i);
    for (let row: usize = 1; row < count; row++) sum = f32x4.add(sum, v128.load(x + row * stride + i));
    v128.store(out + i, f32x4.div(sum, n));
  }
}
