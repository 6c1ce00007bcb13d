import { halfPanelBytes, packHalves, widenPanel } from "../../assembly/half";
import { panelBytes } from "../../assembly/gemm";
import { floats } from "./memory";

/** What IEEE 754 says of a half. */
function valueOf(bits: i32): f64 {
  const exponent = (bits >> 10) & 31;
  const fraction = <f64>(bits & 1023);
  const size = exponent ? (1 + fraction / 1024) * Math.pow(2, exponent - 15) : fraction * Math.pow(2, -24);
  return bits & 0x8000 ? -size : size;
}

/** One row of `k` floats, to halves and back. */
function roundTrip(x: usize, k: usize): usize {
  const b = floats(<i32>(halfPanelBytes(k) >> 2));
  const out = floats(<i32>(panelBytes(k) >> 2));
  packHalves(b, k, 3, x, 0, 1);
  widenPanel(out, b, k);
  return out + 32 + 12;
}

describe("halves", () => {
  test("every finite half comes back as it was", () => {
    const k: usize = 0x7c00;
    for (let sign = 0; sign < 2; sign++) {
      const x = floats(<i32>k);
      for (let i: usize = 0; i < k; i++) store<f32>(x + (i << 2), <f32>valueOf(<i32>i | (sign << 15)));
      const back = roundTrip(x, k);
      let wrong = 0;
      for (let i: usize = 0; i < k; i++) wrong += i32(load<u32>(back + (i << 5)) != load<u32>(x + (i << 2)));
      expect(wrong).toBe(0);
    }
  });
  test("values between two halves go to the nearer one, ties to the even one, at every k", () => {
    let wrong = 0;
    for (let k: usize = 1; k < 9; k++) {
      for (let bits = 0; bits < 0x7bff; bits += 37) {
        const low = valueOf(bits);
        const high = valueOf(bits + 1);
        const x = floats(<i32>k + 3);
        for (let i: usize = 0; i < k; i++) {
          const part = i % 3 == 0 ? 0.5 : i % 3 == 1 ? 0.49 : 0.51;
          store<f32>(x + (i << 2), <f32>(low + part * (high - low)));
        }
        const back = roundTrip(x, k);
        for (let i: usize = 0; i < k; i++) {
          const want = i % 3 == 0 ? (bits & 1 ? high : low) : i % 3 == 1 ? low : high;
          wrong += i32(load<f32>(back + (i << 5)) != <f32>want);
        }
      }
    }
    expect(wrong).toBe(0);
  });
});
