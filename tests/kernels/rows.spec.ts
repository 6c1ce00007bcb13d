import { attention_rows } from "../../assembly/rows";
import { floats, noise } from "./memory";

/** Largest error of rows in f64, as a part of the largest of each row. */
function worst(count: i32, tokens: i32, d: i32, size: f32): f64 {
  const padded = (tokens + 7) & ~7;
  const queries = floats(count * d);
  const keys = floats(padded * d);
  const rows = floats(count * padded);
  noise(queries, count * d, 1);
  noise(keys, tokens * d, 2);
  for (let i = 0; i < count * d; i++) store<f32>(queries + (i << 2), load<f32>(queries + (i << 2)) * size);
  attention_rows(rows, queries, count, keys, tokens, padded, d);
  let error: f64 = 0;
  for (let q = 0; q < count; q++) {
    const want = new StaticArray<f64>(tokens);
    let sum: f64 = 0;
    let most: f64 = 0;
    for (let t = 0; t < tokens; t++) {
      let score: f64 = 0;
      for (let i = 0; i < d; i++) {
        score += <f64>load<f32>(queries + ((q * d + i) << 2)) * <f64>load<f32>(keys + ((t * d + i) << 2));
      }
      want[t] = Math.pow(2, score);
      sum += want[t];
      most = Math.max(most, want[t]);
    }
    for (let t = 0; t < tokens; t++) {
      const found = <f64>load<f32>(rows + ((q * padded + t) << 2));
      error = Math.max(error, Math.abs(found - want[t] / sum) / (most / sum));
    }
  }
  return error;
}

describe("attention_rows, error relative to the largest of a row", () => {
  test("at every remainder of tokens, queries and width", () => {
    for (let tokens = 1; tokens < 18; tokens++) {
      for (let count = 1; count < 6; count++) {
        for (let d = 1; d < 10; d += 2) expect(worst(count, tokens, d, 1)).toBeLessThan(4e-6);
      }
    }
  });
  test("with scores up to about 30", () => {
    expect(worst(7, 197, 64, 4)).toBeLessThan(4e-6);
  });
});
