/** Maps of a dense head between its convolutions, and on their way out. */
import type { Backend, Tensor as Matrix } from "../backend.js";

/** Most bytes of a matrix of those that are as fine as the result: lines of it are made and read a few at a time. */
export const BAND_BYTES = 2 ** 23;

/**
 * A result in planes, [B, C, height, width], a few lines at a time.
 * @param columns of the widest matrix that lines are made of.
 * @param make makes `count` lines from `top` on of each image, [B·count·width, C].
 */
export function inBands(
  backend: Backend,
  { images, height, width, channels, columns }: Readonly<Record<BandSizes, number>>,
  make: (top: number, count: number) => Matrix,
): Promise<Float32Array> {
  const most = Math.max(1, Math.floor(BAND_BYTES / (4 * images * width * Math.max(columns, channels))));
  const bands: Promise<void>[] = [];
  const data = new Float32Array(images * channels * height * width);
  for (let top = 0; top < height; top += most) {
    const count = Math.min(most, height - top);
    const mark = backend.mark();
    const made = backend.read(make(top, count));
    backend.release(mark);
    const area = count * width;
    const put = (rows: Float32Array) => {
      for (let image = 0; image < images; image++)
        for (let c = 0; c < channels; c++) {
          const to = ((image * channels + c) * height + top) * width;
          for (let i = 0; i < area; i++) data[to + i] = rows[(image * area + i) * channels + c]!;
        }
    };
    bands.push(made.then(put));
  }
  return Promise.all(bands).then(() => data);
}

type BandSizes = "images" | "height" | "width" | "channels" | "columns";

/** max(x, 0), where no product comes before it that could do it. */
export function positive(backend: Backend, x: Matrix, out = backend.createTensor(x.rows, x.cols)): Matrix {
  // Each pixel as a map of its own, in a window that has zeros beside it.
  const window = { height: 1, width: 1, kernel: 2, stride: 1, top: 0, left: 0, outHeight: 1, outWidth: 1 };
  backend.maxPool(out, x, window, 0);
  return out;
}
