// The largest value of each channel in a window of a feature map whose rows are pixels; `fill` lies outside of the map.
// Exact, no bound.
import { fork, nextTask } from "./threads";

/** Strides of rows in bytes. */
@unmanaged
export class MaxPoolJob {
  images: usize; channels: usize;
  /** images·outHeight·outWidth rows of `channels` floats. */
  out: usize; outStride: usize; outHeight: usize; outWidth: usize;
  /** images·height·width rows, readable to the next multiple of 4 floats. */
  x: usize; xStride: usize; height: usize; width: usize;
  /** Windows are `stride` pixels apart, the first one `top` and `left` pixels outside. */
  kernel: usize; stride: usize; top: usize; left: usize;
  fill: f32;
}

export function maxPool(job: MaxPoolJob): void {
  fork(job, poolLines);
}

/** A task is a line of windows. */
function poolLines(job: MaxPoolJob): void {
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
