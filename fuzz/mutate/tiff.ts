/** TIFF by the entries of its first directory: tag, type, count, and the value or where it lies. */
import type { Pool } from "./mutator.js";
import { viewOf } from "./mutator.js";

const TAGS = [256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339, 700];
const TYPES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16];
const COUNTS = [0, 1, 2, 3, 4, 5, 6, 768, 2 ** 31, 2 ** 32 - 1];
const NUMBERS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 32, 64, 255, 32773, 32946, 65535, 2 ** 31, 2 ** 32 - 1];

export function mutateTiff(input: Uint8Array, { random }: Pool): Uint8Array | undefined {
  const isLittle = input[0] === 0x49;
  const isBig = input[2] === 43;
  if (!/^(II[*+]\0|MM\0[*+])/.test(String.fromCharCode(...input.subarray(0, 4))) || input.length < 16) return undefined;
  const bytes = input.slice();
  const view = viewOf(bytes);
  const [size, head] = isBig ? [20, 8] : [12, 2];
  const start = isBig ? view.getUint32(isLittle ? 8 : 12, isLittle) : view.getUint32(4, isLittle);
  if (start + head > bytes.length) return undefined;
  const claimed = view.getUint16(isBig && !isLittle ? start + 6 : start, isLittle);
  const count = Math.min(claimed, Math.floor((bytes.length - start - head) / size));
  if (count === 0) return undefined;
  for (let left = 1 << random.below(3); left > 0; left--) {
    const at = start + head + size * random.below(count);
    const low = isBig && !isLittle ? 4 : 0;
    switch (random.below(6)) {
      case 0:
        view.setUint16(at, random.pick(TAGS), isLittle);
        break;
      case 1:
        view.setUint16(at + 2, random.pick(TYPES), isLittle);
        break;
      case 2:
        view.setUint32(at + 4 + low, random.pick(COUNTS), isLittle);
        break;
      case 3:
        view.setUint16(at + size - (isBig ? 8 : 4), random.pick(NUMBERS) & 65535, isLittle);
        break;
      case 4: {
        const other = start + head + size * random.below(count);
        bytes.copyWithin(at, other, other + size);
        break;
      }
      default:
        view.setUint32(
          at + size - (isBig ? 8 : 4) + low,
          random.pick([...NUMBERS, random.below(bytes.length)]),
          isLittle,
        );
    }
  }
  return bytes;
}
