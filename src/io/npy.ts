/** NumPy's file of one array, version 1.0: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */

/** The bytes of an .npy file of floats. */
export function encodeNpy({
  dims,
  data,
}: {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}): Uint8Array {
  const shape = `(${dims.join(", ")}${dims.length === 1 ? "," : ""})`;
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': ${shape}, }`;
  // 10 bytes come before the header; with its line end the data begin at a multiple of 64.
  const start = Math.ceil((10 + header.length + 1) / 64) * 64;
  const file = new Uint8Array(start + data.byteLength);
  file.set(new TextEncoder().encode(`?NUMPY\x01\x00??${header.padEnd(start - 11)}\n`));
  file[0] = 0x93;
  new DataView(file.buffer).setUint16(8, start - 10, true);
  file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), start);
  return file;
}
