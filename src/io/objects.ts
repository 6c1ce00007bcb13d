/**
 * Where a collection lies: a folder, or a prefix of a bucket (s3.ts), as named objects that are there whole or not at all. The one
 * operation that processes agree by is `create`: of all that create an object, one is told that it did.
 */
import {
  diskTools,
  isDirectory,
  linkWhole,
  listDirectory,
  makeFolder,
  pathExists,
  readFile,
  writeWhole,
} from "../platform/files.js";
import { type ByteSource, fromFile } from "./source.js";

export interface Objects {
  /** The folder's path, or s3://bucket/prefix. */
  readonly name: string;
  /** The path on this machine, where it is a folder. */
  readonly folder: string | undefined;
  /** The name of an object in messages. */
  nameOf(path: string): string;
  /** Names of objects in a folder, sorted; none where there is no folder. */
  list(folder: string): Promise<string[]>;
  has(path: string): Promise<boolean>;
  /** Bytes of an object, undefined where there is none. */
  read(path: string, maxBytes: number): Promise<Uint8Array | undefined>;
  /** Opens an object for reads at any place. */
  open(path: string): Promise<ByteSource>;
  /** Writes an object, or writes it over. */
  write(path: string, bytes: Uint8Array | string): Promise<void>;
  /** Writes an object that is not there yet; false where there is one, which stays as it is. */
  create(path: string, bytes: Uint8Array | string): Promise<boolean>;
  /** Removes an object, if it is there. */
  remove(path: string): Promise<void>;
}

/** @param place a folder's path, or s3://bucket/prefix. */
export async function openObjects(place: string): Promise<Objects> {
  return /^s3:/i.test(place) ? (await import("./s3.js")).openBucket(place) : folderOf(place);
}

function folderOf(folder: string): Objects {
  const { fs, path: paths } = diskTools();
  const at = (path: string) => paths.join(folder, path);
  const made = new Set<string>();
  /** The path, whose folder is there. */
  async function placed(path: string): Promise<string> {
    const parent = paths.dirname(at(path));
    if (!made.has(parent)) await makeFolder(parent);
    made.add(parent);
    return at(path);
  }
  return {
    ...{ name: folder, folder, nameOf: at },
    list: async (path) => ((await isDirectory(at(path))) ? listDirectory(at(path)) : []),
    has: (path) => pathExists(at(path)),
    async read(path, maxBytes) {
      try {
        return await readFile(at(path), { maxBytes });
      } catch (error) {
        if (!(await pathExists(at(path)))) return undefined;
        throw error;
      }
    },
    open: (path) => fromFile(at(path)),
    write: async (path, bytes) => writeWhole(await placed(path), bytes),
    // Beside the folder of the object, which indexers sweep.
    create: async (path, bytes) =>
      linkWhole(
        await placed(path),
        await placed(`partial/${paths.basename(path)}.${diskTools().crypto.randomUUID()}`),
        bytes,
      ),
    remove: (path) => fs.rm(at(path), { force: true }),
  };
}
