// Room and values for kernel specs.
import { attach, syncBytes } from "../../assembly/threads";

/** For kernels that are ops: what threads share, though there is one here. */
export function alone(): void {
  attach(floats(<i32>(syncBytes() >> 2)), 0, 1);
}

/** 64-byte aligned room for `count` floats, zeroed. Never freed: a spec is short. */
export function floats(count: i32): usize {
  const bytes = <usize>((count << 2) + 64);
  const at = heap.alloc(bytes);
  memory.fill(at, 0, bytes);
  return (at + 63) & ~63;
}

/** A job of zeros, with room for what its kernel keeps in it. */
export function room<Job>(): Job {
  return changetype<Job>(floats(32));
}

/** Deterministic values in [-1, 1). */
export function noise(at: usize, count: i32, seed: u32): void {
  for (let i = 0; i < count; i++) {
    seed = seed * 1664525 + 1013904223;
    store<f32>(at + (i << 2), <f32>(<f64>seed / 2147483648.0 - 1.0));
  }
}

/** e^x of f64, for f64 references. */
export function erfc(x: f64): f64 {
  // Numerical Recipes 6.2.2: a continued fraction above 2, the series of erf below. 1e-14 where GELU needs it.
  const a = Math.abs(x);
  let y: f64;
  if (a < 2.5) {
    let sum = a;
    let term = a;
    for (let n = 1; n < 80; n++) {
      term *= (-a * a) / <f64>n;
      sum += term / <f64>(2 * n + 1);
    }
    y = 1 - (2 / Math.sqrt(Math.PI)) * sum;
  } else {
    let fraction: f64 = 0;
    for (let n = 80; n > 0; n--) fraction = <f64>n / 2 / (a + fraction);
    y = Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction));
  }
  return x < 0 ? 2 - y : y;
}
