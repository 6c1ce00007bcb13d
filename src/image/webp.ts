import { broken, type ImageFile, type StoredImage } from "./file.js";
export async function decodeWebp(file: ImageFile): Promise<StoredImage> { throw broken(file, "is a WebP"); }
