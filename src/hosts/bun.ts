/** For Bun: files that `bun build --compile` puts into the program, where they have other names. */
import jpeg from "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm" with { type: "file" };
import webp from "@jsquash/webp/codec/dec/webp_dec.wasm" with { type: "file" };
import { assets } from "../assets.js";

Object.assign(assets, { jpeg, webp });
