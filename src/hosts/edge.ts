/** For hosts that compile nothing while they run: what is compiled when the program is built. `?module` is Vercel's word. */
import image from "../../kernels/image.wasm?module";
import jpeg from "../../kernels/jpeg.wasm?module";
import png from "../../kernels/png.wasm?module";
import kernels from "../../kernels/relaxed.wasm?module";
import rows from "../../kernels/rows.wasm?module";
import sha from "../../kernels/sha.wasm?module";
import webp from "../../kernels/webp.wasm?module";
import { assets } from "../platform/assets.js";

Object.assign(assets, { kernels, image, jpeg, png, rows, sha, webp });
