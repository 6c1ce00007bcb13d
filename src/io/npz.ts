/**
 * NumPy's .npz: a zip of .npy files, in which google-research publishes the paper's own weights. The central directory
 * and the head of each array are read when it is opened; arrays go past in chunks, as those of a safetensors file. What the zip
 * claims is compared with the bytes that there are before any of it is unpacked.
 */
import { type DType, ELEMENT_BYTES } from "../backend.js";
import { excerpt } from "../json.js";
import type { TensorInfo } from "./safetensors.js";
import { type ByteSource, fromBytes } from "./source.js";
import { beginOf, checkExpansion, inflate, type Refuse, readDirectory, type ZipEntry } from "./zip.js";

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

/** Most members; models have 500 arrays. */
const MAX_MEMBERS = 2048;

/** An array of the archive as a file of one tensor. */
export interface NpzMember {
  readonly source: ByteSource;
  readonly tensors: readonly [TensorInfo];
  readonly end: number;
}

export async function openNpz(archive: ByteSource): Promise<NpzMember[]> {
  const { name } = archive;
  const refuse: Refuse = (found) => {
    throw new Error(`npz: "${name}" ${found}`);
  };
  const entries = await readDirectory(archive, refuse);
  if (entries.length > MAX_MEMBERS) refuse(`must have at most ${MAX_MEMBERS} members; it has ${entries.length}`);
  checkExpansion(
    entries.reduce((sum, { size }) => sum + size, 0),
    archive.size,
    refuse,
  );
  const members: NpzMember[] = [];
  for (const entry of entries) {
    if (!entry.name.endsWith(".npy")) {
      throw new Error(`npz: "${name}" must hold .npy files only; got ${excerpt(entry.name)}`);
    }
    members.push(await openMember(archive, entry, refuse));
  }
  return members;
}

/** Reads the head of an array: magic, version, and a Python dict (numpy.lib.format). */
async function openMember(archive: ByteSource, entry: ZipEntry, refuseArchive: Refuse): Promise<NpzMember> {
  const refuse = (rule: string, got: unknown): never => {
    const found = typeof got === "string" ? got.slice(0, 200) : got;
    throw new Error(`npz: ${excerpt(entry.name)} of "${archive.name}" must ${rule}; got ${found}`);
  };
  const head = sourceOf(archive, entry, refuseArchive);
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
  return { source: sourceOf(archive, entry, refuseArchive), tensors: [info], end: entry.size };
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
function sourceOf(archive: ByteSource, entry: ZipEntry, refuse: Refuse): ByteSource {
  const { size, deflated } = entry;
  // For progress: what is read is the archive.
  const { name } = archive;
  if (deflated) return { ...fromBytes(inflate(archive, entry, refuse), name), size };
  let begin: Promise<number> | undefined;
  return {
    name,
    size,
    async read(target, position) {
      begin ??= beginOf(archive, entry, refuse);
      await archive.read(target, (await begin) + position);
    },
    finish: async () => {},
    close: async () => {},
  };
}
