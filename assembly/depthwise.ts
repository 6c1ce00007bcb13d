// Depthwise convolution (Chollet 2017): each channel by a filter of its own, on a feature map whose rows are pixels; outside of
// the map are zeros.
//
// A product and a sum for each element of a window, four channels at a time, the taps of a window in the inner loop: 9 loads of
// x and 9 of w for a vector of out at 3×3, all in L1 but for the line below. Error: kernel²·2^-24·Σ|x·w|. Not tried: keeping the
// filters of a few channels in registers along a line, as it is under 2 % of the time of the transposed convolution before it.
import { fork, nextTask } from "./threads";

/** Strides of rows in bytes. */
@unmanaged
export class ConvolveDepthwiseJob {
  images: usize; channels: usize;
  /** images·outHeight·outWidth rows of `channels` floats, writable to the next multiple of 4. */
  out: usize; outStride: usize; outHeight: usize; outWidth: usize;
  /** images·height·width rows, readable to the next multiple of 4 floats. */
  x: usize; xStride: usize; height: usize; width: usize;
  /** kernel·kernel rows in the order (y, x), readable as those of x. */
  w: usize; wStride: usize;
  /** Windows are `stride` pixels apart, the first one `top` and `left` pixels outside. */
  kernel: usize; stride: usize; top: usize; left: usize;
}

export function convolveDepthwise(job: ConvolveDepthwiseJob): void {
  fork(job, convolveLines);
}

/** A task is a line of windows. */
function convolveLines(job: ConvolveDepthwiseJob): void {
  const bytes = ((job.channels + 3) & ~3) << 2;
  for (let line = nextTask(); line < job.images * job.outHeight; line = nextTask()) {
    const map = job.x + (line / job.outHeight) * job.height * job.width * job.xStride;
    const top = <isize>((line % job.outHeight) * job.stride) - <isize>job.top;
    const y0 = max<isize>(top, 0);
    const y1 = min<isize>(top + job.kernel, job.height);
    for (let ox: usize = 0; ox < job.outWidth; ox++) {
      const left = <isize>(ox * job.stride) - <isize>job.left;
      const x0 = max<isize>(left, 0);
      const x1 = min<isize>(left + job.kernel, job.width);
      const out = job.out + (line * job.outWidth + ox) * job.outStride;
      for (let c: usize = 0; c < bytes; c += 16) {
        let sum = f32x4.splat(0);
        for (let y = y0; y < y1; y++) {
          let from = map + (<usize>y * job.width + <usize>x0) * job.xStride + c;
          let w = job.w + (<usize>(y - top) * job.kernel + <usize>(x0 - left)) * job.wStride + c;
          for (let x = x0; x < x1; x++, from += job.xStride, w += job.wStride) {
            sum = f32x4.add(sum, f32x4.mul(v128.load(from), v128.load(w)));
          }
        }
        v128.store(out + c, sum);
      }
    }
  }
}
