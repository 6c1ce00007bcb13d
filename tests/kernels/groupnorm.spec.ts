import { groupNorm, GroupNormJob, groupNormScratch } from "../../assembly/groupnorm";
import { alone, floats, noise, room } from "./memory";

/** Largest error of a map of `pixels` × 8 channels in 2 groups, as a part of its largest output. */
function worst(pixels: i32, mean: f32, spike: f32): f64 {
  const channels = 8;
  const x = floats(pixels * channels);
  const out = floats(pixels * channels);
  const scale = floats(channels);
  const shift = floats(channels);
  noise(x, pixels * channels, 1);
  noise(scale, channels, 2);
  noise(shift, channels, 3);
  for (let i = 0; i < pixels * channels; i++) store<f32>(x + (i << 2), load<f32>(x + (i << 2)) + mean);
  store<f32>(x, load<f32>(x) + spike);
  const scratch = floats(<i32>(groupNormScratch(pixels, channels) >> 2));
  const job = room<GroupNormJob>();
  job.images = 1;
  job.pixels = pixels;
  job.channels = channels;
  job.groups = 2;
  job.out = out;
  job.x = x;
  job.outStride = job.xStride = channels << 2;
  job.scale = scale;
  job.shift = shift;
  job.eps = 1e-5;
  job.scratch = scratch;
  groupNorm(job);
  let error: f64 = 0;
  let most: f64 = 0;
  for (let group = 0; group < 2; group++) {
    const count = <f64>(pixels * 4);
    let m: f64 = 0;
    for (let p = 0; p < pixels; p++) for (let c = 0; c < 4; c++) m += <f64>load<f32>(x + ((p * 8 + group * 4 + c) << 2)) / count;
    let v: f64 = 0;
    for (let p = 0; p < pixels; p++) {
      for (let c = 0; c < 4; c++) v += Math.pow(<f64>load<f32>(x + ((p * 8 + group * 4 + c) << 2)) - m, 2) / count;
    }
    for (let p = 0; p < pixels; p++) {
      for (let c = group * 4; c < group * 4 + 4; c++) {
        const at = (p * 8 + c) << 2;
        const n = (<f64>load<f32>(x + at) - m) / Math.sqrt(v + 1e-5);
        const want = n * <f64>load<f32>(scale + (c << 2)) + <f64>load<f32>(shift + (c << 2));
        error = Math.max(error, Math.abs(<f64>load<f32>(out + at) - want));
        most = Math.max(most, Math.abs(want));
      }
    }
  }
  return error / most;
}

alone();

describe("groupNorm, error relative to the largest output", () => {
  test("2e-6 around 0, for one pixel, whole chunks and more", () => {
    for (let pixels = 1; pixels < 5; pixels++) expect(worst(pixels, 0, 0)).toBeLessThan(2e-6);
    expect(worst(64, 0, 0)).toBeLessThan(2e-6);
    expect(worst(65, 0, 0)).toBeLessThan(2e-6);
    expect(worst(3136, 0, 0)).toBeLessThan(2e-6);
  });
  test("2e-6 for |mean| of 100 deviations", () => {
    expect(worst(3136, 58, 0)).toBeLessThan(2e-6);
    expect(worst(3136, -58, 0)).toBeLessThan(2e-6);
  });
  test("2e-6 where one pixel is 100 deviations off", () => {
    expect(worst(3136, 0, 58)).toBeLessThan(2e-6);
  });
});
