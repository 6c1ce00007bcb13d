/**
 * CMYK and YCCK JPEGs by a decoder that knows three components: the file is rewritten without its fourth component and
 * again without its third, and both are decoded. The coefficients are not touched: of the entropy-coded data, the bits
 * of a dropped component's blocks are left out and those of the others copied, so that the samples are libjpeg's.
 */
import { concatenate } from "../platform/bytes.js";
import { decodeWith } from "./codec.js";
import { broken, type ImageFile } from "./file.js";
import type { JpegHeader, Segment } from "./jpeg.js";
import {
  type BitReader,
  createBitReader,
  type HuffmanTable,
  readHuffmanTables,
  restartIntervals,
} from "./jpeg-bits.js";

/** RGB as Pillow makes it of CMYK, whose samples it takes to be inverted, as Adobe writes them. */
export async function decodeCmyk(file: ImageFile, header: JpegHeader): Promise<Uint8Array> {
  const isYcck = header.adobe !== undefined && header.adobe !== 0;
  const decode = (bytes: Uint8Array) => decodeWith("jpeg", file, bytes, (rgba) => rgba.slice());
  const colours = await decode(withoutComponent(file, header, 3, isYcck));
  const withBlack = await decode(withoutComponent(file, header, 2, false));
  const rgb = new Uint8Array((colours.length / 4) * 3);
  for (let from = 0, to = 0; from < colours.length; from += 4) {
    const white = withBlack[from + 2];
    for (let c = 0; c < 3; c++) {
      // For YCCK, libjpeg's ycck_cmyk_convert gives 255 - RGB, and Pillow inverts that again.
      const ink = isYcck ? colours[from + c] : 255 - colours[from + c];
      const t = ink * white + 128;
      rgb[to++] = Math.max(0, white - (((t >> 8) + t) >> 8));
    }
  }
  return rgb;
}

/** The same JPEG with three components, marked by Adobe's APP14 as YCbCr or as colours that are not to be converted. */
function withoutComponent(file: ImageFile, header: JpegHeader, drop: number, isYcc: boolean): Uint8Array {
  const { bytes } = file;
  const { components, segments } = header;
  const kept = components.filter((_, i) => i !== drop);
  if (!kept.some(({ h }) => h === header.maxH) || !kept.some(({ v }) => v === header.maxV)) {
    throw broken(file, "is a CMYK JPEG with one component at full size and the others at less, which is not decoded");
  }
  const parts: (readonly number[] | Uint8Array)[] = [];
  const emit = (marker: number, payload: ArrayLike<number>) =>
    parts.push([0xff, marker, (payload.length + 2) >> 8, (payload.length + 2) & 255], Uint8Array.from(payload));
  const tables = new Map<number, HuffmanTable>();
  parts.push([0xff, 0xd8]);
  emit(0xee, [0x41, 0x64, 0x6f, 0x62, 0x65, 0, 100, 0, 0, 0, 0, isYcc ? 1 : 0]);
  for (const segment of segments) {
    const { marker, from, to, end } = segment;
    const payload = bytes.subarray(from, to);
    if (marker === 0xc4) readHuffmanTables(payload, tables);
    if (marker === 0xc4 || marker === 0xdb || marker === 0xdd) emit(marker, payload);
    else if (marker === header.frame) {
      const fields = [...payload.subarray(0, 5), 3];
      components.forEach((_, i) => {
        if (i !== drop) fields.push(...payload.subarray(6 + 3 * i, 9 + 3 * i));
      });
      emit(marker, fields);
    } else if (marker === 0xda) {
      const selectors = Array.from({ length: payload[0] }, (_, i) => payload.subarray(1 + 2 * i, 3 + 2 * i));
      const remaining = selectors.filter(([id]) => id !== components[drop].id);
      if (remaining.length === 0) continue;
      emit(0xda, [remaining.length, ...remaining.flatMap((s) => [...s]), ...payload.subarray(1 + 2 * payload[0])]);
      const scan = bytes.subarray(to, end);
      parts.push(remaining.length === selectors.length ? scan : transcode(file, header, segment, drop, tables));
    }
  }
  parts.push([0xff, 0xd9]);
  return concatenate(parts);
}

/** The entropy-coded data of an interleaved scan without the blocks of one component. */
function transcode(
  file: ImageFile,
  header: JpegHeader,
  { from, to, end }: Segment,
  drop: number,
  tables: Map<number, HuffmanTable>,
): Uint8Array {
  const { bytes } = file;
  const { components } = header;
  const count = bytes[from];
  const [first, , approximation] = bytes.subarray(from + 1 + 2 * count, from + 4 + 2 * count);
  if (header.frame > 0xc2 || (header.frame === 0xc2 && first > 0)) {
    throw broken(file, "is a CMYK JPEG whose coding is not baseline or progressive Huffman, which is not decoded");
  }
  const parts = Array.from({ length: count }, (_, i) => {
    const [id, slots] = bytes.subarray(from + 1 + 2 * i, from + 3 + 2 * i);
    const component = components.find((c) => c.id === id);
    const dc = tables.get(slots >> 4);
    const ac = tables.get(16 + (slots & 15));
    return { component, dc, ac, isKept: component !== components[drop] };
  });
  if (count === 2 && parts.some(({ component, isKept }) => isKept && component && component.h * component.v > 1)) {
    // A scan of one component has another order of blocks than one of two.
    throw broken(file, "is a CMYK JPEG with scans of two components, which is not decoded");
  }
  let left = header.mcus;
  const refinement = header.frame === 0xc2 && approximation >> 4 > 0;
  const restart = restartInterval(header, bytes, from) || left;

  const out = new Uint8Array(2 * (end - to) + 16);
  let length = 0;
  restartIntervals(bytes.subarray(to, end)).forEach((data, interval) => {
    const reader = createBitReader(data);
    let pending = 0;
    let pendingBits = 0;
    const put = (value: number, n: number) => {
      pending = (pending << n) | value;
      for (pendingBits += n; pendingBits >= 8; ) {
        pendingBits -= 8;
        const byte = (pending >> pendingBits) & 255;
        out[length++] = byte;
        if (byte === 0xff) out[length++] = 0;
      }
      pending &= 255;
    };
    if (interval > 0) {
      out[length++] = 0xff;
      out[length++] = 0xd0 + ((interval - 1) & 7);
    }
    try {
      for (let mcu = Math.min(restart, left); mcu > 0 && reader.at < 8 * data.length; mcu--, left--) {
        for (const { component, dc, ac, isKept } of parts) {
          for (let block = (component?.h ?? 1) * (component?.v ?? 1); block > 0; block--) {
            const begin = reader.at;
            if (refinement) reader.at++;
            else if (header.frame === 0xc2) skipDc(reader, dc);
            else {
              skipDc(reader, dc);
              skipAc(reader, ac);
            }
            const stop = reader.at;
            for (reader.at = begin; isKept && reader.at < stop; ) {
              const n = Math.min(16, stop - reader.at);
              put(reader.bits(n), n);
            }
            reader.at = stop;
          }
        }
      }
    } catch {
      throw broken(file, "has JPEG data that cannot be decoded");
    }
    if (pendingBits > 0) put((1 << (8 - pendingBits)) - 1, 8 - pendingBits);
  });
  return out.subarray(0, length);
}

function restartInterval({ segments }: JpegHeader, bytes: Uint8Array, before: number): number {
  const last = segments.filter(({ marker, from }) => marker === 0xdd && from < before).at(-1);
  return last ? (bytes[last.from] << 8) | bytes[last.from + 1] : 0;
}

function skipDc(reader: BitReader, table: HuffmanTable | undefined): void {
  if (!table) throw new RangeError("no Huffman table");
  const size = reader.code(table);
  reader.at += size;
}

function skipAc(reader: BitReader, table: HuffmanTable | undefined): void {
  if (!table) throw new RangeError("no Huffman table");
  for (let k = 1; k < 64; k++) {
    const value = reader.code(table);
    const size = value & 15;
    if (size === 0 && value >> 4 < 15) break;
    k += value >> 4;
    reader.at += size;
  }
}
