/**
 * The linear memory of one backend: a stack of 64-byte aligned blocks above the kernels' constants, first the weights,
 * then the activations, then scratch that lives for one op. It grows as needed and never shrinks.
 */
const PAGE = 65536;
/** wasm32 addresses 4 GiB; the last page is left out so that the end of memory is a 32-bit number. */
const MOST_PAGES = 65535;

export interface Heap {
  /** Views of the whole memory; renewed when it grows, so never kept. */
  readonly f32: Float32Array;
  readonly u8: Uint8Array;
  /** First free byte. */
  readonly top: number;
  /** The most bytes ever in use, scratch included. */
  readonly peak: number;
  /** Takes `bytes` until the top is set back. */
  push(bytes: number): number;
  /** `bytes` behind the top, until the next call. */
  scratch(bytes: number): number;
  /** Frees what was pushed since `top` was read. */
  popTo(top: number): void;
}

export function createHeap(memory: WebAssembly.Memory, base: number): Heap {
  let f32 = new Float32Array(memory.buffer);
  let u8 = new Uint8Array(memory.buffer);
  let top = align(base);
  let peak = top;

  function reach(end: number): void {
    peak = Math.max(peak, end);
    if (end <= u8.length) return;
    const pages = Math.ceil(end / PAGE);
    const megabytes = Math.ceil(end / 2 ** 20);
    if (pages > MOST_PAGES) {
      throw new RangeError(
        `wasm: weights and activations must fit the kernels' memory of 4,096 MB at most; ${megabytes} MB are needed`,
      );
    }
    try {
      memory.grow(pages - u8.length / PAGE);
    } catch (cause) {
      const given = Math.floor(u8.length / 2 ** 20);
      throw new RangeError(
        `wasm: the kernels' memory must grow to ${megabytes} MB, and the engine gives no more than the ${given} MB it has`,
        { cause },
      );
    }
    f32 = new Float32Array(memory.buffer);
    u8 = new Uint8Array(memory.buffer);
  }

  return {
    get f32() {
      return f32;
    },
    get u8() {
      return u8;
    },
    get top() {
      return top;
    },
    get peak() {
      return peak;
    },
    push(bytes) {
      const at = top;
      reach(align(at + bytes));
      top = align(at + bytes);
      return at;
    },
    scratch(bytes) {
      reach(top + bytes);
      return top;
    },
    popTo(to) {
      top = to;
    },
  };
}

export function align(address: number): number {
  return Math.ceil(address / 64) * 64;
}
