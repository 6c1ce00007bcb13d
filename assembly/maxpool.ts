// The largest value of each channel in a window of a feature map whose rows are pixels; `fill` lies outside of the map.
// Exact, no bound.
import { fork, jobOf, nextTask } from "./threads";

// prettier-ignore
@unmanaged class MaxPoolJob {
  out: usize; outStride: usize; x: usize; xStride: usize; images: usize; channels: usize; height: usize; width: usize;
  kernel: usize; stride: usize; top: usize; left: usize; outHeight: usize; outWidth: usize; fill: f32;
}

/**
 * x: images·height·width rows of `channels` floats, readable to the next multiple of 4; out: images·outHeight·outWidth.
 * Windows are `stride` pixels apart, the first one `top` and `left` pixels outside. Strides of rows in bytes.
 */
export function maxPool(
  out: usize,
  outStride: usize,
  x: usize,
  xStride: usize,
  images: usize,
  channels: usize,
  height: usize,
  width: usize,
  kernel: usize,
  stride: usize,
  top: usize,
  left: usize,
  outHeight: usize,
  outWidth: usize,
  fill: f32,
): void {
  const job = jobOf<MaxPoolJob>();
  job.out = out;
  job.outStride = outStride;
  job.x = x;
  job.xStride = xStride;
  job.images = images;
  job.channels = channels;
  job.height = height;
  job.width = width;
  job.kernel = kernel;
  job.stride = stride;
  job.top = top;
  job.left = left;
  job.outHeight = outHeight;
  job.outWidth = outWidth;
  job.fill = fill;
  fork(poolLines);
}

/** A task is a line of windows. */
function poolLines(): void {
  const job = jobOf<MaxPoolJob>();
  const bytes = ((job.channels + 3) & ~3) << 2;
  const outside = f32x4.splat(job.fill);
  const none = f32x4.splat(-Infinity);
  for (let line = nextTask(); line < job.images * job.outHeight; line = nextTask()) {
    const map = job.x + (line / job.outHeight) * job.height * job.width * job.xStride;
    const top = <isize>((line % job.outHeight) * job.stride) - <isize>job.top;
    const y0 = max<isize>(top, 0);
    const y1 = min<isize>(top + job.kernel, job.height);
    for (let ox: usize = 0; ox < job.outWidth; ox++) {
      const left = <isize>(ox * job.stride) - <isize>job.left;
      const x0 = max<isize>(left, 0);
      const x1 = min<isize>(left + job.kernel, job.width);
      const whole = <usize>((y1 - y0) * (x1 - x0)) == job.kernel * job.kernel;
      const out = job.out + (line * job.outWidth + ox) * job.outStride;
      for (let c: usize = 0; c < bytes; c += 16) {
        let most = whole ? none : outside;
        for (let y = y0; y < y1; y++) {
          let from = map + (<usize>y * job.width + <usize>x0) * job.xStride + c;
          for (let x = x0; x < x1; x++, from += job.xStride) most = f32x4.pmax(most, v128.load(from));
        }
        v128.store(out + c, most);
      }
    }
  }
}
