/**
 * JPEG (ITU-T T.81): the markers are read here, and all checks made, before MozJPEG decodes the pixels.
 * MozJPEG fills truncated files with gray and knows neither four components nor lossless scans.
 */
import { concatenate } from "../platform/bytes.js";
import { decodeWith } from "./codec.js";
import { orientationOf } from "./exif.js";
import { ascii, broken, checkSize, dropAlpha, type ImageFile, type Reader, viewOf } from "./file.js";
import { decodeCmyk } from "./jpeg-cmyk.js";
import { decodeLossless } from "./jpeg-lossless.js";

/** A marker and its payload: bytes[from, to) without the length field; for SOS the entropy-coded data ends at `end`. */
export interface Segment {
  marker: number;
  from: number;
  to: number;
  end: number;
}

export interface Component {
  id: number;
  /** Sampling factors. */
  h: number;
  v: number;
}

export interface JpegHeader {
  /** In the file's order, from the first after SOI to the last before EOI. */
  segments: Segment[];
  /** The marker of the frame: 0xc0 baseline, 0xc1 extended, 0xc2 progressive, 0xc3 lossless, … */
  frame: number;
  precision: number;
  width: number;
  height: number;
  components: Component[];
  /** Largest sampling factors, and the number of MCUs of an interleaved scan, which are that many blocks wide and high. */
  maxH: number;
  maxV: number;
  mcus: number;
  jfif: boolean;
  /** Colour transform of Adobe's APP14 marker; undefined without one. */
  adobe: number | undefined;
  orientation: number;
}

const isFrame = (marker: number) =>
  marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;

export async function decodeJpeg(file: ImageFile): Promise<Reader> {
  const header = readHeader(file);
  const { width, height, components, frame, orientation } = header;
  const stored = (data: Uint8Array) =>
    function* () {
      return { data, width, height, orientation };
    };
  if (frame === 0xc3) return stored(decodeLossless(file, header));
  if (components.length === 4) return stored(await decodeCmyk(file, header));
  if (components.length !== 1 && components.length !== 3) {
    throw broken(file, `is a JPEG with ${components.length} components; 1, 3 and 4 are decoded`);
  }
  return stored(await decodeWith("jpeg", file, file.bytes, (rgba) => dropAlpha(rgba, rgba).slice()));
}

function readHeader(file: ImageFile): JpegHeader {
  const { bytes } = file;
  const view = viewOf(bytes);
  const header: JpegHeader = {
    segments: [],
    frame: 0,
    precision: 0,
    width: 0,
    height: 0,
    components: [],
    maxH: 1,
    maxV: 1,
    mcus: 0,
    jfif: false,
    adobe: undefined,
    orientation: 1,
  };
  const exif: Uint8Array[] = [];
  let xmp: string | undefined;
  for (let at = 2; ; ) {
    // Anything between segments is skipped, as libjpeg does.
    at = nextMarker(bytes, at);
    if (at < 0) throw truncated(file, header);
    const marker = bytes[at + 1];
    if (marker === 0xd9) break;
    const from = at + 4;
    at += 2;
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) continue;
    const to = from <= bytes.length ? at + view.getUint16(at) : bytes.length + 1;
    if (to > bytes.length) throw truncated(file, header);
    if (to < from) throw broken(file, `has a JPEG segment of ${to - at} bytes; at least 2 are needed`);
    const segment = { marker, from, to, end: to };
    header.segments.push(segment);
    at = to;

    const has = (tag: string) => ascii(bytes, from, Math.min(to, from + tag.length)) === tag;
    if (isFrame(marker)) readFrame(file, header, segment);
    else if (marker === 0xe0 && has("JFIF\0")) header.jfif = true;
    else if (marker === 0xe1 && has("Exif\0\0")) exif.push(bytes.subarray(exif.length ? from + 6 : from, to));
    else if (marker === 0xe1 && has("http://ns.adobe.com/xap/1.0/\0")) {
      xmp = new TextDecoder("latin1").decode(bytes.subarray(from + 29, to));
    } else if (marker === 0xee && has("Adobe") && to - from >= 12) header.adobe = bytes[from + 11];
    else if (marker === 0xda) {
      if (!header.frame) throw broken(file, "has JPEG pixels before the header that says their size");
      segment.end = endOfScan(bytes, to);
      if (segment.end < 0) throw truncated(file, header);
      at = segment.end;
    }
  }
  if (!header.segments.some(({ marker }) => marker === 0xda)) throw broken(file, "is a JPEG without pixels");
  checkLength(file, header);
  header.orientation = orientationOf(exif.length ? concatenate(exif) : undefined, xmp);
  return header;
}

function readFrame(file: ImageFile, header: JpegHeader, { marker, from, to }: Segment): void {
  const { bytes } = file;
  if (header.frame) throw broken(file, "has two JPEG frame headers; one is allowed");
  const count = bytes[from + 5];
  if (to - from !== 6 + 3 * count)
    throw broken(file, `has a JPEG frame header of ${to - from} bytes for ${count} components`);
  const view = viewOf(bytes);
  header.frame = marker;
  header.precision = bytes[from];
  header.height = view.getUint16(from + 1);
  header.width = view.getUint16(from + 3);
  if (header.precision !== 8) throw broken(file, `has ${header.precision} bits a sample; JPEG is decoded with 8`);
  checkSize(file, header.width, header.height);
  header.components = Array.from({ length: count }, (_, i) => {
    const at = from + 6 + 3 * i;
    return { id: bytes[at], h: bytes[at + 1] >> 4, v: bytes[at + 1] & 15 };
  });
  header.maxH = Math.max(1, ...header.components.map(({ h }) => h));
  header.maxV = Math.max(1, ...header.components.map(({ v }) => v));
  header.mcus = Math.ceil(header.width / (8 * header.maxH)) * Math.ceil(header.height / (8 * header.maxV));
}

/** A Huffman-coded block takes a bit at least: so little data cannot be the picture, and is not worth its memory. */
function checkLength(file: ImageFile, header: JpegHeader): void {
  const bits = 8 * header.segments.reduce((sum, { to, end }) => sum + end - to, 0);
  if (header.frame <= 0xc2 && bits < header.mcus) throw truncated(file, header);
}

function truncated(file: ImageFile, { height, segments }: JpegHeader): Error {
  const bytes = file.bytes.length.toLocaleString("en-US");
  if (segments.some(({ marker }) => marker === 0xda)) {
    return broken(file, `ends before the last of its ${height} scan lines; ${bytes} bytes were read`);
  }
  return broken(file, `ends inside its JPEG header; ${bytes} bytes were read`);
}

/** Position of the next 0xff that begins a marker, or -1. */
function nextMarker(bytes: Uint8Array, at: number): number {
  for (at = bytes.indexOf(0xff, at); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(0xff, at + 1)) {
    if (bytes[at + 1] !== 0xff && bytes[at + 1] !== 0) return at;
  }
  return -1;
}

/** Position of the marker after a scan's entropy-coded data, where restart markers belong to the data; or -1. */
function endOfScan(bytes: Uint8Array, at: number): number {
  do {
    at = nextMarker(bytes, at);
    if (at < 0) return at;
    at += 2;
  } while ((bytes[at - 1] & 0xf8) === 0xd0);
  return at - 2;
}
