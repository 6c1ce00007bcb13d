import { ResizeMapJob, resizeMap } from "../../assembly/maps";
import { alone, floats, noise, room } from "./memory";

/** Largest error of a line of `from` pixels made one of `to`, in units of 2^-24 of the largest pixel of 1. */
function worst(from: i32, to: i32, aligned: bool): f64 {
  const channels = 4;
  const x = floats(from * channels);
  const out = floats(to * channels);
  noise(x, from * channels, 1);
  const job = room<ResizeMapJob>();
  job.images = 1;
  job.channels = channels;
  job.out = out;
  job.x = x;
  job.outStride = job.xStride = channels << 2;
  job.height = job.outHeight = job.count = 1;
  job.width = from;
  job.outWidth = to;
  job.aligned = aligned;
  resizeMap(job);
  let error: f64 = 0;
  for (let i = 0; i < to; i++) {
    const at: f64 = aligned
      ? to > 1 ? <f64>i * <f64>(from - 1) / <f64>(to - 1) : 0
      : Math.max((<f64>i + 0.5) * <f64>from / <f64>to - 0.5, 0);
    const low = min<i32>(<i32>Math.floor(at), from - 1);
    const high = min<i32>(low + 1, from - 1);
    const u = at - <f64>low;
    for (let c = 0; c < channels; c++) {
      const a = <f64>load<f32>(x + ((low * channels + c) << 2));
      const b = <f64>load<f32>(x + ((high * channels + c) << 2));
      const got = <f64>load<f32>(out + ((i * channels + c) << 2));
      error = Math.max(error, Math.abs(got - (a * (1 - u) + b * u)));
    }
  }
  return error * Math.pow(2, 24);
}

alone();

describe("resizeMap", () => {
  test("is within 6·2^-24 of the largest pixel, however long the line", () => {
    for (let i = 0; i < 2; i++) {
      expect(worst(3, 5, i == 0)).toBeLessThan(6);
      expect(worst(148, 296, i == 0)).toBeLessThan(6);
      expect(worst(296, 518, i == 0)).toBeLessThan(6);
      expect(worst(1000, 32768, i == 0)).toBeLessThan(6);
      expect(worst(32768, 1777, i == 0)).toBeLessThan(6);
    }
  });
});
