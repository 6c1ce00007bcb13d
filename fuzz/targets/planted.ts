/** Faults put here on purpose, which the fuzzer has to find: tests/fuzz.test.ts. */
import { fromBase64 } from "../../src/platform/bytes.js";
import { Fault, type Target } from "../target.js";

const refusal = /^planted: /;
const seeds = [new Uint8Array(8)];

/** Four bytes, one after the other: by chance one input of 2^32, by coverage a few thousand executions. */
export const deep: Target = {
  seeds,
  mutators: [],
  refusal,
  longest: 16,
  run(input) {
    const [a = 0, b = 0, c = 0, d = 0] = input;
    if (a === 0x76) {
      if (b === 0x69) {
        if (c === 0x74) {
          if (d > 0xf0) (undefined as unknown as { missing: { of: 1 } }).missing.of;
        }
      }
    }
    return undefined;
  },
};

/** The same comparisons in WebAssembly: (param i32 i32 i32 i32), `unreachable` behind the last. */
const WASM = "AGFzbQEAAAABCAFgBH9/f38AAwIBAAcFAQFmAAAKKQEnACAAQfYARgRAIAFB6QBGBEAgAkH0AEYEQCADQfABSgRAAAsLCwsL";

let compiled: ((...bytes: number[]) => void) | undefined;

export const deepWasm: Target = {
  seeds,
  mutators: [],
  refusal,
  longest: 16,
  run(input) {
    compiled ??= new WebAssembly.Instance(new WebAssembly.Module(fromBase64(WASM))).exports.f as (
      ...bytes: number[]
    ) => void;
    const [a = 0, b = 0, c = 0, d = 0] = input;
    compiled(a, b, c, d);
    return undefined;
  },
};

const kept: unknown[] = [];

/** By the first byte, everything that counts as a fault, and what does not. */
const KINDS: readonly (() => void)[] = [
  () => {},
  () => {
    throw new Error("planted: this is a refusal");
  },
  () => void (undefined as unknown as { missing: { of: 1 } }).missing.of,
  () => {
    throw new Error("planted: a line\nand another");
  },
  () => {
    throw new Error(`planted: ${"long ".repeat(100)}`);
  },
  () => {
    throw new Fault("planted: a wrong result");
  },
  () => {
    // Of a processor's time: that of a busy machine's clock does not count.
    for (const begin = process.cpuUsage(); ; ) {
      const { user, system } = process.cpuUsage(begin);
      if (user + system > 150_000) return;
    }
  },
  () => {
    for (;;);
  },
  () => void new Uint8Array(2e6),
  () => {
    for (;;) kept.push(new Array(1e5).fill(0.5));
  },
];

export const kinds: Target = {
  seeds: KINDS.map((_, kind) => Uint8Array.of(kind)),
  mutators: [],
  refusal,
  longest: 1,
  milliseconds: 100,
  bytes: 1e6,
  run(input) {
    KINDS[input[0] ?? 0]?.();
    return undefined;
  },
};
