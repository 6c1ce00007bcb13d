// out = silu(g) ⊙ v of rows [g | v], silu(x) = x σ(x) = x / (1 + e^{-x}) (Shazeer 2020, eq. 6; Elfwing et al. 2017).
//
// Rows are `width` gates, then as many values, which need not be aligned; both are readable to the next multiple of 4
// floats behind the last value, as all rows of the backend are. 0.4 % of a forward of DINOv2 ViT-g.
// Error: absolute 3e-7·max(1, |g|)·|v| (tests/kernels/activation.spec.ts).
import { siluOf } from "./activation";
import { fork, nextTask } from "./threads";

/** Strides in bytes. */
@unmanaged
export class SwigluJob {
  /** `rows` rows of `width` floats. */
  out: usize; outStride: usize; rows: usize; width: usize;
  /** As many of 2·width. */
  x: usize; xStride: usize;
}

/** Rows of a task. */
const ROWS: usize = 16;

export function swiglu(job: SwigluJob): void {
  fork(job, gateRows);
}

function gateRows(job: SwigluJob): void {
  const bytes = job.width << 2;
  for (let row = nextTask() * ROWS; row < job.rows; row = nextTask() * ROWS) {
    const end = min(row + ROWS, job.rows);
    for (; row < end; row++) {
      const x = job.x + row * job.xStride;
      const out = job.out + row * job.outStride;
      // Columns of the row's padding get a product too, which nothing reads.
      for (let i: usize = 0; i < bytes; i += 16) {
        v128.store(out + i, f32x4.mul(siluOf(v128.load(x + i)), v128.load(x + bytes + i)));
      }
    }
  }
}
