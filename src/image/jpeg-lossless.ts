/** Lossless JPEG (ITU-T T.81, annex H: predictors and Huffman-coded differences), which MozJPEG does not know. */
import { broken, type ImageFile } from "./file.js";
import type { JpegHeader, Segment } from "./jpeg.js";
import { createBitReader, type HuffmanTable, readHuffmanTables, restartIntervals } from "./jpeg-bits.js";

/** RGB of one component (gray) or three, which are taken as RGB unless the file says YCbCr. */
export function decodeLossless(file: ImageFile, header: JpegHeader): Uint8Array {
  const { components, segments, width, height } = header;
  const channels = components.length;
  const isYcc = channels === 3 && (header.jfif || (header.adobe ?? 0) !== 0);
  if ((channels !== 1 && channels !== 3) || isYcc || components.some(({ h, v }) => h * v !== 1)) {
    throw broken(file, "is a lossless JPEG of another kind than gray or RGB at full size, which is not decoded");
  }
  const samples = new Uint8Array(width * height * channels);
  const tables = new Map<number, HuffmanTable>();
  let restart = 0;
  for (const segment of segments) {
    const payload = file.bytes.subarray(segment.from, segment.to);
    if (segment.marker === 0xc4) readHuffmanTables(payload, tables);
    else if (segment.marker === 0xdd) restart = (payload[0] << 8) | payload[1];
    else if (segment.marker === 0xda) readScan(file, header, segment, tables, restart, samples);
  }
  if (channels === 3) return samples;
  const rgb = new Uint8Array(3 * samples.length);
  for (let i = 0; i < samples.length; i++) rgb.fill(samples[i], 3 * i, 3 * i + 3);
  return rgb;
}

function readScan(
  file: ImageFile,
  { components, width, height }: JpegHeader,
  { from, to, end }: Segment,
  tables: Map<number, HuffmanTable>,
  restart: number,
  samples: Uint8Array,
): void {
  const { bytes } = file;
  const count = bytes[from];
  const [predictor, , low] = bytes.subarray(from + 1 + 2 * count, from + 4 + 2 * count);
  const pointTransform = low & 15;
  const channels = components.length;
  const parts = Array.from({ length: count }, (_, i) => {
    const [id, slots] = bytes.subarray(from + 1 + 2 * i, from + 3 + 2 * i);
    return { channel: components.findIndex((c) => c.id === id), table: tables.get(slots >> 4) };
  });
  if (predictor < 1 || predictor > 7)
    throw broken(file, `has lossless JPEG predictor ${predictor}; 1 to 7 are decoded`);
  const row = width * channels;
  const start = 1 << (7 - pointTransform);
  const interval = restart || width * height;
  let pixel = 0;
  for (const data of restartIntervals(bytes.subarray(to, end))) {
    const reader = createBitReader(data);
    const first = pixel;
    for (const stop = Math.min(first + interval, width * height); pixel < stop; pixel++) {
      if (reader.at >= 8 * data.length)
        throw broken(file, `has a lossless JPEG scan that ends at row ${Math.floor(pixel / width)} of ${height}`);
      const x = pixel % width;
      const isFirstRow = pixel - first < width;
      for (const { channel, table } of parts) {
        const at = pixel * channels + channel;
        let difference = 0;
        try {
          if (!table || channel < 0) throw new RangeError("no such table or component");
          const size = reader.code(table);
          const bits = size === 16 ? 32768 : reader.bits(size);
          difference = size === 0 || size === 16 || bits >> (size - 1) ? bits : bits - (1 << size) + 1;
        } catch {
          throw broken(file, "has JPEG data that cannot be decoded");
        }
        // Samples are kept as they are shown; prediction is of what was coded, before the point transform.
        const ra = samples[at - channels] >> pointTransform;
        const rb = samples[at - row] >> pointTransform;
        let prediction: number;
        if (isFirstRow) prediction = x === 0 ? start : ra;
        else if (x === 0) prediction = rb;
        else {
          const rc = samples[at - row - channels] >> pointTransform;
          prediction = [ra, rb, rc, ra + rb - rc, ra + ((rb - rc) >> 1), rb + ((ra - rc) >> 1), (ra + rb) >> 1][
            predictor - 1
          ];
        }
        samples[at] = (prediction + difference) << pointTransform;
      }
    }
  }
}
