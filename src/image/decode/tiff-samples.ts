/**
 * Pixels of TIFF from the bytes of a row, as Pillow 12.3 unpacks them: which samples it reads, and what it makes of each.
 * Layouts have Pillow's names, "RGB;16L" for example, since it makes of planes what the letters of the name are.
 */
import { viewOf } from "./file.js";

/** Kinds of pixels; the names are those of Pillow's modes. */
export type Mode = "1" | "L" | "LA" | "I;16" | "I;16B" | "I" | "F" | "P" | "PA" | "RGB" | "RGBA" | "CMYK";

export interface Layout {
  readonly mode: Mode;
  readonly raw: string;
}

/** Facts of a TIFF about its samples. */
export interface Samples {
  readonly isLittle: boolean;
  readonly photometric: number;
  /** 1 for integers without a sign, 2 with one, 3 for floats. */
  readonly format: number;
  readonly fillOrder: number;
  /** Bits of each sample of a pixel. */
  readonly bits: readonly number[];
  /** Kinds of the samples beyond the colors: 0 for nothing known, 1 for alpha that is multiplied in, 2 for alpha. */
  readonly extra: readonly number[];
}

const [WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR] = [0, 1, 2, 3, 5, 6] as const;

/** The layout by which Pillow reads such samples; undefined for those that it does not, and for CIE L*a*b*. */
export function layoutOf({ isLittle, photometric, format, fillOrder, bits, extra }: Samples): Layout | undefined {
  const [depth = 0] = bits;
  const isFlipped = fillOrder === 2;
  if (fillOrder !== 1 && !isFlipped) return undefined;
  const known = extra.join();
  const end = isLittle ? "L" : "B";
  // An alpha channel of RGB may be of nothing that is known; one sample of YCbCr is gray.
  const beyond = bits.length - channelsOf(photometric);
  const isKnown = extra.length === beyond || (photometric === RGB && beyond === 1 && extra.length === 0);
  const isGray = photometric === YCBCR && bits.length === 1;
  if (!(isKnown || isGray) || bits.some((count) => count !== depth)) return undefined;

  if ((photometric === WHITE_IS_ZERO || photometric === BLACK_IS_ZERO) && bits.length === 1) {
    const isWhite = photometric === WHITE_IS_ZERO;
    if (format === 1 && [1, 2, 4, 8].includes(depth)) {
      const flags = `${isWhite ? "I" : ""}${isFlipped ? "R" : ""}`;
      const base = depth === 1 ? "1" : "L";
      const size = depth === 2 || depth === 4 ? `${depth}` : "";
      return { mode: base, raw: size || flags ? `${base};${size}${flags}` : base };
    }
    if (isFlipped)
      return isLittle && !isWhite && format === 1 && depth === 16 ? { mode: "I;16", raw: "I;16R" } : undefined;
    switch (`${format},${depth}`) {
      case "1,12":
        return isLittle && !isWhite ? { mode: "I;16", raw: "I;12" } : undefined;
      case "1,16":
        if (isLittle) return { mode: "I;16", raw: "I;16" };
        return isWhite ? undefined : { mode: "I;16B", raw: "I;16B" };
      case "1,32":
        return isLittle && !isWhite ? { mode: "I", raw: "I;32S" } : undefined;
      case "2,8":
        return isWhite ? undefined : { mode: "L", raw: "L" };
      case "2,16":
        return isWhite ? undefined : { mode: "I", raw: isLittle ? "I;16S" : "I;16BS" };
      case "2,32":
        return isWhite ? undefined : { mode: "I", raw: isLittle ? "I;32S" : "I;32BS" };
      case "3,32":
        return { mode: "F", raw: isLittle ? "F;32F" : "F;32BF" };
    }
    return undefined;
  }
  if (format !== 1) return undefined;
  if (photometric === PALETTE && bits.length === 1 && [1, 2, 4, 8].includes(depth)) {
    const flags = `${depth < 8 ? depth : ""}${isFlipped ? "R" : ""}`;
    return { mode: "P", raw: flags ? `P;${flags}` : "P" };
  }
  if (photometric === RGB && isFlipped && depth === 8 && bits.length === 3) return { mode: "RGB", raw: "RGB;R" };
  if (isFlipped) return undefined;
  if (depth === 8) {
    switch (photometric) {
      case BLACK_IS_ZERO:
        return known === "2" ? { mode: "LA", raw: "LA" } : undefined;
      case PALETTE:
        if (known === "0") return { mode: "P", raw: "PX" };
        return known === "2" ? { mode: "PA", raw: "PA" } : undefined;
      case RGB:
        return rgbLayout(bits.length, known);
      case CMYK:
        return /^(0(,0)?)?$/.test(known) ? { mode: "CMYK", raw: `CMYK${"X".repeat(extra.length)}` } : undefined;
      case YCBCR:
        if (extra.length > 0) return undefined;
        // Pillow expects what libtiff gives for compressed ones.
        return bits.length === 1
          ? { mode: "L", raw: "L" }
          : bits.length === 3
            ? { mode: "RGB", raw: "RGBX" }
            : undefined;
    }
    return undefined;
  }
  if (depth !== 16) return undefined;
  if (photometric === CMYK && bits.length === 4) return { mode: "CMYK", raw: `CMYK;16${end}` };
  if (photometric !== RGB) return undefined;
  if (bits.length === 3) return { mode: "RGB", raw: `RGB;16${end}` };
  if (bits.length !== 4) return undefined;
  const named = { "": "RGBA", "0": "RGBX", "1": "RGBa", "2": "RGBA" }[known];
  return named === undefined ? undefined : { mode: named === "RGBX" ? "RGB" : "RGBA", raw: `${named};16${end}` };
}

const channelsOf = (photometric: number) =>
  photometric === RGB || photometric === YCBCR ? 3 : photometric === CMYK ? 4 : 1;

function rgbLayout(samples: number, extra: string): Layout | undefined {
  if (samples === 3) return { mode: "RGB", raw: "RGB" };
  if (extra === "" || extra === "999") return samples === 4 ? { mode: "RGBA", raw: "RGBA" } : undefined;
  if (!/^[012](,0){0,2}$/.test(extra)) return undefined;
  const alpha = "XaA"[Number(extra[0])]!;
  return { mode: alpha === "X" ? "RGB" : "RGBA", raw: `RGB${alpha}${"X".repeat(samples - 4)}` };
}

/** Pixels that are written: 3 or 4 channels, of CMYK or with alpha. */
export interface Canvas {
  readonly data: Uint8Array;
  readonly channels: 3 | 4;
}

/** How a row becomes pixels. */
export interface Unpacker {
  /** Bits of a pixel. */
  readonly bits: number;
  /** Unpacks `count` pixels, which begin at a byte, and writes the first as pixel `to`. */
  unpack(bytes: Uint8Array, from: number, count: number, canvas: Canvas, to: number): void;
}

/** @returns undefined for a layout that Pillow knows but does not unpack. */
export function unpackerOf({ mode, raw }: Layout, palette?: Uint8Array): Unpacker | undefined {
  const [name = "", flags = ""] = raw.split(";");
  const flips = flags.endsWith("R");
  if (name === "") return undefined;
  switch (mode) {
    case "1":
    case "L": {
      if (name !== mode || raw === "L;IR") return undefined;
      const bits = mode === "1" ? 1 : Number(flags[0]) || 8;
      return indexed(bits, flips, grays(bits, flags.includes("I")));
    }
    case "P":
      if (name === "PX") return indexed(16, false, palette!);
      if (flips && raw !== "P;R") return undefined;
      return name === "P" ? indexed(Number(flags[0]) || 8, flips, palette!) : undefined;
    case "LA":
    case "PA":
      return name === mode ? indexed(16, false, palette ?? grays(8, false), true) : undefined;
    case "I;16":
    case "I;16B":
      if (name !== "I" || flags === "") return undefined;
      if (flags === "12") return { bits: 12, unpack: unpack12 };
      return gathered(16, flags === "16B" ? [0, 0, 0] : [1, 1, 1], flips);
    case "I":
    case "F":
      return numeric(raw);
    default:
      return colors(mode, name, flags);
  }
}

/** The channel of a plane that is a layout of its own. */
const PLANES = ["RC", "GM", "BY", "AK"];

function colors(mode: Mode, name: string, flags: string): Unpacker | undefined {
  if (name.length === 1) {
    const channel = PLANES.findIndex((letters) => letters[mode === "CMYK" ? 1 : 0] === name);
    return channel < 0 || (mode === "RGB" && channel === 3) ? undefined : plane(8, channel);
  }
  const bytes = flags.startsWith("16") ? 2 : 1;
  // Of two bytes the upper one counts.
  const first = bytes === 2 && !flags.endsWith("B") ? 1 : 0;
  const [r, g, b, a] = [0, 1, 2, 3].map((i) => first + i * bytes) as [number, number, number, number];
  const bits = 8 * bytes * name.length;
  if (name.startsWith("RGBa")) return { bits, unpack: divided(bits / 8, first, bytes) };
  return gathered(bits, mode === "RGB" ? [r, g, b] : [r, g, b, a], flags === "R");
}

/** A plane, samples of 8 bits or of 16 with the lowest byte first, to one channel. */
export function plane(bits: 8 | 16, channel: number): Unpacker {
  const step = bits / 8;
  return {
    bits,
    unpack(bytes, from, count, { data, channels }, to) {
      if (channel >= channels) return;
      let at = to * channels + channel;
      const end = from + count * step;
      for (let i = from + step - 1; i < end; i += step, at += channels) data[at] = bytes[i]!;
    },
  };
}

/** RGB of 256 gray levels, of which so many bits are used. */
function grays(bits: number, isInverted: boolean): Uint8Array {
  const most = (1 << bits) - 1;
  return Uint8Array.from({ length: 768 }, (_, i) => {
    const level = (Math.floor(i / 3) & most) * (255 / most);
    return isInverted ? 255 - level : level;
  });
}

const flip = (byte: number) => {
  let flipped = 0;
  for (let bit = 0; bit < 8; bit++) flipped |= ((byte >> bit) & 1) << (7 - bit);
  return flipped;
};
const FLIPPED = Uint8Array.from({ length: 256 }, (_, byte) => flip(byte));

/** Reverses the bits of all bytes, in place. */
export function flipBits(bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length; i++) bytes[i] = FLIPPED[bytes[i]!]!;
}

/**
 * Indices of colors, highest bits first. Of 16 bits they are the first 8; the others may be alpha. A byte is looked up with all
 * its pixels, which are written 4 bytes at a time where they lie so.
 */
function indexed(bits: number, flips: boolean, colors: Uint8Array, hasAlpha = false): Unpacker {
  const size = Math.min(bits, 8);
  const step = Math.max(bits >> 3, 1);
  const length = 24 / size;
  const pixels = new Uint8Array(256 * length);
  for (let byte = 0, to = 0; byte < 256; byte++) {
    const indices = flips ? FLIPPED[byte]! : byte;
    for (let shift = 8 - size; shift >= 0; shift -= size, to += 3) {
      const color = 3 * ((indices >> shift) & ((1 << size) - 1));
      pixels.set(colors.subarray(color, color + 3), to);
    }
  }
  const words = length % 4 ? undefined : new Uint32Array(pixels.buffer);
  return {
    bits,
    unpack(bytes, from, count, { data, channels }, to) {
      let at = channels * to;
      if (words && channels === 3 && (data.byteOffset + at) % 4 === 0) {
        const whole = Math.floor((3 * count) / length);
        const target = new Uint32Array(data.buffer, data.byteOffset + at, (whole * length) / 4);
        for (let word = 0; word < target.length; from++) {
          const first = (bytes[from]! * length) / 4;
          for (let i = 0; i < length / 4; i++) target[word++] = words[first + i]!;
        }
        at += whole * length;
        count -= (whole * length) / 3;
      }
      for (const end = at + channels * count; at < end; from += step) {
        const first = bytes[from]! * length;
        if (channels === 3) {
          const last = first + Math.min(length, end - at);
          for (let i = first; i < last; i++) data[at++] = pixels[i]!;
          continue;
        }
        for (let i = first; i < first + length && at < end; i += 3, at += 4) {
          data[at] = pixels[i]!;
          data[at + 1] = pixels[i + 1]!;
          data[at + 2] = pixels[i + 2]!;
          data[at + 3] = hasAlpha ? bytes[from + 1]! : 255;
        }
      }
    },
  };
}

/** Bytes of each pixel that become its channels. */
function gathered(bits: number, places: readonly number[], flips: boolean): Unpacker {
  const [red, green, blue, other = -1] = places as [number, number, number, number?];
  const step = bits / 8;
  return {
    bits,
    unpack(bytes, from, count, { data, channels }, to) {
      let at = to * channels;
      const end = from + count * step;
      if (step === channels && !flips && green === 1 && (channels === 3 || other === 3)) {
        data.set(bytes.subarray(from, end), at);
        return;
      }
      for (let i = from; i < end; i += step, at += channels) {
        data[at] = bytes[i + red]!;
        data[at + 1] = bytes[i + green]!;
        data[at + 2] = bytes[i + blue]!;
        if (channels === 4) data[at + 3] = other < 0 ? 255 : bytes[i + other]!;
        if (flips) for (let c = at; c < at + 3; c++) data[c] = FLIPPED[data[c]!]!;
      }
    },
  };
}

/** RGB that is multiplied by alpha. */
const divided =
  (step: number, first: number, sampleBytes: number): Unpacker["unpack"] =>
  (bytes, from, count, { data, channels }, to) => {
    let at = to * channels;
    const end = from + count * step;
    for (let i = from + first; i < end; i += step, at += channels) {
      const alpha = bytes[i + 3 * sampleBytes]!;
      for (let c = 0; c < 3; c++) data[at + c] = unmultiplied(bytes[i + c * sampleBytes]!, alpha);
      if (channels === 4) data[at + 3] = alpha;
    }
  };

/** A sample without the alpha that it was multiplied by. */
export const unmultiplied = (sample: number, alpha: number): number =>
  alpha === 0 ? 0 : Math.min(255, Math.floor((255 * sample) / alpha));

/** 12 bits, two samples in three bytes: of 12 the upper 8 count. */
function unpack12(bytes: Uint8Array, from: number, count: number, { data, channels }: Canvas, to: number): void {
  let at = to * channels;
  for (let i = 0; i < count; i++, at += channels) {
    const place = from + ((3 * i) >> 1);
    const level = i % 2 === 0 ? bytes[place]! : ((bytes[place]! & 15) << 4) | (bytes[place + 1]! >> 4);
    data[at] = data[at + 1] = data[at + 2] = level;
    if (channels === 4) data[at + 3] = 255;
  }
}

/** Numbers of 16 or 32 bits, of which 0 to 255 are levels. */
function numeric(raw: string): Unpacker | undefined {
  const isLittle = !raw.includes("B");
  const readers: Readonly<Record<string, (view: DataView, at: number) => number>> = {
    "I;16S": (view, at) => view.getInt16(at, isLittle),
    "I;32S": (view, at) => view.getInt32(at, isLittle),
    "F;32F": (view, at) => view.getFloat32(at, isLittle),
    I: (view, at) => view.getInt32(at, true),
    F: (view, at) => view.getFloat32(at, true),
  };
  const read = readers[raw.replace("B", "")];
  if (!read) return undefined;
  const bits = raw.includes("16") ? 16 : 32;
  return {
    bits,
    unpack(bytes, from, count, { data, channels }, to) {
      const view = viewOf(bytes);
      const step = bits >> 3;
      let at = to * channels;
      for (let i = 0; i < count; i++, at += channels) {
        const level = Math.max(0, Math.min(255, Math.trunc(read(view, from + i * step))));
        data[at] = data[at + 1] = data[at + 2] = level;
        if (channels === 4) data[at + 3] = 255;
      }
    },
  };
}
