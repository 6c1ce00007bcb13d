/** @jsquash/webp: libwebp. */
import { jsquash } from "./jsquash.js";

export const engine = jsquash("@jsquash/webp", "webp_dec.wasm", ["lossy", "lossless"]);
