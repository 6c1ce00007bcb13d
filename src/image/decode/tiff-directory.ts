/**
 * Directories of TIFF (TIFF 6.0, section 2) and BigTIFF: the tags of a picture, and those of EXIF. Read as Pillow 12.3 does
 * (TiffImagePlugin.ImageFileDirectory_v2): a value that lies outside the file ends the directory.
 */
import { viewOf } from "./file.js";

/** The values of a tag: how many of which type (TIFF 6.0, page 15), and where they lie, which may be outside the file. */
export interface TiffEntry {
  readonly tag: number;
  readonly type: number;
  readonly count: number;
  readonly at: number;
}

export interface TiffDirectory {
  readonly view: DataView;
  readonly isLittle: boolean;
  readonly isBig: boolean;
  /** Entries that Pillow reads, in the order of the file, in which a tag may come twice: values inside the file of a known type. */
  readonly entries: readonly TiffEntry[];
  /** All entries. */
  readonly all: readonly TiffEntry[];
  /** Tags that there are by their number; the file may end before the last. */
  readonly claimed: number;
  readonly isCut: boolean;
}

/** Bytes of a value of each type: those of TIFF 6.0, of IFD (13) and LONG8 (16); 0 for those that are passed over. */
const TYPE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8];
const BYTE = 1;
const IFD = 13;
/** BYTE, SHORT, LONG, SBYTE, SSHORT, SLONG, IFD and LONG8. */
const INTEGERS = [BYTE, 3, 4, 6, 8, 9, IFD, 16];

/** The most entries that are read; as many as fit a TIFF that is not big. */
const MOST_ENTRIES = 65535;

/** The first directory of bytes that begin as TIFF does; none where there is not even its number of entries. */
export function readDirectory(tiff: Uint8Array): TiffDirectory | undefined {
  const view = viewOf(tiff);
  const isLittle = tiff[0] === 0x49;
  const isBig = tiff[2] === 43;
  const [entryBytes, wordBytes] = isBig ? [20, 8] : [12, 4];
  if (tiff.length < (isBig ? 16 : 8)) return undefined;
  const word = (at: number) => (isBig ? Number(view.getBigUint64(at, isLittle)) : view.getUint32(at, isLittle));
  const start = word(wordBytes);
  const first = start + (isBig ? 8 : 2);
  if (first > tiff.length) return undefined;
  const claimed = isBig ? word(start) : view.getUint16(start, isLittle);
  const room = Math.floor((tiff.length - first) / entryBytes);
  const count = Math.min(claimed, MOST_ENTRIES, room);
  const entries: TiffEntry[] = [];
  const all: TiffEntry[] = [];
  let isOver = false;
  for (let i = 0; i < count; i++) {
    const entry = first + entryBytes * i;
    const type = view.getUint16(entry + 2, isLittle);
    const values = word(entry + 4);
    const bytes = values * (TYPE_BYTES[type] ?? 0);
    const inside = entry + 4 + wordBytes;
    const at = bytes > wordBytes ? word(inside) : inside;
    const found = { tag: view.getUint16(entry, isLittle), type, count: values, at };
    isOver ||= at + bytes > tiff.length;
    all.push(found);
    if (!isOver && bytes > 0) entries.push(found);
  }
  return { view, isLittle, isBig, entries, all, claimed, isCut: claimed > room };
}

/** The value of a tag that counts in Pillow, which is the last. */
export const entryOf = ({ entries }: TiffDirectory, tag: number): TiffEntry | undefined =>
  entries.filter((entry) => entry.tag === tag).at(-1);

/** Tells whether libtiff knows how many bytes a value has: those of no type, too, and of two types more for BigTIFF. */
export const isKnown = (type: number): boolean => type <= IFD || (type >= 16 && type <= 18);

/** Tells whether values are bytes in Pillow: those of BYTE and UNDEFINED. */
export const isBytes = ({ type }: TiffEntry): boolean => type === BYTE || type === 7;

/** Bytes of the values of a tag that do not lie in the directory itself; 0 if it has room for them. */
export function bytesOutside({ isBig }: TiffDirectory, { type, count }: TiffEntry): number {
  const bytes = count * (TYPE_BYTES[type] ?? 0);
  return bytes > (isBig ? 8 : 4) ? bytes : 0;
}

/** Tells whether a value is what Pillow takes for integers: those of BYTE are bytes there. */
export const isInteger = ({ type }: TiffEntry): boolean => type !== BYTE && INTEGERS.includes(type);

/** Tells whether libtiff finds an integer: of a type that it takes for one, inside the file. */
export const hasInteger = ({ view }: TiffDirectory, entry: TiffEntry, index = 0): boolean =>
  INTEGERS.includes(entry.type) &&
  entry.type !== IFD &&
  index >= 0 &&
  index < entry.count &&
  entry.at + (index + 1) * TYPE_BYTES[entry.type]! <= view.byteLength;

/** A number of a value; 0 for text. */
export function numberAt({ view, isLittle }: TiffDirectory, { type, at }: TiffEntry, index = 0): number {
  const place = at + index * TYPE_BYTES[type]!;
  switch (type) {
    case BYTE:
      return view.getUint8(place);
    case 3:
      return view.getUint16(place, isLittle);
    case 4:
    case 13:
      return view.getUint32(place, isLittle);
    case 5:
      return view.getUint32(place, isLittle) / view.getUint32(place + 4, isLittle);
    case 6:
      return view.getInt8(place);
    case 8:
      return view.getInt16(place, isLittle);
    case 9:
      return view.getInt32(place, isLittle);
    case 10:
      return view.getInt32(place, isLittle) / view.getInt32(place + 4, isLittle);
    case 11:
      return view.getFloat32(place, isLittle);
    case 12:
      return view.getFloat64(place, isLittle);
    case 16:
      return Number(view.getBigUint64(place, isLittle));
    default:
      return 0;
  }
}
