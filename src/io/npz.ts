/**
 * NumPy's .npz: a zip of .npy files, in which google-research publishes the paper's own weights. The central directory
 * and the head of each array are read when it is opened; arrays go past in chunks, as those of a safetensors file.
 *
 * The zip is read by unzipit: random access through a reader of ours, stored and deflated members, zip64, checked sizes,
 * no dependency, no native part, on every runtime. What the zip claims is compared with the bytes that there are before any
 * of it is unpacked.
 */
import { type DType, ELEMENT_BYTES } from "../backend.js";
import { excerpt } from "../json.js";
import { importPackage } from "../platform/packages.js";
import type { TensorInfo } from "./safetensors.js";
import { type ByteSource, fromBytes } from "./source.js";

type ZipEntry = InstanceType<typeof import("unzipit")["ZipEntry"]>;

/** numpy's dtype strings; V2 is what it calls JAX's bfloat16. */
const DTYPES: Readonly<Record<string, DType>> = {
  "<f8": "F64",
  "<f4": "F32",
  "<f2": "F16",
  "|V2": "BF16",
  "<V2": "BF16",
  "<i8": "I64",
  "<i4": "I32",
  "<i2": "I16",
  "|i1": "I8",
  "|u1": "U8",
  "|b1": "BOOL",
};

/** Longest head of an array that is believed: NumPy writes 128 bytes. */
const MAX_HEAD = 65536;

/** Most dimensions of an array, as in NumPy 2. */
const MAX_DIMENSIONS = 64;

/** Bytes that are read at once when the archive is opened: a central directory of some 8,000 arrays. */
const MAX_DIRECTORY = 2 ** 20;

/** Most members; models have 500 arrays. */
const MAX_MEMBERS = 2048;

/**
 * How many times its bytes an archive may unpack to, and how many bytes it may in any case. Weights hardly shrink: the paper's are
 * stored, and compressed by NumPy they keep nine tenths. Deflate alone would go to 1,032 times.
 */
const MAX_EXPANSION = 8;
const FREE_EXPANSION = 2 ** 24;
const CHUNK = 2 ** 20;

/** An array of the archive as a file of one tensor. */
export interface NpzMember {
  readonly source: ByteSource;
  readonly tensors: readonly [TensorInfo];
  readonly end: number;
}

export async function openNpz(archive: ByteSource): Promise<NpzMember[]> {
  const { name } = archive;
  const { unzipRaw } = await importPackage("unzipit", () => import("unzipit"));
  const entries = await unzipRaw(readerOf(archive, MAX_DIRECTORY)).then(
    (zip) => zip.entries,
    (cause: Error) => {
      throw new Error(`npz: "${name}" must be a zip of .npy files; ${cause.message}`, { cause });
    },
  );
  checkClaims(archive, entries);
  const members: NpzMember[] = [];
  const seen = new Set<string>();
  for (const entry of entries) {
    if (entry.isDirectory) continue;
    if (!entry.name.endsWith(".npy")) {
      throw new Error(`npz: "${name}" must hold .npy files only; got ${excerpt(entry.name)}`);
    }
    if (seen.has(entry.name)) throw new Error(`npz: "${name}" holds ${excerpt(entry.name)} twice`);
    seen.add(entry.name);
    members.push(await openMember(archive, entry));
  }
  return members;
}

/** Members that share bytes claim more than there are; those of nothing but zeros unpack to much more. */
function checkClaims({ name, size }: ByteSource, entries: readonly ZipEntry[]): void {
  if (entries.length > MAX_MEMBERS) {
    throw new Error(`npz: "${name}" must have at most ${MAX_MEMBERS} members; it has ${entries.length}`);
  }
  // What does not shrink grows by 5 bytes in 16,383.
  const longer = entries.find((entry) => entry.compressedSize > 64 + 1.01 * entry.size);
  if (longer) {
    const claims = `${longer.compressedSize} bytes packed and ${longer.size} unpacked`;
    throw new Error(`npz: members of "${name}" must not grow by packing; ${excerpt(longer.name)} claims ${claims}`);
  }
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const packed = sum(entries.map((entry) => entry.compressedSize));
  if (packed > size) {
    throw new Error(`npz: "${name}" must have the bytes that its members claim, ${packed}; it has ${size}`);
  }
  const unpacked = sum(entries.map((entry) => entry.size));
  const most = Math.max(MAX_EXPANSION * size, FREE_EXPANSION);
  if (unpacked > most) {
    throw new Error(`npz: "${name}" of ${size} bytes may unpack to ${most} at most; its members claim ${unpacked}`);
  }
}

/** @param most bytes that may be asked for at once. */
function readerOf(archive: ByteSource, most: number) {
  const read = async (offset: number, length: number) => {
    if (length > most) throw new Error(`its directory has ${length} bytes, and at most ${most} are read`);
    if (offset < 0 || length < 0 || offset + length > archive.size) {
      throw new Error(`it has ${archive.size} bytes, and ${length} from ${offset} on were to be read`);
    }
    const bytes = new Uint8Array(length);
    await archive.read(bytes, offset);
    return bytes;
  };
  return {
    getLength: async () => archive.size,
    read,
    /** In pieces, so that a member of any size takes little memory. */
    async readStream(offset: number, length: number): Promise<ReadableStream<Uint8Array>> {
      let at = 0;
      return new ReadableStream<Uint8Array>({
        async pull(controller) {
          const piece = Math.min(CHUNK, length - at);
          if (piece > 0) controller.enqueue(await read(offset + at, piece));
          at += piece;
          if (at >= length) controller.close();
        },
      });
    },
  };
}

/** Reads the head of an array: magic, version, and a Python dict (numpy.lib.format). */
async function openMember(archive: ByteSource, entry: ZipEntry): Promise<NpzMember> {
  const refuse = (rule: string, got: unknown): never => {
    const found = typeof got === "string" ? got.slice(0, 200) : got;
    throw new Error(`npz: ${excerpt(entry.name)} of "${archive.name}" must ${rule}; got ${found}`);
  };
  if (entry.encrypted) refuse("be readable", "an encrypted member");
  const head = streamOf(archive, entry);
  let begin: number;
  let text: string;
  try {
    const magic = new Uint8Array(12);
    if (entry.size < magic.length) refuse("begin with the head of an array", `${entry.size} bytes`);
    await head.read(magic, 0);
    if (String.fromCharCode(...magic.subarray(0, 6)) !== "\x93NUMPY") refuse("begin with NumPy's magic", "other bytes");
    const view = new DataView(magic.buffer);
    const [before, length] = magic[6] === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
    if (magic[6]! < 1 || magic[6]! > 3) refuse("be of version 1, 2 or 3", magic[6]);
    begin = before + length;
    if (length > MAX_HEAD || begin > entry.size) refuse(`have a head of at most ${MAX_HEAD} bytes`, length);
    if (begin < magic.length) refuse("have a head that says descr, fortran_order and shape", `one of ${length} bytes`);
    const rest = new Uint8Array(begin - magic.length);
    await head.read(rest, magic.length);
    text = new TextDecoder("latin1").decode(new Uint8Array([...magic.subarray(before), ...rest]));
  } finally {
    await head.close();
  }
  const { descr, fortran, shape } =
    parseHead(text) ?? refuse("have a head that says descr, fortran_order and shape", "another");
  const dtype = DTYPES[descr] ?? refuse(`be of a type among ${Object.keys(DTYPES).join(", ")}`, excerpt(descr));
  if (fortran && shape.length > 1) refuse("be in C order", "Fortran order");
  if (shape.length > MAX_DIMENSIONS) refuse(`have at most ${MAX_DIMENSIONS} dimensions`, shape.length);
  const bytes = shape.reduce((product, n) => product * n, 1) * ELEMENT_BYTES[dtype];
  if (begin + bytes !== entry.size) refuse(`have ${bytes} bytes behind its head`, entry.size - begin);
  const info: TensorInfo = {
    name: entry.name.slice(0, -".npy".length),
    dtype,
    shape,
    begin,
    end: entry.size,
    file: archive.name,
  };
  return { source: streamOf(archive, entry), tensors: [info], end: entry.size };
}

/** {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } */
function parseHead(text: string): { descr: string; fortran: boolean; shape: number[] } | undefined {
  const descr = /'descr':\s*'([^']*)'/.exec(text)?.[1];
  const fortran = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const shape = /'shape':\s*\(([\d,\s]*)\)/.exec(text)?.[1];
  if (descr === undefined || fortran === undefined || shape === undefined) return undefined;
  const sizes = (shape.match(/\d+/g) ?? []).map(Number);
  return sizes.every(Number.isSafeInteger) ? { descr, fortran: fortran === "True", shape: sizes } : undefined;
}

/** A member's bytes, opened when they are first asked for. */
function streamOf(archive: ByteSource, entry: ZipEntry): ByteSource {
  let opened: Promise<ByteSource> | undefined;
  const open = () => {
    // A chunk is allocated for each member, of which there may be many.
    opened ??= entry
      .stream({ chunkSize: Math.max(1, Math.min(CHUNK, entry.size)) })
      .then((stream) => fromBytes(stream, `npz: ${excerpt(entry.name)}`));
    return opened;
  };
  /** Turns what unzipit and the host's inflate say of bytes that are none of theirs into a sentence. */
  const described = <T>(work: Promise<T>): Promise<T> =>
    work.catch((cause: Error) => {
      if (cause.message.startsWith("npz: ")) throw cause;
      const found = excerpt(cause.message);
      throw new Error(`npz: ${excerpt(entry.name)} of "${archive.name}" cannot be unpacked: ${found}`, { cause });
    });
  return {
    // For progress: what is read is the archive.
    name: archive.name,
    size: entry.size,
    read: (target, position) => described(open().then((member) => member.read(target, position))),
    finish: (position) => described(Promise.resolve(opened).then((member) => member?.finish(position))),
    // What was not opened has said why when it was read.
    close: async () => (await opened?.catch(() => undefined))?.close(),
  };
}
