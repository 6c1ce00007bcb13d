import { assembleTokens, AssembleTokensJob, patchify, PatchifyJob, pool, PoolJob } from "../../assembly/tokens";
import { widen } from "../../assembly/widen";
import { floats, room } from "./memory";

describe("tokens", () => {
  test("patchify orders a patch by channel, line, column", () => {
    const pixels = floats(2 * 4 * 6);
    for (let i = 0; i < 48; i++) store<f32>(pixels + (i << 2), <f32>i);
    const out = floats(64);
    const job = room<PatchifyJob>();
    job.images = 1;
    job.channels = 2;
    job.out = out;
    job.outStride = 64;
    job.gridHeight = job.gridWidth = 2;
    job.patchHeight = 2;
    job.patchWidth = 3;
    job.pixels = pixels;
    job.pixelStride = 96;
    job.width = 6;
    patchify(job);
    // Patch (1, 0): lines 2 and 3, columns 0 to 2, of both channels.
    const want: f32[] = [12, 13, 14, 18, 19, 20, 36, 37, 38, 42, 43, 44];
    for (let i = 0; i < 12; i++) expect(load<f32>(out + 128 + (i << 2))).toBe(want[i]);
  });

  test("assembleTokens adds positions to prefix and patches", () => {
    const prefix = floats(4);
    const patches = floats(8);
    const positions = floats(12);
    const out = floats(12);
    for (let i = 0; i < 12; i++) store<f32>(positions + (i << 2), 10);
    for (let i = 0; i < 4; i++) store<f32>(prefix + (i << 2), 1);
    for (let i = 0; i < 8; i++) store<f32>(patches + (i << 2), 2 + <f32>(i / 4));
    const job = room<AssembleTokensJob>();
    job.images = 1;
    job.stride = 16;
    job.padded = 4;
    job.out = out;
    job.prefix = prefix;
    job.prefixRows = 1;
    job.patches = patches;
    job.patchRows = 2;
    job.positions = positions;
    assembleTokens(job);
    for (let i = 0; i < 12; i++) expect(load<f32>(out + (i << 2))).toBe(11 + <f32>(i / 4));
  });

  test("pool takes the mean of rows", () => {
    const x = floats(12);
    for (let i = 0; i < 12; i++) store<f32>(x + (i << 2), <f32>i);
    const out = floats(4);
    const job = room<PoolJob>();
    job.images = 1;
    job.tokens = job.count = 3;
    job.out = out;
    job.padded = 4;
    job.x = x;
    job.xStride = 16;
    pool(job);
    for (let i = 0; i < 4; i++) expect(load<f32>(out + (i << 2))).toBe(4 + <f32>i);
  });
});

describe("widen", () => {
  test("every finite F16 and BF16 pattern is exact", () => {
    const x = floats(8);
    const out = floats(8);
    let wrong = 0;
    for (let bits: u32 = 0; bits < 65536; bits++) {
      store<u16>(x, <u16>bits);
      if ((bits & 0x7c00) != 0x7c00) {
        widen(out, x, 1, 2);
        const exponent = <i32>((bits >> 10) & 31);
        const fraction = <f64>(bits & 1023) / 1024;
        const size = exponent ? (1 + fraction) * Math.pow(2, <f64>(exponent - 15)) : fraction * Math.pow(2, -14);
        if (load<f32>(out) != <f32>(bits & 0x8000 ? -size : size)) wrong++;
      }
      widen(out, x, 1, 3);
      if (load<u32>(out) != bits << 16) wrong++;
    }
    expect(wrong).toBe(0);
  });

  test("integers and F64 of all signs", () => {
    const x = floats(8);
    const out = floats(8);
    store<i64>(x, -5);
    widen(out, x, 1, 4);
    expect(load<f32>(out)).toBe(-5);
    store<i8>(x, -128);
    widen(out, x, 1, 7);
    expect(load<f32>(out)).toBe(-128);
    widen(out, x, 1, 8);
    expect(load<f32>(out)).toBe(128);
    store<f64>(x, 0.1);
    widen(out, x, 1, 0);
    expect(load<f32>(out)).toBe(<f32>0.1);
  });
});
