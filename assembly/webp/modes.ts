// How the macroblocks of a row are predicted (RFC 6386, sections 8.1, 9.3, 11 and 19.3), read from the first partition.
import { bit } from "./boolean";
import { canSkip, mapsSegments, SEGMENT_PROBABILITIES, skipProbability } from "./header";
import { DC, HD, HE, HU, LD, RD, TM, VE, VL, VR } from "./predict";
import { MODE_PROBABILITIES } from "./tables";

// A macroblock's record of 32 bytes: modes of its 4×4 blocks (16; of a macroblock predicted as 16×16 the first counts),
// of its chroma, its segment, whether it has no coefficients, is predicted by blocks of 4×4, has inner edges to filter.
export const RECORD: usize = 32;
export const CHROMA: usize = 16;
export const SEGMENT: usize = 17;
export const SKIPPED: usize = 18;
export const SMALL: usize = 19;
export const INNER: usize = 20;

const left: usize = memory.data(4);

/** records: out, one for each of `columns`; above: u8 [columns][4], modes of the blocks above, replaced by those of this row. */
export function readModes(records: usize, above: usize, columns: i32): void {
  store<u32>(left, 0);
  for (const end = records + <usize>columns * RECORD; records < end; records += RECORD, above += 4) {
    let segment: u32 = 0;
    if (mapsSegments) {
      segment = bit(load<u8>(SEGMENT_PROBABILITIES))
        ? 2 + bit(load<u8>(SEGMENT_PROBABILITIES, 2))
        : bit(load<u8>(SEGMENT_PROBABILITIES, 1));
    }
    store<u8>(records, segment, SEGMENT);
    store<u8>(records, canSkip ? bit(skipProbability) : 0, SKIPPED);
    const isSmall = !bit(145);
    store<u8>(records, isSmall, SMALL);
    if (isSmall) {
      for (let block: usize = 0; block < 16; block++) {
        const x = above + (block & 3);
        const y = left + (block >> 2);
        const mode = readBlockMode(MODE_PROBABILITIES + <usize>load<u8>(x) * 90 + <usize>load<u8>(y) * 9);
        store<u8>(records + block, mode);
        store<u8>(x, mode);
        store<u8>(y, mode);
      }
    } else {
      const mode: u32 = bit(156) ? (bit(128) ? TM : HE) : bit(163) ? VE : DC;
      store<u8>(records, mode);
      store<u32>(above, mode * 0x01010101);
      store<u32>(left, mode * 0x01010101);
    }
    store<u8>(records, !bit(142) ? DC : !bit(114) ? VE : bit(183) ? TM : HE, CHROMA);
  }
}

function readBlockMode(p: usize): u32 {
  if (!bit(load<u8>(p))) return DC;
  if (!bit(load<u8>(p, 1))) return TM;
  if (!bit(load<u8>(p, 2))) return VE;
  if (!bit(load<u8>(p, 3))) {
    if (!bit(load<u8>(p, 4))) return HE;
    return bit(load<u8>(p, 5)) ? VR : RD;
  }
  if (!bit(load<u8>(p, 6))) return LD;
  if (!bit(load<u8>(p, 7))) return VL;
  return bit(load<u8>(p, 8)) ? HU : HD;
}
