/** TIFF files of few tags, for what no program writes. */

/** A TIFF in one strip, or tiles, of these tags and bytes. */
export function tiff(tags: Readonly<Record<number, readonly number[]>>, pixels: Uint8Array): Uint8Array {
  const entries = Object.entries(tags);
  const more = entries.reduce((sum, [, values]) => sum + (values.length > 1 ? 4 * values.length : 0), 0);
  const bytes = new Uint8Array(8 + 2 + 12 * entries.length + 4 + more + pixels.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x49, 0x49, 42, 0, 8]);
  view.setUint16(8, entries.length, true);
  let place = 8 + 2 + 12 * entries.length + 4;
  const pixelsAt = place + more;
  bytes.set(pixels, pixelsAt);
  entries.forEach(([tag, values], i) => {
    const at = 10 + 12 * i;
    view.setUint16(at, Number(tag), true);
    view.setUint16(at + 2, 4, true);
    view.setUint32(at + 4, values.length, true);
    // Offsets are counted from the pixels.
    const isOffset = tag === "273" || tag === "324";
    const stored = values.map((value) => (isOffset ? value + pixelsAt : value));
    if (values.length === 1) view.setUint32(at + 8, stored[0]!, true);
    else {
      view.setUint32(at + 8, place, true);
      for (const value of stored) {
        view.setUint32(place, value, true);
        place += 4;
      }
    }
  });
  return bytes;
}
