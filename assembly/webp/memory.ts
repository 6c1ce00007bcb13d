// Memory of one image: pieces one after the other behind the module's constants, up to a limit that its header sets.

let top: usize = 0;
let limit: usize = 0;

/** Forgets all pieces. */
export function reset(newLimit: usize): void {
  top = (__heap_base + 15) & ~15;
  limit = newLimit;
}

/** A piece of `size` bytes at a multiple of 16, with whatever is in it; 0 beyond the limit, or if there is no more memory. */
export function allot(size: usize): usize {
  const piece = top;
  if (size > limit - piece) return 0;
  top = (piece + size + 15) & ~15;
  const missing = <i32>((top + 0xffff) >> 16) - memory.size();
  if (missing > 0 && memory.grow(missing) < 0) return 0;
  return piece;
}

/** The same with zeros in it. */
export function allotZeros(size: usize): usize {
  const piece = allot(size);
  if (piece) memory.fill(piece, 0, size);
  return piece;
}

/** Where the next piece begins: for `release`, which forgets what was allotted since. */
export function mark(): usize {
  return top;
}

export function release(marked: usize): void {
  top = marked;
}
