import { scan_f32 } from "../../assembly/search";
import { floats, noise } from "./memory";

/** Largest error, as a part of the bound that assembly/search.ts states, of all products at the given sizes. */
function worst(batch: i32, count: i32, width: i32): f64 {
  const queries = floats(batch * width);
  const rows = floats(count * width);
  const scores = floats(batch * count + 4);
  noise(queries, batch * width, 1);
  noise(rows, count * width, 2);
  // What lies behind the scores is not written.
  store<f32>(scores + ((batch * count) << 2), 7);
  scan_f32(scores, queries, batch, rows, count, width);
  expect(load<f32>(scores + ((batch * count) << 2))).toBe(7);
  let most: f64 = 0;
  for (let q = 0; q < batch; q++) {
    for (let r = 0; r < count; r++) {
      let want: f64 = 0;
      let sizes: f64 = 0;
      for (let i = 0; i < width; i++) {
        const product = <f64>load<f32>(queries + ((q * width + i) << 2)) * <f64>load<f32>(rows + ((r * width + i) << 2));
        want += product;
        sizes += Math.abs(product);
      }
      const error = Math.abs(<f64>load<f32>(scores + ((q * count + r) << 2)) - want);
      most = Math.max(most, error / ((<f64>width / 4 + 6) * Math.pow(2, -24) * sizes));
    }
  }
  return most;
}

describe("scan_f32, error relative to its bound", () => {
  test("at every remainder of rows, queries and width", () => {
    for (let width = 1; width < 14; width++) {
      for (let count = 1; count < 7; count++) {
        for (let batch = 1; batch < 7; batch++) expect(worst(batch, count, width)).toBeLessThan(1);
      }
    }
    expect(worst(5, 9, 192)).toBeLessThan(1);
    expect(worst(1, 5, 1030)).toBeLessThan(1);
  });
});
