// What a dense head does to feature maps between its convolutions (Ranftl et al. 2021): tokens become a map, a map gets another
// size, and the pixels that a transposed convolution makes at once go to their places. Rows are pixels, strides in bytes.
import { copyRow } from "./linear";
import { Flag, fork, nextTask } from "./threads";

/**
 * Bilinear interpolation. Out pixel i of m reads at n/d of the n pixels that there are: i·(n-1)/(m-1) where corners are aligned,
 * else max((2i+1)·n - m, 0)/2m. Quotient and remainder are exact integers, so the weights of the two pixels have one rounding
 * each, however long the side. (With i·scale in f32, as PyTorch has it, they are off by 2^-24·i.)
 *
 * A result is a sum of four products: four vectors read, one written, four multiplications. Error: 6·2^-24, of the largest of the
 * four, and one rounding more when added to out. Not tried: blending whole lines first, which reads half as much when a map is
 * enlarged twofold, and needs a line of scratch: in Depth Anything all resizes are 1 % of a forward pass, and convolutions 20 %.
 */
@unmanaged
export class ResizeMapJob {
  images: usize; channels: usize;
  /** images·count lines of outWidth rows, writable to the next multiple of 4 floats. */
  out: usize; outStride: usize; outHeight: usize; outWidth: usize;
  /** Lines of each image that are made. */
  first: usize; count: usize;
  /** images·height·width rows, readable to the next multiple of 4 floats. */
  x: usize; xStride: usize; height: usize; width: usize;
  /** Corners fall on corners. */
  aligned: Flag;
  accumulate: Flag;
}

export function resizeMap(job: ResizeMapJob): void {
  fork(job, resizeLines);
}

/** The numerator of the place that out pixel i reads at; `denominator` is below it. Sides are at most 2^15. */
// @ts-ignore: decorator
@inline
function numerator(i: u32, from: u32, to: u32, aligned: bool): u32 {
  if (aligned) return i * (from - 1);
  const twice: u32 = (i + i + 1) * from;
  return twice > to ? twice - to : 0;
}

// @ts-ignore: decorator
@inline
function denominator(to: u32, aligned: bool): u32 {
  return aligned ? max<u32>(to - 1, 1) : to + to;
}

/** A task is a line of out. */
function resizeLines(job: ResizeMapJob): void {
  const bytes = ((job.channels + 3) & ~3) << 2;
  const aligned = job.aligned != 0;
  const accumulate = job.accumulate != 0;
  const stride = job.xStride;
  const across = denominator(<u32>job.outWidth, aligned);
  const down = denominator(<u32>job.outHeight, aligned);
  for (let line = nextTask(); line < job.images * job.count; line = nextTask()) {
    const image = job.x + (line / job.count) * job.height * job.width * stride;
    const y = numerator(<u32>(job.first + line % job.count), <u32>job.height, <u32>job.outHeight, aligned);
    const y0 = min<usize>(y / down, job.height - 1);
    const v = <f32>(y - <u32>y0 * down) / <f32>down;
    const above = image + y0 * job.width * stride;
    const below = image + min(y0 + 1, job.height - 1) * job.width * stride;
    let out = job.out + line * job.outWidth * job.outStride;
    for (let ox: u32 = 0; ox < <u32>job.outWidth; ox++, out += job.outStride) {
      const x = numerator(ox, <u32>job.width, <u32>job.outWidth, aligned);
      const x0 = min<usize>(x / across, job.width - 1);
      const u = <f32>(x - <u32>x0 * across) / <f32>across;
      const left = x0 * stride;
      const right = min(x0 + 1, job.width - 1) * stride;
      const a = f32x4.splat((1 - v) * (1 - u));
      const b = f32x4.splat((1 - v) * u);
      const c = f32x4.splat(v * (1 - u));
      const d = f32x4.splat(v * u);
      for (let i: usize = 0; i < bytes; i += 16) {
        const top = f32x4.add(
          f32x4.mul(a, v128.load(above + left + i)),
          f32x4.mul(b, v128.load(above + right + i)),
        );
        const bottom = f32x4.add(
          f32x4.mul(c, v128.load(below + left + i)),
          f32x4.mul(d, v128.load(below + right + i)),
        );
        let sum = f32x4.add(top, bottom);
        if (accumulate) sum = f32x4.add(v128.load(out + i), sum);
        v128.store(out + i, sum);
      }
    }
  }
}

/**
 * Patch tokens of each image, with its first token left out, added, or beside them: Read of Ranftl et al. 2021, section 3.1.
 * Copies, and an addition.
 */
@unmanaged
export class ReadoutJob {
  images: usize; tokens: usize; prefix: usize; width: usize;
  /** images·(tokens - prefix) rows of `width` floats, or of twice as many; writable to the next multiple of 4. */
  out: usize; outStride: usize;
  /** images·tokens rows, readable to the next multiple of 4. */
  x: usize; xStride: usize;
  add: Flag; concatenate: Flag;
}

export function readout(job: ReadoutJob): void {
  const bytes = job.width << 2;
  let out = job.out;
  for (let image: usize = 0; image < job.images; image++) {
    const first = job.x + image * job.tokens * job.xStride;
    for (let token = job.prefix; token < job.tokens; token++, out += job.outStride) {
      const x = first + token * job.xStride;
      for (let i: usize = 0; i < bytes; i += 16) {
        const own = v128.load(x + i);
        v128.store(out + i, job.add ? f32x4.add(own, v128.load(first + i)) : own);
      }
      if (job.concatenate) copyRow(out + bytes, first, bytes);
    }
  }
}

/**
 * A map cut into windows, or put together of them: rows are copied. Windows of SAM take 40 MB each way for 4,096 tokens, 1 % of a
 * block. (An attention that read the map by itself would save that, and need strides for lines.)
 */
@unmanaged
export class WindowsJob {
  images: usize; height: usize; width: usize; windowHeight: usize; windowWidth: usize;
  /** Line y of the windows is the map's (y + byLines) mod ofLines, and columns alike; those from `of` on are outside. */
  byLines: usize; byColumns: usize; ofLines: usize; ofColumns: usize;
  /** images·height·width rows of `channels` floats. */
  map: usize; mapStride: usize; channels: usize;
  /** Windows one after the other, line by line, each with its pixels: bytes from one window to the next, and from a pixel. */
  windows: usize; windowStride: usize; pixelStride: usize;
  /** The row that is outside of the map; 0: the map is made of the windows. */
  outside: usize;
}

export function windows(job: WindowsJob): void {
  fork(job, windowLines);
}

/** A task is a line of pixels of all windows beside each other. */
function windowLines(job: WindowsJob): void {
  const bytes = job.channels << 2;
  const height = job.windowHeight;
  const width = job.windowWidth;
  const across = (job.width + width - 1) / width;
  const down = (job.height + height - 1) / height;
  for (let task = nextTask(); task < job.images * down * height; task = nextTask()) {
    const image = task / (down * height);
    const y = task % (down * height);
    const line = (y + job.byLines) % job.ofLines;
    const lineInside = y < job.ofLines && line < job.height;
    if (!job.outside && !lineInside) continue;
    const map = job.map + (image * job.height + line) * job.width * job.mapStride;
    let window = job.windows + (image * down + y / height) * across * job.windowStride + (y % height) * width * job.pixelStride;
    let column = job.byColumns;
    for (let x: usize = 0, left: usize = 0; left < across; left++, window += job.windowStride) {
      let row = window;
      for (let i: usize = 0; i < width; i++, x++, row += job.pixelStride) {
        const inside = lineInside && x < job.ofColumns && column < job.width;
        const pixel = map + column * job.mapStride;
        if (job.outside) copyRow(row, inside ? pixel : job.outside, bytes);
        else if (inside) copyRow(pixel, row, bytes);
        if (++column == job.ofColumns) column = 0;
      }
    }
  }
}

/**
 * Pixels of out, stride·stride of them to a row of x, to their places: the end of a transposed convolution, whose x has a row
 * for each of its windows. Copies. (A product that stores where they belong would save the pass, 1 % of the head, and take a
 * store for each of its tiles.)
 */
@unmanaged
export class InterleaveJob {
  images: usize; stride: usize;
  /** images·outHeight·outWidth rows of `channels` floats. */
  out: usize; outStride: usize; outHeight: usize; outWidth: usize; channels: usize;
  /** images·windowsDown·windowsAcross rows of stride·stride pixels, in the order (y, x, channel). */
  x: usize; xStride: usize; windowsDown: usize; windowsAcross: usize;
  /** Pixels of the first window that are before the first of out. */
  cut: usize;
}

export function interleave(job: InterleaveJob): void {
  fork(job, interleaveLines);
}

/** A task is a line of out. */
function interleaveLines(job: InterleaveJob): void {
  const bytes = job.channels << 2;
  const step = job.stride;
  for (let line = nextTask(); line < job.images * job.outHeight; line = nextTask()) {
    const y = line % job.outHeight + job.cut;
    const windows = ((line / job.outHeight) * job.windowsDown + y / step) * job.windowsAcross;
    const pixels = job.x + (y % step) * step * bytes;
    let out = job.out + line * job.outWidth * job.outStride;
    for (let x = job.cut; x < job.outWidth + job.cut; x++, out += job.outStride) {
      copyRow(out, pixels + (windows + x / step) * job.xStride + (x % step) * bytes, bytes);
    }
  }
}
