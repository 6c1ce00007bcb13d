/** Places on feature maps and grids, as ops of the contract (backend.ts) take them. */

/** A number of lines, and one of columns. */
export type Pair = readonly [number, number];

/**
 * Places of a square window on a map of height × width pixels: every `stride` pixels, the first one `top` and `left` pixels
 * outside.
 */
export interface Window {
  readonly height: number;
  readonly width: number;
  readonly kernel: number;
  readonly stride: number;
  readonly top: number;
  readonly left: number;
  readonly outHeight: number;
  readonly outWidth: number;
}

/**
 * A transposed convolution of a map of height × width pixels, to one of height·stride × width·stride: the kernel is a multiple
 * of the stride, and half of what it is larger is cut off on each side (PyTorch's padding), so both are even or both odd.
 */
export interface Transposed {
  readonly height: number;
  readonly width: number;
  readonly kernel: number;
  readonly stride: number;
}

/** A map of height × width pixels in another size, or of that `rows`, count rows from `first` on; all unless given. */
export interface MapResize {
  readonly height: number;
  readonly width: number;
  readonly outHeight: number;
  readonly outWidth: number;
  /** True if corner pixels fall on corner pixels, else the outer corners of both maps on each other. */
  readonly aligned: boolean;
  readonly rows?: { readonly first: number; readonly count: number };
  readonly accumulate?: boolean;
}

/**
 * A map of height × width pixels in windows, the last of a line or column partly outside. With a `shift` (Liu et al. 2021, section
 * 3.2) line y of the windows is the map's (y + by) mod of, and columns alike; those from `of` on are outside.
 */
export interface Windows {
  readonly height: number;
  readonly width: number;
  readonly window: Pair;
  readonly shift?: { readonly by: Pair; readonly of: Pair };
}

/** Sizes of a grid whose offsets have biases, and the penalty of shifted windows. */
export interface OffsetGrid {
  readonly height: number;
  readonly width: number;
  readonly shifted?: { readonly by: Pair; readonly penalty: number };
}
