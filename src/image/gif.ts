import { broken, type ImageFile, type StoredImage } from "./file.js";
export async function decodeGif(file: ImageFile): Promise<StoredImage> { throw broken(file, "is a GIF"); }
