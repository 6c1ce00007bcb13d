/** Zip archives, also such that lie. */
import { crc32, deflateRawSync } from "node:zlib";

export interface Member {
  readonly name: string;
  readonly data: Uint8Array;
  readonly deflate?: boolean;
  /** What the directory says in place of the truth. */
  readonly size?: number;
  readonly packed?: number;
  readonly crc?: number;
  readonly method?: number;
  readonly flags?: number;
  /** Where it says that the member's own header is. */
  readonly at?: number;
}

/** A zip as APPNOTE 6.3 has it: members, central directory, end. */
export function zip(members: readonly Member[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const { name, data, deflate = false, size = data.length, packed: claimed, ...says } of members) {
    const packed = deflate ? deflateRawSync(data) : data;
    const label = new TextEncoder().encode(name);
    const common = (view: DataView, from: number) => {
      view.setUint16(from, 20, true);
      view.setUint16(from + 2, says.flags ?? 0, true);
      view.setUint16(from + 4, says.method ?? (deflate ? 8 : 0), true);
      view.setUint32(from + 10, says.crc ?? crc32(data), true);
      view.setUint32(from + 14, claimed ?? packed.length, true);
      view.setUint32(from + 18, size, true);
      view.setUint16(from + 22, label.length, true);
    };
    const local = new DataView(new ArrayBuffer(30));
    local.setUint32(0, 0x04034b50, true);
    common(local, 4);
    const central = new DataView(new ArrayBuffer(46));
    central.setUint32(0, 0x02014b50, true);
    central.setUint16(4, 20, true);
    common(central, 6);
    central.setUint32(42, says.at ?? at, true);
    parts.push(new Uint8Array(local.buffer), label, packed);
    directory.push(new Uint8Array(central.buffer), label);
    at += 30 + label.length + packed.length;
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, members.length, true);
  end.setUint16(10, members.length, true);
  end.setUint32(12, length, true);
  end.setUint32(16, at, true);
  return new Uint8Array(Buffer.concat([...parts, ...directory, new Uint8Array(end.buffer)]));
}
