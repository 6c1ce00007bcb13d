/**
 * NumPy's .npz: a zip of .npy files, in which google-research publishes the paper's own weights. The central directory
 * and the head of each array are read when it is opened; arrays go past in chunks, as those of a safetensors file. What the zip
 * claims is compared with the bytes that there are before any of it is unpacked.
 */
import { excerpt } from "../json.js";
import { readNpyHead } from "./npy.js";
import type { TensorInfo } from "./safetensors.js";
import { type ByteSource, fromBytes } from "./source.js";
import { beginOf, checkExpansion, inflate, type Refuse, readDirectory, type ZipEntry } from "./zip.js";

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

/** Reads the head of an array. */
async function openMember(archive: ByteSource, entry: ZipEntry, refuseArchive: Refuse): Promise<NpzMember> {
  const refuse = (rule: string, got: unknown): never => {
    const found = typeof got === "string" ? got.slice(0, 200) : got;
    throw new Error(`npz: ${excerpt(entry.name)} of "${archive.name}" must ${rule}; got ${found}`);
  };
  const head = sourceOf(archive, entry, refuseArchive);
  const { dtype, shape, begin } = await readNpyHead(head, refuse).finally(() => head.close());
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
