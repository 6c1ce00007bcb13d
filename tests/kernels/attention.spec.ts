import { attention, AttentionJob, attentionScratch } from "../../assembly/attention";
import { alone, floats, noise, room } from "./memory";

/**
 * Largest distance of outputs and probabilities from f64, values in [-1, 1).
 * @param height of the grid of tokens, if there are decomposed positions on it.
 * @param mapped whether probabilities are asked for.
 */
function worst(tile: u32, tokens: usize, heads: usize, d: usize, height: usize = 0, mapped: bool = true): f64 {
  alone();
  const width = heads * d;
  const qkv = floats(<i32>(tokens * 3 * width + 8));
  const out = floats(<i32>(tokens * width));
  const maps = floats(<i32>(heads * tokens * tokens));
  const grid = height > 0 ? tokens / height : 0;
  const bytes = attentionScratch(tokens, heads, d, height, grid, mapped);
  const scratch = floats(<i32>(bytes >> 2));
  noise(qkv, <i32>(tokens * 3 * width), 1);
  // Scratch is whatever was there before.
  for (let i: usize = 0; i < bytes; i += 4) store<u32>(scratch + i, 0x7fc00000);
  const job = room<AttentionJob>();
  job.tile = tile;
  job.images = 1;
  job.queries = tokens;
  job.tokens = tokens;
  job.heads = heads;
  job.d = d;
  job.out = out;
  job.outStride = width << 2;
  job.q = qkv;
  job.k = qkv + (width << 2);
  job.v = qkv + (width << 3);
  job.qStride = job.kStride = job.vStride = (3 * width) << 2;
  if (mapped) job.probabilities = maps;
  job.probabilityStride = tokens << 2;
  job.scratch = scratch;
  const down = floats(<i32>(2 * tokens * d + 8));
  const across = floats(<i32>(2 * tokens * d + 8));
  if (height > 0) {
    noise(down, <i32>((2 * height - 1) * d), 2);
    noise(across, <i32>((2 * grid - 1) * d), 3);
    job.down = down;
    job.across = across;
    job.downStride = job.acrossStride = d << 2;
    job.height = height;
    job.width = grid;
  }
  attention(job);

  const p = new Float64Array(<i32>tokens);
  let most: f64 = 0;
  for (let h: usize = 0; h < heads; h++) {
    for (let i: usize = 0; i < tokens; i++) {
      let sum: f64 = 0;
      for (let j: usize = 0; j < tokens; j++) {
        let s: f64 = 0;
        for (let e: usize = 0; e < d; e++) {
          const q = <f64>load<f32>(qkv + ((i * 3 * width + h * d + e) << 2));
          s += q * <f64>load<f32>(qkv + ((j * 3 * width + width + h * d + e) << 2));
        }
        s /= Math.sqrt(<f64>d);
        if (height > 0) {
          const line = i / grid + height - 1 - j / grid;
          const column = (i % grid) + grid - 1 - (j % grid);
          for (let e: usize = 0; e < d; e++) {
            const q = <f64>load<f32>(qkv + ((i * 3 * width + h * d + e) << 2));
            s += q * <f64>load<f32>(down + ((line * d + e) << 2));
            s += q * <f64>load<f32>(across + ((column * d + e) << 2));
          }
        }
        p[<i32>j] = Math.exp(s);
        sum += p[<i32>j];
      }
      for (let j: usize = 0; mapped && j < tokens; j++) {
        const got = <f64>load<f32>(maps + (((h * tokens + i) * tokens + j) << 2));
        most = Math.max(most, Math.abs(got - p[<i32>j] / sum));
      }
      for (let e: usize = 0; e < d; e++) {
        let want: f64 = 0;
        for (let j: usize = 0; j < tokens; j++) {
          want += (p[<i32>j] / sum) * <f64>load<f32>(qkv + ((j * 3 * width + 2 * width + h * d + e) << 2));
        }
        const error = Math.abs(<f64>load<f32>(out + ((i * width + h * d + e) << 2)) - want);
        most = isNaN(error) ? Infinity : Math.max(most, error);
      }
    }
  }
  return most;
}

describe("attention", () => {
  test("is within 1e-6 of f64 for values in [-1, 1), whatever the scratch held", () => {
    for (let t: u32 = 0; t < 4; t++) {
      expect(worst(t, 1, 1, 1)).toBeLessThan(1e-6);
      expect(worst(t, 7, 2, 3)).toBeLessThan(1e-6);
      expect(worst(t, 9, 3, 8)).toBeLessThan(1e-6);
      expect(worst(t, 24, 1, 10)).toBeLessThan(1e-6);
      expect(worst(t, 25, 2, 12)).toBeLessThan(1e-6);
      expect(worst(t, 50, 1, 64)).toBeLessThan(1e-6);
    }
  });

  test("part by part is as near", () => {
    for (let t: u32 = 0; t < 4; t++) {
      expect(worst(t, 641, 1, 3, 0, false)).toBeLessThan(1e-6);
      expect(worst(t, 1281, 1, 8, 0, false)).toBeLessThan(1e-6);
      expect(worst(t, 703, 1, 4, 19, false)).toBeLessThan(5e-6);
    }
  });

  test("with decomposed positions is within 5e-6 of f64 for values in [-1, 1)", () => {
    for (let t: u32 = 0; t < 4; t++) {
      expect(worst(t, 1, 1, 1, 1)).toBeLessThan(5e-6);
      expect(worst(t, 7, 2, 3, 1)).toBeLessThan(5e-6);
      expect(worst(t, 9, 3, 8, 3)).toBeLessThan(5e-6);
      expect(worst(t, 30, 1, 10, 5)).toBeLessThan(5e-6);
      expect(worst(t, 49, 1, 64, 7)).toBeLessThan(5e-6);
    }
  });
});
