import { exp2Once } from "../../assembly/math";

describe("exp2", () => {
  test("is within 2.5e-7 of 2^x, relative, over [-126, 127]", () => {
    let worst: f64 = 0;
    for (let i = 0; i <= 1012000; i++) {
      const x = <f32>(-126 + <f64>i / 4000);
      const got = <f64>f32x4.extract_lane(exp2Once(f32x4.splat(x)), 0);
      const want = Math.pow(2, <f64>x);
      worst = Math.max(worst, Math.abs(got / want - 1));
    }
    expect(worst).toBeLessThan(2.5e-7);
    expect(worst).toBeGreaterThan(5e-8, "the bound is not a slack one");
  });

  test("is exact at integers", () => {
    for (let n = -126; n <= 127; n++) {
      expect(f32x4.extract_lane(exp2Once(f32x4.splat(<f32>n)), 2)).toBe(<f32>Math.pow(2, <f64>n));
    }
  });
});
