/** @jsquash/jpeg: MozJPEG. */
import { jsquash } from "./jsquash.js";

export const engine = jsquash("@jsquash/jpeg", "mozjpeg_dec.wasm", ["photo", "baseline", "progressive"]);
