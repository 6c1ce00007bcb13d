/** safetensors: a JSON header behind its length, changed value by value, and data. */
import { mutateJsonText } from "./json.js";
import { type Mutator, splice } from "./mutator.js";

export const mutateSafetensors: Mutator = (input, pool) => {
  const { random } = pool;
  const headerOf = (bytes: Uint8Array) => {
    const length = bytes.length < 8 ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    return bytes.subarray(8, Math.min(bytes.length, 8 + length));
  };
  const header = headerOf(input);
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const text = mutateJsonText(decode(header), () => decode(headerOf(pool.other())), pool);
  if (text === undefined) return undefined;
  const changed = new TextEncoder().encode(text);
  const file = splice(input, 8, 8 + header.length, changed);
  const length = random.once(20) ? random.pick([0, 1, changed.length + 1, 2 ** 31, 100_000_001]) : changed.length;
  new DataView(file.buffer).setBigUint64(0, BigInt(length), true);
  if (!random.once(2)) return file;
  // As much data as the header now asks for, where that is little.
  const end = Math.max(
    0,
    ...[...text.matchAll(/"data_offsets":\[(\d{1,4}),(\d{1,4})\]/g)].map((found) => Number(found[2])),
  );
  const whole = new Uint8Array(8 + changed.length + end);
  whole.set(file.subarray(0, whole.length));
  return whole;
};
