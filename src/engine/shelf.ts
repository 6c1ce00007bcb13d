/** Vectors in files of a folder, an .npy of [1, width] each, whose names are a hash of the model and of what they are of. */
import { encodeNpy, readNpyHead } from "../io/npy.js";
import { fromFile } from "../io/source.js";
import { diskTools, isDirectory, makeFolder, pathExists, writeWhole } from "../platform/files.js";

/** Longest vector that is read. */
const MAX_WIDTH = 2 ** 16;

/**
 * @param model all that the vectors depend on beside their names.
 * @param put a vector is there whole or not at all; what is damaged is made again.
 */
export function openShelf(folder: string, model: string) {
  const { path, crypto } = diskTools();
  const fileOf = (name: string) => {
    const hash = crypto
      .createHash("sha256")
      .update(JSON.stringify([model, name]))
      .digest("hex");
    return path.join(folder, `${hash.slice(0, 40)}.npy`);
  };
  return {
    async get(name: string): Promise<Float32Array | undefined> {
      const file = fileOf(name);
      if (!(await pathExists(file))) return undefined;
      const source = await fromFile(file);
      try {
        const { dtype, shape, begin } = await readNpyHead(source, (rule) => {
          throw new Error(`must ${rule}`);
        });
        if (dtype !== "F32" || shape.length !== 2 || shape[0] !== 1 || shape[1]! > MAX_WIDTH) return undefined;
        const vector = new Float32Array(shape[1]!);
        await source.read(new Uint8Array(vector.buffer), begin);
        return vector;
      } catch {
        return undefined;
      } finally {
        await source.close();
      }
    },
    async put(name: string, data: Float32Array): Promise<void> {
      if (!(await isDirectory(folder))) await makeFolder(folder);
      await writeWhole(fileOf(name), encodeNpy({ dims: [1, data.length], data }));
    },
  };
}
