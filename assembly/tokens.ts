// What happens to tokens outside the blocks: pixels to patches, patches to the sequence z0 (eq. 1), rows to one row.
// All of it copies and adds; none of it is 1 % of a forward. Strides in bytes, the same from image to image.

/** out[n, c·Ph·Pw + y·Pw + x] = pixels[c, (n / gridWidth)·Ph + y, (n % gridWidth)·Pw + x] of each image. */
@unmanaged
export class PatchifyJob {
  images: usize; channels: usize;
  /** images·gridHeight·gridWidth rows of channels·Ph·Pw floats. */
  out: usize; outStride: usize; gridHeight: usize; gridWidth: usize; patchHeight: usize; patchWidth: usize;
  /** images·channels rows of a plane with `width` pixels a line. */
  pixels: usize; pixelStride: usize; width: usize;
}

export function patchify(job: PatchifyJob): void {
  const line = job.patchWidth << 2;
  let out = job.out;
  let image = job.pixels;
  for (let i: usize = 0; i < job.images; i++, image += job.channels * job.pixelStride) {
    for (let gy: usize = 0; gy < job.gridHeight; gy++) {
      for (let gx: usize = 0; gx < job.gridWidth; gx++, out += job.outStride) {
        let to = out;
        for (let c: usize = 0; c < job.channels; c++) {
          let from = image + c * job.pixelStride + ((gy * job.patchHeight * job.width + gx * job.patchWidth) << 2);
          for (let y: usize = 0; y < job.patchHeight; y++, to += line, from += job.width << 2) memory.copy(to, from, line);
        }
      }
    }
  }
}

/** out = [prefix; patches] + positions of each image; rows of `padded` floats, a multiple of 4, all `stride` bytes apart. */
@unmanaged
export class AssembleTokensJob {
  images: usize; stride: usize; padded: usize;
  /** images·(prefixRows + patchRows) rows. */
  out: usize;
  prefix: usize; prefixRows: usize;
  /** images·patchRows rows. */
  patches: usize; patchRows: usize;
  /** 0, or prefixRows + patchRows rows. */
  positions: usize;
}

export function assembleTokens(job: AssembleTokensJob): void {
  const stride = job.stride;
  const bytes = job.padded << 2;
  let out = job.out;
  let patch = job.patches;
  for (let image: usize = 0; image < job.images; image++) {
    let position = job.positions;
    for (let row: usize = 0; row < job.prefixRows + job.patchRows; row++, out += stride, position += stride) {
      let from = job.prefix + row * stride;
      if (row >= job.prefixRows) {
        from = patch;
        patch += stride;
      }
      if (!job.positions) {
        memory.copy(out, from, bytes);
        continue;
      }
      for (let i: usize = 0; i < bytes; i += 16) {
        v128.store(out + i, f32x4.add(v128.load(from + i), v128.load(position + i)));
      }
    }
  }
}

/** A row of out is the mean of `count` rows of x, from `first` on, of each image's `tokens`. */
@unmanaged
export class PoolJob {
  images: usize; tokens: usize; first: usize; count: usize;
  /** `images` rows of `padded` floats, a multiple of 4. */
  out: usize; outStride: usize; padded: usize;
  /** images·tokens such rows. */
  x: usize; xStride: usize;
}

export function pool(job: PoolJob): void {
  const n = f32x4.splat(<f32>job.count);
  for (let image: usize = 0; image < job.images; image++) {
    const out = job.out + image * job.outStride;
    const x = job.x + (image * job.tokens + job.first) * job.xStride;
    for (let i: usize = 0; i < job.padded << 2; i += 16) {
      let sum = v128.load(x + i);
      for (let row: usize = 1; row < job.count; row++) sum = f32x4.add(sum, v128.load(x + row * job.xStride + i));
      v128.store(out + i, f32x4.div(sum, n));
    }
  }
}
