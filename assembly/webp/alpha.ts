// Filters of the chunk ALPH (the specification of the WebP container), a row at a time; exact.

const HORIZONTAL: i32 = 1;
const VERTICAL: i32 = 2;
const GRADIENT: i32 = 3;

/**
 * Undoes the filter of a row of alpha.
 * @param values its bytes, `step` from each other. @param row `width` bytes of the row above, which are replaced; none of the first.
 */
export function unfilterAlpha(values: usize, step: usize, row: usize, width: usize, filter: i32, isFirst: bool): void {
  const kind = isFirst && filter ? HORIZONTAL : filter;
  let left: i32 = isFirst ? 0 : load<u8>(row);
  let corner = left;
  for (const end = row + width; row < end; row++, values += step) {
    const above: i32 = load<u8>(row);
    let guess = 0;
    if (kind == HORIZONTAL) guess = left;
    else if (kind == VERTICAL) guess = above;
    else if (kind == GRADIENT) guess = max(0, min(255, left + above - corner));
    left = (guess + load<u8>(values)) & 255;
    corner = above;
    store<u8>(row, <u8>left);
  }
}
