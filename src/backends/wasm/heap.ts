/**
 * The linear memory of one backend: a stack of 64-byte aligned blocks above the kernels' constants, first the weights,
 * then the activations, then scratch that lives for one op. It grows as needed and never shrinks.
 *
 * Backends of several threads may have stacks on one memory (joinWasmBackend). Each grows it by itself, which gives every one of
 * them pages that nobody else has: so a stack is in pieces, and a block in one of them.
 */
const PAGE = 65536;
/** wasm32 addresses 4 GiB; the last page is left out so that the end of memory is a 32-bit number. */
const MOST_PAGES = 65535;

export interface Heap {
  /** Views of the memory as far as this stack goes; renewed when it grows, so never kept. */
  readonly f32: Float32Array;
  readonly u8: Uint8Array;
  /** First free byte. */
  readonly top: number;
  /** Bytes in use, what is left of pieces that were too small for the next block included. */
  readonly used: number;
  /** The most bytes ever in use, scratch included. */
  readonly peak: number;
  /** Takes `bytes` until the top is set back. */
  push(bytes: number): number;
  /** `bytes` behind the top, until the next call. */
  scratch(bytes: number): number;
  /** Frees what was pushed since `top` was read. */
  popTo(top: number): void;
}

/** Bytes from `begin` to `end`, and bytes of the pieces before it. */
interface Piece {
  readonly begin: number;
  end: number;
  readonly before: number;
}

/** A stack whose first piece is from `base` to `end`. */
export function createHeap(memory: WebAssembly.Memory, base: number, end = memory.buffer.byteLength): Heap {
  let f32 = new Float32Array(memory.buffer);
  let u8 = new Uint8Array(memory.buffer);
  let top = align(base);
  const pieces: Piece[] = [{ begin: top, end, before: 0 }];
  let piece = pieces[0]!;
  let peak = 0;

  const used = () => piece.before + top - piece.begin;

  /** Finds or makes room for `bytes`, from the top on or in a later piece, which the top then goes to. */
  function reach(bytes: number): void {
    while (top + bytes > piece.end) {
      const next = pieces[pieces.indexOf(piece) + 1];
      if (!next && grow(top + bytes - piece.end)) continue;
      piece = next ?? pieces.at(-1)!;
      top = piece.begin;
    }
    peak = Math.max(peak, used() + bytes);
  }

  /** Takes `bytes` more of the memory: true if they are behind the last piece, which is so much larger then; else they are one more. */
  function grow(bytes: number): boolean {
    const { byteLength } = memory.buffer;
    const pages = Math.ceil(bytes / PAGE);
    const megabytes = Math.ceil((byteLength + bytes) / 2 ** 20);
    if (byteLength / PAGE + pages > MOST_PAGES) {
      throw new RangeError(
        `wasm: weights and activations must fit the kernels' memory of 4,096 MB at most; ${megabytes} MB are needed`,
      );
    }
    const last = pieces.at(-1)!;
    let begin: number;
    try {
      begin = memory.grow(pages) * PAGE;
    } catch (cause) {
      const given = Math.floor(byteLength / 2 ** 20);
      throw new RangeError(
        `wasm: the kernels' memory must grow to ${megabytes} MB, and the engine gives no more than the ${given} MB it has`,
        { cause },
      );
    }
    f32 = new Float32Array(memory.buffer);
    u8 = new Uint8Array(memory.buffer);
    const end = begin + pages * PAGE;
    if (begin === last.end) last.end = end;
    else pieces.push({ begin, end, before: last.before + last.end - last.begin });
    return begin === last.end - pages * PAGE;
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
    get used() {
      return used();
    },
    get peak() {
      return peak;
    },
    push(bytes) {
      reach(align(bytes));
      const at = top;
      top += align(bytes);
      return at;
    },
    scratch(bytes) {
      reach(bytes);
      return top;
    },
    popTo(to) {
      top = to;
      piece = pieces.find(({ begin, end }) => begin <= to && to <= end)!;
    },
  };
}

/** Takes `bytes` or more of a memory, for whoever shares it: their first byte and what is behind the last. */
export function takePages(memory: WebAssembly.Memory, bytes: number): { begin: number; end: number } {
  const pages = Math.ceil(bytes / PAGE);
  const begin = memory.grow(pages) * PAGE;
  return { begin, end: begin + pages * PAGE };
}

export function align(address: number): number {
  return Math.ceil(address / 64) * 64;
}
