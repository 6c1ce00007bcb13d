/** For hosts that compile nothing while they run: what is compiled when the program is built. `?module` is Vercel's word. */
import webp from "@jsquash/webp/codec/dec/webp_dec.wasm?module";
import image from "../../kernels/image.wasm?module";
import jpeg from "../../kernels/jpeg.wasm?module";
import kernels from "../../kernels/relaxed.wasm?module";
import sha from "../../kernels/sha.wasm?module";
import { assets } from "../platform/assets.js";

Object.assign(assets, { kernels, image, jpeg, sha, webp });
