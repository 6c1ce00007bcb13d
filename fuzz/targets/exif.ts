/** Orientation in EXIF, or in XMP, which an input has behind it after a zero byte and a "<". */
import { orientationOf } from "../../src/image/decode/exif.js";
import { bytesOf } from "../mutate/pieces.js";
import { expect, type Target } from "../target.js";

/** A TIFF directory of some entries: tag, type, count, value. */
function tiff(little: boolean, entries: readonly (readonly number[])[], at = 8): Uint8Array {
  const bytes = new Uint8Array(at + 2 + 12 * entries.length);
  const view = new DataView(bytes.buffer);
  bytes.set(bytesOf(little ? "II" : "MM"));
  view.setUint16(2, 42, little);
  view.setUint32(4, at, little);
  view.setUint16(at, entries.length, little);
  for (const [i, [tag = 0, type = 0, count = 0, value = 0]] of entries.entries()) {
    const entry = at + 2 + 12 * i;
    view.setUint16(entry, tag, little);
    view.setUint16(entry + 2, type, little);
    view.setUint32(entry + 4, count, little);
    if (type === 3) view.setUint16(entry + 8, value, little);
    else view.setUint32(entry + 8, value, little);
  }
  return bytes;
}

const target: Target = {
  seeds: [
    tiff(true, [[0x0112, 3, 1, 6]]),
    tiff(false, [[0x0112, 3, 1, 8]]),
    tiff(
      true,
      [
        [0x010f, 2, 4, 0],
        [0x0112, 4, 1, 3],
      ],
      12,
    ),
    bytesOf(`Exif\0\0Exif\0\0\0<x:xmpmeta tiff:Orientation="5"/>`),
    bytesOf("\0<tiff:Orientation>7</tiff:Orientation>"),
  ],
  mutators: [],
  refusal: /$^/,
  longest: 512,
  bytes: 1e6,
  milliseconds: 50,
  run(input) {
    const text = new TextDecoder("latin1").decode(input);
    const split = text.indexOf("\0<");
    const [exif, xmp] = split < 0 ? [input, undefined] : [input.subarray(0, split), text.slice(split + 1)];
    const orientation = orientationOf(exif.length > 0 ? exif : undefined, xmp);
    expect(Number.isInteger(orientation) && orientation >= 1 && orientation <= 8, () => `orientation ${orientation}`);
    return undefined;
  },
};
export default target;
