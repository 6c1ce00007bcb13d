/** SHA-1 and SHA-256 of bytes that arrive in pieces, on the compiled assembly/sha.ts. */
import { assets } from "../platform/assets.js";
import { fromBase64 } from "../platform/bytes.js";
import { base64 } from "./sha.gen.js";

export interface Digest {
  update(bytes: Uint8Array): void;
  /** In hexadecimal; nothing can be added then. */
  hex(): string;
}

/** The first words of the state (FIPS 180-4, sections 5.3.1 and 5.3.3). */
const START = {
  sha1: [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0],
  sha256: [...[0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a], ...[0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19]],
};
/** Where things lie in one page of memory, behind the kernel's constants: words of the state, the schedule, input. */
const [STATE, SCHEDULE, INPUT, END] = [4096, 4160, 8192, 65536];

let module: WebAssembly.Module | undefined;

export function createSha(kind: keyof typeof START): Digest {
  module ??= assets.sha ?? new WebAssembly.Module(fromBase64(base64));
  type Blocks = (state: number, blocks: number, count: number, schedule: number) => void;
  const { memory, sha1_blocks, sha256_blocks } = new WebAssembly.Instance(module).exports as {
    memory: WebAssembly.Memory;
    sha1_blocks: Blocks;
    sha256_blocks: Blocks;
  };
  const take = kind === "sha1" ? sha1_blocks : sha256_blocks;
  const state = new Uint32Array(memory.buffer, STATE, START[kind].length);
  const input = new Uint8Array(memory.buffer, INPUT, END - INPUT);
  state.set(START[kind]);
  let length = 0;
  /** Bytes of `input` that wait. */
  let used = 0;

  function update(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + input.length - used);
      input.set(part, used);
      used += part.length;
      at += part.length;
      take(STATE, INPUT, used >> 6, SCHEDULE);
      input.copyWithin(0, used & ~63, used);
      used &= 63;
    }
    length += bytes.length;
  }

  return {
    update,
    hex() {
      const bits = BigInt(length) * 8n;
      // A one, zeros to the end of a block, and there the length.
      const end = new Uint8Array((length % 64 < 56 ? 64 : 128) - (length % 64));
      end[0] = 0x80;
      new DataView(end.buffer).setBigUint64(end.length - 8, bits);
      update(end);
      return Array.from(state, (word) => word.toString(16).padStart(8, "0")).join("");
    },
  };
}
